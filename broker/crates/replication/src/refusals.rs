//! What the producers of one connection were refused, for the batches that they had sent behind it. No I/O.
//!
//! A producer that has several requests under way has sent on before it learns that one was refused. If the reason has
//! passed by then, the next batch leaves a gap. To be told OUT_OF_ORDER_SEQUENCE_NUMBER for that makes librdkafka begin a
//! new producer epoch, in which it may write records again that are in the log; to be taken, because nothing is known of
//! the producer yet, makes the refused batch the one that is out of order. So what follows a refused batch is refused
//! alike, and the producer sends all of them again, in order.

use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{ProducerEpoch, ProducerId, Sequence, TopicPartition};

/// Batches that a producer may have under way behind one that is refused: clients allow five in all. One that skips
/// what was refused is told so after that many.
const FOLLOWERS_MAX: usize = 4;
/// Refusals remembered per connection, some 30 KiB: a client seldom has several requests under way for more partitions
/// than that. Beyond it the oldest is forgotten, and what follows it is judged as if nothing had been refused.
const REFUSALS_MAX: usize = 256;

#[derive(Debug)]
struct Refusal {
    epoch: ProducerEpoch,
    /// First sequence of a batch that was sent behind it.
    next: Sequence,
    followers_left: usize,
    code: ErrorCode,
    number: u64,
}

/// The refusals of one connection, by partition and producer.
#[derive(Debug, Default)]
pub struct Refusals {
    entries: BTreeMap<(TopicPartition, ProducerId), Refusal>,
    next_number: u64,
}

impl Refusals {
    /// The code with which the batch before this one was refused, if this is the next one of its producer. Such a batch
    /// goes through [`Replica::append_after_refused`](crate::Replica::append_after_refused).
    pub fn before(&self, partition: &TopicPartition, header: &BatchHeader) -> Option<ErrorCode> {
        if self.entries.is_empty() {
            return None;
        }
        let refusal = self.entries.get(&(partition.clone(), ProducerId::from_wire(header.producer_id)?))?;
        (refusal.is_followed_by(header) && refusal.followers_left > 0).then_some(refusal.code)
    }

    /// The batch is answered with an error. Only one after which clients send it again counts.
    pub fn refused(&mut self, partition: &TopicPartition, header: &BatchHeader, code: ErrorCode) {
        let Some(id) = ProducerId::from_wire(header.producer_id).filter(|_| code.is_retriable()) else {
            return;
        };
        let key = (partition.clone(), id);
        let known = self.entries.remove(&key).filter(|refusal| refusal.is_followed_by(header));
        let followers_left = known.map_or(FOLLOWERS_MAX, |refusal| refusal.followers_left.saturating_sub(1));
        if self.entries.len() >= REFUSALS_MAX {
            self.forget_oldest();
        }
        let refusal = Refusal {
            epoch: ProducerEpoch(header.producer_epoch),
            next: Sequence(header.base_sequence).wrapping_plus(header.last_offset_delta).wrapping_plus(1),
            followers_left,
            code,
            number: self.next_number,
        };
        self.next_number += 1;
        self.entries.insert(key, refusal);
    }

    /// The batch is in the log, so that nothing is missing before it.
    pub fn appended(&mut self, partition: &TopicPartition, header: &BatchHeader) {
        if let Some(id) = ProducerId::from_wire(header.producer_id).filter(|_| !self.entries.is_empty()) {
            self.entries.remove(&(partition.clone(), id));
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, refusal)| refusal.number);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

impl Refusal {
    fn is_followed_by(&self, header: &BatchHeader) -> bool {
        self.epoch == ProducerEpoch(header.producer_epoch) && self.next == Sequence(header.base_sequence)
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
    use ottla_broker_types::{PartitionIndex, TopicName};

    use super::*;

    const REFUSED: ErrorCode = ErrorCode::NotEnoughReplicas;

    fn partition(index: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(index) }
    }

    fn batch(producer_epoch: i16, base_sequence: i32, count: i32) -> BatchHeader {
        let options = BatchOptions { producer_id: 7, producer_epoch, base_sequence, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        (0..count).for_each(|_| {
            builder.append(None, Some(b"v"), 1);
        });
        BatchHeader::parse(&builder.build().unwrap()).unwrap()
    }

    #[test]
    fn each_batch_that_was_under_way_behind_a_refused_one_is_known() {
        let mut refusals = Refusals::default();
        refusals.refused(&partition(0), &batch(0, i32::MAX - 1, 2), REFUSED);
        for sequence in (0..12).step_by(3) {
            let behind = batch(0, sequence, 3);
            assert_eq!(refusals.before(&partition(0), &behind), Some(REFUSED), "{sequence}");
            refusals.refused(&partition(0), &behind, REFUSED);
        }
        assert_eq!(refusals.before(&partition(0), &batch(0, 12, 3)), None, "five are under way at most");
    }

    #[test]
    fn other_epochs_partitions_and_sequences_do_not_follow() {
        let mut refusals = Refusals::default();
        refusals.refused(&partition(0), &batch(1, 0, 1), REFUSED);
        for (other, header) in
            [(0, batch(2, 1, 1)), (1, batch(1, 1, 1)), (0, batch(1, 2, 1)), (0, batch(1, 0, 1))]
        {
            assert_eq!(refusals.before(&partition(other), &header), None, "{header:?}");
        }
        assert_eq!(refusals.before(&partition(0), &batch(1, 1, 1)), Some(REFUSED));
    }

    #[test]
    fn a_batch_that_is_sent_again_out_of_order_is_not_excused_twice() {
        let mut refusals = Refusals::default();
        let behind = batch(0, 1, 1);
        refusals.refused(&partition(0), &batch(0, 0, 1), REFUSED);
        refusals.refused(&partition(0), &behind, REFUSED);
        assert_eq!(refusals.before(&partition(0), &behind), None, "its producer gave the first one up");
    }

    #[test]
    fn a_final_error_and_an_append_leave_nothing_to_follow() {
        let mut refusals = Refusals::default();
        refusals.refused(&partition(0), &batch(0, 0, 1), ErrorCode::InvalidRecord);
        assert!(refusals.entries.is_empty());
        refusals.refused(&partition(0), &batch(0, 0, 1), REFUSED);
        refusals.appended(&partition(0), &batch(0, 0, 1));
        assert!(refusals.entries.is_empty());
    }

    #[test]
    fn the_oldest_refusal_is_forgotten_when_there_are_too_many() {
        let mut refusals = Refusals::default();
        for index in 0..=REFUSALS_MAX as i32 {
            refusals.refused(&partition(index), &batch(0, 0, 1), REFUSED);
        }
        assert_eq!(refusals.entries.len(), REFUSALS_MAX);
        assert_eq!(refusals.before(&partition(0), &batch(0, 1, 1)), None);
        assert_eq!(refusals.before(&partition(1), &batch(0, 1, 1)), Some(REFUSED));
    }
}
