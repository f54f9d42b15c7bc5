//! What an operator may ask about the quorum (DescribeQuorum, KIP-595, KIP-836, KIP-853). No I/O.

use ottla_broker_types::{NodeId, TimestampMs};

use crate::{MetadataOffset, Term, VoterId};

/// The state of the quorum as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumStatus {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The newest term.
    pub term: Term,
    /// Exclusive; Kafka's high watermark of the metadata log.
    pub committed_end: MetadataOffset,
    /// Exclusive end of this node's log.
    pub log_end: MetadataOffset,
    /// The voters in the order of their ids.
    pub voters: Vec<ReplicaStatus>,
    /// The observers in the order of their ids.
    pub observers: Vec<ReplicaStatus>,
}

/// How far one member has come; what only a leader knows is `None` on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The member.
    pub id: VoterId,
    /// `host:port` of its internal listener.
    pub address: String,
    /// Exclusive end of the part of its log that equals the leader's.
    pub log_end: Option<MetadataOffset>,
    /// When it last answered the leader, on the leader's wall clock; `None` for the leader itself.
    pub last_fetch: Option<TimestampMs>,
    /// When it last held everything that the leader held (KIP-836); the present for the leader itself.
    pub last_caught_up: Option<TimestampMs>,
}
