//! One hosted partition: its replica behind a lock that is never held across an await, and what waits on it.
//!
//! Every change of the replica comes back as effects; [`HostedPartition::settle`] is the one place that wakes
//! waiters and passes ISR proposals on. A failed log takes this partition offline here, and nothing else.

mod cleaning;
mod follower;
mod leader;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_broker_log::{FlushPlan, LogConfig, LogError};
use ottla_broker_node::Complaints;
use ottla_broker_replication::{Assignment, Became, Effects, Replica, ReplicationConfig};
use ottla_broker_types::{Now, Offset, TopicId, TopicPartition};
use parking_lot::Mutex;

use super::codes::{self, DiskError};
use super::isr_sender::IsrQueue;
use super::manager::PartitionFacts;
use super::space::Space;
use super::sync::SyncQueue;
use super::touched::{Marks, Touched};
use super::waiters::Waiters;
use crate::broker::Broker;
use crate::metrics::{Metrics, TopicCounters};
use crate::stop::Fatal;
use crate::view::View;

pub use leader::{AppendFailure, FetchFailure, FetchRead, NotAppended, RequiredAcks};

/// A partition is written to for so long that the disk must hold it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillBusy;

struct State {
    /// `None` once the partition is closed or its log has failed.
    replica: Option<Replica>,
}

/// One partition hosted by this broker.
pub struct HostedPartition {
    /// Its name.
    pub id: TopicPartition,
    /// The life of its topic.
    pub topic_id: TopicId,
    /// Held while the disk is read and written.
    state: Mutex<State>,
    /// Never held while the disk is; taken after `state` by who needs both.
    waiters: Mutex<Waiters>,
    /// Its facts when they were last read, for as long as they cannot be.
    last_facts: Mutex<Option<PartitionFacts>>,
    /// Whether it was said in the log that it cannot be read, or what was fetched not be applied.
    complaints: Mutex<Complaints>,
    counters: Arc<TopicCounters>,
    metrics: Arc<Metrics>,
    isr_queue: IsrQueue,
    touched: Arc<Touched>,
    marks: Marks,
    space: Arc<Space>,
    /// Where appends ask for a sync, if records count only once they are durable.
    sync_queue: SyncQueue,
    fatal: Fatal,
}

impl HostedPartition {
    /// A partition around its replica; `None` if the log could not be opened.
    pub fn new(
        id: TopicPartition,
        topic_id: TopicId,
        replica: Option<Replica>,
        metrics: &Arc<Metrics>,
        queues: (IsrQueue, Arc<Touched>),
        space: Arc<Space>,
        fatal: Fatal,
    ) -> HostedPartition {
        let (isr_queue, touched) = queues;
        let counters = metrics.topic(id.topic.as_str());
        let (state, waiters) = (Mutex::new(State { replica }), Mutex::default());
        HostedPartition {
            id,
            topic_id,
            state,
            waiters,
            last_facts: Mutex::default(),
            complaints: Mutex::default(),
            counters,
            metrics: Arc::clone(metrics),
            isr_queue,
            touched,
            marks: Marks::default(),
            space,
            sync_queue: SyncQueue::default(),
            fatal,
        }
    }

    /// Its facts, or the last ones known if it is written to for longer than `patience`, which is none from then on;
    /// `None` if the log does not work.
    pub fn facts(&self, patience: &mut Duration) -> Option<PartitionFacts> {
        let read = self.read_within(*patience, |replica| PartitionFacts::of(&self.id, replica));
        match read {
            Ok(facts) => {
                self.last_facts.lock().clone_from(&facts);
                facts
            }
            Err(StillBusy) => {
                *patience = Duration::ZERO;
                self.last_facts.lock().clone()
            }
        }
    }

    /// The partition, which hands to `queue` what must be durable before it counts.
    pub fn with_syncs(mut self, queue: SyncQueue) -> HostedPartition {
        self.sync_queue = queue;
        self
    }

    /// Takes over a new state of the partition's metadata; returns the role if it changed.
    pub fn apply_assignment(&self, now: Now, assignment: &Assignment) -> Option<Became> {
        self.change(|replica| replica.apply_assignment(now, assignment))
    }

    /// Takes over changed settings.
    pub fn set_config(&self, now: Now, log: LogConfig, replication: ReplicationConfig) {
        self.change(|replica| {
            replica.set_log_config(log);
            replica.set_config(now, replication)
        });
    }

    /// Brokers were fenced, registered anew, or are gone.
    pub fn registrations_changed(&self, now: Now, view: &View) {
        self.change(|replica| {
            replica.registrations_changed(now, |node, epoch| view.is_isr_eligible(node, epoch))
        });
        self.waiters.lock().followers_moved();
        self.want_followers();
    }

    /// When its check has come: ISR members that lag leave.
    pub fn tick(&self, now: Now) {
        self.change(|replica| {
            self.marks.checking();
            replica.tick(now)
        });
    }

