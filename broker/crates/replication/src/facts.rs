//! What the shell tells a replica: settings, fetches, produce conditions. Plain values, no I/O.

use ottla_broker_types::{BrokerEpoch, DurationMs, LeaderEpoch, NodeId, Offset};

/// The settings that replication depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// `min.insync.replicas`; a partition with fewer replicas than that needs them all.
    pub min_isr: usize,
    /// `replica.lag.time.max.ms`: a follower that has not caught up for longer leaves the ISR.
    pub lag_max: DurationMs,
}

/// When a produce is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never.
    None,
    /// After the leader's append.
    Leader,
    /// When the high watermark has passed the records.
    All,
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the log end: followers only.
    LogEnd,
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// A follower, as its fetch and the metadata present it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerId {
    /// The follower's node.
    pub node: NodeId,
    /// The registration that it claims (Fetch 15+).
    pub broker_epoch: Option<BrokerEpoch>,
    /// Whether the metadata shows it registered under that epoch, not fenced and not shutting down: the controller
    /// takes no other broker into an ISR (KIP-903).
    pub isr_eligible: bool,
}

#[cfg(test)]
impl FollowerId {
    /// A live broker.
    pub(crate) fn eligible(node: i32, broker_epoch: i64) -> FollowerId {
        FollowerId { node: NodeId(node), broker_epoch: Some(BrokerEpoch(broker_epoch)), isr_eligible: true }
    }
}

/// One partition of a Fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFacts {
    /// The follower that asks; `None` for a consumer.
    pub replica: Option<FollowerId>,
    /// First offset wanted.
    pub fetch_offset: Offset,
    /// The leader epoch that the asker knows (KIP-320); `None` skips the check.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// Epoch of the record before `fetch_offset` in the asker's log (KIP-595); `None` skips the divergence check.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The follower's log start.
    pub log_start: Option<Offset>,
    /// Bytes wanted at most.
    pub max_bytes: usize,
    /// Whether a first batch larger than `max_bytes` is returned (KIP-74).
    pub at_least_one: bool,
    /// What a consumer may see; followers see all.
    pub isolation: Isolation,
}

/// The largest epoch of a log that is not above the asked one, and the first offset after that epoch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch up to the one asked for that the leader has records of.
    pub epoch: LeaderEpoch,
    /// First offset after its last record.
    pub end: Offset,
}
