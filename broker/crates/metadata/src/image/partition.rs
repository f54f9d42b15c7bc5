//! One partition as the cluster knows it. No I/O.
//!
//! Invariants, kept by the decisions and tested over random sequences of them:
//! `leader ∈ isr ⊆ replicas`; `isr` is never empty; `elr ∩ isr = ∅`; no id twice in a list; epochs never fall.

use ottla_broker_types::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, Uuid};

use crate::record::{LeaderRecoveryState, PartitionChange, PartitionRecord};

/// The directory of a replica that its broker has not placed yet (KIP-858).
pub const UNASSIGNED_DIRECTORY: DirectoryId =
    DirectoryId(Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The replicas; the first is the preferred leader. While replicas move: the target, then those to remove.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas; never empty. Without a leader: those from which one may be elected.
    pub isr: Vec<NodeId>,
    /// Replicas to remove once the reassignment is done.
    pub removing: Vec<NodeId>,
    /// Replicas that the reassignment adds.
    pub adding: Vec<NodeId>,
    /// A member of the ISR; `None` while nobody may lead.
    pub leader: Option<NodeId>,
    /// Whether the leader was elected uncleanly and has not yet recovered.
    pub recovery: LeaderRecoveryState,
    /// How many leaders there were.
    pub leader_epoch: LeaderEpoch,
    /// How many changes there were.
    pub partition_epoch: PartitionEpoch,
    /// The log directory of each replica, in the order of `replicas`; empty if none is known.
    pub directories: Vec<DirectoryId>,
    /// Replicas outside the ISR that hold all that is committed (KIP-966).
    pub elr: Vec<NodeId>,
    /// Replicas that were last known to be eligible (KIP-966).
    pub last_known_elr: Vec<NodeId>,
}

impl Partition {
    /// The partition that a record describes in full.
    pub fn from_record(record: &PartitionRecord) -> Partition {
        Partition {
            replicas: record.replicas.clone(),
            isr: record.isr.clone(),
            removing: record.removing.clone(),
            adding: record.adding.clone(),
            leader: record.leader,
            recovery: record.recovery,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            directories: record.directories.clone(),
            elr: record.elr.clone(),
            last_known_elr: record.last_known_elr.clone(),
        }
    }

    /// The record that describes this partition in full.
    pub fn to_record(&self, topic: TopicId, partition: PartitionIndex) -> PartitionRecord {
        PartitionRecord {
            topic,
            partition,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing: self.removing.clone(),
            adding: self.adding.clone(),
            leader: self.leader,
            recovery: self.recovery,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            elr: self.elr.clone(),
            last_known_elr: self.last_known_elr.clone(),
        }
    }

    /// This partition after a change of it.
    pub fn changed(&self, change: &PartitionChange) -> Partition {
        let list = |new: &Option<Vec<NodeId>>, old: &Vec<NodeId>| new.as_ref().unwrap_or(old).clone();
        let replicas = list(&change.replicas, &self.replicas);
        let directories = match &change.directories {
            Some(directories) => directories.clone(),
            None if replicas == self.replicas => self.directories.clone(),
            None => {
                replicas.iter().map(|id| self.directory_of(*id).unwrap_or(UNASSIGNED_DIRECTORY)).collect()
            }
        };
        Partition {
            isr: list(&change.isr, &self.isr),
            removing: list(&change.removing, &self.removing),
            adding: list(&change.adding, &self.adding),
            leader: change.leader.unwrap_or(self.leader),
            recovery: change.recovery.unwrap_or(self.recovery),
            leader_epoch: if change.leader.is_some() { self.leader_epoch.next() } else { self.leader_epoch },
            partition_epoch: self.partition_epoch.next(),
            directories,
            elr: list(&change.elr, &self.elr),
            last_known_elr: list(&change.last_known_elr, &self.last_known_elr),
            replicas,
        }
    }

    /// The log directory of the replica on `node`; `None` if it has no replica or the directory is unknown.
    pub fn directory_of(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.replicas.iter().position(|id| *id == node)?;
        self.directories.get(at).copied()
    }

    /// Whether replicas are being moved.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas once a running reassignment is done, in target order.
    pub fn target_replicas(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.removing)
    }

    /// The replicas before a running reassignment, as a cancel would restore them (its order may differ).
    pub fn settled_replicas(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.adding)
    }

    /// The replica that should lead when all is well.
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }

    /// Whether a replica that is not merely being added is out of the ISR.
    pub fn is_under_replicated(&self) -> bool {
        self.settled_replicas().iter().any(|id| !self.isr.contains(id))
    }

    /// Whether nobody leads.
    pub fn is_offline(&self) -> bool {
        self.leader.is_none()
    }
}

/// The members of `list` that are not in `excluded`, in order.
pub(crate) fn without(list: &[NodeId], excluded: &[NodeId]) -> Vec<NodeId> {
    list.iter().copied().filter(|id| !excluded.contains(id)).collect()
}
