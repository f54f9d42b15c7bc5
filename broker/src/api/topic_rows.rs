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

/// The leader as clients on `listener` can reach it, and the code that says why there is none. One of the `suspects` may
/// be dead: told that there is no leader, a client asks again within a moment, and then there is a new one. Sent to a
/// dead one it would first have to find that out.
pub fn leader(view: &View, partition: &Partition, listener: &str, suspects: &[NodeId]) -> (i32, ErrorCode) {
    match partition.leader {
        None => (-1, ErrorCode::LeaderNotAvailable),
        Some(leader) if suspects.contains(&leader) => (-1, ErrorCode::LeaderNotAvailable),
        Some(leader) if view.endpoint(leader, listener).is_none() => (-1, ErrorCode::ListenerNotFound),
        Some(leader) => (leader.0, ErrorCode::None),
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{TopicId, Uuid};

    use super::*;
    use crate::testing::Rig;

    #[test]
    fn clients_are_not_sent_to_a_leader_that_may_be_dead() {
        let mut rig = Rig::new();
        rig.record_topic("t", TopicId(Uuid([7; 16])), &[1]);
        let view = rig.broker.view();
        let (_, _, partition) = view.partitions().next().unwrap();
        let told = |suspects: &[NodeId]| leader(&view, partition, "PLAINTEXT", suspects).1;
        // The broker is not registered, and so is not found on any listener.
        assert_eq!(told(&[NodeId(2)]), ErrorCode::ListenerNotFound);
        assert_eq!(told(&[NodeId(1)]), ErrorCode::LeaderNotAvailable);
    }
}
