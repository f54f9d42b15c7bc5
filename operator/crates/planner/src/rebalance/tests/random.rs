//! Random models of every kind, and what must hold for the plan of any of them.

use std::collections::BTreeMap;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::rng::SplitMix64;
use crate::rebalance::{Broker, BrokerState, Model, Options, Partition, Plan, apply, plan};

/// What a random model may contain beyond alive brokers, racks and partitions.
#[derive(Clone, Copy, Default)]
pub(super) struct Kind {
    pub(super) loads: bool,
    pub(super) weights: bool,
    pub(super) changed_replicas: bool,
    pub(super) pinned: bool,
    pub(super) disks: bool,
    /// Up to so many partitions.
    pub(super) partitions: usize,
}

pub(super) const EVERYTHING: Kind =
    Kind { loads: true, weights: true, changed_replicas: true, pinned: true, disks: true, partitions: 120 };

/// A model from any start: replicas anywhere, brokers that leave or are new, racks of any size.
pub(super) fn model(seed: u64, kind: Kind) -> Model {
    let mut rng = SplitMix64::new(seed, 99);
    let mut model = Model::default();
    let brokers = 1 + rng.below(9);
    let racks = 1 + rng.below(5);
    for at in 0..brokers {
        let rack = if racks == 1 { None } else { Some(format!("rack-{}", rng.below(racks))) };
        let mut broker = Broker::new(NodeId((at * 3) as i32), rack);
        broker.state = match rng.below(8) {
            0 if at > 0 => BrokerState::Draining,
            1 if at > 0 => BrokerState::Dead,
            _ => BrokerState::Alive,
        };
        if kind.weights {
            broker.capacity.weight = 1 + rng.below(2) as u32;
        }
        if kind.disks && rng.below(3) == 0 {
            broker.capacity.disk_bytes = Some(rng.below(400_000) as i64);
        }
        model.brokers.push(broker);
    }
    let staying = model.brokers.iter().filter(|b| b.state == BrokerState::Alive).count();
    let topics = 1 + rng.below(4);
    let rf_fixed = 1 + rng.below(staying.min(4));
    let mixed = rng.below(2) == 0;
    for topic in 0..topics {
        let name = TopicName::new(&format!("t{topic}")).expect("a valid name");
        for index in 0..rng.below(kind.partitions / topics + 1) {
            let wanted = if mixed { 1 + rng.below(staying.min(4)) } else { rf_fixed };
            let mut partition = Partition::new(
                name.clone(),
                PartitionIndex(index as i32),
                replicas(&mut rng, brokers, wanted),
            );
            if kind.loads {
                partition.bytes = (rng.below(100) * rng.below(100)) as i64;
                partition.in_rate = (rng.below(30) * rng.below(30)) as i64;
                partition.out_rate = partition.in_rate * rng.below(4) as i64;
            }
            if kind.changed_replicas && rng.below(6) == 0 {
                partition.replication_factor = Some(1 + rng.below(staying.min(4)) as u16);
            }
            partition.reassigning = kind.pinned && rng.below(12) == 0;
            model.partitions.push(partition);
        }
    }
    model
}

/// `wanted` distinct brokers, the first ones more often.
fn replicas(rng: &mut SplitMix64, brokers: usize, wanted: usize) -> Vec<NodeId> {
    let mut list: Vec<NodeId> = Vec::new();
    while list.len() < wanted {
        let id = NodeId((rng.below(brokers).min(rng.below(2 * brokers)) * 3) as i32);
        if !list.contains(&id) {
            list.push(id);
        }
    }
    list
}

/// The number of replicas of a partition that each rack may hold.
fn rack_limit(model: &Model, replicas: usize) -> usize {
    let mut sizes: BTreeMap<&Option<String>, usize> = BTreeMap::new();
    for broker in model.brokers.iter().filter(|b| b.state == BrokerState::Alive) {
        *sizes.entry(&broker.rack).or_default() += 1;
    }
    (0..)
        .find(|limit| sizes.values().map(|n| n.min(limit)).sum::<usize>() >= replicas)
        .expect("enough brokers")
}

pub(super) fn check_lists(seed: u64, model: &Model, after: &Model) {
    let broker = |id: &NodeId| model.brokers.iter().find(|b| b.id == *id).expect("a known broker");
    for (old, new) in model.partitions.iter().zip(&after.partitions) {
        if old.reassigning {
            assert_eq!(old.replicas, new.replicas, "seed {seed}: a running reassignment was touched");
            continue;
        }
        assert_eq!(new.replicas.len(), old.replicas_wanted(), "seed {seed}: replication factor of {old:?}");
        let mut distinct = new.replicas.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), new.replicas.len(), "seed {seed}: {new:?}");
        let limit = rack_limit(model, new.replicas.len());
        for id in &new.replicas {
            assert_eq!(broker(id).state, BrokerState::Alive, "seed {seed}: {new:?}");
            let rack = &broker(id).rack;
            let there = new.replicas.iter().filter(|other| broker(other).rack == *rack).count();
            assert!(there <= limit, "seed {seed}: {there} replicas in {rack:?} of {new:?}");
        }
    }
}

fn check_disks(seed: u64, model: &Model, plan: &Plan) {
    for load in plan.brokers() {
        let broker = model.brokers.iter().find(|b| b.id == load.broker).expect("a known broker");
        let limit = broker.capacity.disk_bytes.map_or(i64::MAX, |bytes| bytes * 85 / 100);
        assert!(load.bytes.1 <= limit.max(load.bytes.0), "seed {seed}: {load:?} on {broker:?}");
    }
}

pub(super) fn check_shuffled(seed: u64, model: &Model, expected: &Plan) {
    let mut rng = SplitMix64::new(seed, 98);
    let mut shuffled = model.clone();
    for at in (1..shuffled.partitions.len()).rev() {
        shuffled.partitions.swap(at, rng.below(at + 1));
    }
    for at in (1..shuffled.brokers.len()).rev() {
        shuffled.brokers.swap(at, rng.below(at + 1));
    }
    let again = plan(&shuffled, &Options::default()).expect("the same model has a plan");
    assert_eq!(again.hash(), expected.hash(), "seed {seed}");
}

/// Everything that must hold for the plan of any model.
fn check(seed: u64) {
    let model = model(seed, EVERYTHING);
    let Ok(planned) = plan(&model, &Options::default()) else {
        let roomy = Model {
            brokers: model
                .brokers
                .iter()
                .cloned()
                .map(|mut b| {
                    b.capacity.disk_bytes = None;
                    b
                })
                .collect(),
            ..model
        };
        plan(&roomy, &Options::default()).expect("only disks stand in the way");
        return;
    };
    let after = apply(&model, &planned);
    check_lists(seed, &model, &after);
    check_disks(seed, &model, &planned);
    check_shuffled(seed, &model, &planned);
    let again = plan(&after, &Options::default()).expect("a planned model has a plan");
    assert!(again.is_empty(), "seed {seed}: {again}");
    assert_eq!(planned.score().racks_crowded_added, 0, "seed {seed}");
}

#[test]
fn plans_of_random_models_are_legal_repeatable_and_final() {
    (0..200).for_each(check);
}

#[test]
#[ignore = "minutes in a release build: make bench-rebalance runs it"]
fn plans_of_very_many_random_models_are_legal_repeatable_and_final() {
    (200..12_000).for_each(check);
}
