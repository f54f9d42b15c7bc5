//! Finding batches by offset and by timestamp. Reads only.

use std::io;

use ottla_broker_protocol::batch::{BatchError, records};
use ottla_broker_types::{LeaderEpoch, Offset, TimestampMs};

use super::scan::{LOOKUP_CHUNK_BYTES, Scan, ScanItem};
use super::segment::{Segment, StoredBatch};
use crate::error::ReadError;
use crate::log::TimestampedOffset;

/// The most memory that the records of one batch may take when they are decompressed to look into them. Batches
/// beyond it are judged by their headers.
const DECODED_BYTES_MAX: usize = 64 << 20;

/// Which record is looked for: the first from `from` on that is not older than `at_least`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampQuery {
    pub(crate) at_least: TimestampMs,
    pub(crate) from: Offset,
}

/// Where a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Position after the last batch.
    pub(crate) position: u32,
    /// First offset after the last batch; the segment's base without one.
    pub(crate) offset: Offset,
}

impl Segment {
    /// The first batch that ends at or after `offset`; `None` if the segment ends before.
    pub(crate) fn find_batch(&self, offset: Offset) -> Result<Option<StoredBatch>, ReadError> {
        if let Some(last) = self.last_batch {
            // Readers of the log's end ask for what was appended last: no index, no I/O.
            if offset > last.last_offset() {
                return Ok(None);
            }
            if offset >= last.base_offset() {
                return Ok(Some(last));
            }
        }
        let position = self.position_at_or_before(offset)?;
        self.first_from(position, |batch| batch.last_offset() >= offset)
    }

    /// Where the segment ends without the first batch that reaches `end`, and all after it.
    pub(crate) fn end_before(&self, end: Offset) -> Result<SegmentEnd, ReadError> {
        let mut kept = SegmentEnd { position: 0, offset: self.base() };
        let from = self.position_at_or_before(end.prev().unwrap_or_default())?;
        self.first_from(from, |batch| {
            let reaches = batch.last_offset() >= end;
            if !reaches {
                kept = SegmentEnd { position: batch.end(), offset: batch.last_offset().next() };
            }
            reaches
        })?;
        Ok(kept)
    }

    /// An offset behind all batches that end at or before `position`, found without reading any: that of the next index
    /// entry; `None` if there is none.
    pub(crate) fn offset_bound(&self, position: u32) -> io::Result<Option<Offset>> {
        let next = self.offsets.find_first(&self.place, |entry| entry.position < position)?;
        Ok(next.map(|entry| self.absolute(entry.relative_offset).next()))
    }

    /// The last end of a batch at or before `position`, which is not before `from`, itself a batch's begin.
    pub(super) fn boundary_before(&self, from: u32, position: u32) -> Result<u32, ReadError> {
        let entry = self.offsets.find_last(&self.place, |entry| entry.position <= position)?;
        let start = entry.map_or(0, |entry| entry.position).max(from);
        let mut boundary = start;
        self.first_from(start, |batch| {
            if batch.end() <= position {
                boundary = batch.end();
            }
            batch.end() >= position
        })?;
        Ok(boundary)
    }

    /// The record that `query` asks for.
    pub(crate) fn find_by_timestamp(
        &self,
        query: TimestampQuery,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        if self.max_timestamp.is_none_or(|max| max.timestamp < query.at_least.0) {
            return Ok(None);
        }
        let before = self.times.find_last(&self.place, |entry| entry.timestamp < query.at_least.0)?;
        let after = before.map_or(self.base(), |entry| self.absolute(entry.relative_offset).next());
        let mut position = self.position_at_or_before(after.max(query.from))?;
        loop {
            let batch = self.first_from(position, |batch| {
                batch.header.max_timestamp >= query.at_least.0 && batch.last_offset() >= query.from
            })?;
            let Some(batch) = batch else { return Ok(None) };
            // A batch may hold no match although its header says so: its first records lie before `from`.
            if let Some(found) = self.record_by_timestamp(&batch, query)? {
                return Ok(Some(found));
            }
            position = batch.end();
        }
    }

