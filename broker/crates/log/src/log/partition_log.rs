//! The log and its facts. I/O only through the operations of the sibling files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{LeaderEpoch, MonotonicMs, Now, Offset, TimestampMs, TopicId, TopicPartition};

use super::OpenReport;
use crate::config::LogConfig;
use crate::disk::{Disk, Trouble, trouble};
use crate::epochs::EpochCache;
use crate::error::{LogError, ReadError};
use crate::producers::Producers;
use crate::segment::{Place, Segment};

/// One partition's log.
///
/// Getters never do I/O. Appends write with one positioned write on the calling thread and are durable after a
/// flush. [`LogError::Failed`] and its likes are final: from then on every operation but the getters refuses.
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(super) dir: Arc<Path>,
    pub(super) topic: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(crate) config: LogConfig,
    /// By base offset; each ends where the next begins.
    pub(crate) sealed: BTreeMap<Offset, Segment>,
    pub(crate) active: Segment,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// Below it everything is durable.
    pub(super) recovery_point: Offset,
    /// The highest recovery point that a checkpoint may hold.
    pub(super) claimed: Offset,
    /// Whether the file that limits the recovery point exists.
    pub(super) limited: bool,
    pub(super) epochs: EpochCache,
    pub(super) epochs_unsaved: bool,
    pub(crate) producers: Producers,
    /// Offsets of the producer snapshots on disk.
    pub(super) snapshots: BTreeSet<Offset>,
    /// Whether files were made since the directory was synced.
    pub(crate) dir_unsynced: bool,
    /// Whether the directory itself and the file that says whose it is may not be durable.
    pub(super) made_unsynced: bool,
    /// Log end and count of cuts with which the files were last left as a clean stop leaves them.
    pub(super) settled: Option<(Offset, u64)>,
    pub(super) unflushed_records: u64,
    pub(super) unflushed_since: Option<MonotonicMs>,
    /// Up to where the operating system was asked to write the active segment out.
    pub(super) writeback_end: u64,
    /// Below it no two records have the same key, if the topic is compacted.
    pub(crate) cleaned_end: Offset,
    /// What a checkpoint may say of it: less, if the log was cut after the checkpoint was written.
    pub(super) cleaned_end_max: Offset,
    /// The pass of the cleaner that is under way, for as long as it lives; true ends it.
    pub(crate) cleaning: Weak<AtomicBool>,
    /// How often the log was cut, so that a flush that began before knows.
    pub(super) cut_count: u64,
    /// Sealed segments that readers opened, the oldest use first.
    pub(super) open_sealed: Mutex<VecDeque<Offset>>,
    pub(super) failure: Option<String>,
    pub(super) report: OpenReport,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("topic", &self.topic)
            .field("log_start", &self.log_start)
            .field("log_end", &self.log_end)
            .field("recovery_point", &self.recovery_point)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic
    }

    /// The topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Puts other settings in force, from the next operation on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// First offset that may be read; the log may not hold a record right there.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset of the next append.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Everything below this offset is durable. The broker checkpoints it from time to time.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// First offset that does not count as written: the log end, or the recovery point where only what is durable counts.
    pub fn countable_end(&self) -> Offset {
        if self.config.flush_before_ack { self.recovery_point } else { self.log_end }
    }

    /// Bytes of all batches.
    pub fn size_bytes(&self) -> u64 {
        self.segments().map(|segment| u64::from(segment.size_bytes())).sum()
    }

    /// Count of segments, with the active one.
    pub fn segment_count(&self) -> usize {
        self.sealed.len() + 1
    }

    /// The leader epochs and where each begins.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Epoch of the last batch.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest_epoch()
    }

    /// The largest epoch at or below `asked` and the first offset after its records; see
    /// [`EpochCache::end_offset_for`].
    pub fn end_offset_for(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(asked, self.log_end)
    }

    /// Count of idempotent producers that are remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Whether an earlier batch of the producer and epoch in `header` is remembered. Without one, any first sequence is
    /// taken: the producer's state may have expired.
    pub fn has_predecessor_of(&self, header: &BatchHeader) -> bool {
        self.producers.has_predecessor_of(header)
    }

    /// What is known of each producer, by id.
    #[cfg(any(test, feature = "testing"))]
    pub fn known_producers(&self) -> Vec<crate::KnownProducer> {
        let known = self.producers.iter().map(|(id, producer)| crate::KnownProducer {
            id,
            epoch: producer.epoch,
            batches: producer
                .batches()
                .iter()
                .map(|batch| (batch.first_sequence(), batch.base_offset(), batch.last_offset))
                .collect(),
        });
        known.collect()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`; how many.
    pub fn expire_producers(&mut self, now: Now) -> usize {
        self.producers.expire(now.wall, self.config.producer_id_expiration_ms)
    }

    /// What opening the log took.
    pub fn open_report(&self) -> OpenReport {
        self.report
    }

    /// Whether an I/O error has ended the use of this handle.
    pub fn is_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Largest timestamp of all records by the batches' headers, without I/O.
    pub fn largest_timestamp(&self) -> Option<TimestampMs> {
        self.segments().filter_map(Segment::max_timestamp).max()
    }

    /// Below it the log was compacted; the broker checkpoints it.
    pub fn cleaned_end(&self) -> Offset {
        self.cleaned_end
    }

    /// Takes over how far a log that was just opened is compacted, by the checkpoint. What was cut since it was written
    /// does not count.
    pub fn restore_cleaned_end(&mut self, checkpointed: Offset) {
        self.cleaned_end = checkpointed.min(self.cleaned_end_max).min(self.log_end);
    }

    /// Ends the pass of the cleaner that is under way, if any: nothing that it has found out holds any more.
    pub(super) fn stop_cleaning(&mut self) {
        if let Some(pass) = self.cleaning.upgrade() {
            pass.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.sealed.values().chain(std::iter::once(&self.active))
    }

    pub(super) fn place(&self, base: Offset) -> Place {
        Place { disk: self.disk.clone(), dir: self.dir.clone(), base, suffix: "" }
    }

    pub(crate) fn usable(&self) -> io::Result<()> {
        match &self.failure {
            Some(failure) => Err(io::Error::other(failure.clone())),
            None => Ok(()),
        }
    }

    /// Ends the use of the handle.
    pub(crate) fn fail(&mut self, error: io::Error) -> io::Error {
        self.failure.get_or_insert_with(|| format!("the log failed before: {error}"));
        error
    }

    /// For calls after which the log is as it was if space or open files ran out; any other error is final.
    pub(crate) fn refused(&mut self, error: io::Error) -> LogError {
        match trouble(&error) {
            Trouble::NoSpace => LogError::NoSpace(error),
            Trouble::Exhausted => LogError::Exhausted(error),
            Trouble::Broken => LogError::Failed(self.fail(error)),
        }
    }

    /// For calls after which the log is not known any more.
    pub(super) fn failed(&mut self, error: io::Error) -> LogError {
        LogError::Failed(self.fail(error))
    }

    /// For reads within an operation that changes the log.
    pub(crate) fn unreadable(&mut self, error: ReadError) -> LogError {
        match error {
            ReadError::Corrupt { offset, source } => LogError::Corrupt { offset, source },
            ReadError::Io(error) => self.failed(error),
            out_of_range @ ReadError::OffsetOutOfRange { .. } => self.failed(io::Error::other(out_of_range)),
        }
    }
}
