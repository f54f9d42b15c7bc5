//! Opening a log: trusting what was closed, walking over what was not. I/O through [`Disk`] only.
//!
//! Invariant: nothing below the recovery point is removed. If something there is damaged, opening fails.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{LeaderEpoch, Now, Offset, TopicId, TopicPartition};

use super::{Log, OpenReport, RecoveryPoint};
use crate::checkpoint::{
    EPOCHS_FILE, PARTITION_METADATA_FILE, Unreadable, decode_epochs, decode_metadata, encode_metadata,
    is_metadata_log, read_recovery_limit, write_recovery_limit,
};
use crate::config::LogConfig;
use crate::disk::{Disk, OpenMode, read_whole, remove_if_exists};
use crate::epochs::EpochCache;
use crate::error::{Corruption, OpenError};
use crate::producers::Producers;
use crate::segment::{
    DELETED_SUFFIX, Damage, FileKind, OFFSET_DISTANCE_MAX, Place, RecoveryRules, Segment, TMP_SUFFIX,
    offset_in_name,
};

/// Sealed segments of a log that was not closed which stay open until the next flush. What lies above the recovery point
/// is a few segments; of a log without one all of them are, and further ones are synced and closed at once.
const REBUILT_OPEN_MAX: usize = 16;

impl Log {
    /// Opens the log in `dir`, a directory named `<topic>-<partition>`, which is made if it is missing.
    ///
    /// After a clean shutdown the files are trusted. Otherwise the batches from the recovery point on are checked
    /// and the log ends before the first bad one; nothing below the recovery point is removed.
    /// `recovery.synced_end` has to be what the checkpoint says, also for a directory that is new.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        topic: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        recovery: RecoveryPoint,
        now: Now,
    ) -> Result<Log, OpenError> {
        if topic.topic.is_metadata_log()
            || dir.file_name().and_then(OsStr::to_str).is_some_and(is_metadata_log)
        {
            return Err(OpenError::MetadataLog { path: dir.to_owned() });
        }
        let opening = Opening { disk, dir: dir.into(), config, recovery, now };
        let in_dir = |source| OpenError::Io { path: dir.to_owned(), source };
        let files = opening.prepare(topic_id)?;
        let limit = read_recovery_limit(&*opening.disk, dir).map_err(in_dir)?;
        let synced_end = recovery.synced_end.min(limit.unwrap_or(Offset::MAX));
        let bases = opening.without_empty(&files.bases)?;
        let mut found = opening.segments(&bases, synced_end)?;
        let rebuilt = std::mem::take(&mut found.with_markers);
        let mut log = opening.assemble(topic, topic_id, files, found).map_err(in_dir)?;
        log.limited = limit.is_some();
        log.cleaned_end_max = log.log_end.min(limit.unwrap_or(Offset::MAX));
        log.settle(recovery, synced_end, &rebuilt, now).map_err(in_dir)?;
        Ok(log)
    }

    /// Brings the facts in line after the segments were opened.
    fn settle(
        &mut self,
        recovery: RecoveryPoint,
        synced_end: Offset,
        rebuilt: &BTreeSet<Offset>,
        now: Now,
    ) -> io::Result<()> {
        let synced_end = if recovery.clean_shutdown { self.log_end } else { synced_end };
        self.recovery_point = synced_end.min(self.log_end);
        self.claimed = recovery.synced_end.max(self.recovery_point);
        if self.log_end < self.claimed && !self.limited {
            write_recovery_limit(&*self.disk, &self.dir, self.log_end)?;
            self.limited = true;
        }
        if recovery.log_start > self.log_end {
            self.reset_to(recovery.log_start, now).map_err(io::Error::other)?;
        }
        self.epochs_unsaved |= self.epochs.truncate_from_end(self.log_end);
        let first = self.segments().next().map_or(self.log_end, Segment::base);
        self.log_start = first.min(self.log_end);
        self.advance_log_start(recovery.log_start);
        self.epochs_unsaved |= self.epochs.truncate_from_start(self.log_start);
        self.restore_producers(now, rebuilt).map_err(io::Error::other)?;
        self.prune_snapshots()?;
        let is_as_closed = recovery.clean_shutdown && self.report == OpenReport::default();
        if is_as_closed && self.snapshots.contains(&self.log_end) {
            self.settled = Some((self.log_end, self.cut_count));
        }
        Ok(())
    }
}

