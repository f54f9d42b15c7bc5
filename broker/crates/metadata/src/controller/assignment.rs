//! Replicas that a request assigns by hand, and new partitions with their replicas. No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::{LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId};

use super::decision::Context;
use crate::record::{LeaderRecoveryState, PartitionRecord};

/// Why a list of replicas cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// The list is empty.
    #[error("a partition needs at least one replica")]
    NoReplicas,
    /// A broker holds one replica of a partition at most.
    #[error("{replicas:?} names a broker twice")]
    BrokerTwice {
        /// The list as asked.
        replicas: Vec<NodeId>,
    },
    /// No such broker.
    #[error("{replicas:?} names broker {broker}, which is not registered")]
    UnknownBroker {
        /// The list as asked.
        replicas: Vec<NodeId>,
        /// The first such in the list.
        broker: NodeId,
    },
    /// All partitions of a topic start with equally many replicas.
    #[error("{replicas:?} has {} replicas, others have {expected}", replicas.len())]
    UnequalLength {
        /// The list as asked.
        replicas: Vec<NodeId>,
        /// How many the others have.
        expected: usize,
    },
    /// Nobody could lead the new partition.
    #[error("all of {replicas:?} are fenced or shutting down: name a running broker")]
    NoneActive {
        /// The list as asked.
        replicas: Vec<NodeId>,
    },
}

/// Checks assignments by hand: registered brokers, each once, all lists of one length, one of each list active.
pub(crate) fn check_manual<'r>(
    context: Context<'_>,
    assignments: impl Iterator<Item = &'r [NodeId]>,
    factor: Option<usize>,
) -> Result<(), AssignmentError> {
    let mut factor = factor;
    for replicas in assignments {
        check_replicas(context, replicas)?;
        let expected = *factor.get_or_insert(replicas.len());
        if replicas.len() != expected {
            return Err(AssignmentError::UnequalLength { replicas: replicas.to_vec(), expected });
        }
        if !replicas.iter().any(|id| context.image.is_active(*id)) {
            return Err(AssignmentError::NoneActive { replicas: replicas.to_vec() });
        }
    }
    Ok(())
}

/// Checks one list of replicas: not empty, registered brokers, each once.
pub(crate) fn check_replicas(context: Context<'_>, replicas: &[NodeId]) -> Result<(), AssignmentError> {
    if replicas.is_empty() {
        return Err(AssignmentError::NoReplicas);
    }
    if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
        return Err(AssignmentError::BrokerTwice { replicas: replicas.to_vec() });
    }
    match replicas.iter().find(|id| context.image.broker(**id).is_none()) {
        Some(id) => Err(AssignmentError::UnknownBroker { replicas: replicas.to_vec(), broker: *id }),
        None => Ok(()),
    }
}

/// A new partition: the active replicas are in sync, since nothing has been written.
pub(crate) fn new_partition(
    context: Context<'_>,
    topic: TopicId,
    partition: PartitionIndex,
    replicas: Vec<NodeId>,
) -> PartitionRecord {
    let mut isr: Vec<NodeId> = replicas.iter().copied().filter(|id| context.image.is_active(*id)).collect();
    let leader = isr.first().copied();
    if isr.is_empty() {
        isr.extend(replicas.first());
    }
    PartitionRecord {
        topic,
        partition,
        directories: replicas.iter().map(|id| context.directory_for(*id)).collect(),
        replicas,
        isr,
        removing: Vec::new(),
        adding: Vec::new(),
        leader,
        recovery: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    }
}
