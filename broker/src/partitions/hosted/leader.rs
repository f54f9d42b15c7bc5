//! The leader's side of a hosted partition: appends, fetches, offsets, and what the controller says of its ISR.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_broker_log::{AbortedTransaction, BatchRules, CheckedBatch, ReadError, RejectedRecord};
use ottla_broker_node::{FetchTarget, Reader, Share, Standing};
use ottla_broker_protocol::{ErrorCode, Segment};
use ottla_broker_replication::{
    Acks, DeleteRecordsError, FetchError, FetchFacts, FollowerId, Isolation, IsrDecided, IsrProposal,
    IsrUnchanged, LeadershipError, ListedOffset, OffsetSpec, ProduceError, Produced, Replica,
};
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, Now, Offset, TimestampMs};
use tokio::sync::oneshot;

use super::HostedPartition;
use crate::partitions::codes::{self, DiskError};
use crate::partitions::waiters::{FetchWaiter, ProduceWait};
use crate::view::View;

/// When a produce is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAcks {
    /// acks=0: not at all.
    None,
    /// acks=1: after the leader's append.
    Leader,
    /// acks=all: when the high watermark has passed.
    All,
}

impl RequiredAcks {
    /// The field of a Produce; `None` for values without a meaning.
    pub fn from_wire(acks: i16) -> Option<RequiredAcks> {
        match acks {
            -1 => Some(RequiredAcks::All),
            0 => Some(RequiredAcks::None),
            1 => Some(RequiredAcks::Leader),
            _ => None,
        }
    }
}

impl From<RequiredAcks> for Acks {
    fn from(acks: RequiredAcks) -> Acks {
        match acks {
            RequiredAcks::None => Acks::None,
            RequiredAcks::Leader => Acks::Leader,
            RequiredAcks::All => Acks::All,
        }
    }
}

/// A batch that is in the log.
#[derive(Debug)]
pub struct AppendedBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's time, where the topic stamps it.
    pub log_append_time: Option<TimestampMs>,
    /// First offset that can be read, after retention and DeleteRecords.
    pub log_start: Offset,
    /// For acks=all, until it is committed.
    pub wait: Option<oneshot::Receiver<ProduceWait>>,
}

/// A batch that is not in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendFailure {
    /// Kafka's code.
    pub code: ErrorCode,
    /// More about it, where the code does not say enough.
    pub message: Option<String>,
    /// The records because of which, where it is about records (KIP-467).
    pub records: Vec<RejectedRecord>,
}

/// Why a batch is not in the log, or is in it unanswered.
#[derive(Debug, thiserror::Error)]
pub enum NotAppended {
    /// The log cannot be used on this broker.
    #[error("the log is offline")]
    Offline,
    /// The disk has less than its floor of free space.
    #[error("{}", complaint.as_deref().unwrap_or("the disk has no space for records"))]
    NoSpace {
        /// What the disk lacks, and what to do.
        complaint: Option<String>,
    },
    /// The replica refuses it.
    #[error(transparent)]
    Refused(#[from] ProduceError),
    /// It is in the log, but too many producers wait for the followers already.
    #[error("too many producers wait for this partition already")]
    TooManyWait,
}

impl AppendFailure {
    /// One of which the code says enough.
    pub fn of(code: ErrorCode) -> AppendFailure {
        AppendFailure { code, message: None, records: Vec::new() }
    }

    /// One with a sentence about it.
    pub fn with(code: ErrorCode, message: impl Into<String>) -> AppendFailure {
        AppendFailure { message: Some(message.into()), ..AppendFailure::of(code) }
    }
}

/// What a fetch found.
#[derive(Debug, Default)]
pub struct FetchRead {
    /// The records.
    pub segments: Vec<Segment>,
    /// Sum of the segments' lengths.
    pub bytes: usize,
    /// First offset that is not known to be committed.
    pub high_watermark: Offset,
    /// First offset that a read_committed consumer may not see.
    pub last_stable_offset: Offset,
    /// Transactions of which there may be records among these that were aborted; for readers of committed records only.
    pub aborted: Vec<AbortedTransaction>,
    /// First offset that can be read, after retention and DeleteRecords.
    pub log_start: Offset,
    /// Where the fetcher's log leaves this one.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Whether there is anything for the fetcher to read, whether or not there was room for it.
    pub is_behind: bool,
    /// How the fetcher stands with the partition.
    pub standing: Standing,
}

/// A fetch that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Whether it has failed like that for a while: whoever asks again at once learns nothing new.
    pub is_old: bool,
}

