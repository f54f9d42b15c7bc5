//! One shard that serves: decisions are written to its partition, then they count, then they are answered. No I/O.
//!
//! Invariants: a decision that cannot be written has not happened; a request is answered once, and never with what is
//! not committed in this coordinator's epoch. How far the log is committed is asked of the log: no answer to an earlier
//! request, failed or not, says anything about it.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs, Now, Offset};

use crate::runtime::batches::{Unbatchable, encode_batches, record_bytes_max};
use crate::runtime::outcome::{Outcome, Token};
use crate::runtime::shard::{NotWritten, Shard, ShardLog, Turn};
use crate::runtime::unanswered::{DecideError, Unanswered};
use crate::runtime::waits::Waits;

/// How long timers rest when what they decided could not be written, so that an unwritable partition is not hammered.
pub const REST_AFTER_FAILURE: DurationMs = DurationMs(1_000);
/// What is done of what is due before requests get their turn; the rest follows right after.
pub const DUE_PER_TICK_MAX: usize = 1_000;

/// A shard that serves, the requests that are parked in it (`A` is what they are answered through) and the answers that
/// wait for a commit (`W`, where who asks keeps the answer).
pub struct Coordinator<S: Shard, A, W> {
    shard: S,
    parked: BTreeMap<u64, A>,
    next_token: u64,
    waits: Waits<Waiting<A, W, S::Reply>>,
    written_end: Offset,
    /// What is known to be committed; it stays so.
    committed_end: Offset,
    commit_timeout: DurationMs,
    rests_until: MonotonicMs,
}

enum Waiting<A, W, R> {
    Parked(A, R),
    Own(W),
}

/// What somebody who waits is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<A, W, R> {
    /// A parked request has its answer.
    Reply(A, Result<R, Unanswered>),
    /// What is committed is as far as was waited for.
    Commit(W, Result<(), Unanswered>),
}

impl<A, W, R> Waiting<A, W, R> {
    fn committed(self) -> Answer<A, W, R> {
        match self {
            Waiting::Parked(asker, reply) => Answer::Reply(asker, Ok(reply)),
            Waiting::Own(asker) => Answer::Commit(asker, Ok(())),
        }
    }

    fn failed(self, why: Unanswered) -> Answer<A, W, R> {
        match self {
            Waiting::Parked(asker, _) => Answer::Reply(asker, Err(why)),
            Waiting::Own(asker) => Answer::Commit(asker, Err(why)),
        }
    }
}

/// The answers that an event gave rise to.
pub type Answers<S, A, W> = Vec<Answer<A, W, <S as Shard>::Reply>>;

impl<S: Shard, A, W> Coordinator<S, A, W> {
    pub(crate) fn new(shard: S, written_end: Offset, commit_timeout: DurationMs) -> Coordinator<S, A, W> {
        Coordinator {
            shard,
            parked: BTreeMap::new(),
            next_token: 0,
            waits: Waits::default(),
            written_end,
            committed_end: written_end,
            commit_timeout,
            rests_until: MonotonicMs(0),
        }
    }

    /// The state as it stands; some of it may not be committed, see [`Coordinator::is_committed`].
    pub fn shard(&self) -> &S {
        &self.shard
    }

    /// Whether everything that this coordinator has written is committed.
    pub fn is_committed(&mut self, log: &impl ShardLog) -> bool {
        if self.committed_end < self.written_end {
            self.committed_end = log.committed_end().unwrap_or(self.committed_end);
        }
        self.committed_end >= self.written_end
    }

    /// Whether somebody waits for a commit.
    pub fn has_waits(&self) -> bool {
        self.waits.next_deadline().is_some()
    }

    /// Waits until what is written by now is committed; at most for the commit timeout. Gives `asker` back if too many
    /// wait.
    pub fn wait_for_commit(&mut self, now: Now, asker: W) -> Result<(), W> {
        if self.waits.is_full() {
            return Err(asker);
        }
        self.waits.push(self.written_end, now.mono.plus(self.commit_timeout), Waiting::Own(asker));
        Ok(())
    }

    /// Decides on a request that may be parked, and is then answered through `asker`.
    pub fn decide_parked<R>(
        &mut self,
        now: Now,
        log: &mut impl ShardLog,
        asker: A,
        decide: impl FnOnce(&S, &Turn, Token<R>) -> Outcome<S>,
    ) -> Answers<S, A, W> {
        let token = Token::new(self.next_token);
        self.next_token += 1;
        self.parked.insert(token.number(), asker);
        let outcome = decide(&self.shard, &turn(now, log), token);
        let mut answers = Vec::new();
        if let Err(not_written) = self.write(now, log, outcome, &mut answers)
            && let Some(asker) = self.parked.remove(&token.number())
        {
            answers.push(Answer::Reply(asker, Err(not_written.into())));
        }
        answers
    }

