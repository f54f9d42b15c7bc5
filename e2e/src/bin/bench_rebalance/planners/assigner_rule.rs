//! The rule of kafka-assigner: no broker gets more of a topic than its even share rounded up, racks are distinct; what
//! fits stays, and every orphan goes to the first broker that has room.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;
use ottla_operator_planner::rebalance::{BrokerState, Model, Partition};

use super::Assignment;

/// The lists that the rule gives, and for how many partitions it finds none; those stay as they are.
pub fn lists(model: &Model) -> (Assignment, usize) {
    let racks: BTreeMap<NodeId, &Option<String>> =
        model.brokers.iter().filter(|b| b.state == BrokerState::Alive).map(|b| (b.id, &b.rack)).collect();
    let ids: Vec<NodeId> = racks.keys().copied().collect();
    let mut topics: BTreeMap<_, Vec<&Partition>> = BTreeMap::new();
    model.partitions.iter().for_each(|p| topics.entry(&p.topic).or_default().push(p));
    let (mut lists, mut homeless) = (Assignment::new(), 0);
    for (turn, partitions) in topics.into_values().enumerate() {
        let replicas: usize = partitions.iter().map(|p| p.replicas_wanted()).sum();
        let mut room: BTreeMap<NodeId, usize> =
            ids.iter().map(|id| (*id, replicas.div_ceil(ids.len()))).collect();
        let mut kept: Vec<Vec<NodeId>> = Vec::new();
        for partition in &partitions {
            let mut list: Vec<NodeId> = Vec::new();
            for id in &partition.replicas {
                if list.len() < partition.replicas_wanted() && fits(&racks, &room, &list, *id) {
                    *room.get_mut(id).expect("fits a known broker") -= 1;
                    list.push(*id);
                }
            }
            kept.push(list);
        }
        for (partition, mut list) in partitions.into_iter().zip(kept) {
            // Every topic begins elsewhere, so that first fits do not all meet on the lowest ids.
            let from = ids.iter().cycle().skip(turn % ids.len()).take(ids.len());
            for id in from {
                if list.len() < partition.replicas_wanted() && fits(&racks, &room, &list, *id) {
                    *room.get_mut(id).expect("fits a known broker") -= 1;
                    list.push(*id);
                }
            }
            if list.len() == partition.replicas_wanted() {
                lists.insert((partition.topic.clone(), partition.index), list);
            } else {
                homeless += 1;
            }
        }
    }
    (lists, homeless)
}

fn fits(
    racks: &BTreeMap<NodeId, &Option<String>>,
    room: &BTreeMap<NodeId, usize>,
    list: &[NodeId],
    id: NodeId,
) -> bool {
    let Some(rack) = racks.get(&id) else { return false };
    let apart = rack.is_none() || list.iter().all(|other| racks[other] != *rack);
    room[&id] > 0 && !list.contains(&id) && apart
}
