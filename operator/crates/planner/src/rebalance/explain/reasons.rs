//! Why each replica of a plan moves, from the model and what the plan says about its brokers. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, TopicName, TopicPartition};

use super::units::Bytes;
use crate::rebalance::model::{BrokerState, Model};
use crate::rebalance::plan::{BrokerLoad, Move, Plan};

/// Why a replica leaves a broker, or where it goes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Its broker is gone.
    #[error("broker {0} is dead")]
    Dead(NodeId),
    /// Its broker shall end empty.
    #[error("broker {0} is draining")]
    Draining(NodeId),
    /// Fewer replicas are wanted.
    #[error("the replication factor goes from {0} to {1}, and broker {2} can best do without")]
    Fewer(usize, usize, NodeId),
    /// More replicas are wanted.
    #[error("the replication factor goes from {0} to {1}, and broker {2} has room")]
    More(usize, usize, NodeId),
    /// Its rack holds more replicas of the partition than the others make necessary.
    #[error("rack {rack} holds {held} of the {replicas} replicas")]
    RackCrowded {
        /// The rack.
        rack: String,
        /// Replicas of the partition there.
        held: usize,
        /// Replicas in all.
        replicas: usize,
    },
    /// Its broker holds more replicas than its share.
    #[error("broker {broker} holds {held} replicas where {share} are its share")]
    TooManyReplicas {
        /// The broker.
        broker: NodeId,
        /// What it holds.
        held: i64,
        /// The most that count as balanced.
        share: i64,
    },
    /// Its broker holds more of the topic than others shall.
    #[error("broker {broker} holds {before} replicas of {topic}, and {after} after")]
    TopicCrowded {
        /// The broker.
        broker: NodeId,
        /// The topic.
        topic: TopicName,
        /// Its replicas there before.
        before: i64,
        /// The same after.
        after: i64,
    },
    /// Its broker carries more bytes or traffic than others; counts are even.
    #[error(
        "broker {broker} goes from {} to {} and from {}/s to {}/s written",
        Bytes(*before), Bytes(*after), Bytes(*in_before), Bytes(*in_after)
    )]
    Load {
        /// The broker.
        broker: NodeId,
        /// Bytes before.
        before: i64,
        /// Bytes after.
        after: i64,
        /// Write rate before.
        in_before: i64,
        /// Write rate after.
        in_after: i64,
    },
    /// Only the order changes.
    #[error("broker {to} leads instead of {from}, which leads {before} partitions before and {after} after")]
    Leader {
        /// The first replica before.
        from: NodeId,
        /// The first replica after.
        to: NodeId,
        /// Preferred leaders of `from` before.
        before: i64,
        /// The same after.
        after: i64,
    },
}

/// The reasons for one partition's move, one for each replica that leaves, or for the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The partition.
    pub partition: TopicPartition,
    /// Why; never empty for a plan of this model.
    pub reasons: Vec<Reason>,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.partition)?;
        for (at, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Explains every move of `plan`, which was made from `model`.
pub fn explain(model: &Model, plan: &Plan) -> Vec<Explanation> {
    let context = Context {
        states: model.brokers.iter().map(|b| (b.id, b.state)).collect(),
        racks: model.brokers.iter().map(|b| (b.id, b.rack.as_deref())).collect(),
        loads: plan.brokers().iter().map(|load| (load.broker, load)).collect(),
        topics: topics(model, plan),
    };
    plan.moves().iter().map(|step| context.explain(step)).collect()
}

struct Context<'a> {
    states: BTreeMap<NodeId, BrokerState>,
    racks: BTreeMap<NodeId, Option<&'a str>>,
    loads: BTreeMap<NodeId, &'a BrokerLoad>,
    /// Replicas of each topic on each broker, before and after, of topics that move.
    topics: BTreeMap<(&'a TopicName, NodeId), (i64, i64)>,
}

fn topics<'a>(model: &'a Model, plan: &'a Plan) -> BTreeMap<(&'a TopicName, NodeId), (i64, i64)> {
    let moving: BTreeSet<&TopicName> = plan.moves().iter().map(|step| &step.topic).collect();
    let mut topics: BTreeMap<(&TopicName, NodeId), (i64, i64)> = BTreeMap::new();
    for partition in model.partitions.iter().filter(|partition| moving.contains(&partition.topic)) {
        for broker in &partition.replicas {
            let held = topics.entry((&partition.topic, *broker)).or_default();
            (held.0, held.1) = (held.0 + 1, held.1 + 1);
        }
    }
    for step in plan.moves() {
        step.removing().for_each(|broker| topics.entry((&step.topic, broker)).or_default().1 -= 1);
        step.adding().for_each(|broker| topics.entry((&step.topic, broker)).or_default().1 += 1);
    }
    topics
}

impl Context<'_> {
    fn explain(&self, step: &Move) -> Explanation {
        let partition = TopicPartition { topic: step.topic.clone(), partition: step.partition };
        let (old, new) = (step.original.len(), step.target.len());
        let mut reasons: Vec<Reason> = step.removing().map(|broker| self.leaving(step, broker)).collect();
        if new > old {
            reasons.extend(step.adding().skip(step.removing().count()).map(|b| Reason::More(old, new, b)));
        }
        if let (true, Some(&from), Some(&to)) =
            (reasons.is_empty(), step.original.first(), step.target.first())
        {
            let (before, after) = self.loads.get(&from).map_or((0, 0), |load| load.leaders);
            reasons.push(Reason::Leader { from, to, before, after });
        }
        Explanation { partition, reasons }
    }

    fn leaving(&self, step: &Move, broker: NodeId) -> Reason {
        let (old, new) = (step.original.len(), step.target.len());
        match self.states.get(&broker) {
            Some(BrokerState::Draining) => return Reason::Draining(broker),
            Some(BrokerState::Alive) => {}
            Some(BrokerState::Dead) | None => return Reason::Dead(broker),
        }
        if new < old {
            return Reason::Fewer(old, new, broker);
        }
        let rack_of = |id: &NodeId| self.racks.get(id).copied().flatten();
        let rack = rack_of(&broker);
        let held = |list: &[NodeId]| list.iter().filter(|id| rack_of(id) == rack).count();
        if let (Some(rack), true) = (rack, held(&step.target) < held(&step.original)) {
            let held = held(&step.original);
            if held > 1 {
                return Reason::RackCrowded { rack: rack.to_owned(), held, replicas: old };
            }
        }
        let Some(load) = self.loads.get(&broker) else { return Reason::Dead(broker) };
        if load.replicas.0 > load.replicas_share.1 {
            return Reason::TooManyReplicas { broker, held: load.replicas.0, share: load.replicas_share.1 };
        }
        let (before, after) = self.topics.get(&(&step.topic, broker)).copied().unwrap_or_default();
        if after < before {
            return Reason::TopicCrowded { broker, topic: step.topic.clone(), before, after };
        }
        Reason::Load {
            broker,
            before: load.bytes.0,
            after: load.bytes.1,
            in_before: load.in_rate.0,
            in_after: load.in_rate.1,
        }
    }
}
