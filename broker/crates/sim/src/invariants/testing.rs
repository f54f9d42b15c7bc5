//! Helpers for the invariants' own tests. No I/O.

use ottla_broker_types::{LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use super::violation::StoredRecord;

pub(crate) fn partition() -> TopicPartition {
    TopicPartition { topic: TopicName::new("t").expect("a valid name"), partition: PartitionIndex(0) }
}

pub(crate) fn record(offset: i64, epoch: i32, value: u64) -> StoredRecord {
    StoredRecord { offset: Offset::clamped(offset), epoch: LeaderEpoch(epoch), value }
}
