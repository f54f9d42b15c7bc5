//! The log of the quorum: segments on disk, an index in memory.
//!
//! Owns: the segment files. I/O: through the `Disk`; reading on the calling task, from files that the kernel has
//! in memory as a rule; writing in the order of the calls by the [`Writer`].
//!
//! Invariant: entries are on disk without gaps from the first to the newest flushed one, at any time.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_log::DiskFile;
use parking_lot::Mutex;

use super::files::{SharedDisk, TEMPORARY_SUFFIX, invalid};
use super::index::{Index, Slot, next_index};
use super::segment::{HEADER_LEN, Segment, base_of};
use super::writer::{Dirty, Writer};
use crate::codec::Fields;
use crate::raft::{Entry, LogId, log_id, put_frame, take_frame, term_of};

/// A segment is closed once it has so many bytes: the unit in which old entries are dropped, so it bounds what
/// the disk holds in vain.
pub(crate) const SEGMENT_BYTES: u64 = 1024 * 1024;

/// What part of the log there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRange {
    /// The entry before the first, if the log has or had one.
    pub(crate) before: Option<LogId>,
    /// The newest entry, or the one before an empty log.
    pub(crate) last: Option<LogId>,
}

/// The log's files; clones share them.
#[derive(Clone)]
pub(crate) struct LogFiles {
    disk: SharedDisk,
    dir: PathBuf,
    writer: Writer,
    index: Arc<Mutex<Index>>,
}

/// Entries that lie one after the other in one file.
struct Extent {
    file: Arc<dyn DiskFile>,
    first: u64,
    first_slot: Slot,
    last_slot: Slot,
}

impl Extent {
    fn len(&self) -> usize {
        (self.last_slot.position - self.first_slot.position) as usize + self.last_slot.len as usize
    }
}

/// Where to get the next entries from.
enum Source {
    Memory(Box<Entry>),
    File(Extent),
}

/// Bytes to be written to one file.
struct Chunk {
    file: Arc<dyn DiskFile>,
    position: u64,
    bytes: Vec<u8>,
    /// Exclusive end of the entries in it.
    end: u64,
    /// Whether the file is new, so that the folder must be flushed too.
    is_new: bool,
}

