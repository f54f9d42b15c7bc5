//! Models that are empty, wrong or impossible.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::report::refusal_to_text;
use crate::rebalance::{Broker, Capacity, Model, Options, Partition, plan};

fn partition(index: i32, replicas: &[i32]) -> Partition {
    let topic = TopicName::new("orders").expect("a valid name");
    Partition::new(topic, PartitionIndex(index), replicas.iter().map(|id| NodeId(*id)).collect())
}

fn model(partitions: Vec<Partition>) -> Model {
    Model { brokers: (0..3).map(|id| Broker::new(NodeId(id), None)).collect(), partitions }
}

fn refusal(model: &Model) -> String {
    plan(model, &Options::default()).expect_err("a refusal").to_string()
}

#[test]
fn an_empty_model_has_an_empty_plan() {
    assert!(plan(&Model::default(), &Options::default()).expect("a plan").is_empty());
    assert!(plan(&model(vec![]), &Options::default()).expect("a plan").is_empty());
}

#[test]
fn every_wrong_entry_is_named() {
    let mut negative = partition(2, &[0]);
    negative.bytes = -1;
    let mut huge = partition(3, &[0]);
    huge.in_rate = i64::MAX;
    let mut none = partition(4, &[0]);
    none.replication_factor = Some(0);
    let mut model = model(vec![
        partition(0, &[0, 7]),
        partition(1, &[1, 1]),
        negative,
        huge,
        none,
        partition(5, &[]),
        partition(6, &[0]),
        partition(6, &[1]),
        partition(-1, &[1]),
    ]);
    model.brokers.push(Broker::new(NodeId(2), None));
    let refusal = refusal(&model);
    for part in [
        "broker 2 is listed twice",
        "orders-6 is listed twice",
        "orders--1 has a negative index",
        "orders-4 has replication factor 0",
        "orders-5 has replication factor 0",
        "orders-2 has a negative or oversized size or rate",
        "orders-3 has a negative or oversized size or rate",
        "orders-0 has a replica on broker 7, which the model does not list",
        "orders-1 names broker 1 twice",
    ] {
        assert!(refusal.contains(part), "{part:?} is missing in {refusal}");
    }
}

#[test]
fn loads_too_large_to_add_up_are_refused() {
    let mut partitions: Vec<Partition> = (0..5000).map(|index| partition(index, &[0, 1, 2])).collect();
    partitions.iter_mut().for_each(|p| p.bytes = 1 << 50);
    assert!(refusal(&model(partitions)).contains("more bytes or traffic than the planner can add up"));
}

#[test]
fn a_partition_that_fits_no_disk_is_named_with_its_size() {
    let mut model = model(vec![partition(0, &[0])]);
    model.partitions[0].bytes = 1000;
    model.partitions[0].replication_factor = Some(2);
    model.brokers.iter_mut().for_each(|b| b.capacity.disk_bytes = Some(1100));
    assert_eq!(
        refusal(&model),
        "orders-0 has 1000 bytes, and no broker that may take it has so much room below 85 % of its disk"
    );
}

#[test]
fn a_cluster_whose_brokers_all_leave_is_refused() {
    let mut model = model(vec![partition(0, &[0])]);
    model.brokers.iter_mut().for_each(|b| b.state = crate::rebalance::BrokerState::Draining);
    assert_eq!(refusal(&model), "orders-0 wants 1 replicas, but only 0 brokers stay");
}

#[test]
fn every_wrong_broker_is_named() {
    let mut model = model(vec![partition(0, &[0])]);
    model.brokers.push(Broker::new(NodeId(-4), None));
    model.brokers[1].capacity = Capacity { weight: 0, disk_bytes: None };
    model.brokers[2].capacity = Capacity { weight: 1, disk_bytes: Some(-1) };
    assert_eq!(
        refusal(&model),
        "broker -4 has a negative id; \
         broker 1 needs a weight of at least 1 and a disk size that is not negative; \
         broker 2 needs a weight of at least 1 and a disk size that is not negative"
    );
}

#[test]
fn more_brokers_than_can_be_numbered_are_refused() {
    let brokers = (0..40_000).map(|id| Broker::new(NodeId(id), None)).collect();
    let model = Model { brokers, partitions: vec![partition(0, &[0])] };
    assert_eq!(refusal(&model), "40000 brokers are more than the planner handles (32000)");
}

#[test]
fn a_model_where_one_partition_outweighs_all_others_has_a_plan() {
    let mut model = model((0..30).map(|index| partition(index, &[0])).collect());
    model.partitions.iter_mut().for_each(|p| p.bytes = 1 << 20);
    model.partitions[7].bytes = 1 << 49;
    let planned = plan(&model, &Options::default()).expect("a plan");
    let bytes = planned.score().dimensions[1];
    assert!(bytes.max_to_floor.value() <= 1.02, "{bytes:?}");
    assert!(planned.moves().iter().all(|step| step.bytes < 1 << 49), "the largest stays:\n{planned}");
}

#[test]
fn a_running_reassignment_does_not_hide_what_is_wrong_with_its_entry() {
    let mut model = model(vec![partition(0, &[0, 9])]);
    model.partitions[0].reassigning = true;
    assert_eq!(refusal(&model), "orders-0 has a replica on broker 9, which the model does not list");
}

#[test]
fn a_refusal_for_people_counts_what_it_does_not_show_and_says_what_to_do() {
    let mut model = model((0..5).map(|index| partition(index, &[0, 1, 2, 7])).collect());
    model.brokers.push(Broker::new(NodeId(7), None));
    model.brokers[0].state = crate::rebalance::BrokerState::Dead;
    let refusal = plan(&model, &Options::default()).expect_err("three brokers cannot hold four replicas");
    assert_eq!(
        refusal_to_text(&refusal, 2),
        "There can be no plan, for 5 reasons:\n  orders-0 wants 4 replicas, but only 3 brokers stay\n  \
         orders-1 wants 4 replicas, but only 3 brokers stay\n  and 3 more\n\
         Let more brokers stay or add some, or ask for fewer replicas.\n"
    );
}
