//! What a node wants done. Plain values, no I/O.

use ottla_broker_metadata::Record;
use ottla_broker_replication::{Became, IsrProposal};
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, TopicPartition};

use crate::message::{CallId, Reply, Request};

/// A node's alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Register, or show that the node lives.
    Membership,
    /// Ask for new metadata.
    FollowMetadata,
    /// Let replicas notice the passing of time.
    Replicas,
    /// Sync logs and write checkpoints.
    Flush,
    /// The active controller's duties.
    Controller,
    /// Fetch from the leader, unless a later alarm counts.
    Fetch(NodeId, u64),
    /// Let the groups notice the passing of time.
    Groups,
    /// Send an ISR change again.
    Propose(TopicPartition, IsrProposal),
}

/// What a coordinator has when it begins to serve.
#[derive(Clone, Debug)]
pub struct LoadedOffsets {
    /// The epoch of the offsets partition.
    pub epoch: LeaderEpoch,
    /// What the group committed.
    pub offsets: Vec<(TopicPartition, Offset)>,
}

/// Everything that one event made a node want.
#[derive(Debug, Default)]
pub struct Out {
    /// Calls of other nodes.
    pub calls: Vec<(NodeId, CallId, Request)>,
    /// Answers.
    pub replies: Vec<(CallId, Reply)>,
    /// Alarms, in milliseconds from now.
    pub timers: Vec<(u64, Timer)>,
    /// Batches for the metadata log, with the proposer's term.
    pub proposals: Vec<(u64, Vec<Record>)>,
    /// Roles that replicas took.
    pub became: Vec<(TopicPartition, Became)>,
    /// The coordinator that begins to serve.
    pub loaded: Option<LoadedOffsets>,
    /// The process has stopped cleanly.
    pub stopped: bool,
}
