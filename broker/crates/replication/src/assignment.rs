//! What the metadata says about one partition. No I/O.

use ottla_broker_metadata::Partition;
use ottla_broker_types::{LeaderEpoch, NodeId, PartitionEpoch};

/// One state of a partition's metadata record, as this broker learned it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The leader; `None` while no eligible replica is alive.
    pub leader: Option<NodeId>,
    /// Grows with every change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of the record; states are applied in this order.
    pub partition_epoch: PartitionEpoch,
    /// All replicas, the preferred leader first; those being added or removed are among them.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas as the controller committed them.
    pub isr: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<NodeId>,
    /// Replicas that a reassignment will remove.
    pub removing: Vec<NodeId>,
    /// Replicas outside the ISR that still hold every committed record (KIP-966).
    pub elr: Vec<NodeId>,
}

impl From<&Partition> for Assignment {
    fn from(partition: &Partition) -> Assignment {
        Assignment {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
            elr: partition.elr.clone(),
        }
    }
}
