//! Removals that could never end, told before anything moves.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;

use super::ScaleInput;

/// Why `leaving` cannot leave; `None` if they can.
pub(super) fn reason(input: &ScaleInput<'_>, leaving: &BTreeSet<NodeId>) -> Option<String> {
    let cluster = input.cluster;
    let voters: Vec<String> =
        cluster.voters.iter().filter(|id| leaving.contains(id)).map(NodeId::to_string).collect();
    if !voters.is_empty() {
        return Some(format!(
            "brokers {} keep the cluster's metadata and cannot leave: set replicas to at least {}",
            voters.join(", "),
            cluster.voters.iter().map(|id| id.get() + 1).max().unwrap_or(1),
        ));
    }
    let left = usize::try_from(cluster.replicas).unwrap_or(0);
    let kafka = input.observed.kafka()?;
    let (name, partition) = kafka.partitions.iter().find(|(_, p)| p.target().len() > left)?;
    let copies = partition.target().len();
    Some(format!(
        "topic {} has {copies} copies, more than the {left} brokers that would be left: lower its replicationFactor or set replicas to at least {copies}",
        name.topic
    ))
}