impl From<ErrorCode> for FetchFailure {
    fn from(code: ErrorCode) -> FetchFailure {
        FetchFailure { code, is_old: false }
    }
}

impl HostedPartition {
    /// What a batch must obey to be appended with [`HostedPartition::append_checked`], if any may be now.
    pub fn batch_rules(&self, acks: RequiredAcks) -> Result<BatchRules, AppendFailure> {
        let guard = self.state.lock();
        let offline = || AppendFailure::of(ErrorCode::KafkaStorageError);
        let rules = guard.replica.as_ref().ok_or_else(offline)?.batch_rules(acks.into());
        rules.map_err(|error| self.refused(&error))
    }

    /// Counts a batch that was refused, and tells its producer why.
    pub fn refused(&self, error: &ProduceError) -> AppendFailure {
        self.counters.failed_produce.fetch_add(1, Ordering::Relaxed);
        codes::produce(error)
    }

    /// Checks and appends a batch as the leader and stamps it in place.
    #[cfg(test)]
    pub fn append(
        &self,
        now: Now,
        batch: &mut [u8],
        acks: RequiredAcks,
    ) -> Result<AppendedBatch, AppendFailure> {
        let bytes = batch.len();
        self.append_with(now, acks, bytes, |replica| replica.append(now, batch, acks.into()))
            .map_err(codes::not_appended)
    }

    /// Appends a producer's batch as the leader and stamps it in place; `checked` is what the rules said of it.
    pub fn append_checked(
        &self,
        now: Now,
        batch: &mut [u8],
        checked: &CheckedBatch,
        acks: RequiredAcks,
    ) -> Result<AppendedBatch, AppendFailure> {
        let bytes = batch.len();
        self.append_with(now, acks, bytes, |replica| replica.append_checked(now, batch, checked, acks.into()))
            .map_err(codes::not_appended)
    }

    /// Appends a batch that was sent behind one that was refused with `code` on the same connection.
    pub fn append_after_refused(
        &self,
        now: Now,
        batch: &mut [u8],
        checked: &CheckedBatch,
        acks: RequiredAcks,
        code: ErrorCode,
    ) -> Result<AppendedBatch, AppendFailure> {
        let bytes = batch.len();
        self.append_with(now, acks, bytes, |replica| {
            replica.append_after_refused(now, batch, Some(checked), acks.into(), code)
        })
        .map_err(codes::not_appended)
    }

    /// Appends a batch of the broker's own that was decided in `epoch`, if this broker still leads in that one. Nobody
    /// waits for it here.
    pub fn append_in(
        &self,
        now: Now,
        batch: &mut [u8],
        epoch: LeaderEpoch,
    ) -> Result<AppendedBatch, NotAppended> {
        let bytes = batch.len();
        self.append_with(now, RequiredAcks::None, bytes, |replica| replica.append_in(now, batch, epoch))
    }

    fn append_with(
        &self,
        now: Now,
        acks: RequiredAcks,
        batch_bytes: usize,
        append: impl FnOnce(&mut Replica) -> Result<Produced, ProduceError>,
    ) -> Result<AppendedBatch, NotAppended> {
        self.take_space(batch_bytes)?;
        let mut guard = self.state.lock();
        let hosted = guard.replica.as_mut().ok_or(NotAppended::Offline)?;
        let produced = match append(hosted) {
            Ok(produced) => produced,
            Err(error) => {
                self.counters.failed_produce.fetch_add(1, Ordering::Relaxed);
                if codes::is_final(&error) {
                    self.fail(&mut guard, "append", &error);
                } else if let Some(error) = error.disk_error() {
                    self.touched.note(&self.id, &self.marks, hosted);
                    self.space.failed(error, now.mono);
                }
                return Err(error.into());
            }
        };
        let high_watermark = produced.effects.high_watermark.unwrap_or_else(|| hosted.high_watermark());
        let wait = match acks {
            // Armed before the lock is given back, so that no advance is missed.
            RequiredAcks::All if high_watermark < produced.wait.end => {
                Some(self.waiters.lock().wait_committed(produced.wait))
            }
            _ => None,
        };
        // The batch is in the log: followers must hear of it, whether its producer can wait or not.
        let too_many_wait = matches!(wait, Some(None));
        let appended = &produced.appended;
        if !appended.duplicate {
            self.counters.bytes_in.fetch_add(batch_bytes as u64, Ordering::Relaxed);
            self.counters.messages_in.fetch_add(appended.record_count, Ordering::Relaxed);
        }
        let answer = AppendedBatch {
            base_offset: appended.base_offset,
            log_append_time: appended.log_append_time,
            log_start: hosted.log().log_start(),
            wait: wait.flatten(),
        };
        self.settle(hosted, produced.effects);
        if too_many_wait {
            return Err(NotAppended::TooManyWait);
        }
        Ok(answer)
    }

