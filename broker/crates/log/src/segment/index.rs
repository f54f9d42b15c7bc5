//! A sparse index: fixed-size entries in increasing order, the newest in memory, the others in a file.
//! I/O through [`crate::Disk`] only.
//!
//! Invariants: entry `i` of the file is entry `i` of the index for `i < stored_count`; `tail` follows. What the
//! file holds beyond is void and overwritten. Losing the index loses no record: it is rebuilt from the batches. The file
//! is open only while it is used, so that a log costs one open file however many segments it has.

use std::io;
use std::sync::Arc;

use super::files::{FileKind, Place};
use crate::disk::{DiskFile, OpenMode};

/// Entries kept in memory before they are moved to the file: 4 to 6 KiB, which stand for some 2 MiB of log.
/// If the file cannot take them they stay in memory, at most until the segment's index is full.
const TAIL_ENTRIES_MAX: usize = 512;

/// An entry of an index.
pub(crate) trait IndexEntry: Copy {
    /// Bytes in the file.
    const BYTES: usize;
    fn encode(self, out: &mut Vec<u8>);
    /// Reads an entry from exactly [`IndexEntry::BYTES`] bytes.
    fn decode(bytes: &[u8]) -> Self;
}

/// The last offset of a batch and where the batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// The batch's last offset minus the segment's base offset.
    pub(crate) relative_offset: u32,
    /// The batch's position in the segment in bytes.
    pub(crate) position: u32,
}

/// No record up to and including the offset has a larger timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The largest timestamp so far in ms.
    pub(crate) timestamp: i64,
    /// The last offset of the batch with that timestamp, minus the segment's base offset.
    pub(crate) relative_offset: u32,
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&from[at..at + N]);
    field
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = POSITION_AT + size_of::<u32>();

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(from: &[u8]) -> Self {
        OffsetEntry {
            relative_offset: u32::from_be_bytes(bytes(from, 0)),
            position: u32::from_be_bytes(bytes(from, POSITION_AT)),
        }
    }
}

const POSITION_AT: usize = size_of::<u32>();

impl IndexEntry for TimeEntry {
    const BYTES: usize = TIME_OFFSET_AT + size_of::<u32>();

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(from: &[u8]) -> Self {
        TimeEntry {
            timestamp: i64::from_be_bytes(bytes(from, 0)),
            relative_offset: u32::from_be_bytes(bytes(from, TIME_OFFSET_AT)),
        }
    }
}

const TIME_OFFSET_AT: usize = size_of::<i64>();

/// See the module.
pub(crate) struct SparseIndex<E> {
    kind: FileKind,
    stored_count: u32,
    tail: Vec<E>,
    last: Option<E>,
}

impl<E: IndexEntry> SparseIndex<E> {
    /// An index without entries; what the file may hold is void.
    pub(crate) fn empty(kind: FileKind) -> Self {
        SparseIndex { kind, stored_count: 0, tail: Vec::new(), last: None }
    }

    /// The index that the file holds; `None` if it is not a whole count of entries.
    pub(crate) fn load(kind: FileKind, place: &Place) -> io::Result<Option<Self>> {
        let mut index = SparseIndex::empty(kind);
        let file = index.file(place)?;
        let len = file.len()?;
        if len % E::BYTES as u64 != 0 {
            return Ok(None);
        }
        let Ok(count) = u32::try_from(len / E::BYTES as u64) else { return Ok(None) };
        index.stored_count = count;
        if count > 0 {
            index.last = Some(stored(&*file, count - 1)?);
        }
        Ok(Some(index))
    }

    /// Bytes of all entries.
    pub(crate) fn size_bytes(&self) -> u64 {
        (self.stored_count as usize + self.tail.len()) as u64 * E::BYTES as u64
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Appends an entry, which lies after [`SparseIndex::last`].
    pub(crate) fn push(&mut self, place: &Place, entry: E) {
        self.tail.push(entry);
        self.last = Some(entry);
        if self.tail.len().is_multiple_of(TAIL_ENTRIES_MAX) {
            // A full disk must not fail an append that succeeded: the entries stay in memory.
            let _ = self.store(place);
        }
    }

    /// Moves the entries in memory to the file.
    pub(crate) fn store(&mut self, place: &Place) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(self.tail.len() * E::BYTES);
        self.tail.iter().for_each(|entry| entry.encode(&mut out));
        self.file(place)?.write_all_at(&out, self.stored_count as u64 * E::BYTES as u64)?;
        self.stored_count += self.tail.len() as u32;
        self.tail = Vec::new();
        Ok(())
    }

    /// Moves all entries to the file and makes it hold nothing else.
    pub(crate) fn seal(&mut self, place: &Place) -> io::Result<()> {
        self.store(place)?;
        let file = self.file(place)?;
        let len = self.stored_count as u64 * E::BYTES as u64;
        if file.len()? != len { file.set_len(len) } else { Ok(()) }
    }

    /// The file, opened anew and made if it is missing.
    pub(crate) fn file(&self, place: &Place) -> io::Result<Arc<dyn DiskFile>> {
        place.disk.open(&place.path(self.kind), OpenMode::Create)
    }

