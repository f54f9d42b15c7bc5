//! One shard: the coordinator behind a lock, and its partition.
//!
//! The lock is held from a decision to the append of its records, so that the log has the order of the decisions; it
//! is never held across an await.

use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_coordinator::{Coordinator, DecideError, Hosting, Outcome, Shard, Token, Turn, Unanswered};
use ottla_broker_node::Reader;
use ottla_broker_types::{LeaderEpoch, MonotonicMs, Now};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::answers::{Answered, Asker, Parked, Waiter, deliver};
use super::partition_log::{PartitionLog, batch_bytes_max};
use crate::clock::Clock;
use crate::partitions::{FetchWaiter, HostedPartition};

/// A coordinator whose requests wait on connections.
pub(super) type Serving<S> = Coordinator<S, Asker<<S as Shard>::Reply>, Waiter>;

struct State<S: Shard> {
    hosting: Hosting<S, Asker<S::Reply>, Waiter>,
    batch_bytes_max: usize,
    /// Until when the shard's task sleeps, unless it is woken.
    sleeps_until: MonotonicMs,
    /// Whether it also watches the partition's high watermark.
    watches_commits: bool,
}

/// One shard of this broker, for one epoch of its partition.
pub struct HostedShard<S: Shard> {
    pub(super) partition: Arc<HostedPartition>,
    pub(super) epoch: LeaderEpoch,
    clock: Clock,
    state: Mutex<State<S>>,
    changed: Notify,
}

/// Until when the shard's task has nothing to do.
pub(super) struct Rest {
    /// When something is due.
    pub(super) until: MonotonicMs,
    /// What wakes it when more is committed; `None` while nobody waits for that.
    pub(super) commits: Option<Arc<FetchWaiter>>,
}

impl<S: Shard> HostedShard<S> {
    pub(super) fn new(partition: Arc<HostedPartition>, epoch: LeaderEpoch, clock: Clock) -> HostedShard<S> {
        let state = State {
            hosting: Hosting::Loading,
            batch_bytes_max: 0,
            sleeps_until: MonotonicMs(0),
            watches_commits: false,
        };
        HostedShard { partition, epoch, clock, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Decides on a request that may be parked.
    pub(super) fn decide_parked<T>(
        &self,
        decide: impl FnOnce(&S, &Turn, Token<T>) -> Outcome<S>,
    ) -> Result<Parked<T, S::Reply>, Unanswered>
    where
        T: TryFrom<S::Reply, Error: std::fmt::Debug>,
    {
        let (asker, parked) = Parked::new();
        self.act(|serving, now, log| ((), serving.decide_parked(now, log, asker, decide)))?;
        Ok(parked)
    }

    /// Decides, and answers when what was decided is committed.
    pub(super) fn decide<T, E>(
        &self,
        decide: impl FnOnce(&S, &Turn) -> Result<(T, Outcome<S>), E>,
    ) -> Result<Answered<T>, DecideError<E>> {
        self.act(|serving, now, log| {
            let (decided, answers) = serving.decide(now, log, decide);
            let answered = decided.and_then(|value| Ok(once_committed(value, serving, now, log)?));
            (answered, answers)
        })?
    }

    /// Decides on what is in no record, so that there is nothing to wait for.
    pub(super) fn decide_at_once<T>(
        &self,
        decide: impl FnOnce(&S, &Turn) -> (T, Outcome<S>),
    ) -> Result<T, Unanswered> {
        let decided = self.act(|serving, now, log| {
            serving.decide(now, log, |shard, turn| Ok::<_, Infallible>(decide(shard, turn)))
        })?;
        decided.map_err(|error| match error {
            DecideError::Unanswered(why) => why,
        })
    }

    /// Reads what may be told when it is committed.
    pub(super) fn read<T>(&self, read: impl FnOnce(&S) -> T) -> Result<Answered<T>, Unanswered> {
        self.act(|serving, now, log| {
            let value = read(serving.shard());
            (once_committed(value, serving, now, log), Vec::new())
        })?
    }

    /// Looks at the state as it stands, whether or not it is committed.
    pub(super) fn look<T>(&self, look: impl FnOnce(&S) -> T) -> Result<T, Unanswered> {
        self.state.lock().hosting.serving().map(|serving| look(serving.shard()))
    }

    /// Does what is due.
    pub(super) fn tick(&self) {
        // Between two turns of its task the shard may have been given up.
        let _ = self.act(|serving, now, log| ((), serving.tick(now, log)));
    }

    fn act<T>(
        &self,
        act: impl FnOnce(
            &mut Serving<S>,
            Now,
            &mut PartitionLog<'_>,
        ) -> (T, ottla_broker_coordinator::Answers<S, Asker<S::Reply>, Waiter>),
    ) -> Result<T, Unanswered> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let serving = state.hosting.serving()?;
        let now = self.clock.now();
        let mut log = self.log(now, state.batch_bytes_max);
        let (value, answers) = act(serving, now, &mut log);
        state.batch_bytes_max = log.batch_bytes_max;
        if serving.next_deadline() < state.sleeps_until || (serving.has_waits() && !state.watches_commits) {
            state.sleeps_until = MonotonicMs(0);
            state.watches_commits = true;
            self.changed.notify_one();
        }
        drop(guard);
        deliver(answers);
        Ok(value)
    }

    fn log(&self, now: Now, batch_bytes_max: usize) -> PartitionLog<'_> {
        PartitionLog { partition: &self.partition, epoch: self.epoch, now, batch_bytes_max }
    }

