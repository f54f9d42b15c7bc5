//! The rule of `kafka-reassign-partitions --generate`: topic by topic around a circle of brokers on which racks take
//! turns, from a random start, whatever the present assignment.

use ottla_broker_types::NodeId;
use ottla_operator_planner::rebalance::{BrokerState, Model};

use super::Assignment;
use crate::numbers::Numbers;

/// The lists that the rule gives.
pub fn lists(model: &Model) -> Assignment {
    let circle = circle(model);
    let mut numbers = Numbers::new(1, "generate");
    let mut lists = Assignment::new();
    let mut partitions: Vec<_> = model.partitions.iter().collect();
    partitions.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
    let mut topic = None;
    let (mut start, mut shift) = (0, 0);
    for (at, partition) in partitions.into_iter().enumerate() {
        if topic != Some(&partition.topic) {
            topic = Some(&partition.topic);
            start = numbers.below(circle.len()) + circle.len() - at % circle.len();
            shift = numbers.below(circle.len());
        }
        let position = (start + at) % circle.len();
        if position == 0 {
            shift += 1;
        }
        lists.insert(
            (partition.topic.clone(), partition.index),
            list(&circle, position, shift, partition.replicas_wanted()),
        );
    }
    lists
}

/// Alive brokers, racks taking turns.
fn circle(model: &Model) -> Vec<(NodeId, usize)> {
    let mut racks: std::collections::BTreeMap<&Option<String>, Vec<NodeId>> = Default::default();
    for broker in model.brokers.iter().filter(|b| b.state == BrokerState::Alive) {
        racks.entry(&broker.rack).or_default().push(broker.id);
    }
    let racks: Vec<Vec<NodeId>> = racks.into_values().collect();
    let longest = racks.iter().map(Vec::len).max().unwrap_or(0);
    let turn =
        |at: usize| racks.iter().enumerate().filter_map(move |(rack, ids)| Some((*ids.get(at)?, rack)));
    (0..longest).flat_map(turn).collect()
}

/// The leader at `position`, then whoever follows `shift` further on, in racks not used yet as long as there are any.
fn list(circle: &[(NodeId, usize)], position: usize, shift: usize, replicas: usize) -> Vec<NodeId> {
    let racks = circle.iter().map(|(_, rack)| rack + 1).max().unwrap_or(0);
    let mut list = vec![circle[position].0];
    let mut used = vec![false; racks];
    used[circle[position].1] = true;
    for step in 0..2 * circle.len() {
        let (broker, rack) = circle[(position + 1 + (shift + step) % circle.len()) % circle.len()];
        let fresh = !used[rack] || used.iter().all(|used| *used);
        if list.len() < replicas && fresh && !list.contains(&broker) {
            list.push(broker);
            used[rack] = true;
        }
    }
    list
}
