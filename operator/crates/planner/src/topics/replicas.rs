//! Which brokers get or lose a copy when the number of copies changes.

use std::collections::BTreeMap;

use ottla_broker_types::{NodeId, TopicPartition};

use super::{Host, TopicFacts, TopicInput};
use crate::action::Reassignment;
use crate::facts::PartitionFacts;

/// The changes; `Err` if there are too few brokers. Partitions that move already are left alone.
pub(super) fn changes(input: &TopicInput<'_>, facts: &TopicFacts) -> Result<Vec<Reassignment>, String> {
    let Some(wanted) = input.topic.replication_factor.and_then(|factor| usize::try_from(factor).ok()) else {
        return Ok(vec![]);
    };
    let wrong = facts.partitions.iter().filter(|(_, p)| p.target().len() != wanted && !p.moves());
    let mut load: BTreeMap<NodeId, usize> = input.hosts.iter().map(|host| (host.id, host.replicas)).collect();
    let mut changes = vec![];
    for (index, partition) in wrong {
        if wanted > partition.replicas.len() && wanted > input.hosts.len() {
            return Err(format!(
                "replicationFactor {wanted} exceeds the {} brokers that take replicas: lower it or add brokers",
                input.hosts.len()
            ));
        }
        let replicas = resized(partition, wanted, input.hosts, &mut load);
        let partition = TopicPartition { topic: input.topic.topic.clone(), partition: *index };
        changes.push(Reassignment { partition, replicas });
    }
    Ok(changes)
}

/// The replicas with some more on the least loaded brokers of new racks, or without the last ones.
fn resized(
    partition: &PartitionFacts,
    wanted: usize,
    hosts: &[Host],
    load: &mut BTreeMap<NodeId, usize>,
) -> Vec<NodeId> {
    let rack_of = |id: NodeId| hosts.iter().find(|host| host.id == id).and_then(|host| host.rack.as_deref());
    let mut replicas = partition.replicas.clone();
    while replicas.len() > wanted {
        let racks: Vec<_> = replicas.iter().map(|id| rack_of(*id)).collect();
        let shared = |at: &usize| racks.iter().filter(|rack| **rack == racks[*at]).count();
        // Out of sync goes first, then one whose rack has another copy, then the last; never the preferred leader.
        let rank = |at: &usize| (!partition.isr.contains(&replicas[*at]), shared(at) > 1, *at);
        let Some(at) = (1..replicas.len()).max_by_key(rank) else { break };
        replicas.remove(at);
    }
    while replicas.len() < wanted {
        let free = hosts.iter().filter(|host| !replicas.contains(&host.id));
        let rank = |host: &&Host| {
            let same_rack = replicas.iter().filter(|id| rack_of(**id) == host.rack.as_deref()).count();
            (same_rack, load.get(&host.id).copied().unwrap_or(0), host.id)
        };
        let Some(host) = free.min_by_key(rank) else { break };
        *load.entry(host.id).or_default() += 1;
        replicas.push(host.id);
    }
    replicas
}
