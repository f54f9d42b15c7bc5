//! All producers of a log. No I/O.

use std::collections::BTreeMap;

use ottla_broker_protocol::batch::{BatchHeader, EndTransactionMarker};
use ottla_broker_types::{DurationMs, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::entry::{Check, Producer};
use super::open_transactions::{EndedTransaction, OpenTransactions};
use crate::error::AppendError;

/// Producers remembered per partition, some 16 MiB. When it is full those that were silent for longest are
/// forgotten, as if they had expired: an attacker who draws new ids cannot take more memory. Those with an open
/// transaction stay: a coordinator let each of them in.
const PRODUCERS_MAX: usize = 64 << 10;
/// Producers forgotten at once when the table is full, so that making room is rare.
const FORGOTTEN_AT_ONCE: usize = PRODUCERS_MAX / 8;

/// The producers by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    entries: BTreeMap<ProducerId, Producer>,
    transactions: OpenTransactions,
}

impl Producers {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.entries.iter().map(|(id, producer)| (*id, producer))
    }

    /// Count of producers.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn insert(&mut self, id: ProducerId, producer: Producer) {
        if self.entries.len() >= PRODUCERS_MAX && !self.entries.contains_key(&id) {
            self.forget_silent();
        }
        if let Some(first) = producer.txn_start {
            self.transactions.begin(first, id);
        }
        self.entries.insert(id, producer);
    }

    /// Judges a batch that a producer wants to append. Of an unknown producer any first sequence is taken: its
    /// state may have expired.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Check, AppendError> {
        let Some(id) = ProducerId::from_wire(header.producer_id) else { return Ok(Check::New) };
        match self.entries.get(&id) {
            Some(producer) => producer.check(id, header),
            None => Ok(Check::New),
        }
    }

    /// Whether an earlier batch of its producer and epoch is remembered, so that its sequence can be judged.
    pub(crate) fn has_predecessor_of(&self, header: &BatchHeader) -> bool {
        let producer = ProducerId::from_wire(header.producer_id).and_then(|id| self.entries.get(&id));
        producer.is_some_and(|producer| producer.has_appended_in(ProducerEpoch(header.producer_epoch)))
    }

    /// Takes note of a batch that is in the log now.
    pub(crate) fn record(&mut self, header: &BatchHeader, now: TimestampMs) {
        let Some(id) = ProducerId::from_wire(header.producer_id) else { return };
        if let Some(producer) = self.entries.get_mut(&id) {
            producer.record(header, now);
        } else {
            let mut producer = Producer::new(ProducerEpoch(header.producer_epoch), now);
            producer.record(header, now);
            self.insert(id, producer);
        }
        if header.attributes.is_transactional() && !header.attributes.is_control() {
            self.note_transaction(id, Offset::clamped(header.base_offset));
        }
    }

    fn note_transaction(&mut self, id: ProducerId, offset: Offset) {
        let Some(producer) = self.entries.get_mut(&id) else { return };
        if producer.txn_start.is_none() {
            producer.txn_start = Some(offset);
            self.transactions.begin(offset, id);
        }
    }

    /// Judges a marker that a coordinator wants to append.
    pub(crate) fn check_marker(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
        marker: EndTransactionMarker,
    ) -> Result<(), AppendError> {
        let Some(producer) = self.entries.get(&id) else { return Ok(()) };
        if epoch < producer.epoch {
            let current = producer.epoch;
            return Err(AppendError::InvalidProducerEpoch { producer_id: id, current, found: epoch });
        }
        if marker.coordinator_epoch < producer.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                current: producer.coordinator_epoch,
                found: marker.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Takes note of a marker in the log, which [`Producers::record`] was told of; the transaction that it ends, if its
    /// producer had one.
    pub(crate) fn end(
        &mut self,
        header: &BatchHeader,
        marker: EndTransactionMarker,
    ) -> Option<EndedTransaction> {
        let producer = self.entries.get_mut(&ProducerId::from_wire(header.producer_id)?)?;
        producer.coordinator_epoch = marker.coordinator_epoch;
        let first = producer.txn_start.take()?;
        Some(self.transactions.end(first, Offset::clamped(header.last_offset())))
    }

    /// The transactions that are not over.
    pub(crate) fn transactions(&self) -> &OpenTransactions {
        &self.transactions
    }

    /// Everything below `end` is committed.
    pub(crate) fn committed(&mut self, end: Offset) {
        self.transactions.committed(end);
    }

    /// Forgets the producers that were silent for `expiration`; how many.
    pub(crate) fn expire(&mut self, now: TimestampMs, expiration: DurationMs) -> usize {
        let before = self.entries.len();
        let oldest = now.minus(expiration);
        self.entries.retain(|_, producer| producer.txn_start.is_some() || producer.seen > oldest);
        before - self.entries.len()
    }

    fn forget_silent(&mut self) {
        let idle = self.entries.values().filter(|producer| producer.txn_start.is_none());
        let mut seen: Vec<TimestampMs> = idle.map(|producer| producer.seen).collect();
        if seen.is_empty() {
            return;
        }
        let nth = FORGOTTEN_AT_ONCE.min(seen.len() - 1);
        let (_, limit, _) = seen.select_nth_unstable(nth);
        let limit = *limit;
        let mut left = FORGOTTEN_AT_ONCE;
        self.entries.retain(|_, producer| {
            let forget = left > 0 && producer.txn_start.is_none() && producer.seen <= limit;
            left -= usize::from(forget);
            !forget
        });
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
    use ottla_broker_types::Sequence;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000);

    fn batch(id: i64, epoch: i16, sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
        let options = BatchOptions {
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: sequence,
            base_offset,
            ..Default::default()
        };
        let mut builder = BatchBuilder::new(options);
        (0..count).for_each(|_| {
            builder.append(None, Some(b"v"), 5);
        });
        BatchHeader::parse(&builder.build().unwrap()).unwrap()
    }

    fn with(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        batches.iter().for_each(|header| producers.record(header, NOW));
        producers
    }

    #[test]
    fn each_of_the_last_five_batches_is_a_duplicate_with_its_offsets() {
        let sent: Vec<BatchHeader> = (0..6).map(|n| batch(1, 0, n * 2, 2, 100 + i64::from(n) * 2)).collect();
        let producers = with(&sent);
        for header in &sent[1..] {
            let Ok(Check::Duplicate(found)) = producers.check(header) else { panic!("{header:?}") };
            assert_eq!(found.base_offset(), Offset::clamped(header.base_offset));
            assert_eq!(found.last_offset, Offset::clamped(header.last_offset()));
        }
        let error = producers.check(&sent[0]).unwrap_err();
        assert!(matches!(
            error,
            AppendError::OutOfOrderSequence { expected: Sequence(12), found: Sequence(0), .. }
        ));
    }

    #[test]
    fn a_gap_is_out_of_order() {
        let producers = with(&[batch(1, 0, 0, 3, 0)]);
        assert!(matches!(producers.check(&batch(1, 0, 3, 1, 0)), Ok(Check::New)));
        let error = producers.check(&batch(1, 0, 4, 1, 0)).unwrap_err();
        assert!(matches!(error, AppendError::OutOfOrderSequence { expected: Sequence(3), .. }));
    }

    #[test]
    fn half_of_a_batch_is_no_duplicate() {
        let producers = with(&[batch(1, 0, 0, 4, 0)]);
        assert!(producers.check(&batch(1, 0, 0, 2, 0)).is_err());
        assert!(producers.check(&batch(1, 0, 2, 2, 0)).is_err());
    }

    #[test]
    fn the_sequence_wraps_within_a_batch_and_between_batches() {
        let across = batch(1, 0, i32::MAX - 1, 4, 0);
        let producers = with(&[across]);
        let Ok(Check::Duplicate(found)) = producers.check(&across) else { panic!("no duplicate") };
        assert_eq!((found.first_sequence(), found.last_sequence), (Sequence(i32::MAX - 1), Sequence(1)));
        assert!(matches!(producers.check(&batch(1, 0, 2, 1, 0)), Ok(Check::New)));
        let up_to_the_last = with(&[batch(1, 0, i32::MAX, 1, 0)]);
        assert!(matches!(up_to_the_last.check(&batch(1, 0, 0, 1, 0)), Ok(Check::New)));
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_zero() {
        let producers = with(&[batch(1, 3, 0, 1, 0)]);
        assert!(matches!(
            producers.check(&batch(1, 2, 1, 1, 0)),
            Err(AppendError::InvalidProducerEpoch { current: ProducerEpoch(3), .. })
        ));
        assert!(matches!(producers.check(&batch(1, 4, 0, 1, 0)), Ok(Check::New)));
        assert!(matches!(
            producers.check(&batch(1, 4, 1, 1, 0)),
            Err(AppendError::OutOfOrderSequence { expected: Sequence(0), .. })
        ));
    }

    #[test]
    fn a_batch_of_the_epoch_before_is_no_duplicate_in_the_new_one() {
        let mut producers = with(&[batch(1, 0, 0, 1, 0)]);
        producers.record(&batch(1, 1, 0, 1, 1), NOW);
        let Ok(Check::Duplicate(found)) = producers.check(&batch(1, 1, 0, 1, 0)) else {
            panic!("no duplicate")
        };
        assert_eq!(found.last_offset, Offset::clamped(1));
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere() {
        assert!(matches!(Producers::default().check(&batch(1, 5, 77, 1, 0)), Ok(Check::New)));
    }

    #[test]
    fn silent_producers_expire_and_others_stay() {
        let mut producers = with(&[batch(1, 0, 0, 1, 0)]);
        producers.record(&batch(2, 0, 0, 1, 1), TimestampMs(1_500));
        assert_eq!(producers.expire(TimestampMs(2_000), DurationMs(1_000)), 1);
        assert_eq!(producers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [ProducerId(2)]);
    }

    #[test]
    fn a_full_table_forgets_those_silent_for_longest() {
        let mut producers = Producers::default();
        for id in 0..=PRODUCERS_MAX as i64 {
            producers.record(&batch(id, 0, 0, 1, id), TimestampMs(1_000 + id));
        }
        assert_eq!(producers.len(), PRODUCERS_MAX - FORGOTTEN_AT_ONCE + 1);
        assert_eq!(producers.iter().next().map(|(id, _)| id), Some(ProducerId(FORGOTTEN_AT_ONCE as i64)));
    }
}
