//! A second look at a plan before it is executed, by rules of its own rather than the planner's: whatever changed
//! since the plan was made, or whoever made it. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{NodeId, TopicPartition};

use super::moves::{Move, Plan, hash};
use crate::rebalance::model::{Broker, BrokerState, Model, Partition};

/// What is wrong with one move, or with the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The moves are not those that the hash was made of.
    #[error("the plan's hash does not fit its moves")]
    Hash,
    /// Two moves name one partition.
    #[error("{0} moves twice")]
    Twice(TopicPartition),
    /// The partition is gone.
    #[error("{0} does not exist")]
    Missing(TopicPartition),
    /// Its replicas are no longer where the plan found them.
    #[error("{0} has other replicas than the plan started from")]
    Changed(TopicPartition),
    /// Someone else moves it.
    #[error("{0} is being reassigned by someone else")]
    Reassigning(TopicPartition),
    /// It would end with another number of replicas than asked for.
    #[error("{partition} would have {planned} replicas instead of {wanted}")]
    Replicas {
        /// The partition.
        partition: TopicPartition,
        /// What the plan says.
        planned: usize,
        /// What is asked for.
        wanted: usize,
    },
    /// It would have two replicas on one broker.
    #[error("{partition} would have two replicas on broker {broker}")]
    SameBroker {
        /// The partition.
        partition: TopicPartition,
        /// The broker.
        broker: NodeId,
    },
    /// A replica would go to a broker that is unknown, dead or leaves.
    #[error("{partition} would go to broker {broker}, which is not there to stay")]
    Target {
        /// The partition.
        partition: TopicPartition,
        /// The broker.
        broker: NodeId,
    },
    /// A rack would hold more of its replicas than others make necessary, and more than now.
    #[error("{partition} would have {planned} replicas in one rack, where {limit} are enough")]
    Racks {
        /// The partition.
        partition: TopicPartition,
        /// Replicas in that rack.
        planned: usize,
        /// The most that a rack need hold.
        limit: usize,
    },
    /// No replica that stays or leaves can be copied from.
    #[error("{0} has no replica on a broker that serves, so that there is nothing to copy from")]
    NoSource(TopicPartition),
}

/// Finds everything that speaks against executing `plan` on the cluster as `model` describes it now.
pub fn lint(model: &Model, plan: &Plan) -> Vec<Fault> {
    let mut faults = lint_moves(model, plan.moves());
    if hash(plan.moves()) != plan.hash() {
        faults.insert(0, Fault::Hash);
    }
    faults
}

/// Finds everything that speaks against starting `moves`, sorted by partition, on the cluster as `model` describes it
/// now.
pub fn lint_moves(model: &Model, moves: &[Move]) -> Vec<Fault> {
    let brokers: BTreeMap<NodeId, &Broker> = model.brokers.iter().map(|b| (b.id, b)).collect();
    let partitions: BTreeMap<_, &Partition> =
        model.partitions.iter().map(|p| ((&p.topic, p.index), p)).collect();
    let mut faults = Vec::new();
    let mut before = None;
    for step in moves {
        let name = TopicPartition { topic: step.topic.clone(), partition: step.partition };
        if before.replace((&step.topic, step.partition)) == Some((&step.topic, step.partition)) {
            faults.push(Fault::Twice(name.clone()));
        }
        match partitions.get(&(&step.topic, step.partition)) {
            None => faults.push(Fault::Missing(name)),
            Some(partition) => lint_move(&brokers, partition, step, name, &mut faults),
        }
    }
    faults.sort();
    faults
}

fn lint_move(
    brokers: &BTreeMap<NodeId, &Broker>,
    now: &Partition,
    step: &Move,
    name: TopicPartition,
    faults: &mut Vec<Fault>,
) {
    if now.reassigning {
        faults.push(Fault::Reassigning(name.clone()));
    }
    if now.replicas != step.original {
        faults.push(Fault::Changed(name.clone()));
    }
    if step.target.len() != now.replicas_wanted() {
        let (planned, wanted) = (step.target.len(), now.replicas_wanted());
        faults.push(Fault::Replicas { partition: name.clone(), planned, wanted });
    }
    for (at, &broker) in step.target.iter().enumerate() {
        if step.target[..at].contains(&broker) {
            faults.push(Fault::SameBroker { partition: name.clone(), broker });
        }
        if brokers.get(&broker).is_none_or(|b| b.state != BrokerState::Alive) {
            faults.push(Fault::Target { partition: name.clone(), broker });
        }
    }
    let rack_of = |id: &NodeId| brokers.get(id).map(|b| &b.rack);
    let in_rack =
        |list: &[NodeId], id: &NodeId| list.iter().filter(|other| rack_of(other) == rack_of(id)).count();
    let limit = rack_limit(brokers, step.target.len());
    let fullest = step.target.iter().max_by_key(|id| in_rack(&step.target, id));
    if let Some(planned) = fullest.map(|id| in_rack(&step.target, id)).filter(|held| *held > limit)
        && now.replicas.iter().all(|id| in_rack(&now.replicas, id) < planned)
    {
        faults.push(Fault::Racks { partition: name.clone(), planned, limit });
    }
    let serves = |id: &NodeId| brokers.get(id).is_some_and(|b| b.state != BrokerState::Dead);
    if step.adding().next().is_some() && !now.replicas.iter().any(serves) {
        faults.push(Fault::NoSource(name));
    }
}

/// The most replicas of a partition that one rack must hold for all to find a place.
fn rack_limit(brokers: &BTreeMap<NodeId, &Broker>, replicas: usize) -> usize {
    let mut sizes: BTreeMap<&Option<String>, usize> = BTreeMap::new();
    for broker in brokers.values().filter(|b| b.state == BrokerState::Alive) {
        *sizes.entry(&broker.rack).or_default() += 1;
    }
    let room = |limit: usize| sizes.values().map(|n| (*n).min(limit)).sum::<usize>();
    (1..=replicas).find(|limit| room(*limit) >= replicas).unwrap_or(replicas)
}
