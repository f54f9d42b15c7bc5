//! One producer's state and the verdict on its next batch. No I/O.

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::error::AppendError;

/// Batches remembered per producer: clients have at most 5 in flight, so an older one is never sent again.
const BATCHES_MAX: usize = 5;

/// A batch that a producer appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppendedBatch {
    /// Sequence of the last record.
    pub(crate) last_sequence: Sequence,
    /// Offset of the last record.
    pub(crate) last_offset: Offset,
    /// Offset of the last record minus that of the first.
    pub(crate) offset_delta: i32,
    /// Largest timestamp of its records.
    pub(crate) timestamp: TimestampMs,
}

impl AppendedBatch {
    /// Sequence of the first record.
    pub(crate) fn first_sequence(&self) -> Sequence {
        self.last_sequence.wrapping_plus(-self.offset_delta)
    }

    /// Offset of the first record.
    pub(crate) fn base_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// What is known of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    /// Its newest epoch.
    pub(crate) epoch: ProducerEpoch,
    /// When it was last heard of, by the broker's clock.
    pub(crate) seen: TimestampMs,
    /// Epoch of the coordinator that ended its last transaction, or -1.
    pub(crate) coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub(crate) txn_start: Option<Offset>,
    batches: [AppendedBatch; BATCHES_MAX],
    batch_count: usize,
}

/// The verdict on a batch that may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is the producer's next.
    New,
    /// It was appended before.
    Duplicate(AppendedBatch),
}

impl Producer {
    /// A producer that has appended nothing in `epoch`.
    pub(crate) fn new(epoch: ProducerEpoch, seen: TimestampMs) -> Producer {
        Producer {
            epoch,
            seen,
            coordinator_epoch: -1,
            txn_start: None,
            batches: Default::default(),
            batch_count: 0,
        }
    }

    /// The last batch in the present epoch.
    pub(crate) fn last_batch(&self) -> Option<&AppendedBatch> {
        self.batches[..self.batch_count].last()
    }

    /// The remembered batches of the present epoch, the oldest first.
    pub(crate) fn batches(&self) -> &[AppendedBatch] {
        &self.batches[..self.batch_count]
    }

    /// Whether it appended a batch in `epoch` that is remembered.
    pub(super) fn has_appended_in(&self, epoch: ProducerEpoch) -> bool {
        self.epoch == epoch && self.batch_count > 0
    }

    /// Judges the next batch of producer `id`: its epoch and its first sequence.
    pub(super) fn check(&self, id: ProducerId, header: &BatchHeader) -> Result<Check, AppendError> {
        let epoch = ProducerEpoch(header.producer_epoch);
        let first = Sequence(header.base_sequence);
        if epoch < self.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: id,
                current: self.epoch,
                found: epoch,
            });
        }
        let expected = if epoch > self.epoch {
            Sequence(0)
        } else {
            let Some(last) = self.last_batch() else { return Ok(Check::New) };
            let last_sequence = first.wrapping_plus(header.last_offset_delta);
            let duplicate = self.batches[..self.batch_count]
                .iter()
                .find(|batch| batch.first_sequence() == first && batch.last_sequence == last_sequence);
            if let Some(batch) = duplicate {
                return Ok(Check::Duplicate(*batch));
            }
            last.last_sequence.wrapping_plus(1)
        };
        if first == expected {
            return Ok(Check::New);
        }
        Err(AppendError::OutOfOrderSequence { producer_id: id, expected, found: first })
    }

    /// Takes note of a batch that is in the log now.
    pub(super) fn record(&mut self, header: &BatchHeader, now: TimestampMs) {
        let epoch = ProducerEpoch(header.producer_epoch);
        if epoch > self.epoch {
            self.batch_count = 0;
            self.epoch = epoch;
        }
        self.seen = now;
        // Markers of transactions carry no sequence.
        if header.attributes.is_control() || header.base_sequence < 0 {
            return;
        }
        self.push(AppendedBatch {
            last_sequence: Sequence(header.base_sequence).wrapping_plus(header.last_offset_delta),
            last_offset: Offset::clamped(header.last_offset()),
            offset_delta: header.last_offset_delta,
            timestamp: TimestampMs(header.max_timestamp),
        });
    }

    pub(super) fn push(&mut self, batch: AppendedBatch) {
        if self.batch_count == BATCHES_MAX {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        self.batches[self.batch_count] = batch;
        self.batch_count += 1;
    }
}
