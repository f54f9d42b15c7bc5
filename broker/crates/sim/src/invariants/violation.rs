//! What the invariants speak of. No I/O.

use std::fmt;

use ottla_broker_types::{LeaderEpoch, Offset};

/// A record as it lies in a replica's log. Every record of a run has another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where it lies.
    pub offset: Offset,
    /// Epoch of the leader that appended it.
    pub epoch: LeaderEpoch,
    /// What the producer wrote.
    pub value: u64,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name: that of its file.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, seen: String) -> Violation {
        Violation { invariant, seen }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.seen)
    }
}