    /// Decides on a request whose answer is known at once. It may be given when all that is written is committed:
    /// [`Coordinator::is_committed`], [`Coordinator::wait_for_commit`].
    pub fn decide<T, E>(
        &mut self,
        now: Now,
        log: &mut impl ShardLog,
        decide: impl FnOnce(&S, &Turn) -> Result<(T, Outcome<S>), E>,
    ) -> (Result<T, DecideError<E>>, Answers<S, A, W>) {
        let mut answers = Vec::new();
        let decided = decide(&self.shard, &turn(now, log)).map_err(DecideError::Refused);
        let decided = decided.and_then(|(value, outcome)| {
            self.write(now, log, outcome, &mut answers).map_err(Unanswered::from)?;
            Ok(value)
        });
        (decided, answers)
    }

    /// The log may have been committed further, or be led by another broker.
    pub fn committed(&mut self, log: &impl ShardLog) -> Answers<S, A, W> {
        match log.committed_end() {
            Some(end) => self.waits.take_committed(end).into_iter().map(Waiting::committed).collect(),
            None => fail(self.waits.take_all(), Unanswered::NotCoordinator),
        }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Now, log: &mut impl ShardLog) -> Answers<S, A, W> {
        let mut answers = self.committed(log);
        answers.extend(fail(self.waits.take_expired(now.mono), Unanswered::NotCommitted));
        for _ in 0..DUE_PER_TICK_MAX {
            if now.mono < self.rests_until {
                break;
            }
            let Some(due) = self.shard.due(now.mono) else { break };
            let outcome = self.shard.decide_due(&turn(now, log), &due);
            let rested = now.mono.plus(REST_AFTER_FAILURE);
            match self.write(now, log, outcome, &mut answers) {
                Ok(()) => {}
                // The others are not to wait for what is wrong with this one.
                Err(NotWritten::TooLarge | NotWritten::Failed) => self.shard.put_off(due, rested),
                Err(NotWritten::NotCoordinator | NotWritten::Unavailable) => self.rests_until = rested,
            }
        }
        answers
    }

    /// When [`Coordinator::tick`] has something to do at the earliest.
    pub fn next_deadline(&self) -> MonotonicMs {
        let due = self.shard.next_deadline().max(self.rests_until);
        self.waits.next_deadline().map_or(due, |expires| expires.min(due))
    }

    /// Another broker coordinates by now: everybody who waits is sent there.
    pub(crate) fn unload(mut self) -> Answers<S, A, W> {
        let why = Unanswered::NotCoordinator;
        let mut answers = fail(self.waits.take_all(), why);
        let parked = std::mem::take(&mut self.parked).into_values();
        answers.extend(parked.map(|asker| Answer::Reply(asker, Err(why))));
        answers
    }

    /// Appends what was decided; only then it counts and is answered.
    fn write(
        &mut self,
        now: Now,
        log: &mut impl ShardLog,
        outcome: Outcome<S>,
        answers: &mut Answers<S, A, W>,
    ) -> Result<(), NotWritten> {
        let Outcome { records, changes, replies_now, replies_after_commit } = outcome;
        let mut unwritten = records.as_slice();
        let batches = encode_batches(unwritten, now.wall, log.batch_bytes_max());
        for batch in batches.map_err(|unbatchable| match unbatchable {
            Unbatchable::TooLarge => NotWritten::TooLarge,
            Unbatchable::Encode => NotWritten::Failed,
        })? {
            self.written_end = log.append(batch.bytes, batch.record_count)?;
            let (written, rest) = unwritten.split_at(batch.record_count);
            written.iter().for_each(|record| self.shard.replay(record));
            unwritten = rest;
        }
        changes.into_iter().for_each(|change| self.shard.apply(change));
        for (token, reply) in replies_now {
            answers.extend(self.parked.remove(&token).map(|asker| Answer::Reply(asker, Ok(reply))));
        }
        let is_committed = replies_after_commit.is_empty() || self.is_committed(log);
        let expires = now.mono.plus(self.commit_timeout);
        for (token, reply) in replies_after_commit {
            let Some(asker) = self.parked.remove(&token) else { continue };
            let waiting = Waiting::Parked(asker, reply);
            if is_committed {
                answers.push(waiting.committed());
            } else if self.waits.is_full() {
                answers.push(waiting.failed(Unanswered::TooManyWait));
            } else {
                self.waits.push(self.written_end, expires, waiting);
            }
        }
        Ok(())
    }
}

fn turn(now: Now, log: &impl ShardLog) -> Turn {
    Turn { now, record_bytes_max: record_bytes_max(log.batch_bytes_max()) }
}

fn fail<A, W, R>(waiting: Vec<Waiting<A, W, R>>, why: Unanswered) -> Vec<Answer<A, W, R>> {
    waiting.into_iter().map(|waiting| waiting.failed(why)).collect()
}
