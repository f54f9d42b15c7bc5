//! Removing old segments, by time, by size, and below the log start. I/O through [`crate::Disk`] only.

use std::io;
use std::path::PathBuf;

use ottla_broker_types::{Now, Offset};

use super::{Deleted, Log};
use crate::disk::remove_if_exists;
use crate::error::LogError;
use crate::segment::{DELETED_SUFFIX, FileKind, Segment};

impl Log {
    /// Moves the log start up, at most to the log end; it never goes back. Segments that lie below it as a whole
    /// are removed by the next [`Log::apply_retention`]. The broker checkpoints the log start.
    pub fn advance_log_start(&mut self, to: Offset) {
        self.log_start = self.log_start.max(to.min(self.log_end));
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
        self.usable().map_err(LogError::Failed)?;
        let mut deleted = Deleted::default();
        let mut excess = self.config.retention_bytes.map_or(0, |max| self.size_bytes().saturating_sub(max));
        loop {
            let oldest = self.sealed.values().next().unwrap_or(&self.active);
            let (base, end) = (oldest.base(), self.end_of(oldest));
            if oldest.size_bytes() == 0 && base == self.active.base() {
                break;
            }
            if end > high_watermark || !self.is_expired(oldest, end, excess, now) {
                break;
            }
            excess = excess.saturating_sub(u64::from(oldest.size_bytes()));
            if base == self.active.base() {
                self.roll(self.log_end, now).map_err(|error| self.refused(error))?;
            }
            self.delete_oldest(base, end, &mut deleted).map_err(|error| self.refused(error))?;
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
        if self.snapshots.remove(&base) {
            self.remove_snapshot(base)?;
        }
        self.advance_log_start(end);
        self.dir_unsynced = true;
        Ok(())
    }

    /// Renames a segment's files, so that they are not taken for the log's any more.
    pub(super) fn retire(&self, segment: &Segment, deleted: &mut Deleted) -> io::Result<()> {
        segment.close_files();
        for kind in FileKind::SEGMENT {
            let path = kind.path(&self.dir, segment.base());
            let mut renamed = path.clone().into_os_string();
            renamed.push(DELETED_SUFFIX);
            let renamed = PathBuf::from(renamed);
            match self.disk.rename(&path, &renamed) {
                Ok(()) => deleted.files.push(renamed),
                // After a power cut a segment that was rebuilt may have no index files yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        deleted.segment_count += 1;
        deleted.bytes += u64::from(segment.size_bytes());
        Ok(())
    }

    pub(super) fn remove_snapshot(&self, offset: Offset) -> io::Result<()> {
        remove_if_exists(&*self.disk, &FileKind::Snapshot.path(&self.dir, offset))
    }
}