impl LogFiles {
    /// Opens the log in `dir`, which must exist: checks every frame and cuts a torn tail off.
    pub(crate) fn open(disk: SharedDisk, dir: &Path, writer: Writer) -> io::Result<LogFiles> {
        let mut bases = Vec::new();
        for path in disk.list_dir(dir)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(TEMPORARY_SUFFIX) {
                disk.remove_file(&path)?;
            } else if let Some(base) = base_of(name) {
                bases.push((base, path));
            }
        }
        bases.sort();
        let index = load(&disk, dir, &bases)?;
        Ok(LogFiles { disk, dir: dir.to_owned(), writer, index: Arc::new(Mutex::new(index)) })
    }

    /// What part of the log there is.
    pub(crate) fn range(&self) -> LogRange {
        let index = self.index.lock();
        LogRange { before: index.before, last: index.last() }
    }

    /// The full position of an entry; also of the one before the first.
    pub(crate) fn id(&self, at: u64) -> Option<LogId> {
        self.index.lock().id(at)
    }

    /// Count of bytes of the frames from `from` on.
    pub(crate) fn bytes_from(&self, from: u64) -> u64 {
        let index = self.index.lock();
        let from = from.max(index.first());
        let Some((slot, holder)) = index.slot(from).zip(index.segment(from)) else { return 0 };
        let later = index.segments.iter().filter(|segment| segment.base > from);
        let later: u64 = later.map(|segment| segment.end_position - HEADER_LEN).sum();
        holder.end_position - slot.position + later
    }

    /// Adds entries, which can be read at once; `done` hears when they are on disk.
    pub(crate) fn append(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) -> io::Result<()> {
        let mut chunks = self.enter(entries)?;
        let last = chunks.pop();
        for chunk in chunks {
            self.writer.submit(self.work(chunk), |_| ());
        }
        match last {
            Some(chunk) => self.writer.submit(self.work(chunk), done),
            None => self.writer.submit(|| Ok(None), done),
        }
        Ok(())
    }

    /// Puts entries into the index and lays out what is to be written. Nothing is submitted under the lock:
    /// the writer takes it too.
    fn enter(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<Vec<Chunk>> {
        let mut index = self.index.lock();
        let mut chunks: Vec<Chunk> = Vec::new();
        for entry in entries {
            if entry.log_id.index != index.end() {
                return Err(invalid(format!("entry {} does not follow {:?}", entry.log_id, index.last())));
            }
            if index.segments.back().is_none_or(|segment| segment.end_position >= SEGMENT_BYTES) {
                let before = index.last();
                chunks.push(self.begin_segment(&mut index, before)?);
            }
            let segment = index.segments.back_mut().expect("a segment was begun if there was none");
            let fits = chunks.last().is_some_and(|chunk| Arc::ptr_eq(&chunk.file, &segment.file));
            if !fits {
                let (file, position) = (segment.file.clone(), segment.end_position);
                chunks.push(Chunk { file, position, bytes: Vec::new(), end: 0, is_new: false });
            }
            let chunk = chunks.last_mut().expect("a chunk was begun if there was none");
            let before_len = chunk.bytes.len();
            put_frame(&mut chunk.bytes, &entry);
            chunk.end = entry.log_id.index + 1;
            let len = (chunk.bytes.len() - before_len) as u32;
            let slot = Slot { term: term_of(&entry.log_id), position: segment.end_position, len };
            segment.end_position += u64::from(len);
            index.push(entry, slot);
        }
        Ok(chunks)
    }

    /// The work of writing a chunk.
    fn work(&self, chunk: Chunk) -> impl FnOnce() -> io::Result<Dirty> + Send + use<> {
        let (disk, dir, index) = (self.disk.clone(), self.dir.clone(), self.index.clone());
        move || {
            chunk.file.write_all_at(&chunk.bytes, chunk.position)?;
            if chunk.is_new {
                disk.sync_dir(&dir)?;
            }
            index.lock().written(chunk.end);
            Ok(Some(chunk.file))
        }
    }

    /// Begins a new segment after the last one; what is returned begins with its header.
    fn begin_segment(&self, index: &mut Index, before: Option<LogId>) -> io::Result<Chunk> {
        let base = next_index(before.as_ref());
        let (segment, header) = Segment::create(&self.disk, &self.dir, base, before)?;
        let file = segment.file.clone();
        index.segments.push_back(segment);
        Ok(Chunk { file, position: 0, bytes: header, end: base, is_new: true })
    }

    /// Drops the entries after `last`; they are gone from the disk when this returns.
    pub(crate) async fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let end = next_index(last.as_ref());
        let (removed, cut) = {
            let mut index = self.index.lock();
            // What lies before the first entry is committed, and such entries are never dropped.
            if end < index.first() {
                return Err(invalid(format!(
                    "entries before {} were to be dropped, which are committed",
                    index.first()
                )));
            }
            let Some((slot, holder)) = index.slot(end).zip(index.segment(end).map(|holder| holder.base))
            else {
                return Ok(());
            };
            index.cut_end(end);
            let mut removed = Vec::new();
            while index.segments.len() > 1 && index.segments.back().is_some_and(|segment| segment.base >= end)
            {
                removed.extend(index.segments.pop_back());
            }
            let kept = index.segments.back_mut().filter(|segment| segment.base == holder);
            let cut = kept.map(|segment| {
                segment.end_position = slot.position;
                (segment.file.clone(), slot.position)
            });
            (removed, cut)
        };
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        self.writer
            .run(move || {
                // From the end backwards, so that a crash leaves no gap.
                for segment in removed {
                    disk.remove_file(&segment.path)?;
                    disk.sync_dir(&dir)?;
                }
                let dirty = match cut {
                    None => None,
                    Some((file, end_position)) => {
                        file.set_len(end_position)?;
                        Some(file)
                    }
                };
                Ok(((), dirty))
            })
            .await
    }

    /// Drops the entries up to and including `upto`, in whole segments; the log may end before that, and then
    /// goes on after it.
    pub(crate) async fn purge(&self, upto: LogId) -> io::Result<()> {
        let (dropped, begun) = {
            let mut index = self.index.lock();
            let overtaken = index.end() <= upto.index;
            let mut dropped = index.cut_start(upto);
            let begun = if overtaken {
                dropped.extend(std::mem::take(&mut index.segments));
                Some(self.begin_segment(&mut index, Some(upto))?)
            } else {
                None
            };
            (dropped, begun)
        };
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let begin = begun.map(|chunk| self.work(chunk));
        self.writer
            .run(move || {
                // From the start, and before the new segment has a header: a crash leaves no gap.
                if !dropped.is_empty() {
                    for segment in &dropped {
                        disk.remove_file(&segment.path)?;
                    }
                    disk.sync_dir(&dir)?;
                }
                let dirty = begin.map_or(Ok(None), |begin| begin())?;
                Ok(((), dirty))
            })
            .await
    }

    /// Reads entries of `range` until `bytes_max` of frames, at least one if there is any. Entries that are not,
    /// or no longer, there are left out; the answer has no gaps.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: u64) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for source in self.plan(range, bytes_max) {
            match source {
                Source::Memory(entry) => entries.push(*entry),
                Source::File(extent) => {
                    let count = entries.len();
                    if let Err(error) = read_extent(&extent, &mut entries) {
                        if self.holds(&extent) {
                            return Err(error);
                        }
                        // The entries were dropped meanwhile, which is no damage.
                        entries.truncate(count);
                        break;
                    }
                }
            }
        }
        Ok(entries)
    }

    fn plan(&self, range: Range<u64>, bytes_max: u64) -> Vec<Source> {
        let index = self.index.lock();
        let mut sources: Vec<Source> = Vec::new();
        let mut total = 0;
        for at in range.start.max(index.first())..range.end.min(index.end()) {
            let (Some(slot), Some(segment)) = (index.slot(at), index.segment(at)) else { break };
            total += u64::from(slot.len);
            if total > bytes_max && !sources.is_empty() {
                break;
            }
            if let Some(entry) = index.recent(at) {
                sources.push(Source::Memory(Box::new(entry.clone())));
                continue;
            }
            if let Some(Source::File(extent)) = sources.last_mut()
                && Arc::ptr_eq(&extent.file, &segment.file)
            {
                extent.last_slot = slot;
                continue;
            }
            sources.push(Source::File(Extent {
                file: segment.file.clone(),
                first: at,
                first_slot: slot,
                last_slot: slot,
            }));
        }
        sources
    }

    /// Whether the log still has the entries of `extent`. An entry that was dropped and replaced has another term.
    fn holds(&self, extent: &Extent) -> bool {
        let index = self.index.lock();
        let last = (extent.first..index.end()).find(|at| index.slot(*at) == Some(extent.last_slot));
        index.slot(extent.first) == Some(extent.first_slot) && last.is_some()
    }
}

