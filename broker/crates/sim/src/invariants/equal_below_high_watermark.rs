//! Replicas are equal below their high watermarks, and a running replica's high watermark never falls.
//!
//! Source: Kafka's replication protocol promises consumers that what they read stays, whichever replica leads next;
//! KIP-101 and KIP-279 were found by its failure. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{NodeId, Offset, TopicPartition};

use super::violation::{StoredRecord, Violation};

const NAME: &str = "equal_below_high_watermark";

/// Remembers what any replica ever showed below its high watermark.
#[derive(Debug, Default)]
pub struct EqualBelowHighWatermark {
    committed: BTreeMap<TopicPartition, BTreeMap<Offset, (StoredRecord, NodeId)>>,
    checked_end: BTreeMap<(TopicPartition, NodeId), Offset>,
}

impl EqualBelowHighWatermark {
    /// How far `node` was checked since it started; the next call of `advanced` brings the records from there on.
    pub fn checked_end(&self, partition: &TopicPartition, node: NodeId) -> Offset {
        self.checked_end.get(&(partition.clone(), node)).copied().unwrap_or_default()
    }

    /// `node` starts anew: its high watermark may be an older, checkpointed one.
    pub fn restarted(&mut self, node: NodeId) {
        self.checked_end.retain(|(_, checked), _| *checked != node);
    }

    /// `node` hosts exactly `partitions` now: a replica that it deletes and gets again later starts anew.
    pub fn hosts(&mut self, node: NodeId, partitions: &[&TopicPartition]) {
        self.checked_end
            .retain(|(partition, checked), _| *checked != node || partitions.contains(&partition));
    }

    /// The high watermark of `node` is now `high_watermark`, and `records` are those from
    /// [`EqualBelowHighWatermark::checked_end`] up to it. Returns those that no replica had shown before.
    pub fn advanced(
        &mut self,
        partition: &TopicPartition,
        node: NodeId,
        high_watermark: Offset,
        records: &[StoredRecord],
    ) -> Result<Vec<StoredRecord>, Violation> {
        let checked = self.checked_end.entry((partition.clone(), node)).or_default();
        if high_watermark < *checked {
            let seen =
                format!("{partition}: the high watermark of {node} fell from {checked} to {high_watermark}");
            return Err(Violation::new(NAME, seen));
        }
        let from = std::mem::replace(checked, high_watermark);
        let committed = self.committed.entry(partition.clone()).or_default();
        let mut fresh = Vec::new();
        for record in records {
            let (first, seen_on) = committed.entry(record.offset).or_insert_with(|| {
                fresh.push(*record);
                (*record, node)
            });
            if first != record {
                let seen = format!("{partition}: {node} has {record:?}, {seen_on} had {first:?}");
                return Err(Violation::new(NAME, seen));
            }
        }
        let has = |offset: &Offset| records.iter().any(|record| record.offset == *offset);
        if let Some((missing, _)) = committed.range(from..high_watermark).find(|(offset, _)| !has(offset)) {
            return Err(Violation::new(NAME, format!("{partition}: {node} has no record at {missing}")));
        }
        Ok(fresh)
    }

    /// The committed record at `offset`.
    pub fn committed_at(&self, partition: &TopicPartition, offset: Offset) -> Option<StoredRecord> {
        self.committed.get(partition)?.get(&offset).map(|(record, _)| *record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{partition, record};
    use super::*;

    #[test]
    fn another_record_at_a_committed_offset_is_a_violation() {
        let mut check = EqualBelowHighWatermark::default();
        let end = Offset::clamped(1);
        assert_eq!(check.advanced(&partition(), NodeId(1), end, &[record(0, 1, 7)]).map(|f| f.len()), Ok(1));
        assert_eq!(check.advanced(&partition(), NodeId(2), end, &[record(0, 1, 7)]).map(|f| f.len()), Ok(0));
        assert!(check.advanced(&partition(), NodeId(3), end, &[record(0, 1, 8)]).is_err());
    }

    #[test]
    fn a_hole_where_another_replica_has_a_committed_record_is_a_violation() {
        let mut check = EqualBelowHighWatermark::default();
        let (end, both) = (Offset::clamped(2), [record(0, 1, 7), record(1, 1, 8)]);
        assert!(check.advanced(&partition(), NodeId(1), end, &both).is_ok());
        assert!(check.advanced(&partition(), NodeId(2), end, &both).is_ok());
        assert!(check.advanced(&partition(), NodeId(3), end, &both[1..]).is_err());
    }

    #[test]
    fn a_falling_high_watermark_is_a_violation_unless_the_node_restarted() {
        let mut check = EqualBelowHighWatermark::default();
        let low = Offset::clamped(0);
        assert!(check.advanced(&partition(), NodeId(1), Offset::clamped(1), &[record(0, 1, 7)]).is_ok());
        assert!(check.advanced(&partition(), NodeId(1), low, &[]).is_err());
        check.restarted(NodeId(1));
        assert!(check.advanced(&partition(), NodeId(1), low, &[]).is_ok());
    }
}
