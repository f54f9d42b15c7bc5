//! An idempotent producer's record is in the log once, however often it was sent.
//!
//! Source: KIP-98; followers that kept no producer state, and leaders that were paused, have broken it elsewhere.
//! No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{Offset, TopicPartition};

use super::violation::{StoredRecord, Violation};

/// Remembers where each value was committed.
#[derive(Debug, Default)]
pub struct NoDuplicates {
    offsets: BTreeMap<(TopicPartition, u64), Offset>,
}

impl NoDuplicates {
    /// `record` was committed.
    pub fn committed(&mut self, partition: &TopicPartition, record: StoredRecord) -> Result<(), Violation> {
        let first = *self.offsets.entry((partition.clone(), record.value)).or_insert(record.offset);
        if first == record.offset {
            return Ok(());
        }
        let StoredRecord { offset, value, .. } = record;
        let seen = format!("{partition}: {value} is at {first} and at {offset}");
        Err(Violation::new("no_duplicates", seen))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{partition, record};
    use super::*;

    #[test]
    fn one_value_at_two_offsets_is_a_violation() {
        let mut check = NoDuplicates::default();
        assert!(check.committed(&partition(), record(0, 1, 7)).is_ok());
        assert!(check.committed(&partition(), record(0, 1, 7)).is_ok());
        assert!(check.committed(&partition(), record(5, 1, 7)).is_err());
    }
}
