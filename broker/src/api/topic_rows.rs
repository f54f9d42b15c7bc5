//! What Metadata and DescribeTopicPartitions both tell of a partition.

use ottla_broker_metadata::Partition;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::NodeId;

use crate::view::View;

/// Ids as the wire carries them.
pub fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

/// Replicas on brokers that are out of service.
pub fn offline(view: &View, partition: &Partition) -> Vec<i32> {
    let down = |node: &&NodeId| view.broker(**node).is_none_or(|broker| broker.fenced);
    partition.replicas.iter().filter(down).map(|node| node.0).collect()
}

/// The leader as clients on `listener` can reach it, and the code that says why there is none.
pub fn leader(view: &View, partition: &Partition, listener: &str) -> (i32, ErrorCode) {
    match partition.leader {
        None => (-1, ErrorCode::LeaderNotAvailable),
        Some(leader) if view.endpoint(leader, listener).is_none() => (-1, ErrorCode::ListenerNotFound),
        Some(leader) => (leader.0, ErrorCode::None),
    }
}