    /// When its flush was noted: whether it is due.
    pub fn take_flush(&self, now: Now) -> bool {
        let taken = self.read(|replica| {
            self.marks.flushing();
            let is_due = replica.log().flush_due().is_some_and(|at| at <= now.mono);
            if !is_due {
                self.touched.note(&self.id, &self.marks, replica);
            }
            is_due
        });
        taken.unwrap_or(false)
    }

    /// Its high watermark, for the checkpoint; `None` while it is offline here.
    pub fn save_high_watermark(&self) -> Option<Offset> {
        self.read(|replica| self.marks.save_high_watermark(replica))
    }

    /// Its log start, for the checkpoint; `None` while it is offline here.
    pub fn save_log_start(&self) -> Option<Offset> {
        self.read(|replica| self.marks.save_log_start(replica))
    }

    /// Brings the log nearer to what a clean stop leaves; see [`HostedPartition::flush`].
    pub fn settle_log(&self, broker: &Broker) -> Option<Offset> {
        self.marks.settling();
        self.flush(broker, Replica::begin_upkeep)
    }

    /// Reads facts of the replica; `None` while the partition is offline here.
    pub fn read<T>(&self, read: impl FnOnce(&Replica) -> T) -> Option<T> {
        self.state.lock().replica.as_ref().map(read)
    }

    /// Reads facts of the replica as [`HostedPartition::read`] does, but waits for at most `patience` for who writes to
    /// it just now.
    pub fn read_within<T>(
        &self,
        patience: Duration,
        read: impl FnOnce(&Replica) -> T,
    ) -> Result<Option<T>, StillBusy> {
        let guard = self.state.try_lock_for(patience).ok_or(StillBusy)?;
        Ok(guard.replica.as_ref().map(read))
    }

    /// Runs upkeep that may fail on the disk (retention, flush).
    pub fn maintain<T>(
        &self,
        what: &'static str,
        act: impl FnOnce(&mut Replica) -> Result<(T, Effects), LogError>,
    ) -> Option<T> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut()?;
        match act(replica) {
            Ok((value, effects)) => {
                self.settle(replica, effects);
                Some(value)
            }
            Err(error) if codes::is_final_log(&error) => {
                self.fail(&mut guard, what, &error);
                None
            }
            Err(error) => {
                // Upkeep comes again.
                self.touched.note(&self.id, &self.marks, replica);
                tracing::debug!(partition = %self.id, %error, "{what} does not succeed now");
                None
            }
        }
    }

    /// Makes what `begin` plans durable, without holding the replica while the disk works; the offset before which all
    /// is durable then.
    pub fn flush(
        &self,
        broker: &Broker,
        begin: impl FnOnce(&mut Replica) -> Result<FlushPlan, LogError>,
    ) -> Option<Offset> {
        self.save_lower_cleaned_end(broker);
        let plan = self.maintain("begin a flush", |replica| Ok((begin(replica)?, Effects::default())))?;
        // The disk may take seconds: producers go on meanwhile.
        let synced = if plan.is_empty() { Ok(()) } else { broker.partitions.opener().sync(&plan) };
        self.maintain("flush", |replica| replica.finish_flush(broker.clock.now(), plan, synced))
    }

    /// Takes the replica out, for closing or deletion; everything that waits is told.
    pub fn take(&self) -> Option<Replica> {
        let mut guard = self.state.lock();
        self.waiters.lock().leadership_lost();
        guard.replica.take()
    }

    /// Whether the log has failed or could not be opened.
    pub fn is_offline(&self) -> bool {
        self.state.lock().replica.is_none()
    }

    fn change(&self, act: impl FnOnce(&mut Replica) -> Effects) -> Option<Became> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut()?;
        let effects = act(replica);
        let became = effects.became;
        self.settle(replica, effects);
        became
    }

    fn settle(&self, replica: &Replica, effects: Effects) {
        self.touched.note(&self.id, &self.marks, replica);
        let mut waiters = self.waiters.lock();
        if effects.log_end.is_some() {
            waiters.log_end_advanced();
        }
        if effects.log_start.is_some() {
            waiters.log_start_advanced();
        }
        if effects.high_watermark.is_some() {
            waiters.high_watermark_advanced(replica);
        }
        if effects.became.is_some() {
            waiters.leadership_lost();
        }
        if effects.sync_to.is_some() {
            self.sync_queue.push(&self.id);
        }
        if let Some(proposal) = effects.isr_change {
            self.isr_queue.push(self.id.clone(), self.topic_id, proposal);
        }
    }

    /// An I/O error is final: what the disk holds is no longer known, so nothing is served from it.
    fn fail(&self, state: &mut State, what: &str, error: &impl DiskError) {
        let advice = error.disk_error().map_or("", ottla_broker_log::advice);
        let separator = if advice.is_empty() { "" } else { "; " };
        self.fatal.report(format!("{what} of {}: {error}{separator}{advice}", self.id));
        state.replica = None;
        self.waiters.lock().leadership_lost();
        self.metrics.offline_log_partitions.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
