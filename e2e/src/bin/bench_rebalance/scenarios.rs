//! The situations that are planned: what happened to a cluster before the planner is asked.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use ottla_broker_types::{NodeId, PartitionIndex, TopicName};
use ottla_operator_planner::rebalance::{Broker, BrokerState, Model, Options, Partition, apply, plan};

use crate::generate::{Racks, Spec, aged, brokers};
use crate::numbers::{Numbers, exp};

/// What happened. Numbers of brokers are those at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Brokers were added to an aged cluster that had so many.
    GrowFrom(usize),
    /// All but so many brokers of an aged cluster shall leave.
    DrainTo(usize),
    /// A third rack was added to two, with as many brokers as each of them has.
    AddRack,
    /// A broker of a balanced cluster died, and one with a new id is there for it.
    Replace,
    /// A broker of a balanced cluster came back under its id with an empty disk.
    ReplaceSameId,
    /// The brokers restarted one after the other: the first leads much, the last nothing.
    SkewedLeaders,
    /// A balanced cluster's topics grew and shrank.
    Drift,
    /// One topic grew to 60 % of all bytes.
    HugeTopic,
    /// One broker's disk is 95 % full, the others are below 60 %.
    FullDisk,
    /// Half of a plan for more brokers is done, and some of it is running.
    HalfDone(usize),
    /// Even by construction.
    Balanced,
}

/// The model in which the scenario leaves a cluster of this kind.
///
/// # Errors
/// When a plan that leads there cannot be made.
pub fn model(scenario: Scenario, spec: Spec) -> Result<Model> {
    Ok(match scenario {
        Scenario::GrowFrom(before) => grown(spec, before),
        Scenario::DrainTo(after) => {
            let mut model = aged(spec);
            model.brokers[after..].iter_mut().for_each(|b| b.state = BrokerState::Draining);
            model
        }
        Scenario::AddRack => {
            let third = spec.brokers / 3;
            let mut model = aged(Spec { brokers: 2 * third, racks: Racks::Even(2), ..spec });
            let rack = || Some("rack-2".to_owned());
            model.brokers.extend((2 * third..spec.brokers).map(|id| Broker::new(NodeId(id as i32), rack())));
            model
        }
        Scenario::Replace => {
            let mut model = settled(aged(spec))?;
            let gone = spec.brokers / 2;
            model.brokers[gone].state = BrokerState::Dead;
            let mut new = Broker::new(NodeId(spec.brokers as i32), model.brokers[gone].rack.clone());
            new.capacity = model.brokers[gone].capacity;
            model.brokers.push(new);
            model
        }
        Scenario::ReplaceSameId => settled(aged(spec))?,
        Scenario::SkewedLeaders => skew_leaders(settled(aged(spec))?, spec),
        Scenario::Drift => drift(settled(aged(spec))?, spec),
        Scenario::HugeTopic => huge_topic(settled(aged(spec))?, spec),
        Scenario::FullDisk => full_disk(settled(aged(spec))?),
        Scenario::HalfDone(before) => half_done(grown(spec, before))?,
        Scenario::Balanced => balanced(spec),
    })
}

fn grown(spec: Spec, before: usize) -> Model {
    let mut model = aged(Spec { brokers: before, ..spec });
    model.brokers = brokers(spec, 0..spec.brokers);
    model
}

/// The model once the operator has balanced it.
fn settled(model: Model) -> Result<Model> {
    let plan = plan(&model, &Options::default())?;
    Ok(apply(&model, &plan))
}

fn skew_leaders(mut model: Model, spec: Spec) -> Model {
    let mut numbers = Numbers::new(spec.seed, "restart");
    let (first, last) = (NodeId(0), NodeId(spec.brokers as i32 - 1));
    for partition in &mut model.partitions {
        if let Some(at) = partition.replicas.iter().position(|id| *id == last) {
            partition.replicas[at..].rotate_left(1);
        }
        if let Some(at) = partition.replicas.iter().position(|id| *id == first && numbers.below(2) == 0) {
            partition.replicas[..=at].rotate_right(1);
        }
    }
    model
}

/// Topics get other sizes and rates, and one partition in a hundred becomes twenty times as large.
fn drift(mut model: Model, spec: Spec) -> Model {
    let mut numbers = Numbers::new(spec.seed, "drift");
    let mut factors: BTreeMap<TopicName, (f64, f64)> = BTreeMap::new();
    for partition in &mut model.partitions {
        let (size, rate) = *factors
            .entry(partition.topic.clone())
            .or_insert_with(|| (exp(0.5 * numbers.normal()), exp(0.5 * numbers.normal())));
        let hot = if numbers.below(100) == 0 { 20.0 } else { 1.0 };
        partition.bytes = (partition.bytes as f64 * size * hot) as i64;
        let times = |whole: i64| (whole as f64 * rate * hot) as i64;
        (partition.in_rate, partition.out_rate) = (times(partition.in_rate), times(partition.out_rate));
    }
    model
}

