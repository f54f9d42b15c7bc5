//! Removing old segments, by time, by size, and below the log start. I/O through [`crate::Disk`] only.

use std::io;
use std::path::{Path, PathBuf};

use ottla_broker_types::{Now, Offset};

use super::{Deleted, Log};
use crate::disk::{Trouble, remove_if_exists, trouble};
use crate::error::LogError;
use crate::segment::{DELETED_SUFFIX, FileKind, Segment};

impl Log {
    /// Moves the log start up, at most to the log end; it never goes back. Segments that lie below it as a whole
    /// are removed by the next [`Log::apply_retention`]. The broker checkpoints the log start.
    pub fn advance_log_start(&mut self, to: Offset) {
        let before = self.log_start;
        self.log_start = self.log_start.max(to.min(self.log_end));
        if self.log_start > before {
            self.stop_cleaning();
        }
        if self.epochs.truncate_from_start(self.log_start) {
            self.epochs_unsaved = true;
        }
    }

    /// Takes the segments out of the log that are too old, too many, or below the log start, the oldest first and
    /// none that reaches the high watermark. The active segment is sealed first if it is to go as well.
    ///
    /// The log start moves up accordingly. A topic that is not `cleanup.policy=delete` loses only what lies below
    /// its log start.
    pub fn apply_retention(&mut self, now: Now, high_watermark: Offset) -> Result<Deleted, LogError> {
        self.delete_oldest_while(now, high_watermark, Self::is_expired)
    }

    /// Takes only those segments out of the log that lie below the log start as a whole: what a follower deletes, as
    /// its leader decides on the log start.
    pub fn delete_below_log_start(&mut self, now: Now) -> Result<Deleted, LogError> {
        self.delete_oldest_while(now, self.log_start, |log, _, end, _, _| end <= log.log_start)
    }

    fn delete_oldest_while(
        &mut self,
        now: Now,
        high_watermark: Offset,
        is_over: impl Fn(&Log, &Segment, Offset, u64, Now) -> bool,
    ) -> Result<Deleted, LogError> {
        self.usable().map_err(LogError::Failed)?;
        let mut deleted = Deleted::default();
        let mut excess = self.config.retention_bytes.map_or(0, |max| self.size_bytes().saturating_sub(max));
        loop {
            let oldest = self.sealed.values().next().unwrap_or(&self.active);
            let (base, end) = (oldest.base(), self.end_of(oldest));
            if oldest.size_bytes() == 0 && base == self.active.base() {
                break;
            }
            if end > high_watermark || !is_over(self, oldest, end, excess, now) {
                break;
            }
            excess = excess.saturating_sub(u64::from(oldest.size_bytes()));
            let done = match base == self.active.base() {
                true => self.roll(self.log_end, now),
                false => Ok(()),
            };
            match done.and_then(|()| self.delete_oldest(base, end, &mut deleted)) {
                Ok(()) => {}
                // What was taken out so far must be removed: on a full disk that is what makes room for the rest.
                Err(error) if trouble(&error) != Trouble::Broken && deleted.segment_count > 0 => break,
                Err(error) => return Err(self.refused(error)),
            }
        }
        Ok(deleted)
    }

    fn is_expired(&self, segment: &Segment, end: Offset, excess: u64, now: Now) -> bool {
        if end <= self.log_start {
            return true;
        }
        if !self.config.cleanup_policy.delete {
            return false;
        }
        // Records without a time are as old as the broker's last touch of their segment.
        let newest = segment.max_timestamp().unwrap_or(segment.touched());
        let by_time = self.config.retention_ms.is_some_and(|max| newest < now.wall.minus(max));
        let size = u64::from(segment.size_bytes());
        by_time || (size > 0 && excess >= size)
    }

    fn delete_oldest(&mut self, base: Offset, end: Offset, deleted: &mut Deleted) -> io::Result<()> {
        if let Some(segment) = self.sealed.get(&base) {
            self.retire(segment, deleted)?;
        }
        self.sealed.remove(&base);
        self.advance_log_start(end);
        self.dir_unsynced = true;
        self.prune_snapshots()
    }

    /// Removes the snapshots that are of no use: a log is opened by the newest, and cut back to where a segment begins
    /// by that segment's. Others come from clean stops, and from segments that are gone.
    pub(crate) fn prune_snapshots(&mut self) -> io::Result<()> {
        let newest = self.snapshots.last().copied();
        let begins_segment =
            |offset: &Offset| self.sealed.contains_key(offset) || *offset == self.active.base();
        let is_of_use = |offset: &Offset| Some(*offset) == newest || begins_segment(offset);
        let useless: Vec<Offset> =
            self.snapshots.iter().filter(|offset| !is_of_use(offset)).copied().collect();
        for offset in useless {
            self.remove_snapshot(offset)?;
            self.snapshots.remove(&offset);
        }
        Ok(())
    }

    /// Renames a segment's files, so that they are not taken for the log's any more.
    pub(crate) fn retire(&self, segment: &Segment, deleted: &mut Deleted) -> io::Result<()> {
        segment.close_file();
        for kind in FileKind::SEGMENT {
            deleted.files.extend(self.move_away(&kind.path(&self.dir, segment.base()))?);
        }
        deleted.segment_count += 1;
        deleted.bytes += u64::from(segment.size_bytes());
        Ok(())
    }

    /// Renames a file, and returns the new name; `None` if there is none, as after a power cut a segment that was built
    /// anew may have no indexes yet. Without space for the longer name the file is removed at once.
    fn move_away(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut renamed = path.as_os_str().to_owned();
        renamed.push(DELETED_SUFFIX);
        let renamed = PathBuf::from(renamed);
        match self.disk.rename(path, &renamed) {
            Ok(()) => Ok(Some(renamed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if trouble(&error) == Trouble::NoSpace => {
                remove_if_exists(&*self.disk, path)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove_snapshot(&self, offset: Offset) -> io::Result<()> {
        remove_if_exists(&*self.disk, &FileKind::Snapshot.path(&self.dir, offset))
    }
}