    /// Answers those whose records are committed by now, and says until when there is nothing else to do; `None` once
    /// the shard is given up.
    pub(super) fn rest(&self) -> Option<Rest> {
        let batch_bytes_max = batch_bytes_max(&self.partition);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let serving = state.hosting.serving().ok()?;
        state.batch_bytes_max = batch_bytes_max.unwrap_or(state.batch_bytes_max);
        // Armed before the high watermark is read, so that no advance is missed.
        let commits = serving.has_waits().then(|| self.await_commits());
        let answers = serving.committed(&self.log(self.clock.now(), state.batch_bytes_max));
        state.sleeps_until = serving.next_deadline();
        state.watches_commits = serving.has_waits();
        let commits = commits.filter(|_| state.watches_commits);
        let until = state.sleeps_until;
        drop(guard);
        deliver(answers);
        Some(Rest { until, commits })
    }

    /// What is woken when the partition's high watermark moves, or another broker leads.
    pub(super) fn await_commits(&self) -> Arc<FetchWaiter> {
        let waiter = Arc::new(FetchWaiter::default());
        self.partition.watch(&waiter, 0, Reader::Client);
        waiter
    }

    /// The offset below which all is committed; `None` unless this broker leads in the shard's epoch.
    pub(super) fn committed_end(&self) -> Option<ottla_broker_types::Offset> {
        ottla_broker_coordinator::ShardLog::committed_end(&self.log(Now::default(), 0))
    }

    /// Opens the shard for requests; false if it was given up meanwhile.
    pub(super) fn serve(&self, serving: Serving<S>) -> bool {
        let batch_bytes_max = batch_bytes_max(&self.partition);
        let mut state = self.state.lock();
        state.batch_bytes_max = batch_bytes_max.unwrap_or(state.batch_bytes_max);
        state.hosting.serve(serving)
    }

    /// Gives the shard up: who waits learns that the coordinator is elsewhere.
    pub(super) fn unload(&self) {
        let answers = self.state.lock().hosting.unload();
        deliver(answers);
        self.changed.notify_one();
    }

    /// Resolves when there may be more to do than before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state.lock().hosting.is_gone()
    }
}

fn once_committed<S: Shard, T>(
    value: T,
    serving: &mut Serving<S>,
    now: Now,
    log: &PartitionLog<'_>,
) -> Result<Answered<T>, Unanswered> {
    if serving.is_committed(log) {
        return Ok(Answered { value, commit: None });
    }
    let (waiter, commit) = oneshot::channel();
    serving.wait_for_commit(now, waiter).map_err(|_| Unanswered::TooManyWait)?;
    Ok(Answered { value, commit: Some(commit) })
}
