//! One shard: the pure machine behind a lock, its partition, and the requests that are parked in it.
//!
//! The lock is held from a decision to the append of its records, so that the log has the order of the decisions; it
//! is never held across an await. An append that fails leaves offsets as they were. If it was a group's new state
//! that could not be written, the machine is ahead of its log: the shard is then loaded again, and its members rejoin.

use std::sync::Arc;

use ottla_broker_coordinator::{
    GroupRecord, GroupShard, NotWritten, Outcome, Parking, Reply, ReplyToken, encode_batch,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{DurationMs, LeaderEpoch, MonotonicMs, Now};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::commit::{self, Commit};
use crate::broker::Broker;
use crate::partitions::{HostedPartition, RequiredAcks};

/// How long timers rest after an append failed, so that an unwritable partition is not hammered.
const REST_AFTER_FAILURE: DurationMs = DurationMs(1_000);

/// The answer to a parked request: what to say, after which append.
type Delivery = Result<(Reply, Option<Commit>), ErrorCode>;

/// A value that may be answered once `commit` has ended well.
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// What it depends on; `None` if that is committed.
    pub commit: Option<Commit>,
}

impl<T> Answered<T> {
    /// Waits for the commit.
    pub async fn committed(self) -> Result<T, ErrorCode> {
        match self.commit {
            Some(commit) => match commit.await {
                ErrorCode::None => Ok(self.value),
                code => Err(code),
            },
            None => Ok(self.value),
        }
    }
}

/// A request that is parked. If its connection goes, this is dropped; the shard's end of it goes with the member's
/// next answer or session, so each member leaves at most one join and one sync behind.
pub struct Parked(oneshot::Receiver<Delivery>);

impl Parked {
    /// Waits for the answer and what it depends on.
    pub async fn answer(self) -> Result<Reply, ErrorCode> {
        // The sender goes away when this broker stops coordinating the group.
        let (value, commit) = self.0.await.map_err(|_| ErrorCode::NotCoordinator)??;
        Answered { value, commit }.committed().await
    }
}

/// A shard that serves.
pub(super) struct Loaded {
    pub(super) shard: GroupShard,
    parking: Parking<oneshot::Sender<Delivery>>,
    last_commit: Option<Commit>,
    rests_until: MonotonicMs,
}

pub(super) enum State {
    Loading,
    Ready(Box<Loaded>),
    /// This broker leads the partition no longer.
    Gone,
}

/// One shard of this broker, for one epoch of its partition.
pub(super) struct HostedShard {
    pub(super) partition: Arc<HostedPartition>,
    pub(super) epoch: LeaderEpoch,
    state: Mutex<State>,
}

impl HostedShard {
    pub(super) fn new(partition: Arc<HostedPartition>, epoch: LeaderEpoch) -> HostedShard {
        HostedShard { partition, epoch, state: Mutex::new(State::Loading) }
    }

    /// Acts on the loaded shard.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Loaded) -> T) -> Result<T, ErrorCode> {
        match &mut *self.state.lock() {
            State::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Ready(loaded) => Ok(act(loaded)),
            State::Gone => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Decides, appends what was decided, and hands out the answers. `None` as the value's commit means committed.
    pub(super) fn decide<T>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        decide: impl FnOnce(&mut Loaded, Now) -> (T, Outcome),
    ) -> Result<Answered<T>, ErrorCode> {
        let mut state = self.state.lock();
        let loaded = match &mut *state {
            State::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
            State::Ready(loaded) => loaded,
            State::Gone => return Err(ErrorCode::NotCoordinator),
        };
        let now = broker.clock.now();
        let before = loaded.next_deadline();
        let (value, outcome) = decide(loaded, now);
        match self.settle(broker, now, loaded, outcome) {
            Ok(commit) => {
                if loaded.next_deadline() < before {
                    broker.groups.timers_changed();
                }
                Ok(Answered { value, commit })
            }
            Err(NotWritten { code, refused, must_reload }) => {
                tracing::warn!(partition = %self.partition.id, code = code.name(), "group records cannot be written");
                loaded.rests_until = now.mono.plus(REST_AFTER_FAILURE);
                for asker in refused {
                    deliver(asker, Err(code));
                }
                if must_reload {
                    *state = State::Loading;
                    super::load::spawn(broker, self, REST_AFTER_FAILURE);
                }
                Err(code)
            }
        }
    }

    fn settle(
        &self,
        broker: &Broker,
        now: Now,
        loaded: &mut Loaded,
        outcome: Outcome,
    ) -> Result<Option<Commit>, NotWritten<oneshot::Sender<Delivery>>> {
        let append = |records: &[GroupRecord]| self.append(broker, now, records);
        let settled = loaded.parking.settle(&mut loaded.shard, outcome, append)?;
        if let Some(commit) = settled.appended {
            loaded.last_commit = commit;
        }
        for (asker, reply) in settled.now {
            deliver(asker, Ok((reply, None)));
        }
        for (asker, reply) in settled.after_commit {
            deliver(asker, Ok((reply, loaded.pending_commit())));
        }
        Ok(loaded.pending_commit())
    }

    /// Appends records as one batch; `None` if the high watermark has passed it already.
    fn append(
        &self,
        broker: &Broker,
        now: Now,
        records: &[GroupRecord],
    ) -> Result<Option<Commit>, ErrorCode> {
        let mut batch = encode_batch(records, now.wall).map_err(|error| {
            tracing::error!(partition = %self.partition.id, %error, "group records cannot be encoded");
            ErrorCode::UnknownServerError
        })?;
        let appended = self
            .partition
            .append_in(now, &mut batch, RequiredAcks::All, self.epoch)
            .map_err(|failure| commit::append_code(failure.code))?;
        let timeout = broker.config.groups.offsets_commit_timeout_ms.to_std();
        Ok(appended.wait.map(|wait| commit::wait(wait, timeout)))
    }

    /// Opens the shard for requests; false if it was given up meanwhile.
    pub(super) fn install(&self, shard: GroupShard) -> bool {
        let mut state = self.state.lock();
        if !matches!(*state, State::Loading) {
            return false;
        }
        *state = State::Ready(Box::new(Loaded {
            shard,
            parking: Parking::default(),
            last_commit: None,
            rests_until: MonotonicMs(0),
        }));
        true
    }

    /// Gives the shard up: what is parked learns that the coordinator is elsewhere.
    pub(super) fn unload(&self) {
        *self.state.lock() = State::Gone;
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.state.lock(), State::Gone)
    }
}

impl Loaded {
    /// Parks a request.
    pub(super) fn park(&mut self) -> (ReplyToken, Parked) {
        let (sender, receiver) = oneshot::channel();
        (self.parking.park(sender), Parked(receiver))
    }

    /// What was appended last, unless it is committed by now.
    pub(super) fn pending_commit(&mut self) -> Option<Commit> {
        if self.last_commit.as_ref().and_then(Commit::peek) == Some(&ErrorCode::None) {
            self.last_commit = None;
        }
        self.last_commit.clone()
    }

    pub(super) fn next_deadline(&self) -> MonotonicMs {
        self.shard.next_deadline().max(self.rests_until)
    }
}

fn deliver(asker: oneshot::Sender<Delivery>, delivery: Delivery) {
    // A connection that has gone has dropped its end.
    let _ = asker.send(delivery);
}
