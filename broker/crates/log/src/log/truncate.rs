//! Cutting the log: its end, or all of it. Durable when it returns. I/O through [`crate::Disk`] only.

use std::collections::BTreeSet;
use std::io;

use ottla_broker_types::{Now, Offset};

use super::{Deleted, Log};
use crate::checkpoint::{EPOCHS_FILE, encode_epochs, write_recovery_limit};
use crate::disk::replace_file;
use crate::epochs::EpochCache;
use crate::error::{LogError, ReadError};
use crate::producers::Producers;
use crate::segment::{Segment, SegmentEnd};

impl Log {
    /// Removes what lies at or after `end`, whole batches: if `end` lies within a batch, that batch goes too.
    /// Returns the log end after that. Nothing happens if the log ends before.
    pub fn truncate_to(&mut self, end: Offset, now: Now) -> Result<Offset, LogError> {
        self.usable().map_err(LogError::Failed)?;
        if end >= self.log_end {
            return Ok(self.log_end);
        }
        let first = self.sealed.keys().next().copied().unwrap_or(self.active.base());
        if end < first {
            self.reset_to(end, now)?;
            return Ok(end);
        }
        let cut = self.cut_at(end).map_err(|error| self.unreadable(error))?;
        self.truncate_files(end, cut).map_err(|error| self.failed(error))?;
        self.log_start = self.log_start.min(self.log_end);
        self.restore_producers(now, &BTreeSet::new()).map_err(|error| self.unreadable(error))?;
        Ok(self.log_end)
    }

    /// Drops everything; the log starts and ends at `start`.
    pub fn reset_to(&mut self, start: Offset, now: Now) -> Result<(), LogError> {
        self.usable().map_err(LogError::Failed)?;
        self.reset_files(start, now).map_err(|error| self.failed(error))
    }

    /// Where the last segment of which something stays is to end.
    fn cut_at(&self, end: Offset) -> Result<SegmentEnd, ReadError> {
        match self.segments().rev().find(|segment| segment.base() < end) {
            Some(segment) => segment.end_before(end),
            None => Ok(SegmentEnd { position: 0, offset: end }),
        }
    }

    fn truncate_files(&mut self, end: Offset, cut: SegmentEnd) -> io::Result<()> {
        self.limit_recovery_point(cut.offset)?;
        let mut deleted = Deleted::default();
        while self.active.base() >= end {
            let Some((_, before)) = self.sealed.pop_last() else { break };
            let removed = std::mem::replace(&mut self.active, before);
            self.retire(&removed, &mut deleted)?;
        }
        self.disk.sync_dir(&self.dir)?;
        let _ = deleted.remove_files(&*self.disk);
        self.active.truncate(cut, self.config.index_interval_bytes)?;
        self.log_end = self.active.end();
        self.cut();
        self.epochs.truncate_from_end(self.log_end);
        self.save_epochs()
    }

    fn reset_files(&mut self, start: Offset, now: Now) -> io::Result<()> {
        self.limit_recovery_point(start)?;
        let mut deleted = Deleted::default();
        // The newest first: what is left after a crash is a log that was truncated.
        self.retire(&self.active, &mut deleted)?;
        while let Some((_, segment)) = self.sealed.pop_last() {
            self.retire(&segment, &mut deleted)?;
        }
        self.disk.sync_dir(&self.dir)?;
        let _ = deleted.remove_files(&*self.disk);
        self.active = Segment::create(self.place(start), now)?;
        (self.log_start, self.log_end) = (start, start);
        self.cut();
        self.recovery_point = start;
        self.epochs = EpochCache::default();
        self.save_epochs()?;
        for offset in std::mem::take(&mut self.snapshots) {
            self.remove_snapshot(offset)?;
        }
        self.producers = Producers::default();
        self.disk.sync_dir(&self.dir)
    }

    /// Notes that the recovery point falls to `end`, before anything is cut: a checkpoint may hold a higher one,
    /// which will not hold for what is appended next.
    fn limit_recovery_point(&mut self, end: Offset) -> io::Result<()> {
        self.stop_cleaning();
        // What was appended since an earlier cut is not synced either.
        let limit = end.min(self.recovery_point);
        if limit >= self.claimed {
            return Ok(());
        }
        write_recovery_limit(&*self.disk, &self.dir, limit)?;
        self.limited = true;
        Ok(())
    }

    /// Takes note that the log ends earlier than before.
    fn cut(&mut self) {
        self.cleaned_end = self.cleaned_end.min(self.log_end);
        self.recovery_point = self.recovery_point.min(self.log_end);
        self.cut_count += 1;
        self.writeback_end = self.writeback_end.min(u64::from(self.active.size_bytes()));
    }

    /// Writes the leader epochs durably.
    pub(super) fn save_epochs(&mut self) -> io::Result<()> {
        let text = encode_epochs(self.epochs.entries());
        replace_file(&*self.disk, &self.dir.join(EPOCHS_FILE), text.as_bytes())?;
        self.epochs_unsaved = false;
        Ok(())
    }
}