    fn take_space(&self, bytes: usize) -> Result<(), NotAppended> {
        if self.space.take(bytes) {
            return Ok(());
        }
        self.counters.failed_produce.fetch_add(1, Ordering::Relaxed);
        Err(NotAppended::NoSpace { complaint: self.space.complaint() })
    }

    /// Whether an append that the high watermark has passed may be acknowledged as asked.
    pub fn check_min_isr_after_commit(&self) -> Result<(), ErrorCode> {
        match &self.state.lock().replica {
            Some(replica) if replica.lacks_replicas_after_commit() => {
                Err(ErrorCode::NotEnoughReplicasAfterAppend)
            }
            Some(_) => Ok(()),
            None => Err(ErrorCode::KafkaStorageError),
        }
    }

    /// Wakes `waiter` at each advance that `reader` can see, for as long as it lives; `place` is this partition's within
    /// the fetch.
    pub fn watch(&self, waiter: &Arc<FetchWaiter>, place: usize, reader: Reader) {
        self.waiters.lock().watch(waiter, place, reader.is_follower());
    }

    /// Ends what [`HostedPartition::watch`] began.
    pub fn unwatch(&self, waiter: &Arc<FetchWaiter>, place: usize) {
        self.waiters.lock().unwatch(waiter, place);
    }

    /// Fetches that watch it.
    #[cfg(test)]
    pub fn watcher_count(&self) -> usize {
        self.waiters.lock().watcher_count()
    }

    /// How a fetcher stands with this partition.
    pub fn standing(&self, reader: Reader) -> Standing {
        self.read(|replica| standing(replica, reader)).unwrap_or_default()
    }

    /// Lets the followers fetch, if what they told by their former fetches does not say whether they may join the ISR.
    /// Whoever calls it has published what they are to be judged by.
    pub fn want_followers(&self) {
        let guard = self.state.lock();
        if guard.replica.as_ref().is_some_and(Replica::awaits_fetches) {
            self.waiters.lock().followers_wanted();
        }
    }

    /// Answers one partition of a Fetch; `isolation` is what a client may see. `is_isr_eligible` says whether the newest metadata shows a follower live under
    /// its registration. It is asked while the replica is held: a follower that has left since its fetch arrived must
    /// not count as live again, or producers would wait for it.
    pub fn fetch(
        &self,
        now: Now,
        reader: Reader,
        target: &FetchTarget,
        (isolation, limits): (Isolation, Share),
        is_isr_eligible: impl FnOnce(NodeId, Option<BrokerEpoch>) -> bool,
    ) -> Result<FetchRead, FetchFailure> {
        let fetch_offset = Offset::new(target.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
        let mut guard = self.state.lock();
        let (replica_id, isolation) = match reader {
            Reader::Client => (None, isolation),
            Reader::Follower { node, epoch: broker_epoch } => {
                let isr_eligible = is_isr_eligible(node, broker_epoch);
                (Some(FollowerId { node, broker_epoch, isr_eligible }), Isolation::LogEnd)
            }
        };
        let facts = FetchFacts {
            replica: replica_id,
            fetch_offset,
            current_leader_epoch: target.current_leader_epoch,
            last_fetched_epoch: target.last_fetched_epoch,
            log_start: target.log_start,
            max_bytes: limits.bytes_max,
            at_least_one: limits.at_least_one,
            isolation,
        };
        let replica = guard.replica.as_mut().ok_or(ErrorCode::KafkaStorageError)?;
        let outcome = replica.handle_fetch(now, &facts).map_err(|error| self.not_fetched(now, &error))?;
        let standing = standing(replica, reader);
        let visible_end = match reader {
            Reader::Client if isolation == Isolation::ReadCommitted => outcome.last_stable_offset,
            Reader::Client => outcome.high_watermark,
            Reader::Follower { .. } => replica.log().log_end(),
        };
        let read = FetchRead {
            is_behind: fetch_offset < visible_end,
            bytes: outcome.read.bytes,
            segments: outcome.read.segments,
            high_watermark: outcome.high_watermark,
            last_stable_offset: outcome.last_stable_offset,
            aborted: outcome.aborted,
            log_start: outcome.log_start,
            diverging: outcome.diverging.map(|end| (end.epoch, end.end)),
            standing,
        };
        self.settle(replica, outcome.effects);
        if reader.is_follower() {
            let mut waiters = self.waiters.lock();
            if waiters.awaits_low_watermark() {
                waiters.followers_moved();
            }
        }
        Ok(read)
    }

    /// What the fetcher is told. A log that cannot be read is complained of once, however often it is asked for.
    fn not_fetched(&self, now: Now, error: &FetchError) -> FetchFailure {
        let is_unreadable = matches!(error, FetchError::Read(ReadError::Io(_) | ReadError::Corrupt { .. }));
        let is_news = is_unreadable && self.complaints.lock().is_news(now.mono);
        if is_news {
            tracing::warn!(partition = %self.id, %error, "the log cannot be read for a fetch");
        }
        FetchFailure { code: error.code(), is_old: is_unreadable && !is_news }
    }

    /// Deletes the records before an offset, or all that are committed; returns where the log then begins at the
    /// earliest.
    pub fn delete_records(&self, before: Option<Offset>) -> Result<Offset, ErrorCode> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut().ok_or(ErrorCode::KafkaStorageError)?;
        let policy = replica.log().config().cleanup_policy;
        if replica.is_leader() && policy.compact && !policy.delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let until = before.unwrap_or_else(|| replica.high_watermark());
        let effects = replica.delete_records(Some(until)).map_err(DeleteRecordsError::code)?;
        self.settle(replica, effects);
        Ok(until)
    }

