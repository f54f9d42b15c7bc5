//! What an input changed and what the shell has to do about it: plain values. No I/O.

use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// Everything that one input brought about; the default means that nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "waiters, proposals and fetchers depend on it"]
pub struct Effects {
    /// The new high watermark: waiting produces and consumer fetches below it can be answered.
    pub high_watermark: Option<Offset>,
    /// The new log end after an append or truncation: waiting follower fetches can be answered.
    pub log_end: Option<Offset>,
    /// The new log start.
    pub log_start: Option<Offset>,
    /// Records below this offset, exclusive, must become durable before they count (`ottla.flush.before.ack`): the shell
    /// syncs the log, at once and together with others, and what [`Replica::finish_flush`](crate::Replica::finish_flush)
    /// then brings about lets their producers be answered.
    pub sync_to: Option<Offset>,
    /// An ISR change to send to the controller. Its answer goes to `alter_partition_result`; until then there is
    /// no other one in flight.
    pub isr_change: Option<IsrProposal>,
    /// The new role: the shell starts or stops fetching, and fails waiters of the old one.
    pub became: Option<Became>,
}

impl Effects {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Effects::default()
    }
}

/// The role that a replica took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It leads from now on.
    Leader {
        /// The epoch it leads.
        epoch: LeaderEpoch,
        /// Where its first record will go.
        epoch_start: Offset,
    },
    /// It follows: fetch from `leader` at `Replica::fetch_position`.
    Follower {
        /// Whom to fetch from.
        leader: NodeId,
        /// The leader's epoch, sent with every fetch.
        epoch: LeaderEpoch,
    },
    /// There is no leader, or this node no longer hosts the partition: stop fetching.
    Idle {
        /// The epoch without a leader to fetch from.
        epoch: LeaderEpoch,
    },
}

/// An ISR as the leader wants it (AlterPartition, KIP-497).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// The proposing leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The state that the change is based on: the controller refuses any other.
    pub partition_epoch: PartitionEpoch,
    /// The whole new ISR, in the order of the replicas.
    pub new_isr: Vec<IsrMember>,
}

impl IsrProposal {
    /// The nodes of the proposed ISR.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.new_isr.iter().map(|member| member.node)
    }

    /// The new ISR as the controller is asked for it, each member with its registration: of the leader `own`, of members
    /// that have not fetched in this leader epoch what the metadata has by now.
    pub fn registrations(
        &self,
        own: (NodeId, BrokerEpoch),
        in_metadata: impl Fn(NodeId) -> Option<BrokerEpoch>,
    ) -> impl Iterator<Item = (NodeId, Option<BrokerEpoch>)> {
        self.new_isr.iter().map(move |member| {
            let known = if member.node == own.0 { Some(own.1) } else { member.broker_epoch };
            (member.node, known.or_else(|| in_metadata(member.node)))
        })
    }
}

/// A member of a proposed ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsrMember {
    /// The replica's node.
    pub node: NodeId,
    /// The registration under which it last fetched, so that a restarted broker is not taken for its former self
    /// (KIP-903); `None` for the leader itself and for members that have not fetched in this leader epoch.
    pub broker_epoch: Option<BrokerEpoch>,
}
