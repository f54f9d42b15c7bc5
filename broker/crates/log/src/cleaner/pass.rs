//! One pass over a log: the map of keys, then segment after segment written anew. Touches no file of the log: it reads
//! them by their names and writes others beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_broker_protocol::batch::{BatchHeader, HEADER_LEN};
use ottla_broker_types::{DurationMs, Now, Offset, ProducerEpoch, ProducerId};

use super::error::CleanError;
use super::filter::{Filter, HEADERS_MAX, Kept, Role, damaged, open, readable};
use super::key_map::KeyMap;
use super::plan::CleanResources;
use super::source::BatchSource;
use super::transactions::{Marker, TransactionWalk};
use crate::disk::{Disk, remove_if_exists};
use crate::log::Log;
use crate::segment::{AbortedTransaction, CLEANED_SUFFIX, FileKind, OFFSET_DISTANCE_MAX, Place, Segment};

/// Asked before so many bytes are read or written; it may wait, and false ends the pass.
pub(super) type Pace<'p> = &'p mut dyn FnMut(u64) -> bool;

/// A segment's size at most: positions in it are 31-bit numbers in Kafka's index.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// A segment as the pass found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) base: Offset,
    /// Where the next segment begins.
    pub(super) end: Offset,
    pub(super) size_bytes: u32,
    pub(super) index_bytes: u64,
    /// Whether there is an index of aborted transactions.
    pub(super) has_aborted: bool,
}

/// By which batch a producer is known: the one that ends at `last_offset`, or without one a marker of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBatch {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) last_offset: Option<Offset>,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanStats {
    /// Bytes of batches that were read.
    pub bytes_read: u64,
    /// Bytes of batches that were written.
    pub bytes_written: u64,
    /// Keys in the map.
    pub key_count: usize,
}

/// See the module. The log lets another pass begin only when this one is dropped.
pub struct CleanPass {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    now: Now,
    segment_bytes_max: u64,
    segment_index_bytes_max: u64,
    index_interval_bytes: u32,
    delete_retention: DurationMs,
    chunk_bytes: usize,
    decoded_bytes_max: usize,
    dirty_start: Offset,
    /// Those that may be compacted, from the log's first.
    sources: Vec<Source>,
    /// All transactions that were aborted in the sources.
    aborted: Vec<AbortedTransaction>,
    /// How far what is written has come in them.
    walk: TransactionWalk,
    last_batches: Vec<LastBatch>,
    map: KeyMap,
    /// First offset behind those that the map knows.
    reach: Offset,
    /// Sources that were given out.
    next: usize,
    pub(super) stop: Arc<AtomicBool>,
    stats: CleanStats,
}

/// Segments that are written anew as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanGroup {
    sources: Vec<Source>,
}

/// A segment written anew, in files beside those that it replaces.
#[must_use = "its files stay until they replace others or the log is opened again"]
pub struct CleanedSegment {
    pub(super) segment: Segment,
    pub(super) sources: Vec<Source>,
    pub(super) stop: Arc<AtomicBool>,
}

impl CleanPass {
    pub(super) fn new(
        log: &Log,
        now: Now,
        (dirty_start, sources, aborted): (Offset, Vec<Source>, Vec<AbortedTransaction>),
        last_batches: Vec<LastBatch>,
        stop: Arc<AtomicBool>,
        (resources, seed): (CleanResources, u64),
    ) -> CleanPass {
        let config = log.config();
        let delete_retention = config.delete_retention_ms;
        CleanPass {
            disk: log.disk(),
            dir: log.dir().into(),
            now,
            segment_bytes_max: config.segment_bytes_max.into(),
            segment_index_bytes_max: config.segment_index_bytes_max.into(),
            index_interval_bytes: config.index_interval_bytes,
            delete_retention,
            chunk_bytes: resources.chunk_bytes,
            decoded_bytes_max: resources.decoded_bytes_max,
            dirty_start,
            sources,
            walk: TransactionWalk::new(&aborted, Offset::ZERO),
            aborted,
            last_batches,
            map: KeyMap::new(resources.map_bytes, resources.map_load_percent, seed),
            reach: dirty_start,
            next: 0,
            stop,
            stats: CleanStats::default(),
        }
    }

    /// Where the compacted part of the log ends once the pass is through.
    pub fn reach(&self) -> Offset {
        self.reach
    }

    /// What was done until now.
    pub fn stats(&self) -> CleanStats {
        CleanStats { key_count: self.map.len(), ..self.stats }
    }

