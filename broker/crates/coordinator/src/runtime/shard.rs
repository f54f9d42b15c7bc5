//! What a kind of coordinator has to say for the runtime to serve it. No I/O.

use std::fmt;

use bytes::Bytes;
use ottla_broker_protocol::EncodeError;
use ottla_broker_types::{MonotonicMs, Now};

use crate::runtime::outcome::Outcome;

/// A record of a shard's partition.
pub trait ShardRecord: Sized {
    /// Why bytes of the log are no record.
    type Error: std::error::Error;

    /// Key and value as they stand in the log; a value of `None` is a tombstone.
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError>;

    /// Reads a record of the log; `None` for kinds that this shard does not know.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Self::Error>;
}

/// The facts that every decision is made on.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The time.
    pub now: Now,
    /// Bytes of key and value that fit into a batch of their own; larger records cannot be written.
    pub record_bytes_max: usize,
}

/// The state that the records of one partition add up to, and what is decided on it.
///
/// Decisions take `&self`: what they change comes about by [`Shard::replay`] of their records and [`Shard::apply`] of
/// what is in no record, both only once the records are in the log. So a decision that cannot be written has not
/// happened.
pub trait Shard {
    /// What lies in the partition.
    type Record: ShardRecord + fmt::Debug;
    /// What of a decision is in no record, such as sessions and who waits: it ends with the coordinator.
    type Change;
    /// Answers to requests that wait for others' requests or for time.
    type Reply;
    /// What falls due, so that one that cannot be done is put off alone.
    type Due;

    /// A record of the log counts, in the log's order: while it is read, and whenever a decision is written.
    fn replay(&mut self, record: &Self::Record);

    /// The rest of a decision counts, after its records.
    fn apply(&mut self, change: Self::Change);

    /// The whole log is replayed, and requests begin to be served.
    fn loaded(&mut self, now: Now);

    /// What is due next, if anything is at `now`. It stays due until a decision on it is applied, or it is put off.
    fn due(&self, now: MonotonicMs) -> Option<Self::Due>;

    /// Decides on what is due.
    fn decide_due(&self, turn: &Turn, due: &Self::Due) -> Outcome<Self>;

    /// What is due could not be done, and shall not be tried before `until`.
    fn put_off(&mut self, due: Self::Due, until: MonotonicMs);

    /// When something is due at the earliest; it may be named too early, never too late.
    fn next_deadline(&self) -> MonotonicMs;
}

/// Where a shard's decisions are written: its partition, as long as this broker leads it in the coordinator's epoch.
pub trait ShardLog {
    /// Bytes of the largest batch that is taken.
    fn batch_bytes_max(&self) -> usize;

    /// Appends a batch of so many records; the offset after it.
    fn append(
        &mut self,
        batch: Vec<u8>,
        record_count: usize,
    ) -> Result<ottla_broker_types::Offset, NotWritten>;

    /// The offset below which everything is committed; `None` once this broker leads no longer in the epoch.
    fn committed_end(&self) -> Option<ottla_broker_types::Offset>;
}

/// Why a decision could not be written; it has not happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// A record fits into no batch; nothing was written.
    #[error("a record is larger than a batch may be")]
    TooLarge,
    /// This broker leads the partition no longer, or its disk has failed or is full: another one may do better.
    #[error("this broker does not lead the partition")]
    NotCoordinator,
    /// Not now: too few replicas are in sync.
    #[error("the partition takes no records now")]
    Unavailable,
    /// The records or the log are at fault.
    #[error("the records cannot be appended")]
    Failed,
}