/// Whether the segment before `base` lost its end. Segments follow each other without a gap, unless the offsets left
/// one that a segment cannot hold; below the recovery point compaction may have made one.
fn is_lost(walked_end: Offset, base: Offset, synced_end: Offset) -> bool {
    let gap = base.distance_from(walked_end);
    walked_end >= synced_end && gap > 0 && gap <= OFFSET_DISTANCE_MAX
}

pub(super) struct Opening {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: Arc<Path>,
    config: LogConfig,
    recovery: RecoveryPoint,
    now: Now,
}

/// The offsets in the names of the directory's files.
#[derive(Default)]
struct Files {
    bases: Vec<Offset>,
    snapshots: BTreeSet<Offset>,
    /// Whether the directory or what says whose it is was made just now.
    is_new: bool,
}

struct Found {
    segments: Vec<Segment>,
    /// Segments that were built anew and sealed.
    rebuilt_open: usize,
    /// Bases of those that were built anew and hold control batches.
    with_markers: BTreeSet<Offset>,
    epochs: EpochCache,
    epochs_unsaved: bool,
    report: OpenReport,
}

impl Opening {
    pub(super) fn at<T>(&self, path: &Path, result: io::Result<T>) -> Result<T, OpenError> {
        result.map_err(|source| OpenError::Io { path: path.to_owned(), source })
    }

    /// Makes the directory if it is missing, checks whose it is, and removes leftovers.
    fn prepare(&self, topic_id: TopicId) -> Result<Files, OpenError> {
        let dir = &*self.dir;
        let mut files = Files::default();
        if !self.at(dir, self.disk.exists(dir))? {
            self.at(dir, self.disk.create_dir_all(dir))?;
        }
        let path = dir.join(PARTITION_METADATA_FILE);
        let metadata = self.at(&path, read_whole(&*self.disk, &path))?;
        match metadata.as_deref().map(decode_metadata) {
            Some(Ok(found)) if found != topic_id => {
                return Err(OpenError::TopicIdMismatch { expected: topic_id, found });
            }
            Some(Ok(_)) => {}
            Some(Err(newer @ Unreadable::Newer { .. })) => return Err(OpenError::Newer(newer.at(&path))),
            // New, or torn by a power cut before its first flush: then nothing was promised.
            None | Some(Err(Unreadable::Malformed(_))) => {
                self.at(&path, self.write_metadata(&path, topic_id))?;
                files.is_new = true;
            }
        }
        let listed = self.at(dir, self.disk.list_dir(dir))?;
        let listed = match self.complete_swaps(&listed)? {
            true => self.at(dir, self.disk.list_dir(dir))?,
            false => listed,
        };
        for path in &listed {
            files.bases.extend(offset_in_name(path, FileKind::Log));
        }
        for path in &listed {
            if self.is_leftover(path, &files.bases) {
                self.at(path, remove_if_exists(&*self.disk, path))?;
            } else {
                files.snapshots.extend(offset_in_name(path, FileKind::Snapshot));
            }
        }
        Ok(files)
    }

    /// Removes the segments that hold nothing, but for the first: when there was no space to complete a new segment
    /// the log may have gone on in the old one, past the new one's base.
    fn without_empty(&self, bases: &[Offset]) -> Result<Vec<Offset>, OpenError> {
        let mut kept = Vec::with_capacity(bases.len());
        for &base in bases {
            let path = self.path_of(base);
            let file = self.at(&path, self.disk.open(&path, OpenMode::Read))?;
            if kept.is_empty() || self.at(&path, file.len())? > 0 {
                kept.push(base);
            } else {
                self.remove_segment(base)?;
            }
        }
        Ok(kept)
    }