    /// Whether all of it was given out.
    pub(super) fn is_through(&self) -> bool {
        self.reach > self.dirty_start && self.group_at(self.next).is_none()
    }

    /// Reads the keys above what was compacted before, as many as there is room for.
    pub fn build_map(&mut self, pace: &mut dyn FnMut(u64) -> bool) -> Result<(), CleanError> {
        let read = self.read_keys(pace);
        read.map_err(|error| self.as_seen(error))
    }

    /// A log that was cut under the pass only looks damaged.
    fn as_seen(&self, error: CleanError) -> CleanError {
        if self.stop.load(Ordering::Relaxed) { CleanError::Stopped } else { error }
    }

    fn read_keys(&mut self, pace: Pace<'_>) -> Result<(), CleanError> {
        let dirty: Vec<Source> =
            self.sources.iter().filter(|source| source.end > self.dirty_start).copied().collect();
        let first = dirty.first().map_or(self.dirty_start, |source| source.base);
        let mut walk = TransactionWalk::new(&self.aborted, first);
        for source in dirty {
            let mut batches = self.open(&source)?;
            let mut read = 0;
            let stop = Arc::clone(&self.stop);
            let mut pace = |bytes| {
                read += bytes;
                !stop.load(Ordering::Relaxed) && pace(bytes)
            };
            while let Some((header, batch)) = batches.next(&mut pace)? {
                let role = role_of(&mut walk, &header, batch).0;
                let is_dirty = header.last_offset() >= self.dirty_start.get();
                if is_dirty && !self.note_keys(&header, batch, role)? {
                    self.stats.bytes_read += read;
                    return Ok(());
                }
            }
            self.stats.bytes_read += read;
        }
        Ok(())
    }

    /// Takes note of a batch's keys; false if there is no room for all of them.
    fn note_keys(&mut self, header: &BatchHeader, batch: &[u8], role: Role) -> Result<bool, CleanError> {
        if role == Role::Records
            && let Some(opened) = open(header, batch, self.decoded_bytes_max)?
        {
            for record in opened.iter_with_headers_max(HEADERS_MAX) {
                let Some(record) = readable(header, record)? else { break };
                let offset = Offset::clamped(record.offset);
                let Some(key) = record.key.filter(|_| offset >= self.dirty_start) else { continue };
                if !self.map.put(key, offset) {
                    return Ok(false);
                }
                self.reach = self.reach.max(offset.next());
            }
        }
        self.reach = self.reach.max(Offset::clamped(header.last_offset()).next());
        Ok(true)
    }

    /// The next segments to write anew as one; `None` when the rest lies above what the map knows.
    pub fn next_group(&mut self) -> Option<CleanGroup> {
        let group = self.group_at(self.next)?;
        self.next += group.sources.len();
        Some(group)
    }

    /// As many of the segments from `at` on as fit into one.
    fn group_at(&self, at: usize) -> Option<CleanGroup> {
        let rest = self.sources.get(at..)?.iter().take_while(|source| source.base < self.reach);
        let mut sources: Vec<Source> = Vec::new();
        let (mut bytes, mut index_bytes) = (0, 0);
        for source in rest {
            bytes += u64::from(source.size_bytes);
            index_bytes += source.index_bytes;
            let first = sources.first().unwrap_or(source).base;
            let fits = bytes <= self.segment_bytes_max
                && index_bytes <= self.segment_index_bytes_max
                && source.end.distance_from(first) <= OFFSET_DISTANCE_MAX;
            if !fits && !sources.is_empty() {
                break;
            }
            sources.push(*source);
        }
        (!sources.is_empty()).then_some(CleanGroup { sources })
    }

