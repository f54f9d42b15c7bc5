//! Which partitions have something for upkeep, so that it looks at no other: the cost of thousands of idle ones is nil.
//!
//! Each partition notes itself after every change, while it is held. Invariant: one that has something for upkeep is in
//! the list of it, once for each kind, so that the lists are bounded by the partitions hosted.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ottla_broker_node::DueList;
use ottla_broker_replication::Replica;
use ottla_broker_types::{MonotonicMs, Offset, TopicPartition};
use parking_lot::Mutex;

/// A time that never comes.
const NEVER: u64 = u64::MAX;

/// The lists of all partitions.
#[derive(Default)]
pub struct Touched {
    checks: Mutex<DueList<TopicPartition>>,
    flushes: Mutex<DueList<TopicPartition>>,
    high_watermarks: Mutex<Vec<TopicPartition>>,
    log_starts: Mutex<Vec<TopicPartition>>,
    unsettled: Mutex<Vec<TopicPartition>>,
    dirty: Mutex<Vec<TopicPartition>>,
}

/// In which lists one partition is.
pub struct Marks {
    check_at: AtomicU64,
    flush_at: AtomicU64,
    high_watermark: Saved,
    log_start: Saved,
    is_unsettled: AtomicBool,
    is_dirty: AtomicBool,
    /// Up to where the checkpoint may say that the log is compacted.
    cleaned_end: AtomicI64,
}

/// An offset as upkeep last saved it, and whether the present one waits for that.
struct Saved {
    offset: AtomicI64,
    is_waiting: AtomicBool,
}

impl Saved {
    fn note(&self, list: &Mutex<Vec<TopicPartition>>, id: &TopicPartition, offset: Offset) {
        let is_new = self.offset.load(Ordering::Relaxed) != offset.get();
        if is_new && !self.is_waiting.swap(true, Ordering::Relaxed) {
            list.lock().push(id.clone());
        }
    }

    fn saved(&self, offset: Offset) {
        self.offset.store(offset.get(), Ordering::Relaxed);
        self.is_waiting.store(false, Ordering::Relaxed);
    }
}

impl Default for Marks {
    /// In no list, and nothing saved: the high watermark waits to be, the log start only once it is not the first offset.
    fn default() -> Marks {
        Marks {
            check_at: AtomicU64::new(NEVER),
            flush_at: AtomicU64::new(NEVER),
            high_watermark: Saved { offset: AtomicI64::new(-1), is_waiting: AtomicBool::default() },
            log_start: Saved { offset: AtomicI64::new(0), is_waiting: AtomicBool::default() },
            is_unsettled: AtomicBool::default(),
            is_dirty: AtomicBool::default(),
            cleaned_end: AtomicI64::new(i64::MAX),
        }
    }
}

impl Marks {
    /// The high watermark, as it is saved now. Like the others below it is called while the replica is held.
    pub fn save_high_watermark(&self, replica: &Replica) -> Offset {
        self.high_watermark.saved(replica.high_watermark());
        replica.high_watermark()
    }

    /// The log start, as it is saved now.
    pub fn save_log_start(&self, replica: &Replica) -> Offset {
        self.log_start.saved(replica.log().log_start());
        replica.log().log_start()
    }

    /// Its check is about to be made.
    pub fn checking(&self) {
        self.check_at.store(NEVER, Ordering::Relaxed);
    }

    /// It is about to be flushed because its time has come.
    pub fn flushing(&self) {
        self.flush_at.store(NEVER, Ordering::Relaxed);
    }

    /// There is nothing to compact in it any more.
    pub fn is_clean(&self) {
        self.is_dirty.store(false, Ordering::Relaxed);
    }

    /// Up to where the log is compacted, if the checkpoint may say more: as it is saved now.
    pub fn lower_cleaned_end(&self, replica: &Replica) -> Option<Offset> {
        let end = replica.log().cleaned_end();
        let said = self.cleaned_end.swap(end.get(), Ordering::Relaxed);
        (end.get() < said).then_some(end)
    }

    /// Up to where the log is compacted, as it is saved now.
    pub fn save_cleaned_end(&self, replica: &Replica) {
        self.cleaned_end.store(replica.log().cleaned_end().get(), Ordering::Relaxed);
    }

    /// It is about to be settled.
    pub fn settling(&self) {
        self.is_unsettled.store(false, Ordering::Relaxed);
    }
}

impl Touched {
    /// A partition has changed, and may have something for upkeep by now. The caller holds the replica.
    pub fn note(&self, id: &TopicPartition, marks: &Marks, replica: &Replica) {
        note_due(&self.checks, &marks.check_at, id, replica.check_due());
        note_due(&self.flushes, &marks.flush_at, id, replica.log().flush_due());
        marks.high_watermark.note(&self.high_watermarks, id, replica.high_watermark());
        marks.log_start.note(&self.log_starts, id, replica.log().log_start());
        if !replica.log().is_settled() && !marks.is_unsettled.swap(true, Ordering::Relaxed) {
            self.unsettled.lock().push(id.clone());
        }
        if replica.log().has_dirt() && !marks.is_dirty.swap(true, Ordering::Relaxed) {
            self.dirty.lock().push(id.clone());
        }
    }

    /// Partitions whose ISR is to be looked at.
    pub fn take_checks(&self, now: MonotonicMs) -> Vec<TopicPartition> {
        self.checks.lock().take_due(now)
    }

    /// Partitions whose `flush.ms` may be over.
    pub fn take_flushes(&self, now: MonotonicMs) -> Vec<TopicPartition> {
        self.flushes.lock().take_due(now)
    }

    /// Partitions whose high watermark is another than the saved one.
    pub fn take_high_watermarks(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.high_watermarks.lock())
    }

    /// Partitions whose log start is another than the saved one.
    pub fn take_log_starts(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.log_starts.lock())
    }

    /// Partitions that have something to compact since they had nothing.
    pub fn take_dirty(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.dirty.lock())
    }

    /// Partitions that are not as a clean stop would leave them.
    pub fn take_unsettled(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.unsettled.lock())
    }
}

/// Notes a partition that is due at `at`, unless it is in the list for that time or an earlier one.
fn note_due(
    list: &Mutex<DueList<TopicPartition>>,
    noted_at: &AtomicU64,
    id: &TopicPartition,
    at: Option<MonotonicMs>,
) {
    let Some(at) = at else { return };
    if at.0 < noted_at.load(Ordering::Relaxed) {
        noted_at.store(at.0, Ordering::Relaxed);
        list.lock().push(at, id.clone());
    }
}
