//! The transactions that were aborted by markers in a segment: Kafka's `.txnindex`. I/O through [`crate::Disk`] only.
//!
//! Invariants: entries are in the order of their markers; the file is there only if there was an entry, and what it holds
//! beyond them is void. Unlike the other indexes it must not lack an entry: whoever reads committed records would get
//! those of an aborted transaction. An entry that the file cannot take stays in memory until it can.

use std::io;
use std::sync::Arc;

use ottla_broker_types::{Offset, ProducerId};

use super::files::{FileKind, Place};
use crate::disk::{DiskFile, OpenMode};

/// Version of an entry.
const VERSION: i16 = 0;
/// Bytes of an entry: version, producer id, first offset, last offset, last stable offset.
pub(crate) const TXN_ENTRY_BYTES: usize = 2 + 4 * 8;

const _: () = assert!(TXN_ENTRY_BYTES == 34);

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of the marker that ended it.
    pub last_offset: Offset,
    /// First offset of the oldest transaction that was open when this one had ended, or else the one after its marker: no
    /// transaction that began before is ended by a later marker.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.producer_id.get().to_be_bytes());
        for offset in [self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&offset.get().to_be_bytes());
        }
    }

    /// Reads an entry; `None` if no log wrote it.
    fn decode(entry: &[u8; TXN_ENTRY_BYTES]) -> Option<AbortedTransaction> {
        let (version, rest) = entry.split_first_chunk()?;
        let (producer_id, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (stable, _) = rest.split_first_chunk()?;
        let offset = |bytes: &[u8; 8]| Offset::new(i64::from_be_bytes(*bytes));
        let entry = AbortedTransaction {
            producer_id: ProducerId::from_wire(i64::from_be_bytes(*producer_id))?,
            first_offset: offset(first)?,
            last_offset: offset(last)?,
            last_stable_offset: offset(stable)?,
        };
        (i16::from_be_bytes(*version) == VERSION && entry.first_offset <= entry.last_offset).then_some(entry)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct TxnIndex {
    stored_count: u32,
    unstored: Vec<AbortedTransaction>,
}

impl TxnIndex {
    /// The index that the file holds, if there is one. An entry that is not whole does not count.
    pub(crate) fn load(place: &Place) -> io::Result<TxnIndex> {
        let len = match place.disk.open(&place.path(FileKind::TxnIndex), OpenMode::Read) {
            Ok(file) => file.len()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let stored_count = u32::try_from(len / TXN_ENTRY_BYTES as u64).unwrap_or(u32::MAX);
        Ok(TxnIndex { stored_count, unstored: Vec::new() })
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.stored_count == 0 && self.unstored.is_empty()
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, place: &Place, entry: AbortedTransaction) {
        self.unstored.push(entry);
        // What cannot be written now is when the segment is sealed; until then it is built anew after a crash.
        let _ = self.store(place);
    }

    /// Moves the entries in memory to the file.
    pub(crate) fn store(&mut self, place: &Place) -> io::Result<()> {
        if self.unstored.is_empty() {
            return Ok(());
        }
        let mut out = Vec::with_capacity(self.unstored.len() * TXN_ENTRY_BYTES);
        self.unstored.iter().for_each(|entry| entry.encode(&mut out));
        let at = u64::from(self.stored_count) * TXN_ENTRY_BYTES as u64;
        let file = self.file(place)?;
        file.write_all_at(&out, at)?;
        file.set_len(at + out.len() as u64)?;
        self.stored_count += self.unstored.len() as u32;
        self.unstored = Vec::new();
        Ok(())
    }

    /// The file, made if it is missing.
    pub(crate) fn file(&self, place: &Place) -> io::Result<Arc<dyn DiskFile>> {
        place.disk.open(&place.path(FileKind::TxnIndex), OpenMode::Create)
    }

    /// All entries, in order. It is an error if one of them is none.
    pub(crate) fn entries(&self, place: &Place) -> io::Result<Vec<AbortedTransaction>> {
        let mut entries = Vec::new();
        if self.stored_count > 0 {
            let mut bytes = vec![0; self.stored_count as usize * TXN_ENTRY_BYTES];
            let file = place.disk.open(&place.path(FileKind::TxnIndex), OpenMode::Read)?;
            file.read_exact_at(&mut bytes, 0)?;
            let (chunks, _) = bytes.as_chunks::<TXN_ENTRY_BYTES>();
            let read: Option<Vec<_>> = chunks.iter().map(AbortedTransaction::decode).collect();
            let damaged =
                || io::Error::new(io::ErrorKind::InvalidData, "an entry of a transaction index is damaged");
            entries = read.ok_or_else(damaged)?;
        }
        entries.extend(&self.unstored);
        Ok(entries)
    }

    /// Drops the entries whose markers lie at or after `end`.
    pub(crate) fn truncate(&mut self, place: &Place, end: Offset) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let kept = self.entries(place)?.iter().filter(|entry| entry.last_offset < end).count();
        self.unstored.truncate(kept.saturating_sub(self.stored_count as usize));
        if kept < self.stored_count as usize {
            self.stored_count = kept as u32;
            self.file(place)?.set_len(kept as u64 * TXN_ENTRY_BYTES as u64)?;
        }
        Ok(())
    }

    /// Empties the file of a segment whose entries are to be found anew.
    pub(crate) fn clear(place: &Place) -> io::Result<TxnIndex> {
        match place.disk.open(&place.path(FileKind::TxnIndex), OpenMode::Write) {
            Ok(file) => file.set_len(0)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(TxnIndex::default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Disk, SimDisk, SimError, SimFault, SimOp};

    fn place() -> (SimDisk, Place) {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/t-0")).unwrap();
        let dir = Path::new("/t-0").into();
        (disk.clone(), Place { disk: Arc::new(disk), dir, base: Offset::ZERO, suffix: "" })
    }

    fn entry(n: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(n),
            first_offset: Offset::clamped(10 * n),
            last_offset: Offset::clamped(10 * n + 5),
            last_stable_offset: Offset::clamped(10 * n + 6),
        }
    }

    #[test]
    fn entries_are_read_as_they_were_written_and_without_any_there_is_no_file() {
        let (disk, place) = place();
        let mut index = TxnIndex::load(&place).unwrap();
        assert!(index.is_empty() && index.entries(&place).unwrap().is_empty());
        assert!(!disk.exists(&place.path(FileKind::TxnIndex)).unwrap());
        (1..4).for_each(|n| index.push(&place, entry(n)));
        let loaded = TxnIndex::load(&place).unwrap();
        assert_eq!(loaded.entries(&place).unwrap(), [entry(1), entry(2), entry(3)]);
    }

    #[test]
    fn a_cut_drops_what_was_aborted_behind_it() {
        let (_, place) = place();
        let mut index = TxnIndex::default();
        (1..4).for_each(|n| index.push(&place, entry(n)));
        index.truncate(&place, Offset::clamped(26)).unwrap();
        index.push(&place, entry(7));
        let loaded = TxnIndex::load(&place).unwrap();
        assert_eq!(loaded.entries(&place).unwrap(), [entry(1), entry(2), entry(7)]);
    }

    #[test]
    fn an_entry_that_the_disk_does_not_take_is_not_lost() {
        let (disk, place) = place();
        let mut index = TxnIndex::default();
        disk.inject(SimFault { op: SimOp::Write, skip: 0, error: SimError::NoSpace });
        index.push(&place, entry(1));
        assert_eq!(index.entries(&place).unwrap(), [entry(1)]);
        index.push(&place, entry(2));
        assert_eq!(TxnIndex::load(&place).unwrap().entries(&place).unwrap(), [entry(1), entry(2)]);
    }

    #[test]
    fn what_is_no_entry_is_an_error_and_half_of_one_does_not_count() {
        let (_, place) = place();
        let mut index = TxnIndex::default();
        index.push(&place, entry(1));
        index.file(&place).unwrap().set_len(40).unwrap();
        assert_eq!(TxnIndex::load(&place).unwrap().entries(&place).unwrap(), [entry(1)]);
        index.file(&place).unwrap().write_all_at(&[0xff], 2).unwrap();
        assert!(TxnIndex::load(&place).unwrap().entries(&place).is_err());
    }
}