    /// Writes a group anew, durably, beside the files of the log. After an error nothing of it is left.
    pub fn clean(
        &mut self,
        group: CleanGroup,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<CleanedSegment, CleanError> {
        let base = group.sources[0].base;
        let place =
            Place { disk: Arc::clone(&self.disk), dir: Arc::clone(&self.dir), base, suffix: CLEANED_SUFFIX };
        let mut spent = (0, 0);
        let mut walk = std::mem::take(&mut self.walk);
        let written = self.write(&group, place.clone(), (&mut walk, pace), &mut spent);
        self.walk = walk;
        self.stats.bytes_read += spent.0;
        self.stats.bytes_written += spent.1;
        match written {
            Ok(segment) => {
                Ok(CleanedSegment { segment, sources: group.sources, stop: Arc::clone(&self.stop) })
            }
            Err(error) => {
                // What cannot be removed now is removed when the log is opened.
                for kind in FileKind::SEGMENT {
                    let _ = remove_if_exists(&*self.disk, &place.path(kind));
                }
                Err(self.as_seen(error))
            }
        }
    }

    fn write(
        &self,
        group: &CleanGroup,
        place: Place,
        (walk, pace): (&mut TransactionWalk, Pace<'_>),
        spent: &mut (u64, u64),
    ) -> Result<Segment, CleanError> {
        let mut out = Output {
            segment: Segment::create(place, self.now)?,
            buffer: Vec::new(),
            headers: Vec::new(),
            chunk_bytes: self.chunk_bytes,
            index_interval_bytes: self.index_interval_bytes,
        };
        let stop = Arc::clone(&self.stop);
        let filter = Filter {
            map: &self.map,
            reach: self.reach,
            now: self.now.wall,
            delete_retention: self.delete_retention,
            decoded_bytes_max: self.decoded_bytes_max,
            last_batches: &self.last_batches,
        };
        let last_source = group.sources.len() - 1;
        for (at, source) in group.sources.iter().enumerate() {
            let mut batches = self.open(source)?;
            let mut left = u64::from(source.size_bytes);
            let mut read = |bytes| {
                spent.0 += bytes;
                !stop.load(Ordering::Relaxed) && pace(bytes)
            };
            while let Some((header, batch)) = batches.next(&mut read)? {
                left = left.saturating_sub(header.size() as u64);
                let is_last = at == last_source && left < HEADER_LEN as u64;
                let (role, aborted) = role_of(walk, &header, batch);
                if let Some(aborted) = aborted {
                    out.segment.push_aborted(aborted);
                }
                match filter.keep(&header, batch, role, is_last)? {
                    Kept::Whole => out.push(header, batch)?,
                    Kept::Rewritten(batch) => {
                        let header = BatchHeader::parse(&batch).map_err(|error| damaged(&header, error))?;
                        out.push(header, &batch)?;
                    }
                    Kept::Nothing => {}
                }
            }
            let before = spent.1;
            spent.1 = u64::from(out.segment.size_bytes()) + out.buffer.len() as u64;
            if !pace(spent.1 - before) {
                return Err(CleanError::Stopped);
            }
        }
        let replaces_index = group.sources.iter().any(|source| source.has_aborted);
        out.finish(replaces_index)
    }

    fn open(&self, source: &Source) -> Result<BatchSource, CleanError> {
        BatchSource::open(&*self.disk, &self.dir, source.base, source.size_bytes, self.chunk_bytes)
    }
}

/// What a batch is to the transactions around it, and what the index must go on telling of.
fn role_of(
    walk: &mut TransactionWalk,
    header: &BatchHeader,
    batch: &[u8],
) -> (Role, Option<AbortedTransaction>) {
    if !header.attributes.is_control() {
        return (if walk.meet(header) { Role::Aborted } else { Role::Records }, None);
    }
    match walk.meet_control(header, batch) {
        Some(Marker::Needed(aborted)) => (Role::Marker, aborted),
        Some(Marker::Spare) => (Role::SpareMarker, None),
        None => (Role::Marker, None),
    }
}

/// The segment that is written.
struct Output {
    segment: Segment,
    buffer: Vec<u8>,
    headers: Vec<BatchHeader>,
    chunk_bytes: usize,
    index_interval_bytes: u32,
}

impl Output {
    fn push(&mut self, header: BatchHeader, batch: &[u8]) -> Result<(), CleanError> {
        let size = u64::from(self.segment.size_bytes()) + (self.buffer.len() + batch.len()) as u64;
        if size > SEGMENT_BYTES_MAX {
            return Err(CleanError::TooLarge { base: self.segment.base() });
        }
        self.buffer.extend_from_slice(batch);
        self.headers.push(header);
        if self.buffer.len() >= self.chunk_bytes {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<(), CleanError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.segment.write(&self.buffer)?;
        for header in self.headers.drain(..) {
            self.segment.note(&header, self.index_interval_bytes);
        }
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, replaces_index: bool) -> Result<Segment, CleanError> {
        self.write_out()?;
        self.segment.seal()?;
        self.segment.sync()?;
        if replaces_index {
            self.segment.make_txn_index()?;
        }
        self.segment.close_file();
        Ok(self.segment)
    }
}