    /// The offset below which no live replica holds a record.
    pub fn low_watermark(&self, view: &View) -> Result<Offset, ErrorCode> {
        let is_live = |node| view.broker(node).is_some_and(|broker| !broker.fenced);
        let guard = self.state.lock();
        let replica = guard.replica.as_ref().ok_or(ErrorCode::KafkaStorageError)?;
        replica.low_watermark(is_live).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Wakes `waiter` when the low watermark may have moved; `place` is this partition's within the request.
    pub fn arm_low_watermark(&self, waiter: &Arc<FetchWaiter>, place: usize) {
        self.waiters.lock().arm_low_watermark(waiter, place);
    }

    /// Counts what left for a fetcher.
    pub fn count_fetched(&self, reader: Reader, bytes: usize) {
        let counter = match reader {
            Reader::Client => &self.counters.bytes_out,
            Reader::Follower { .. } => &self.counters.replication_bytes_out,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// One more for `FailedFetchRequestsPerSec`.
    pub fn count_failed_fetch(&self) {
        self.counters.failed_fetch.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks an offset up by timestamp; `None` if no visible record matches.
    pub fn list_offset(
        &self,
        timestamp: i64,
        current_leader_epoch: Option<LeaderEpoch>,
        isolation: Isolation,
    ) -> Result<Option<ListedOffset>, ErrorCode> {
        let spec = OffsetSpec::from_wire(timestamp).ok_or(ErrorCode::UnsupportedVersion)?;
        let guard = self.state.lock();
        let replica = guard.replica.as_ref().ok_or(ErrorCode::KafkaStorageError)?;
        replica.list_offset(spec, current_leader_epoch, isolation).map_err(|error| error.code())
    }

    /// Where `epoch`, or the largest one before it, ended here; `None` for one that has not begun.
    pub fn epoch_end(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        epoch: Option<LeaderEpoch>,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let guard = self.state.lock();
        let replica = guard.replica.as_ref().ok_or(ErrorCode::KafkaStorageError)?;
        let Some(epoch) = epoch else { return Ok(None) };
        let end = replica.epoch_end(epoch, current_leader_epoch).map_err(LeadershipError::code)?;
        // Nobody knows where an epoch ends that has not begun.
        let end = end.filter(|_| replica.leader_epoch().is_none_or(|ours| epoch <= ours));
        Ok(end.map(|end| (end.epoch, end.end)))
    }

    /// The controller's answer to an ISR proposal.
    pub fn isr_decided(&self, now: Now, proposal: &IsrProposal, result: Result<IsrDecided, IsrUnchanged>) {
        if let Ok(decided) = &result {
            let before = self.read(|replica| replica.isr().map_or(0, |isr| isr.len())).unwrap_or(0);
            let counter = if decided.isr.len() > before {
                &self.metrics.isr_expands
            } else {
                &self.metrics.isr_shrinks
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.change(|replica| replica.alter_partition_result(now, proposal, result));
        self.want_followers();
    }
}

fn standing(replica: &Replica, reader: Reader) -> Standing {
    let is_in_sync = |node| replica.isr().is_none_or(|isr| isr.contains(&node));
    match reader.node() {
        Some(node) if !is_in_sync(node) => Standing::CatchingUp,
        Some(_) | None => Standing::InSync,
    }
}
