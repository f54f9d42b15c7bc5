//! Control batches: the markers that end a producer's transaction in a partition (KIP-98). No I/O.

use bytes::Bytes;

use super::{BatchBuilder, BatchHeader, BatchOptions, records};
use crate::wire::Reader;

/// Bytes that a marker may take: those of Kafka take some 40 and are never compressed.
const MARKER_BYTES_MAX: usize = 4 << 10;
/// Version of the key and of the value.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionResult {
    /// Its records count.
    Commit,
    /// Its records are void.
    Abort,
}

/// The one record of a batch that ends a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// How it ended.
    pub result: TransactionResult,
    /// Epoch of the transaction coordinator that wrote the marker.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// Reads the marker in a control batch, which starts with `header`; `None` for control batches of another kind, and
    /// for one that compaction emptied.
    pub fn read(header: &BatchHeader, batch: &[u8]) -> Option<EndTransactionMarker> {
        if !header.attributes.is_control() || header.size() > MARKER_BYTES_MAX {
            return None;
        }
        let opened = records(header, batch, MARKER_BYTES_MAX).ok()?;
        let record = opened.iter().next()?.ok()?;
        let mut key = Reader::new(record.key?);
        // Later versions only add fields behind these.
        key.i16().ok().filter(|version| *version >= VERSION)?;
        let result = match key.i16().ok()? {
            ABORT => TransactionResult::Abort,
            COMMIT => TransactionResult::Commit,
            _ => return None,
        };
        let mut value = Reader::new(record.value?);
        value.i16().ok().filter(|version| *version >= VERSION)?;
        Some(EndTransactionMarker { result, coordinator_epoch: value.i32().ok()? })
    }

    /// The batch that ends the transaction of a producer at `timestamp`, in ms.
    pub fn batch(&self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> Bytes {
        let options = BatchOptions {
            producer_id,
            producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        let result = match self.result {
            TransactionResult::Abort => ABORT,
            TransactionResult::Commit => COMMIT,
        };
        let key = [VERSION.to_be_bytes(), result.to_be_bytes()].concat();
        let value = [&VERSION.to_be_bytes()[..], &self.coordinator_epoch.to_be_bytes()].concat();
        let mut builder = BatchBuilder::new(options);
        builder.append(Some(&key), Some(&value), timestamp);
        builder.build().expect("a marker is far below the largest batch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::empty_batch;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for result in [TransactionResult::Commit, TransactionResult::Abort] {
            let marker = EndTransactionMarker { result, coordinator_epoch: 17 };
            let batch = marker.batch(5, 2, 99);
            let header = BatchHeader::parse(&batch).unwrap();
            assert!(header.attributes.is_control() && header.attributes.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (5, 2, -1));
            assert_eq!(EndTransactionMarker::read(&header, &batch), Some(marker));
        }
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let marker = EndTransactionMarker { result: TransactionResult::Abort, coordinator_epoch: 1 };
        let batch = marker.batch(5, 2, 99);
        let header = BatchHeader::parse(&batch).unwrap();
        let emptied = empty_batch(&header);
        assert_eq!(EndTransactionMarker::read(&BatchHeader::parse(&emptied).unwrap(), &emptied), None);
        let mut builder = BatchBuilder::new(BatchOptions { control: true, ..Default::default() });
        builder.append(Some(&[0, 0, 0, 2]), Some(&[0; 6]), 1);
        let other = builder.build().unwrap();
        assert_eq!(EndTransactionMarker::read(&BatchHeader::parse(&other).unwrap(), &other), None);
        for len in 0..batch.len() {
            assert_eq!(EndTransactionMarker::read(&header, &batch[..len]), None, "cut at {len}");
        }
    }
}
