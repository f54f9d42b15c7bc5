//! A segment and how it grows. I/O through [`crate::Disk`] only.
//!
//! Invariants: batches lie one after the other in `0..size_bytes`, in the order of their offsets, each offset at
//! least the base offset and at most 2^31-1 above it; what the file holds beyond `size_bytes` is void.

use std::io;
use std::sync::Arc;

use ottla_broker_protocol::batch::{BatchHeader, HEADER_LEN};
use ottla_broker_types::{MonotonicMs, Now, Offset, TimestampMs};

use super::files::{FileKind, FileSlot, Place};
use super::index::{IndexEntry, OffsetEntry, SparseIndex, TimeEntry};
use super::txn_index::{AbortedTransaction, TxnIndex};
use crate::disk::DiskFile;

/// The least timestamp that counts: Kafka's -1 means that the producer gave none.
const TIMESTAMP_NONE: i64 = -1;

/// How far an offset can lie behind its segment's base: indexes hold 31-bit distances.
pub(crate) const OFFSET_DISTANCE_MAX: i64 = i32::MAX as i64;

/// A batch's header and where the batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredBatch {
    pub(crate) position: u32,
    pub(crate) header: BatchHeader,
}

impl StoredBatch {
    /// Position after the batch.
    pub(crate) fn end(&self) -> u32 {
        self.position + self.header.size() as u32
    }

    pub(crate) fn base_offset(&self) -> Offset {
        Offset::clamped(self.header.base_offset)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        Offset::clamped(self.header.last_offset())
    }
}

/// See the module.
pub(crate) struct Segment {
    pub(super) place: Place,
    log: FileSlot,
    pub(super) offsets: SparseIndex<OffsetEntry>,
    pub(super) times: SparseIndex<TimeEntry>,
    pub(super) txns: TxnIndex,
    pub(super) size_bytes: u32,
    pub(super) bytes_since_index: u64,
    /// Largest timestamp and the last offset of its batch.
    pub(super) max_timestamp: Option<TimeEntry>,
    /// Largest timestamp of the first batch.
    pub(super) first_timestamp: Option<i64>,
    /// The last batch, where it is known: of the active segment, after its first append or scan.
    pub(super) last_batch: Option<StoredBatch>,
    started: MonotonicMs,
    touched: TimestampMs,
    unsynced: bool,
    /// Whether the file may hold more space than bytes.
    allocated: bool,
}

impl Segment {
    /// A segment without batches; what its files may hold is void.
    pub(super) fn blank(place: Place, now: Now) -> Segment {
        Segment {
            place,
            log: FileSlot::closed(FileKind::Log),
            offsets: SparseIndex::empty(FileKind::OffsetIndex),
            times: SparseIndex::empty(FileKind::TimeIndex),
            txns: TxnIndex::default(),
            size_bytes: 0,
            bytes_since_index: 0,
            max_timestamp: None,
            first_timestamp: None,
            last_batch: None,
            started: now.mono,
            touched: now.wall,
            unsynced: true,
            allocated: false,
        }
    }

    /// Makes a new segment, with empty files.
    pub(crate) fn create(place: Place, now: Now) -> io::Result<Segment> {
        let mut segment = Segment::blank(place, now);
        segment.file()?.set_len(0)?;
        segment.offsets.seal(&segment.place)?;
        segment.times.seal(&segment.place)?;
        Ok(segment)
    }

    /// Sets space aside for `bytes` of batches, so that the file does not grow bit by bit. What is written counts as
    /// before: it is in the file, whose length tells how much that is.
    pub(crate) fn allocate(&mut self, bytes: u64) -> io::Result<()> {
        self.allocated = true;
        self.file()?.allocate(bytes)
    }

    /// Takes note that the files were renamed: their names end in `suffix` now.
    pub(crate) fn renamed(&mut self, suffix: &'static str) {
        self.place.suffix = suffix;
    }

    /// Where the segment lies.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Offset that names the segment.
    pub(crate) fn base(&self) -> Offset {
        self.place.base
    }

    /// Bytes of all batches.
    pub(crate) fn size_bytes(&self) -> u32 {
        self.size_bytes
    }

