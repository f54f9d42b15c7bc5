//! What a leader knows of its producers is what its log says: the newest epoch, and the last five batches in it.
//!
//! Source: KIP-98 and Kafka's ProducerStateManager, whose state after truncation and from snapshots had to be mended
//! several times. No I/O.

use std::collections::BTreeMap;

use ottla_broker_log::KnownProducer;
use ottla_broker_types::{NodeId, TopicPartition};

use super::sequences_leave_no_gap::StoredBatch;
use super::violation::Violation;

/// Batches that a producer may have under way.
const BATCHES_KNOWN: usize = 5;

/// Checks what `node` knows at the end of a log of `batches`.
pub fn check_replayed(
    partition: &TopicPartition,
    node: NodeId,
    batches: &[StoredBatch],
    known: &[KnownProducer],
) -> Result<(), Violation> {
    let mut replayed: BTreeMap<_, (_, Vec<StoredBatch>)> = BTreeMap::new();
    for batch in batches {
        let (epoch, last) = replayed.entry(batch.producer).or_insert((batch.epoch, Vec::new()));
        if *epoch != batch.epoch {
            (*epoch, *last) = (batch.epoch, Vec::new());
        }
        last.push(*batch);
        last.drain(..last.len().saturating_sub(BATCHES_KNOWN));
    }
    let replayed: Vec<KnownProducer> = replayed
        .into_iter()
        .map(|(id, (epoch, last))| KnownProducer {
            id,
            epoch,
            batches: last.iter().map(|batch| (batch.first_sequence, batch.base, batch.last)).collect(),
        })
        .collect();
    if replayed == known {
        return Ok(());
    }
    let seen = format!("{partition}: {node} knows {known:?}, its log says {replayed:?}");
    Err(Violation::new("producers_are_replayed", seen))
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence};

    use super::super::testing::partition;
    use super::*;

    #[test]
    fn a_batch_too_few_and_one_of_a_former_epoch_are_violations() {
        let batch = |epoch, at: i32| StoredBatch {
            producer: ProducerId(1),
            epoch: ProducerEpoch(epoch),
            first_sequence: Sequence(at),
            base: Offset::clamped(at.into()),
            last: Offset::clamped(at.into()),
        };
        let known = |epoch, from: i32, end: i32| KnownProducer {
            id: ProducerId(1),
            epoch: ProducerEpoch(epoch),
            batches: (from..end)
                .map(|at| (Sequence(at), Offset::clamped(at.into()), Offset::clamped(at.into())))
                .collect(),
        };
        let log: Vec<_> = (0..7).map(|at| batch(0, at)).collect();
        let check = |known| check_replayed(&partition(), NodeId(1), &log, &[known]);
        assert!(check(known(0, 2, 7)).is_ok());
        assert!(check(known(0, 3, 7)).is_err());
        assert!(check(known(0, 1, 7)).is_err());
        assert!(check(known(1, 2, 7)).is_err());
        assert!(check_replayed(&partition(), NodeId(1), &log, &[]).is_err());
    }
}
