//! Small clusters that grow, shrink and lose brokers.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::{Broker, BrokerState, Model, Options, Partition, Plan, Problem, apply, plan};

/// Brokers `0..brokers` over three zones, and topics of three replicas striped over the first `used` of them.
fn cluster(brokers: i32, used: i32, topics: &[i32]) -> Model {
    let mut model = Model::default();
    for id in 0..brokers {
        model.brokers.push(Broker::new(NodeId(id), Some(format!("zone-{}", id % 3))));
    }
    for (topic, partitions) in topics.iter().enumerate() {
        let name = TopicName::new(&format!("topic-{topic}")).expect("a valid name");
        for index in 0..*partitions {
            let replicas = (0..3).map(|at| NodeId((index + at) % used)).collect();
            model.partitions.push(Partition::new(name.clone(), PartitionIndex(index), replicas));
        }
    }
    model
}

fn planned(model: &Model) -> Plan {
    plan(model, &Options::default()).expect("a plan")
}

fn counts(model: &Model) -> Vec<i64> {
    let holds = |id: NodeId| model.partitions.iter().filter(|p| p.replicas.contains(&id)).count() as i64;
    model.brokers.iter().map(|b| holds(b.id)).collect()
}

fn zones(model: &Model, partition: &Partition) -> usize {
    let zone = |id: &NodeId| model.brokers.iter().find(|b| b.id == *id).and_then(|b| b.rack.clone());
    partition.replicas.iter().map(zone).collect::<BTreeSet<_>>().len()
}

#[test]
fn three_to_five_brokers_moves_the_minimum_within_zones() {
    let model = cluster(5, 3, &[12, 6, 1, 50]);
    let grown = planned(&model);
    let after = apply(&model, &grown);
    assert!(grown.replicas_moved() * 10 <= grown.lower_bound_moves() * 11, "{grown}");
    assert!(after.partitions.iter().all(|p| zones(&after, p) == 3), "{grown}");
    assert_eq!(counts(&after)[2], 69, "the only broker of its zone keeps everything");
    let of_two = [counts(&after)[0], counts(&after)[3], counts(&after)[1], counts(&after)[4]];
    assert!(of_two.iter().all(|c| (34..=35).contains(c)), "{of_two:?}");
    assert!(planned(&after).is_empty(), "{}", planned(&after));
}

#[test]
fn five_to_three_brokers_empties_the_drained_ones_with_one_copy_each() {
    let mut model = cluster(5, 3, &[12, 6, 1, 50]);
    model = apply(&model, &planned(&model));
    model.brokers[3].state = BrokerState::Draining;
    model.brokers[4].state = BrokerState::Dead;
    let to_leave = counts(&model)[3] + counts(&model)[4];
    let shrunk = planned(&model);
    let after = apply(&model, &shrunk);
    assert_eq!(shrunk.replicas_moved(), to_leave);
    assert_eq!(counts(&after), [69, 69, 69, 0, 0]);
    assert!(after.partitions.iter().all(|p| zones(&after, p) == 3));
    assert!(planned(&after).is_empty());
}

#[test]
fn leaders_are_spread_by_order_alone_on_a_balanced_cluster() {
    let mut model = cluster(3, 3, &[30]);
    for partition in &mut model.partitions {
        partition.replicas.sort();
    }
    let reordered = planned(&model);
    assert_eq!(reordered.replicas_moved(), 0);
    let leaders: Vec<i64> = reordered.brokers().iter().map(|b| b.leaders.1).collect();
    assert_eq!(leaders, [10, 10, 10]);
    assert!(planned(&apply(&model, &reordered)).is_empty());
}

#[test]
fn a_changed_replication_factor_is_filled_into_the_empty_zone() {
    let mut model = cluster(3, 3, &[9]);
    for partition in &mut model.partitions {
        partition.replicas.truncate(1);
        partition.replication_factor = Some(3);
    }
    let after = apply(&model, &planned(&model));
    assert!(after.partitions.iter().all(|p| p.replicas.len() == 3 && zones(&after, p) == 3));
}

#[test]
fn more_replicas_than_brokers_is_refused_by_partition() {
    let mut model = cluster(3, 3, &[1]);
    model.brokers[1].state = BrokerState::Draining;
    let refused = plan(&model, &Options::default()).expect_err("two brokers cannot hold three replicas");
    assert!(matches!(refused.problems[..], [Problem::TooFewBrokers { wanted: 3, brokers: 2, .. }]));
    assert_eq!(refused.to_string(), "topic-0-0 wants 3 replicas, but only 2 brokers stay");
}

#[test]
fn a_foreign_reassignment_is_left_alone_and_named() {
    let mut model = cluster(4, 3, &[3]);
    model.brokers[3].rack = Some("zone-1".into());
    model.brokers[1].state = BrokerState::Draining;
    model.partitions[1].reassigning = true;
    let drained = planned(&model);
    assert_eq!(drained.notes().len(), 1);
    assert!(drained.moves().iter().all(|m| m.partition != PartitionIndex(1)));
    assert_eq!(drained.replicas_moved(), 2);
}