    /// The file of the batches.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.log.file(&self.place)
    }

    /// First offset after the last batch, of the active segment.
    pub(crate) fn end(&self) -> Offset {
        self.last_batch.map_or(self.base(), |batch| batch.last_offset().next())
    }

    /// Whether one of the indexes has no room in `index_bytes_max` for a further entry; of the time index one entry
    /// is spared for the seal.
    pub(crate) fn index_is_full(&self, index_bytes_max: u64) -> bool {
        self.offsets.size_bytes() + OffsetEntry::BYTES as u64 > index_bytes_max
            || self.times.size_bytes() + 2 * TimeEntry::BYTES as u64 > index_bytes_max
    }

    /// Bytes of the index that takes more.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.offsets.size_bytes().max(self.times.size_bytes())
    }

    /// Largest timestamp of the first batch in ms, read from the file where it is not known; `None` if it has none.
    pub(crate) fn first_timestamp(&mut self) -> io::Result<Option<i64>> {
        if self.first_timestamp.is_none() && self.size_bytes > 0 {
            let mut header = [0; HEADER_LEN];
            self.file()?.read_exact_at(&mut header, 0)?;
            let header = BatchHeader::parse(&header).ok();
            self.first_timestamp = header.map(|header| header.max_timestamp).filter(|first| *first >= 0);
        }
        Ok(self.first_timestamp)
    }

    /// Whether `offset` can be written relative to the base offset.
    pub(crate) fn can_hold(&self, offset: Offset) -> bool {
        offset >= self.base() && offset.distance_from(self.base()) <= OFFSET_DISTANCE_MAX
    }

    /// The largest timestamp, if any record has one.
    pub(crate) fn max_timestamp(&self) -> Option<TimestampMs> {
        self.max_timestamp.map(|entry| TimestampMs(entry.timestamp))
    }

    /// When the segment was last appended to, or opened.
    pub(crate) fn touched(&self) -> TimestampMs {
        self.touched
    }

    /// Milliseconds from the first record to one at `timestamp`, by the broker's clock where records have no time.
    pub(crate) fn age_ms(&self, timestamp: i64, now: MonotonicMs) -> i64 {
        match self.first_timestamp {
            Some(first) => timestamp.saturating_sub(first),
            None => i64::try_from(now.since(self.started).0).unwrap_or(i64::MAX),
        }
    }

    /// Writes whole batches after the last one; they count only once [`Segment::note`] was told of each.
    pub(crate) fn write(&mut self, batches: &[u8]) -> io::Result<()> {
        self.unsynced = true;
        self.file()?.write_all_at(batches, u64::from(self.size_bytes))
    }

    /// Removes what a failed write left behind.
    pub(crate) fn cut_back(&self) -> io::Result<()> {
        self.file()?.set_len(u64::from(self.size_bytes))
    }

    /// Takes note of the batch that follows the last one.
    pub(crate) fn note(&mut self, header: &BatchHeader, index_interval_bytes: u32) {
        let position = self.size_bytes;
        let last_offset = Offset::clamped(header.last_offset());
        let relative_offset = self.relative(last_offset);
        // What compaction emptied has no record that could be found by its time.
        let is_newest =
            header.max_timestamp > self.max_timestamp.map_or(TIMESTAMP_NONE, |entry| entry.timestamp);
        if is_newest && header.record_count > 0 {
            self.max_timestamp = Some(TimeEntry { timestamp: header.max_timestamp, relative_offset });
        }
        if self.first_timestamp.is_none() && header.max_timestamp > TIMESTAMP_NONE {
            self.first_timestamp = Some(header.max_timestamp);
        }
        let known = self.offsets.last().is_some_and(|entry| entry.relative_offset >= relative_offset);
        if self.bytes_since_index > u64::from(index_interval_bytes) && !known {
            self.offsets.push(&self.place, OffsetEntry { relative_offset, position });
            self.push_max_timestamp();
            self.bytes_since_index = 0;
        }
        self.bytes_since_index += header.size() as u64;
        self.size_bytes += header.size() as u32;
        self.last_batch = Some(StoredBatch { position, header: *header });
    }

    /// Takes note of the time of an append.
    pub(crate) fn touch(&mut self, now: Now) {
        self.touched = now.wall;
    }

    /// Completes the indexes in their files, so that the segment can be opened without a scan.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        self.push_max_timestamp();
        self.offsets.seal(&self.place)?;
        self.times.seal(&self.place)?;
        self.txns.store(&self.place)?;
        self.unsynced = true;
        if self.allocated {
            self.cut_back()?;
            self.allocated = false;
        }
        Ok(())
    }

    /// Whether there may be something in the files that is not durable.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Takes note that all of the segment is durable.
    pub(crate) fn synced(&mut self) {
        self.unsynced = false;
    }

    /// Makes all of the segment durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.files()?.iter().try_for_each(|file| file.sync_data())?;
        self.unsynced = false;
        Ok(())
    }

    /// The files that hold the segment, that of the batches first.
    pub(crate) fn files(&self) -> io::Result<Vec<Arc<dyn DiskFile>>> {
        let mut files = vec![self.file()?, self.offsets.file(&self.place)?, self.times.file(&self.place)?];
        if !self.txns.is_empty() {
            files.push(self.txns.file(&self.place)?);
        }
        Ok(files)
    }

    /// Whether a marker in it aborted a transaction.
    pub(crate) fn has_aborted(&self) -> bool {
        !self.txns.is_empty()
    }

    /// The transactions that markers in it aborted, in the order of the markers.
    pub(crate) fn aborted(&self) -> io::Result<Vec<AbortedTransaction>> {
        self.txns.entries(&self.place)
    }

    /// Takes note of a transaction that a marker in it aborted.
    pub(crate) fn push_aborted(&mut self, aborted: AbortedTransaction) {
        self.txns.push(&self.place, aborted);
        self.unsynced = true;
    }

    /// Makes an index of aborted transactions that takes the place of another one, though it may have no entry.
    pub(crate) fn make_txn_index(&self) -> io::Result<()> {
        self.txns.file(&self.place)?.sync_data()
    }

    /// The bytes of a batch; `None` if it has more than `bytes_max`.
    pub(crate) fn read_small(&self, batch: &StoredBatch, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        if batch.header.size() > bytes_max {
            return Ok(None);
        }
        let mut bytes = vec![0; batch.header.size()];
        self.file()?.read_exact_at(&mut bytes, u64::from(batch.position))?;
        Ok(Some(bytes))
    }

    /// Lets go of the file; it is opened again when it is needed. Not before it is durable: what the system could not
    /// write out it tells to who holds the file.
    pub(crate) fn close_file(&self) {
        self.log.close();
    }

    /// `offset` relative to the base offset; the bound is [`Segment::can_hold`]'s.
    pub(super) fn relative(&self, offset: Offset) -> u32 {
        u32::try_from(offset.distance_from(self.base())).unwrap_or(u32::MAX)
    }

    /// The offset of an index entry.
    pub(super) fn absolute(&self, relative_offset: u32) -> Offset {
        self.base().plus(i64::from(relative_offset))
    }

    fn push_max_timestamp(&mut self) {
        if let Some(max) = self.max_timestamp
            && self.times.last().is_none_or(|last| last.timestamp < max.timestamp)
        {
            self.times.push(&self.place, max);
        }
    }
}
