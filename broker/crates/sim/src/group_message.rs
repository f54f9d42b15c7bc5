//! What members of the group and its coordinator say to each other. Plain values, no I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_broker_coordinator::{Generation, JoinReply, MemberId, SyncReply};
use ottla_broker_types::{LeaderEpoch, Offset, TopicPartition};

/// A member's request.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// JoinGroup, of a new member or of one with an id.
    Join(Option<MemberId>),
    /// SyncGroup, with the assignments if the member leads.
    Sync(MemberId, Generation, BTreeMap<MemberId, Bytes>),
    /// Heartbeat.
    Heartbeat(MemberId, Generation),
    /// OffsetCommit of one offset.
    Commit(MemberId, Generation, TopicPartition, Offset),
    /// OffsetFetch of one offset.
    Fetch(TopicPartition),
}

/// The coordinator's answer. Where it names an epoch, it is that of the offsets partition's leader.
#[derive(Clone, Debug)]
pub enum GroupReply {
    /// To a join.
    Joined(JoinReply),
    /// To a sync.
    Synced(SyncReply),
    /// The heartbeat is taken.
    Alive,
    /// The offset is committed.
    Committed(LeaderEpoch),
    /// What is committed.
    Fetched(LeaderEpoch, Option<Offset>),
}
