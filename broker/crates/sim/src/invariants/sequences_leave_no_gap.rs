//! The committed batches of a producer follow each other by sequence: each epoch begins at 0, nothing is missing and
//! nothing comes twice, and no epoch comes back.
//!
//! Source: KIP-98. A gap means that batches changed places or that one is lost; a producer that is not known yet is taken
//! with any sequence, so that a gap at the beginning is the easiest to make. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

use super::violation::Violation;

/// A batch as it lies in a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Who wrote it.
    pub producer: ProducerId,
    /// In which epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub first_sequence: Sequence,
    /// Offset of the first record.
    pub base: Offset,
    /// Offset of the last record.
    pub last: Offset,
}

impl StoredBatch {
    /// Sequence after the last record.
    pub fn next_sequence(&self) -> Sequence {
        self.first_sequence.wrapping_plus(self.last.distance_from(self.base) as i32 + 1)
    }
}

/// Remembers each producer's last batch.
#[derive(Debug, Default)]
pub struct SequencesLeaveNoGap {
    seen_end: BTreeMap<TopicPartition, Offset>,
    last: BTreeMap<(TopicPartition, ProducerId), StoredBatch>,
}

impl SequencesLeaveNoGap {
    /// `batches` are committed, in the order of the log; those that were seen before are passed over.
    pub fn committed(
        &mut self,
        partition: &TopicPartition,
        batches: &[StoredBatch],
    ) -> Result<(), Violation> {
        let seen_end = self.seen_end.entry(partition.clone()).or_default();
        for batch in batches {
            if batch.base < *seen_end {
                continue;
            }
            *seen_end = batch.last.next();
            let last = self.last.insert((partition.clone(), batch.producer), *batch);
            let expected = match last.filter(|last| last.epoch >= batch.epoch) {
                Some(last) if last.epoch == batch.epoch => Some(last.next_sequence()),
                Some(_) => None,
                None => Some(Sequence(0)),
            };
            if expected != Some(batch.first_sequence) {
                let seen = format!("{partition}: {batch:?} comes after {last:?}");
                return Err(Violation::new("sequences_leave_no_gap", seen));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::partition;
    use super::*;

    fn batch(epoch: i16, sequence: i32, base: i64) -> StoredBatch {
        StoredBatch {
            producer: ProducerId(1),
            epoch: ProducerEpoch(epoch),
            first_sequence: Sequence(sequence),
            base: Offset::clamped(base),
            last: Offset::clamped(base + 1),
        }
    }

    #[test]
    fn gaps_repetitions_and_old_epochs_are_violations() {
        let check = |batches: &[StoredBatch]| SequencesLeaveNoGap::default().committed(&partition(), batches);
        let first = batch(0, 0, 0);
        assert!(check(&[first, batch(0, 2, 2), batch(1, 0, 4), batch(1, 2, 6)]).is_ok());
        assert!(check(&[first, first]).is_ok(), "seen before");
        assert!(check(&[batch(0, 2, 0)]).is_err());
        assert!(check(&[first, batch(0, 4, 2)]).is_err());
        assert!(check(&[first, batch(0, 0, 2)]).is_err());
        assert!(check(&[first, batch(1, 2, 2)]).is_err());
        assert!(check(&[batch(1, 0, 0), batch(0, 2, 2)]).is_err());
    }
}