    fn write_metadata(&self, path: &Path, topic_id: TopicId) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_all_at(encode_metadata(topic_id).as_bytes(), 0)
    }

    /// Whether a file is unfinished, waits for its removal, or is an index without a segment.
    fn is_leftover(&self, path: &Path, bases: &[Offset]) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(DELETED_SUFFIX) || name.ends_with(TMP_SUFFIX) {
            return true;
        }
        [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex]
            .into_iter()
            .filter_map(|kind| offset_in_name(path, kind))
            .any(|base| !bases.contains(&base))
    }

    /// The leader epochs on disk; `None` if the file is missing or damaged.
    fn epochs(&self) -> Result<Option<EpochCache>, OpenError> {
        let path = self.dir.join(EPOCHS_FILE);
        let bytes = self.at(&path, read_whole(&*self.disk, &path))?;
        match bytes.as_deref().map(decode_epochs) {
            Some(Ok(entries)) => Ok(Some(EpochCache::new(entries))),
            Some(Err(newer @ Unreadable::Newer { .. })) => Err(OpenError::Newer(newer.at(&path))),
            None | Some(Err(Unreadable::Malformed(_))) => Ok(None),
        }
    }

    fn place(&self, base: Offset) -> Place {
        Place { disk: self.disk.clone(), dir: self.dir.clone(), base, suffix: "" }
    }

    /// Whether there is anything in the segments; those that hold nothing were left out but for the first.
    fn holds_batches(&self, bases: &[Offset]) -> Result<bool, OpenError> {
        let [only] = bases else { return Ok(!bases.is_empty()) };
        let path = self.path_of(*only);
        let len = self.disk.open(&path, OpenMode::Read).and_then(|file| file.len());
        Ok(self.at(&path, len)? > 0)
    }

    /// Opens or rebuilds each segment up to the first bad batch.
    fn segments(&self, bases: &[Offset], synced_end: Offset) -> Result<Found, OpenError> {
        let saved = self.epochs()?;
        let without_epochs = saved.is_none() && self.holds_batches(bases)?;
        let mut found = Found {
            segments: Vec::with_capacity(bases.len()),
            rebuilt_open: 0,
            with_markers: BTreeSet::new(),
            epochs: saved.unwrap_or_default(),
            epochs_unsaved: without_epochs,
            report: OpenReport::default(),
        };
        let mut walked_end = None;
        for (at, base) in bases.iter().enumerate() {
            let end = bases.get(at + 1).copied();
            let trusted = self.recovery.clean_shutdown || end.is_some_and(|end| end <= synced_end);
            if trusted && !without_epochs && self.open_trusted(*base, end.is_none(), &mut found)? {
                continue;
            }
            if let Some(end) = walked_end.filter(|walked_end| is_lost(*walked_end, *base, synced_end)) {
                self.cut(
                    end,
                    Corruption::SegmentsApart { end, base: *base },
                    synced_end,
                    &bases[at..],
                    &mut found,
                )?;
                break;
            }
            let mut rules = RecoveryRules {
                index_interval_bytes: self.config.index_interval_bytes,
                synced_end,
                next_offset: walked_end.unwrap_or(*base).max(*base),
                latest_epoch: base.prev().and_then(|before| found.epochs.epoch_at(before)),
            };
            let damage = self.rebuild(*base, end.is_some(), &mut rules, &mut found)?;
            walked_end = Some(rules.next_offset);
            if let Some(damage) = damage {
                self.cut(rules.next_offset, damage.corruption, synced_end, &bases[at + 1..], &mut found)?;
                break;
            }
        }
        Ok(found)
    }

    /// Opens a segment by its indexes; false if these do not fit and have to be built anew.
    fn open_trusted(&self, base: Offset, active: bool, found: &mut Found) -> Result<bool, OpenError> {
        let interval = self.config.index_interval_bytes;
        let opened =
            self.at(&self.path_of(base), Segment::open(self.place(base), active, interval, self.now))?;
        let Some(mut segment) = opened else { return Ok(false) };
        segment.synced();
        found.segments.push(segment);
        Ok(true)
    }

    fn rebuild(
        &self,
        base: Offset,
        seal: bool,
        rules: &mut RecoveryRules,
        found: &mut Found,
    ) -> Result<Option<Damage>, OpenError> {
        let epochs = &mut found.epochs;
        let (mut changed, mut has_markers) = (false, false);
        let mut visit = |header: &BatchHeader| {
            has_markers |= header.attributes.is_control();
            if let Some(epoch) = LeaderEpoch::from_wire(header.partition_leader_epoch) {
                changed |= epochs.assign(epoch, Offset::clamped(header.base_offset));
            }
        };
        let rebuilt = Segment::rebuild(self.place(base), rules, self.now, &mut visit);
        let (mut segment, damage) = self.at(&self.path_of(base), rebuilt)?;
        found.epochs_unsaved |= changed;
        if has_markers {
            found.with_markers.insert(base);
        }
        found.report.rebuilt_bytes += u64::from(segment.size_bytes());
        if seal {
            self.at(&self.path_of(base), segment.seal())?;
            found.rebuilt_open += 1;
            if found.rebuilt_open > REBUILT_OPEN_MAX {
                self.at(&self.path_of(base), segment.sync())?;
                segment.close_file();
            }
        }
        found.segments.push(segment);
        Ok(damage)
    }

    /// Ends the log at `end`, where the segment opened last ends, durably: what is appended next must not be followed
    /// by old bytes.
    fn cut(
        &self,
        end: Offset,
        corruption: Corruption,
        synced_end: Offset,
        later: &[Offset],
        found: &mut Found,
    ) -> Result<(), OpenError> {
        let Some(segment) = found.segments.last() else { return Ok(()) };
        let path = self.path_of(segment.base());
        if end < synced_end {
            return Err(OpenError::Damaged { path, position: segment.size_bytes(), source: corruption });
        }
        for base in later.iter().rev() {
            found.report.truncated_bytes += self.remove_segment(*base)?;
            found.report.removed_segment_count += 1;
        }
        self.at(&self.dir, self.disk.sync_dir(&self.dir))?;
        let file = self.at(&path, segment.file())?;
        let len = self.at(&path, file.len())?;
        found.report.truncated_bytes += len - u64::from(segment.size_bytes());
        self.at(&path, segment.cut_back())?;
        self.at(&path, file.sync_data())
    }

    fn remove_segment(&self, base: Offset) -> Result<u64, OpenError> {
        let path = self.path_of(base);
        let file = self.at(&path, self.disk.open(&path, OpenMode::Read))?;
        let len = self.at(&path, file.len())?;
        for kind in FileKind::SEGMENT {
            let path = kind.path(&self.dir, base);
            self.at(&path, remove_if_exists(&*self.disk, &path))?;
        }
        Ok(len)
    }

    fn path_of(&self, base: Offset) -> PathBuf {
        FileKind::Log.path(&self.dir, base)
    }

    /// The log of the segments that were found, the last of them active; a new one if there are none.
    fn assemble(
        &self,
        topic: TopicPartition,
        topic_id: TopicId,
        Files { snapshots, is_new, .. }: Files,
        found: Found,
    ) -> io::Result<Log> {
        let mut segments = found.segments;
        let mut active = match segments.pop() {
            Some(active) => active,
            None => Segment::create(self.place(self.recovery.log_start), self.now)?,
        };
        if self.config.preallocate {
            // Without space for a whole segment the log opens all the same.
            let _ = active.allocate(u64::from(self.config.segment_bytes_max));
        }
        let log_end = active.end();
        let writeback_end = u64::from(active.size_bytes());
        Ok(Log {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            topic,
            topic_id,
            config: self.config.clone(),
            sealed: segments.into_iter().map(|segment| (segment.base(), segment)).collect::<BTreeMap<_, _>>(),
            active,
            log_start: Offset::ZERO,
            log_end,
            recovery_point: Offset::ZERO,
            claimed: Offset::ZERO,
            limited: false,
            epochs: found.epochs,
            epochs_unsaved: found.epochs_unsaved,
            producers: Producers::default(),
            snapshots,
            // A process that was killed may have made files that are not durable yet.
            dir_unsynced: !self.recovery.clean_shutdown || is_new,
            made_unsynced: !self.recovery.clean_shutdown || is_new,
            settled: None,
            unflushed_records: 0,
            unflushed_since: None,
            writeback_end,
            cleaned_end: Offset::ZERO,
            cleaned_end_max: Offset::ZERO,
            cleaning: Weak::new(),
            cut_count: 0,
            open_sealed: Mutex::new(VecDeque::new()),
            failure: None,
            report: found.report,
        })
    }
}