    /// The first of the records with the largest timestamp.
    pub(crate) fn record_with_max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        let Some(max) = self.max_timestamp else { return Ok(None) };
        let Some(batch) = self.find_batch(self.absolute(max.relative_offset))? else { return Ok(None) };
        let query = TimestampQuery { at_least: TimestampMs(max.timestamp), from: batch.base_offset() };
        self.record_by_timestamp(&batch, query)
    }

    fn record_by_timestamp(
        &self,
        batch: &StoredBatch,
        query: TimestampQuery,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let header = &batch.header;
        let mut bytes = vec![0; header.size()];
        self.file()?.read_exact_at(&mut bytes, u64::from(batch.position))?;
        let corrupt =
            |error: BatchError| ReadError::Corrupt { offset: batch.base_offset(), source: error.into() };
        header.check_crc(&bytes).map_err(corrupt)?;
        let leader_epoch = LeaderEpoch::from_wire(header.partition_leader_epoch);
        let opened = match records(header, &bytes, DECODED_BYTES_MAX) {
            Ok(opened) => opened,
            // Too large to look into, or not what its codec says, which a producer can bring about: no error.
            Err(_) => {
                let offset = batch.base_offset().max(query.from);
                let timestamp = TimestampMs(header.max_timestamp);
                return Ok(Some(TimestampedOffset { offset, timestamp, leader_epoch }));
            }
        };
        let found = opened
            .iter()
            .map_while(Result::ok)
            .find(|record| record.timestamp >= query.at_least.0 && record.offset >= query.from.get());
        Ok(found.map(|record| TimestampedOffset {
            offset: Offset::clamped(record.offset),
            timestamp: TimestampMs(record.timestamp),
            leader_epoch,
        }))
    }

    /// Where to begin to look for `offset`: a batch that ends at or before it, or the segment's begin.
    fn position_at_or_before(&self, offset: Offset) -> Result<u32, ReadError> {
        let relative = self.relative(offset);
        let entry = self.offsets.find_last(&self.place, |entry| entry.relative_offset <= relative)?;
        Ok(entry.map_or(0, |entry| entry.position))
    }

    /// The first batch from `position` on that is `wanted`.
    fn first_from(
        &self,
        position: u32,
        mut wanted: impl FnMut(&StoredBatch) -> bool,
    ) -> Result<Option<StoredBatch>, ReadError> {
        let mut scan = Scan::new(self.file()?, position, self.size_bytes, LOOKUP_CHUNK_BYTES);
        loop {
            match scan.next()? {
                ScanItem::Batch { position, header } => {
                    let batch = StoredBatch { position, header };
                    if wanted(&batch) {
                        return Ok(Some(batch));
                    }
                }
                ScanItem::End => return Ok(None),
                ScanItem::Damaged(damage) => {
                    return Err(ReadError::Corrupt { offset: self.base(), source: damage.corruption });
                }
            }
        }
    }

    /// Calls `visit` with each batch from the one that contains `from` on.
    pub(crate) fn for_each_batch_from(
        &self,
        from: Offset,
        chunk_bytes: usize,
        mut visit: impl FnMut(&StoredBatch),
    ) -> Result<(), ReadError> {
        let mut scan =
            Scan::new(self.file()?, self.position_at_or_before(from)?, self.size_bytes, chunk_bytes);
        loop {
            match scan.next()? {
                ScanItem::Batch { position, header } => {
                    let batch = StoredBatch { position, header };
                    if batch.last_offset() >= from {
                        visit(&batch);
                    }
                }
                ScanItem::End => return Ok(()),
                ScanItem::Damaged(damage) => {
                    return Err(ReadError::Corrupt { offset: self.base(), source: damage.corruption });
                }
            }
        }
    }
}
