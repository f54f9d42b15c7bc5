//! Models that are empty, wrong or impossible.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::{Broker, Model, Options, Partition, plan};

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
