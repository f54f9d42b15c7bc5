//! From facts to the planner's model, and from its plan back to tasks.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TopicPartition};

use crate::facts::{KafkaFacts, Observed};
use crate::rebalance::{Broker, BrokerState, Model, Move, Partition};

/// One partition's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) partition: TopicPartition,
    /// Its replicas from then on.
    pub(super) target: Vec<NodeId>,
    /// Brokers that copy it.
    pub(super) arriving: Vec<NodeId>,
    /// Whether a replica leaves a broker that serves no more.
    pub(super) urgent: bool,
    /// Whether a replica leaves a broker that leaves the cluster.
    pub(super) drains: bool,
}

/// The cluster as the planner sees it: reassignments under way count as done and are left alone.
pub(super) fn model(
    observed: &Observed,
    kafka: &KafkaFacts,
    leaving: &BTreeSet<NodeId>,
    staying: i32,
) -> Model {
    let mut ids: BTreeSet<NodeId> = (0..staying).map(NodeId).collect();
    ids.extend(kafka.partitions.values().flat_map(|partition| partition.replicas.iter().copied()));
    ids.extend(leaving.iter().copied());
    let brokers = ids.into_iter().map(|id| {
        let facts = kafka.brokers.get(&id);
        let mut broker = Broker::new(id, observed.rack(id).map(str::to_owned));
        broker.state = if facts.is_none_or(|facts| facts.fenced) {
            BrokerState::Dead
        } else if id.get() >= staying {
            BrokerState::Draining
        } else {
            BrokerState::Alive
        };
        broker
    });
    let partitions = kafka.partitions.iter().map(|(name, facts)| {
        let mut partition = Partition::new(name.topic.clone(), name.partition, facts.target());
        partition.reassigning = facts.moves();
        partition.bytes = i64::try_from(facts.bytes.unwrap_or(0)).unwrap_or(i64::MAX);
        partition
    });
    Model { brokers: brokers.collect(), partitions: partitions.collect() }
}

/// The plan's changes, those off leaving or dead brokers first, then those that copy, then mere changes of order.
pub(super) fn tasks(kafka: &KafkaFacts, moves: &[Move], leaving: &BTreeSet<NodeId>) -> Vec<Task> {
    let mut tasks: Vec<Task> = moves
        .iter()
        .map(|step| {
            let partition = TopicPartition { topic: step.topic.clone(), partition: step.partition };
            let now =
                kafka.partitions.get(&partition).map(|facts| facts.replicas.clone()).unwrap_or_default();
            let arriving = step.target.iter().copied().filter(|id| !now.contains(id)).collect();
            let left = || now.iter().filter(|id| !step.target.contains(id));
            let urgent = left().any(|id| !kafka.serves(*id));
            let drains = left().any(|id| leaving.contains(id));
            Task { partition, target: step.target.clone(), arriving, urgent, drains }
        })
        .collect();
    tasks.sort_by(|a, b| {
        let rank = |task: &Task| (!task.urgent, task.arriving.is_empty(), task.partition.clone());
        rank(a).cmp(&rank(b))
    });
    tasks
}
