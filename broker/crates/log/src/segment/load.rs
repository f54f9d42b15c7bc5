//! Opening a segment's files, and cutting a segment. I/O through [`crate::Disk`] only.

use std::io;

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{LeaderEpoch, Now, Offset};

use super::files::{FileKind, Place};
use super::index::SparseIndex;
use super::lookup::SegmentEnd;
use super::scan::{Damage, LOOKUP_CHUNK_BYTES, SEQUENTIAL_CHUNK_BYTES, Scan, ScanItem};
use super::segment::Segment;
use super::txn_index::TxnIndex;
use crate::error::Corruption;

/// The largest segment there can be: positions are 31-bit numbers in Kafka's index.
const SIZE_BYTES_MAX: u64 = i32::MAX as u64;

/// What a walk over a log's batches has to find, and what it found so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecoveryRules {
    /// Bytes from one index entry to the next.
    pub(crate) index_interval_bytes: u32,
    /// Batches wholly below this offset were synced: their checksums are not compared.
    pub(crate) synced_end: Offset,
    /// The least offset that the next batch may have.
    pub(crate) next_offset: Offset,
    /// The least epoch that the next batch may have.
    pub(crate) latest_epoch: Option<LeaderEpoch>,
}

impl RecoveryRules {
    /// Whether `header` may follow, judged by its offsets and epoch.
    fn check(&self, header: &BatchHeader) -> Result<(), Corruption> {
        if header.base_offset < self.next_offset.get() {
            return Err(Corruption::OffsetsGoBack { expected: self.next_offset, found: header.base_offset });
        }
        let found = header.partition_leader_epoch;
        match self.latest_epoch {
            Some(latest) if found >= 0 && found < latest.get() => {
                Err(Corruption::EpochsGoBack { latest, found })
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, header: &BatchHeader) {
        self.next_offset = Offset::clamped(header.last_offset()).next();
        self.latest_epoch = LeaderEpoch::from_wire(header.partition_leader_epoch).or(self.latest_epoch);
    }
}

impl Segment {
    /// Opens a segment by its indexes, as [`Segment::seal`] left them. Of the `active` one the batches after the
    /// last index entry are read too. `None` if the indexes do not fit the file: then it has to be rebuilt.
    pub(crate) fn open(
        place: Place,
        active: bool,
        index_interval_bytes: u32,
        now: Now,
    ) -> io::Result<Option<Segment>> {
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            if !place.disk.exists(&place.path(kind))? {
                return Ok(None);
            }
        }
        let (offsets, times) = (
            SparseIndex::load(FileKind::OffsetIndex, &place)?,
            SparseIndex::load(FileKind::TimeIndex, &place)?,
        );
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
        let mut segment = Segment::blank(place, now);
        (segment.offsets, segment.times) = (offsets, times);
        segment.txns = TxnIndex::load(&segment.place)?;
        let size = segment.file()?.len()?;
        if size > SIZE_BYTES_MAX || segment.offsets.last().is_some_and(|e| u64::from(e.position) >= size) {
            return Ok(None);
        }
        segment.size_bytes = size as u32;
        segment.max_timestamp = segment.times.last();
        if active && !segment.note_tail(index_interval_bytes)? {
            return Ok(None);
        }
        if !active {
            segment.close_file();
        }
        Ok(Some(segment))
    }

    /// Builds the indexes by offset and time anew from the batches, empties that of transactions, and checks these by `rules`, which it moves on; `visit` sees each.
    /// The segment ends at the first bad batch, if there is one. The file is left as it is.
    pub(crate) fn rebuild(
        place: Place,
        rules: &mut RecoveryRules,
        now: Now,
        visit: &mut dyn FnMut(&BatchHeader),
    ) -> io::Result<(Segment, Option<Damage>)> {
        let mut segment = Segment::blank(place, now);
        segment.txns = TxnIndex::clear(&segment.place)?;
        let end = segment.file()?.len()?.min(SIZE_BYTES_MAX) as u32;
        let mut scan = Scan::new(segment.file()?, 0, end, SEQUENTIAL_CHUNK_BYTES);
        loop {
            let (position, header) = match scan.next()? {
                ScanItem::Batch { position, header } => (position, header),
                ScanItem::Damaged(damage) => return Ok((segment, Some(damage))),
                ScanItem::End => return Ok((segment, None)),
            };
            let mut sound = rules.check(&header);
            if sound.is_ok() && header.last_offset() >= rules.synced_end.get() {
                sound = scan.check_crc(position, &header)?.map_err(Corruption::from);
            }
            if let Err(corruption) = sound {
                return Ok((segment, Some(Damage { position, corruption })));
            }
            rules.advance(&header);
            visit(&header);
            segment.note(&header, rules.index_interval_bytes);
        }
    }

    /// Cuts the segment; durable on return.
    pub(crate) fn truncate(&mut self, end: SegmentEnd, index_interval_bytes: u32) -> io::Result<()> {
        let relative = self.relative(end.offset);
        self.offsets.truncate(&self.place, |entry| entry.relative_offset < relative)?;
        self.times.truncate(&self.place, |entry| entry.relative_offset < relative)?;
        self.txns.truncate(&self.place, end.offset)?;
        self.size_bytes = end.position;
        self.cut_back()?;
        self.files()?.iter().try_for_each(|file| file.sync_data())?;
        self.max_timestamp = self.times.last();
        self.last_batch = None;
        if end.position == 0 {
            self.first_timestamp = None;
            self.bytes_since_index = 0;
        }
        match self.note_tail(index_interval_bytes)? {
            true => Ok(()),
            false => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "what is left of the segment is damaged"))
            }
        }
    }

    /// Takes note of the batches from the last index entry on; false if they are not sound up to the end.
    fn note_tail(&mut self, index_interval_bytes: u32) -> io::Result<bool> {
        let end = self.size_bytes;
        if end == 0 {
            return Ok(true);
        }
        let file = self.file()?;
        if let ScanItem::Batch { header, .. } = Scan::new(file.clone(), 0, end, LOOKUP_CHUNK_BYTES).next()? {
            self.first_timestamp = Some(header.max_timestamp).filter(|timestamp| *timestamp >= 0);
        }
        let from = self.offsets.last().map_or(0, |entry| entry.position);
        let mut next_offset = self.base();
        self.size_bytes = from;
        self.bytes_since_index = 0;
        let mut scan = Scan::new(file, from, end, LOOKUP_CHUNK_BYTES);
        loop {
            match scan.next()? {
                ScanItem::Batch { header, .. } if header.base_offset >= next_offset.get() => {
                    next_offset = Offset::clamped(header.last_offset()).next();
                    self.note(&header, index_interval_bytes);
                }
                ScanItem::End => return Ok(true),
                ScanItem::Batch { .. } | ScanItem::Damaged(_) => return Ok(false),
            }
        }
    }
}
