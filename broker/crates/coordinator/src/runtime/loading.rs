//! Reading a partition into a shard before it serves. No I/O: who drives it reads the log.
//!
//! The log is read to the end that it has when its leader begins, and the shard serves only when all of that is
//! committed: what another leader could still take back is never shown.

use std::fmt;

use ottla_broker_protocol::batch::BatchError;
use ottla_broker_types::{DurationMs, Now, Offset};

use crate::runtime::batches::replay_batches;
use crate::runtime::coordinator::Coordinator;
use crate::runtime::shard::{Shard, ShardRecord};

/// A shard that is being read.
#[derive(Debug)]
pub struct Loading<S> {
    shard: S,
    start: Offset,
    next: Offset,
    end: Offset,
    record_count: u64,
}

/// How far the reading of a shard has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records taken over.
    pub record_count: u64,
    /// Of the offsets of the log, how many of a hundred are read.
    pub percent: u8,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records, {} %", self.record_count, self.percent)
    }
}

impl<S: Shard> Loading<S> {
    /// Begins to read a log of the offsets `start..end` into an empty shard.
    pub fn new(shard: S, start: Offset, end: Offset) -> Loading<S> {
        Loading { shard, start, next: start, end, record_count: 0 }
    }

    /// Where to read on, up to [`Loading::end`]; `None` when all is read.
    pub fn next(&self) -> Option<Offset> {
        (self.next < self.end).then_some(self.next)
    }

    /// The end of what is to be read.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Takes over what was read at [`Loading::next`]. Returns why records were left out: one broken record costs one
    /// group or offset, not the whole shard.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<<S::Record as ShardRecord>::Error>, BatchError> {
        let replayed = replay_batches(&mut self.shard, bytes)?;
        // Compaction may have taken the last batches of the range.
        self.next = replayed.next.unwrap_or(self.end);
        self.record_count += replayed.record_count;
        Ok(replayed.skipped)
    }

    /// Whether the shard may serve, as far as the log is committed: `committed_end` is `None` once this broker does not
    /// lead in the shard's epoch any more.
    pub fn may_serve(&self, committed_end: Option<Offset>) -> bool {
        self.next().is_none() && committed_end.is_some_and(|end| end >= self.end)
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let of = |end: Offset| i128::from(end.get()) - i128::from(self.start.get());
        let percent = (of(self.next.min(self.end)) * 100).checked_div(of(self.end)).unwrap_or(100);
        Progress { record_count: self.record_count, percent: u8::try_from(percent).unwrap_or(100) }
    }

    /// Begins to serve, now that all is read and committed up to [`Loading::end`].
    pub fn serve<A, W>(mut self, now: Now, commit_timeout: DurationMs) -> Coordinator<S, A, W> {
        self.shard.loaded(now);
        Coordinator::new(self.shard, self.end, commit_timeout)
    }
}
