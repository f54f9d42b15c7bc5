//! Brokers that were to leave and stay after all: moves off them are cancelled, and they take new replicas again.
//!
//! Moves that were not started are simply not planned any more. Those that run are cancelled as Kafka cancels them: the
//! replicas are the former ones again, those that would have stayed first. One whose former replicas have all fallen
//! behind is refused by the controller, and ends. Whoever moved replicas off such a broker by hand meanwhile wanted it
//! to leave, too.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TopicPartition};

use super::ScaleInput;
use crate::action::{Action, KafkaAction};
use crate::facts::PartitionFacts;

/// What is to be done about brokers that stay after all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CancelledDrain {
    /// Those with which it is not done yet.
    pub(super) brokers: BTreeSet<NodeId>,
    /// What is to be done now.
    pub(super) actions: Vec<Action>,
}

/// The next step; status remembers the brokers until it is seen that all is done.
pub(super) fn step(input: &ScaleInput<'_>) -> CancelledDrain {
    let former = input.former.iter().flat_map(|drain| drain.brokers.iter().chain(&drain.returning));
    let mut brokers: BTreeSet<NodeId> =
        former.copied().filter(|id| *id < input.cluster.replicas).map(NodeId).collect();
    let Some(kafka) = input.observed.kafka() else { return CancelledDrain { brokers, actions: vec![] } };
    // One that is registered no more has nothing to return to.
    brokers.retain(|id| kafka.brokers.contains_key(id));
    let leaves = |partition: &PartitionFacts, id: &NodeId| {
        !partition.adding.is_empty() && partition.removing.contains(id)
    };
    let running = || kafka.partitions.iter().filter(|(_, p)| brokers.iter().any(|id| leaves(p, id)));
    let cancelled: Vec<TopicPartition> = running().map(|(name, _)| name.clone()).collect();
    let cordoned = |id: &NodeId| kafka.brokers.get(id).and_then(|facts| facts.cordoned);
    let mut actions: Vec<Action> = brokers
        .iter()
        .filter(|id| cordoned(id) == Some(true))
        .map(|id| KafkaAction::Cordon { broker: *id, cordoned: false }.into())
        .collect();
    if !cancelled.is_empty() {
        actions.push(KafkaAction::CancelReassignments(cancelled).into());
    }
    let is_left = |id: &NodeId| kafka.partitions.values().any(|partition| leaves(partition, id));
    let brokers = brokers.iter().copied().filter(|id| cordoned(id) != Some(false) || is_left(id)).collect();
    CancelledDrain { brokers, actions }
}