    /// The last entry that `holds`, which is true up to some entry and false from there on.
    pub(crate) fn find_last(&self, place: &Place, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        let in_tail = self.tail.partition_point(&holds);
        if in_tail > 0 {
            return Ok(Some(self.tail[in_tail - 1]));
        }
        let (mut low, mut high, mut found) = (0, self.stored_count, None);
        if high == 0 {
            return Ok(None);
        }
        let file = self.file(place)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry: E = stored(&*file, middle)?;
            if holds(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// The first entry that does not `hold`, which is true up to some entry and false from there on.
    pub(crate) fn find_first(&self, place: &Place, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        let (mut low, mut high, mut found) = (0, self.stored_count, None);
        if high > 0 {
            let file = self.file(place)?;
            while low < high {
                let middle = low + (high - low) / 2;
                let entry: E = stored(&*file, middle)?;
                if holds(&entry) {
                    low = middle + 1;
                } else {
                    found = Some(entry);
                    high = middle;
                }
            }
        }
        Ok(found.or_else(|| self.tail.get(self.tail.partition_point(&holds)).copied()))
    }

    /// Drops the entries from the first that does not `hold` on.
    pub(crate) fn truncate(&mut self, place: &Place, holds: impl Fn(&E) -> bool) -> io::Result<()> {
        self.store(place)?;
        let file = self.file(place)?;
        let (mut low, mut high) = (0, self.stored_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(&stored(&*file, middle)?) { low = middle + 1 } else { high = middle }
        }
        let last = if low > 0 { Some(stored(&*file, low - 1)?) } else { None };
        file.set_len(low as u64 * E::BYTES as u64)?;
        self.stored_count = low;
        self.last = last;
        Ok(())
    }
}

fn stored<E: IndexEntry>(file: &dyn DiskFile, at: u32) -> io::Result<E> {
    // The largest entry is 12 bytes: a time entry.
    let mut entry = [0; 12];
    let entry = &mut entry[..E::BYTES];
    file.read_exact_at(entry, at as u64 * E::BYTES as u64)?;
    Ok(E::decode(entry))
}

const _: () = assert!(OffsetEntry::BYTES == 8 && TimeEntry::BYTES == 12);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ottla_broker_types::Offset;

    use super::*;
    use crate::disk::{Disk, SimDisk, SimError, SimFault, SimOp};

    fn place() -> (SimDisk, Place) {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/t-0")).unwrap();
        let place = Place {
            disk: Arc::new(disk.clone()),
            dir: Path::new("/t-0").into(),
            base: Offset::ZERO,
            suffix: "",
        };
        (disk, place)
    }

    fn entry(n: u32) -> OffsetEntry {
        OffsetEntry { relative_offset: n * 10, position: n * 100 }
    }

    #[test]
    fn entries_are_found_in_memory_and_in_the_file_alike() {
        let (_, place) = place();
        let mut index = SparseIndex::empty(FileKind::OffsetIndex);
        for n in 1..=1_300 {
            index.push(&place, entry(n));
        }
        assert_eq!((index.stored_count, index.tail.len()), (1_024, 276));
        for (asked, found) in [(9, None), (10, Some(1)), (10_245, Some(1_024)), (13_000, Some(1_300))] {
            let last = index.find_last(&place, |e| e.relative_offset <= asked).unwrap();
            assert_eq!(last, found.map(entry), "{asked}");
            let next = found.map_or(1, |n| n + 1);
            let first = index.find_first(&place, |e| e.relative_offset <= asked).unwrap();
            assert_eq!(first, (next <= 1_300).then(|| entry(next)), "{asked}");
        }
        index.seal(&place).unwrap();
        let loaded = SparseIndex::<OffsetEntry>::load(FileKind::OffsetIndex, &place).unwrap().unwrap();
        assert_eq!((loaded.last(), loaded.size_bytes()), (Some(entry(1_300)), 10_400));
    }

    #[test]
    fn a_truncated_index_goes_on_where_it_was_cut() {
        let (_, place) = place();
        let mut index = SparseIndex::empty(FileKind::OffsetIndex);
        (1..=600).for_each(|n| index.push(&place, entry(n)));
        index.truncate(&place, |e| e.position < 5_000).unwrap();
        assert_eq!(index.last(), Some(entry(49)));
        index.push(&place, entry(70));
        assert_eq!(index.find_last(&place, |_| true).unwrap(), Some(entry(70)));
        assert_eq!(index.find_last(&place, |e| e.position < 7_000).unwrap(), Some(entry(49)));
        index.truncate(&place, |_| false).unwrap();
        assert_eq!((index.last(), index.size_bytes()), (None, 0));
    }

    #[test]
    fn a_full_disk_loses_no_entry() {
        let (disk, place) = place();
        let mut index = SparseIndex::empty(FileKind::OffsetIndex);
        disk.inject(SimFault { op: SimOp::Write, skip: 0, error: SimError::NoSpace });
        (1..=1_200).for_each(|n| index.push(&place, entry(n)));
        for n in [1, 511, 512, 513, 1_024, 1_200] {
            let found = index.find_last(&place, |e| e.position <= n * 100).unwrap();
            assert_eq!(found, Some(entry(n)));
        }
    }

    #[test]
    fn a_file_of_half_an_entry_is_no_index() {
        let (_, place) = place();
        let file = SparseIndex::<OffsetEntry>::empty(FileKind::OffsetIndex).file(&place).unwrap();
        file.set_len(12).unwrap();
        assert!(SparseIndex::<OffsetEntry>::load(FileKind::OffsetIndex, &place).unwrap().is_none());
    }
}
