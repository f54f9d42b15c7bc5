//! The consensus library's types, filled with ours. No I/O.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use openraft::raft::responder::Responder as ResponderTrait;
use openraft::vote::leader_id_std::{CommittedLeaderId, LeaderId};
use openraft::{EntryPayload, StoredMembership};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::codec::{DecodeError, Fields, put_byte_string};
use crate::{Term, VoterId};

/// `host:port` of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

/// A batch of records as it is stored: each with its 32-bit length before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Bytes);

impl Batch {
    /// Lays `records` out.
    pub(crate) fn new(records: &[Bytes]) -> Batch {
        let mut out = Vec::with_capacity(records.iter().map(|record| 4 + record.len()).sum());
        for record in records {
            put_byte_string(&mut out, record);
        }
        Batch(out.into())
    }

    /// The records, as slices of the stored bytes.
    pub(crate) fn records(&self) -> Result<Vec<Bytes>, DecodeError> {
        let mut fields = Fields::new(self.0.clone());
        let mut records = Vec::new();
        while fields.left() > 0 {
            records.push(fields.byte_string("metadata record")?);
        }
        Ok(records)
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Where the outcome of a proposal goes, and its share of the bytes in flight until then.
pub(crate) struct Reply<T> {
    pub(crate) tx: oneshot::Sender<T>,
    pub(crate) share: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    /// Tells whoever waits; a proposer that no longer does does not care.
    pub(crate) fn send(self, result: T) {
        drop(self.share);
        drop(self.tx.send(result));
    }
}

/// Holds the reply of a proposal that the library has been given, until it is told or taken back.
pub(crate) struct Slot<T> {
    pub(crate) reply: Mutex<Option<Reply<T>>>,
    /// Set if the library did not take the proposal, before it looks at the next one.
    pub(crate) refused: AtomicBool,
}

/// Takes the outcome of a proposal from the library.
pub(crate) struct Outcome<T> {
    pub(crate) slot: Arc<Slot<T>>,
    /// Whether the library did not take the proposal.
    pub(crate) is_refusal: fn(&T) -> bool,
    /// Whether it may be offered again, and so keeps its reply.
    pub(crate) is_passing: fn(&T) -> bool,
}

impl<T: Send + 'static> ResponderTrait<Types, T> for Outcome<T> {
    fn on_complete(self, result: T) {
        if (self.is_refusal)(&result) {
            self.slot.refused.store(true, Ordering::Release);
        }
        if (self.is_passing)(&result) {
            return;
        }
        let reply = self.slot.reply.lock().take();
        if let Some(reply) = reply {
            reply.send(result);
        }
    }
}

/// Which types the library works with; leader ids are the "standard" ones, of which each term has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Batch;
    type R = ();
    type NodeId = VoterId;
    type Node = Address;
    type Term = u64;
    type LeaderId = LeaderId<u64, VoterId>;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = openraft_rt_tokio::TokioRuntime;
    type Responder<T>
        = Outcome<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Clid = CommittedLeaderId<u64>;
pub(crate) type LogId = openraft::LogId<Clid>;
pub(crate) type Payload = EntryPayload<Batch, VoterId, Address>;
pub(crate) type Entry = openraft::Entry<Clid, Payload>;
pub(crate) type Vote = openraft::Vote<LeaderId<u64, VoterId>>;
pub(crate) type RaftMembership = openraft::Membership<VoterId, Address>;
pub(crate) type Stored = StoredMembership<Clid, VoterId, Address>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<Clid, VoterId, Address>;
pub(crate) type Snapshot = openraft::Snapshot<Clid, VoterId, Address, Bytes>;

/// A position in the log.
pub(crate) fn log_id(term: Term, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term.0), index)
}

/// The term of a position.
pub(crate) fn term_of(id: &LogId) -> Term {
    Term(id.leader_id.term)
}

/// A vote of `term` for `candidate`; `committed` once a majority has granted it.
pub(crate) fn vote(term: Term, candidate: VoterId, committed: bool) -> Vote {
    Vote { leader_id: LeaderId { term: term.0, voted_for: candidate }, committed }
}
