//! One leader an epoch: no two nodes ever lead the same epoch of a partition.
//!
//! Source: the fencing of KIP-101 and KIP-320 rests on it; a record's (epoch, offset) names it only if one node
//! writes in that epoch. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{LeaderEpoch, NodeId, TopicPartition};

use super::violation::Violation;

/// Remembers who led.
#[derive(Debug, Default)]
pub struct OneLeaderPerEpoch {
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), NodeId>,
}

impl OneLeaderPerEpoch {
    /// `node` took the lead in `epoch`.
    pub fn led(
        &mut self,
        partition: &TopicPartition,
        epoch: LeaderEpoch,
        node: NodeId,
    ) -> Result<(), Violation> {
        let first = *self.leaders.entry((partition.clone(), epoch)).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(Violation::new(
            "one_leader_per_epoch",
            format!("{partition}: epoch {epoch} is led by {first} and by {node}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_broker_types::{PartitionIndex, TopicName};

    #[test]
    fn a_second_leader_of_an_epoch_is_a_violation_and_the_same_one_again_is_not() {
        let topic = TopicName::new("t").expect("a valid name");
        let partition = TopicPartition { topic, partition: PartitionIndex(0) };
        let mut check = OneLeaderPerEpoch::default();
        assert!(check.led(&partition, LeaderEpoch(3), NodeId(1)).is_ok());
        assert!(check.led(&partition, LeaderEpoch(3), NodeId(1)).is_ok());
        assert!(check.led(&partition, LeaderEpoch(4), NodeId(2)).is_ok());
        assert!(check.led(&partition, LeaderEpoch(3), NodeId(2)).is_err());
    }
}