fn read_extent(extent: &Extent, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut bytes = vec![0; extent.len()];
    extent.file.read_exact_at(&mut bytes, extent.first_slot.position)?;
    let mut fields = Fields::new(bytes.into());
    while fields.left() > 0 {
        entries.push(take_frame(&mut fields).map_err(|error| invalid(error.to_string()))?);
    }
    Ok(())
}

/// Reads all segments; only the last one may end in the middle of a frame, since an earlier one is flushed
/// before its successor is written.
fn load(disk: &SharedDisk, dir: &Path, bases: &[(u64, PathBuf)]) -> io::Result<Index> {
    let mut segments = VecDeque::new();
    let mut slots = VecDeque::new();
    let mut before = None;
    let mut last = None;
    for (number, (base, path)) in bases.iter().enumerate() {
        let is_last = number + 1 == bases.len();
        let Some(scanned) = Segment::open(disk, path, *base)? else {
            if !is_last {
                return Err(invalid(format!("{} has no intact header", path.display())));
            }
            tracing::warn!(file = %path.display(), "metadata log segment was never begun; removed");
            disk.remove_file(path)?;
            disk.sync_dir(dir)?;
            break;
        };
        if number == 0 {
            before = scanned.segment.before;
            last = before;
        } else if scanned.segment.before != last {
            return Err(invalid(format!("{} does not follow the segment before it", path.display())));
        }
        if let Some(reason) = &scanned.torn {
            if !is_last {
                return Err(invalid(format!("{} is damaged: {reason}", path.display())));
            }
            let end = scanned.segment.end_position;
            tracing::warn!(file = %path.display(), end, reason, "torn tail of the metadata log cut off");
            scanned.segment.file.set_len(end)?;
            scanned.segment.file.sync_data()?;
        }
        if let Some(slot) = scanned.slots.last() {
            last = Some(log_id(slot.term, base + scanned.slots.len() as u64 - 1));
        }
        slots.extend(scanned.slots);
        segments.push_back(scanned.segment);
    }
    if segments.front().is_some_and(|first| next_index(before.as_ref()) != first.base) {
        return Err(invalid("the first segment does not begin after what it says is before it".to_owned()));
    }
    Ok(Index::new(before, segments, slots))
}