/// The topic whose partitions come nearest to one and a half for each broker grows.
fn huge_topic(mut model: Model, spec: Spec) -> Model {
    let mut sizes: BTreeMap<TopicName, (usize, i64)> = BTreeMap::new();
    let mut total = 0;
    for partition in &model.partitions {
        let bytes = partition.bytes * partition.replicas.len() as i64;
        let size = sizes.entry(partition.topic.clone()).or_default();
        (size.0, size.1) = (size.0 + 1, size.1 + bytes);
        total += bytes;
    }
    let wanted = 3 * spec.brokers / 2;
    let (topic, (_, held)) =
        sizes.into_iter().min_by_key(|(_, (count, _))| count.abs_diff(wanted)).expect("there are topics");
    let factor = 1.5 * (total - held) as f64 / held as f64;
    for partition in model.partitions.iter_mut().filter(|p| p.topic == topic) {
        partition.bytes = (partition.bytes as f64 * factor) as i64;
    }
    model
}

fn full_disk(mut model: Model) -> Model {
    let mut held: BTreeMap<NodeId, i64> = BTreeMap::new();
    for partition in &model.partitions {
        partition.replicas.iter().for_each(|id| *held.entry(*id).or_default() += partition.bytes);
    }
    let fullest = held.values().copied().max().unwrap_or(0);
    for broker in &mut model.brokers {
        broker.capacity.disk_bytes = Some(fullest * 10 / 6);
    }
    let first = &mut model.brokers[0];
    first.capacity.disk_bytes = Some(held[&first.id] * 20 / 19);
    model
}

/// Of the plan's moves every second is done and one in forty is running: then Kafka lists the target's replicas and
/// after them those that will go.
fn half_done(model: Model) -> Result<Model> {
    let planned = plan(&model, &Options::default())?;
    let mut after = apply(&model, &planned);
    let mut moves = planned.moves().iter().enumerate().peekable();
    ensure!(moves.peek().is_some(), "the plan that shall be half done is empty");
    let moves: BTreeMap<(TopicName, PartitionIndex), usize> =
        moves.map(|(at, step)| ((step.topic.clone(), step.partition), at)).collect();
    for partition in &mut after.partitions {
        let Some(&at) = moves.get(&(partition.topic.clone(), partition.index)) else { continue };
        let step = &planned.moves()[at];
        if at % 40 == 1 && !step.is_reorder() {
            partition.replicas.extend(step.removing());
            partition.replication_factor = Some(step.target.len() as u16);
            partition.reassigning = true;
        } else if at % 2 == 1 {
            partition.replicas.clone_from(&step.original);
        }
    }
    Ok(after)
}

/// Topics of equal partitions, three replicas each, one step further on the circle of brokers with each partition.
fn balanced(spec: Spec) -> Model {
    let mut model = Model { brokers: brokers(spec, 0..spec.brokers), partitions: Vec::new() };
    let topics = spec.replicas / spec.brokers / 3;
    for topic in 0..topics {
        let name = TopicName::new(&format!("topic-{topic}")).expect("letters, digits and a dash");
        for index in 0..spec.brokers {
            let at = |replica: usize| NodeId(((index + replica) % spec.brokers) as i32);
            let list = vec![at(0), at(1), at(2)];
            let mut partition = Partition::new(name.clone(), PartitionIndex(index as i32), list);
            (partition.bytes, partition.in_rate) = (1 << 30, 1 << 20);
            partition.out_rate = 2 << 20;
            model.partitions.push(partition);
        }
    }
    model
}

/// What is asked of the impossible: the name, and the model.
pub fn impossible() -> Vec<(&'static str, Model)> {
    let spec = Spec {
        brokers: 6,
        replicas: 300,
        racks: Racks::Even(3),
        sigma: 0.5,
        two_classes: false,
        only_three: true,
        seed: 1,
    };
    let mut few = aged(spec);
    few.brokers[2..].iter_mut().for_each(|b| b.state = BrokerState::Draining);
    let mut small = aged(spec);
    small.brokers.iter_mut().for_each(|b| b.capacity.disk_bytes = Some(10_000_000));
    small.brokers[5].state = BrokerState::Draining;
    let mut unknown = aged(spec);
    unknown.brokers.pop();
    vec![
        ("drain 6 to 2 brokers with three replicas", few),
        ("drain one of 6 with disks of 10 MB", small),
        ("a replica on a broker that nobody lists", unknown),
    ]
}
