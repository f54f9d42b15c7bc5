//! Which replicas a throttle is for (KIP-73). No I/O.

use ottla_broker_types::{NodeId, PartitionIndex};

/// The value of `leader.` or `follower.replication.throttled.replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// No replica is throttled.
    #[default]
    None,
    /// All of the topic's.
    All,
    /// These.
    Listed(Vec<(PartitionIndex, NodeId)>),
}

impl ThrottledReplicas {
    /// Reads the parts of the list; `None` if one is neither `*` nor `partition:broker`.
    pub fn from_parts(parts: &[String]) -> Option<ThrottledReplicas> {
        if parts.is_empty() {
            return Some(ThrottledReplicas::None);
        }
        if parts.iter().any(|part| part == "*") {
            return Some(ThrottledReplicas::All);
        }
        let pair = |part: &String| {
            let (partition, broker) = part.split_once(':')?;
            let partition = PartitionIndex::from_wire(partition.trim().parse().ok()?)?;
            Some((partition, NodeId::from_wire(broker.trim().parse().ok()?)?))
        };
        parts.iter().map(pair).collect::<Option<Vec<_>>>().map(ThrottledReplicas::Listed)
    }

    /// Whether the replica of `partition` on `broker` is meant.
    pub fn includes(&self, partition: PartitionIndex, broker: NodeId) -> bool {
        match self {
            ThrottledReplicas::None => false,
            ThrottledReplicas::All => true,
            ThrottledReplicas::Listed(pairs) => pairs.contains(&(partition, broker)),
        }
    }
}
