//! Who leads the metadata quorum. No I/O.

use std::fmt;

use ottla_broker_types::NodeId;

use crate::MetadataOffset;

/// Counts the leaders of the metadata quorum; Kafka calls it the leader epoch of `__cluster_metadata`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One stretch of leading without interruption; later ones have greater numbers, on this process.
///
/// A term is not enough: a leader that loses touch with the majority for a moment may have a batch refused and
/// the next one accepted. It gets a new session instead, and decisions made under the old one are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// What this node knows about who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known. A leader that has lost touch with the majority does not name itself.
    pub leader: Option<NodeId>,
    /// The newest term that this node has seen.
    pub term: Term,
    /// Whether this node leads, has committed an entry of its own term and has applied everything before it.
    pub is_self: bool,
    /// With `is_self`: what to propose under. Meaningless otherwise.
    pub session: Session,
    /// Exclusive. With `is_self`: an image that has applied every offset below this one is complete, and
    /// decisions may be made on it. Meaningless otherwise.
    pub complete_end: MetadataOffset,
}
