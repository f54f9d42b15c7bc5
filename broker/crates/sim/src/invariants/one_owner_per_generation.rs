//! One owner a generation: no partition is assigned to two members in one generation of the group.
//!
//! Source: the classic group protocol fences by the generation, which names an assignment only if it is used once, also
//! after a failover of the coordinator. No I/O.

use std::collections::BTreeMap;

use ottla_broker_coordinator::Generation;
use ottla_broker_types::TopicPartition;

use super::violation::Violation;

/// Remembers who owned what.
#[derive(Debug, Default)]
pub struct OneOwnerPerGeneration {
    owners: BTreeMap<(Generation, TopicPartition), u32>,
}

impl OneOwnerPerGeneration {
    /// `member` was told that it owns `partition` in `generation`.
    pub fn owns(
        &mut self,
        member: u32,
        generation: Generation,
        partition: &TopicPartition,
    ) -> Result<(), Violation> {
        let first = *self.owners.entry((generation, partition.clone())).or_insert(member);
        if first == member {
            return Ok(());
        }
        let seen = format!("{partition}: members {first} and {member} own it in generation {}", generation.0);
        Err(Violation::new("one_owner_per_generation", seen))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::partition;
    use super::*;

    #[test]
    fn a_second_owner_in_a_generation_is_a_violation_and_in_the_next_one_is_not() {
        let mut check = OneOwnerPerGeneration::default();
        assert!(check.owns(1, Generation(4), &partition()).is_ok());
        assert!(check.owns(1, Generation(4), &partition()).is_ok());
        assert!(check.owns(2, Generation(5), &partition()).is_ok());
        assert!(check.owns(2, Generation(4), &partition()).is_err());
    }
}
