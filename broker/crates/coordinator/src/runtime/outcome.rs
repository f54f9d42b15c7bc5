//! What a decision asks for: records to append, changes that go along with them, answers. No I/O.

use std::fmt;
use std::marker::PhantomData;

use crate::runtime::shard::Shard;

/// Names a parked request and the kind of answer it gets.
pub struct Token<R> {
    number: u64,
    kind: PhantomData<fn() -> R>,
}

impl<R> Token<R> {
    pub(crate) fn new(number: u64) -> Token<R> {
        Token { number, kind: PhantomData }
    }

    /// The request's number among those of its shard.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl<R> Clone for Token<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Token<R> {}

impl<R> PartialEq for Token<R> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<R> Eq for Token<R> {}

impl<R> fmt::Debug for Token<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.number)
    }
}

/// What became of one event.
///
/// Records that do not fit into one batch are written as several, in their order; a crash may keep the first of them
/// only. The changes count when all records are written.
pub struct Outcome<S: Shard + ?Sized> {
    /// To be appended.
    pub(crate) records: Vec<S::Record>,
    /// What is in no record.
    pub(crate) changes: Vec<S::Change>,
    /// Answers that say nothing of what is not committed.
    pub(crate) replies_now: Vec<(u64, S::Reply)>,
    /// Answers for when this decision and all before it are committed.
    pub(crate) replies_after_commit: Vec<(u64, S::Reply)>,
}

impl<S: Shard + ?Sized> Default for Outcome<S> {
    fn default() -> Self {
        Outcome {
            records: Vec::new(),
            changes: Vec::new(),
            replies_now: Vec::new(),
            replies_after_commit: Vec::new(),
        }
    }
}

impl<S: Shard + ?Sized> Outcome<S> {
    pub(crate) fn of_records(records: Vec<S::Record>) -> Outcome<S> {
        Outcome { records, ..Outcome::default() }
    }

    pub(crate) fn of_change(change: S::Change) -> Outcome<S> {
        Outcome { changes: vec![change], ..Outcome::default() }
    }

    pub(crate) fn reply_now<R: Into<S::Reply>>(&mut self, token: Token<R>, reply: R) {
        self.replies_now.push((token.number, reply.into()));
    }

    pub(crate) fn reply_after_commit<R: Into<S::Reply>>(&mut self, token: Token<R>, reply: R) {
        self.replies_after_commit.push((token.number, reply.into()));
    }
}
