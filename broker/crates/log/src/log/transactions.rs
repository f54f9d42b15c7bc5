//! Transactions in a partition's log: markers, the last stable offset, and what was aborted.
//! I/O through [`crate::Disk`] only.

use ottla_broker_protocol::batch::{BatchHeader, EndTransactionMarker, TransactionResult};
use ottla_broker_types::{LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId};

use super::producer_batch::refused;
use super::{Appended, Log, LogRead};
use crate::error::{AppendError, ReadError};
use crate::producers::EndedTransaction;
use crate::segment::AbortedTransaction;

/// The end of a producer's transaction, as its coordinator decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch; that of a marker that fences it is a newer one.
    pub producer_epoch: ProducerEpoch,
    /// How the transaction ended, and who says so.
    pub marker: EndTransactionMarker,
}

impl Log {
    /// Appends the marker that ends a producer's transaction, as the leader of `epoch`. A producer without an open one
    /// gets its marker all the same: it carries the epoch that fences others.
    pub fn append_marker(
        &mut self,
        end: &EndTransaction,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.usable().map_err(AppendError::Failed)?;
        if let Some(latest) = self.latest_epoch().filter(|latest| *latest > epoch) {
            return Err(AppendError::StaleLeaderEpoch { latest, found: epoch });
        }
        self.producers.check_marker(end.producer_id, end.producer_epoch, end.marker)?;
        let (id, producer_epoch) = (end.producer_id.get(), end.producer_epoch.get());
        let mut batch = end.marker.batch(id, producer_epoch, now.wall.0).to_vec();
        let header = BatchHeader::parse(&batch).map_err(refused)?;
        self.append_next(&mut batch, header, None, epoch, now)
    }

    /// Takes note of a control batch that was written.
    pub(super) fn admit_marker(&mut self, header: &BatchHeader, batch: &[u8]) {
        let Some(marker) = EndTransactionMarker::read(header, batch) else { return };
        if let Some(ended) = self.producers.end(header, marker)
            && let Some(aborted) = aborted_by(header, marker, ended)
        {
            self.active.push_aborted(aborted);
        }
    }

    /// First offset that a reader of committed records may not see, where everything below `high_watermark` is committed:
    /// that of the oldest transaction that is open or whose marker is not committed, else the high watermark.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let first = self.producers.transactions().first_unstable(high_watermark);
        first.map_or(high_watermark, |first| first.max(self.log_start).min(high_watermark))
    }

    /// Takes note that everything below `high_watermark` is committed, so that ended transactions are forgotten.
    pub fn note_committed(&mut self, high_watermark: Offset) {
        self.producers.committed(high_watermark);
    }

    /// Count of open transactions.
    pub fn open_transaction_count(&self) -> usize {
        self.producers.transactions().open_count()
    }

    /// The aborted transactions of which there may be records in what was read from `from` on with the bound `end`, in the
    /// order of their markers.
    pub fn aborted_in(
        &self,
        read: &LogRead,
        from: Offset,
        end: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let Some((base, position)) = read.last else { return Ok(Vec::new()) };
        let segment = self.sealed.get(&base).unwrap_or(&self.active);
        let bound = segment.offset_bound(position)?.unwrap_or_else(|| self.end_of(segment));
        self.aborted_transactions(from, bound.min(end))
    }

    /// The aborted transactions of which there may be records in `from..end`, in the order of their markers.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        end: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        for segment in self.segments_from(from).filter(|segment| segment.has_aborted()) {
            for aborted in segment.aborted()? {
                if aborted.last_offset >= from && aborted.first_offset < end {
                    found.push(aborted);
                }
                if aborted.last_stable_offset >= end {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

/// The entry of the transaction index, if a marker aborted a transaction.
pub(super) fn aborted_by(
    header: &BatchHeader,
    marker: EndTransactionMarker,
    ended: EndedTransaction,
) -> Option<AbortedTransaction> {
    let producer_id = ProducerId::from_wire(header.producer_id)?;
    (marker.result == TransactionResult::Abort).then_some(AbortedTransaction {
        producer_id,
        first_offset: ended.first_offset,
        last_offset: Offset::clamped(header.last_offset()),
        last_stable_offset: ended.last_stable_offset,
    })
}
