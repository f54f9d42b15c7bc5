//! Making the log durable. A flush is a plan, so that its sync can run elsewhere while appends go on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_broker_types::{MonotonicMs, Offset};
use rustix::io::Errno;

use super::Log;
use crate::checkpoint::{EPOCHS_FILE, PARTITION_METADATA_FILE, RECOVERY_LIMIT_FILE, encode_epochs};
use crate::disk::{Disk, DiskFile, OpenMode, remove_if_exists, replace_file};
use crate::error::LogError;

/// What has to be synced so that the log is durable up to [`FlushPlan::end`].
#[must_use = "the log is durable only after the plan was carried out and reported"]
pub struct FlushPlan {
    files: Vec<Arc<dyn DiskFile>>,
    dirs: Vec<PathBuf>,
    sealed: Vec<Offset>,
    end: Offset,
    cut_count: u64,
    /// The records that are not durable before, and since when: what `flush.messages` and `flush.ms` count.
    unflushed: (u64, Option<MonotonicMs>),
    /// Whether the files are as a clean stop leaves them once the plan is carried out.
    settles: bool,
}

impl FlushPlan {
    /// Carries the plan out; needs no access to the log and may take as long as the disk likes.
    pub fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync_data())?;
        self.dirs.iter().try_for_each(|dir| disk.sync_dir(dir))
    }

    /// First offset that will not be durable.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Whether all is durable already.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.dirs.is_empty()
    }
}

impl Log {
    /// Makes everything appended so far durable; the recovery point after that. An error other than
    /// [`LogError::NoSpace`] is final.
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        let plan = self.begin_flush()?;
        let synced = plan.sync(&*self.disk);
        self.finish_flush(plan, synced)
    }

    /// When `flush.ms` will have passed since the oldest append that is not durable; `None` if all is, or without the
    /// setting.
    pub fn flush_due(&self) -> Option<MonotonicMs> {
        Some(self.unflushed_since?.plus(self.config.flush_ms?))
    }

    /// What has to be synced for everything appended so far.
    pub fn begin_flush(&mut self) -> Result<FlushPlan, LogError> {
        self.usable().map_err(LogError::Failed)?;
        if self.epochs_unsaved {
            let text = encode_epochs(self.epochs.entries());
            replace_file(&*self.disk, &self.dir.join(EPOCHS_FILE), text.as_bytes())
                .map_err(|error| self.refused(error))?;
            self.epochs_unsaved = false;
        }
        let mut plan = FlushPlan {
            files: Vec::new(),
            dirs: Vec::new(),
            sealed: Vec::new(),
            end: self.log_end,
            cut_count: self.cut_count,
            unflushed: (self.unflushed_records, self.unflushed_since),
            settles: false,
        };
        self.collect_files(&mut plan).map_err(|error| self.refused(error))?;
        (self.unflushed_records, self.unflushed_since) = (0, None);
        Ok(plan)
    }

    fn collect_files(&mut self, plan: &mut FlushPlan) -> io::Result<()> {
        for segment in self.sealed.values().filter(|segment| segment.is_unsynced()) {
            plan.files.extend(segment.files()?);
            plan.sealed.push(segment.base());
        }
        if self.recovery_point < self.log_end {
            plan.files.push(self.active.file()?);
        }
        if self.made_unsynced {
            let metadata = self.dir.join(PARTITION_METADATA_FILE);
            plan.files.push(self.disk.open(&metadata, OpenMode::Read)?);
            plan.dirs.extend(self.dir.parent().map(Path::to_path_buf));
        }
        if self.dir_unsynced || self.made_unsynced {
            plan.dirs.push(self.dir.to_path_buf());
        }
        (self.dir_unsynced, self.made_unsynced) = (false, false);
        Ok(())
    }

    /// Takes note of how the plan went; the recovery point after that.
    pub fn finish_flush(&mut self, plan: FlushPlan, synced: io::Result<()>) -> Result<Offset, LogError> {
        synced.map_err(|error| self.not_synced(&plan, error))?;
        if plan.cut_count != self.cut_count {
            return Ok(self.recovery_point);
        }
        for base in plan.sealed {
            if let Some(segment) = self.sealed.get_mut(&base) {
                segment.synced();
                segment.close_file();
            }
        }
        self.recovery_point = self.recovery_point.max(plan.end);
        if self.limited && self.recovery_point >= self.claimed {
            remove_if_exists(&*self.disk, &self.dir.join(RECOVERY_LIMIT_FILE))
                .map_err(|error| self.failed(error))?;
            self.limited = false;
            self.dir_unsynced = true;
        }
        self.claimed = self.claimed.max(self.recovery_point);
        if plan.settles && plan.end == self.log_end {
            self.settled = Some((self.log_end, self.cut_count));
        }
        Ok(self.recovery_point)
    }

    /// For a sync that failed. Only that no further file could be opened leaves everything as it was: what was not synced
    /// is part of the next plan. Any other error means that writes are lost, whatever a later sync may say.
    fn not_synced(&mut self, plan: &FlushPlan, error: io::Error) -> LogError {
        let opened_none = matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE));
        if !opened_none {
            return self.failed(error);
        }
        self.dir_unsynced |= !plan.dirs.is_empty();
        self.made_unsynced |= plan.dirs.len() > 1;
        let (records, since) = plan.unflushed;
        self.unflushed_records += records;
        self.unflushed_since = since.or(self.unflushed_since);
        LogError::Exhausted(error)
    }

    /// Whether the files are durable and as a clean stop leaves them, so that closing the log costs nothing.
    pub fn is_settled(&self) -> bool {
        self.settled == Some((self.log_end, self.cut_count))
            && self.recovery_point == self.log_end
            && !(self.dir_unsynced || self.made_unsynced || self.epochs_unsaved)
    }

    /// As [`Log::begin_flush`], and of a log to which nothing was appended since the last one so much more that it
    /// becomes settled: a broker with thousands of idle logs stops at once.
    pub fn begin_upkeep(&mut self) -> Result<FlushPlan, LogError> {
        let is_idle = self.recovery_point == self.log_end;
        if is_idle && !self.is_settled() { self.begin_settle() } else { self.begin_flush() }
    }

    /// What has to be synced for the log to be as a clean stop leaves it.
    fn begin_settle(&mut self) -> Result<FlushPlan, LogError> {
        self.usable().map_err(LogError::Failed)?;
        self.active.seal().map_err(|error| self.refused(error))?;
        self.save_producers(self.log_end).map_err(|error| self.refused(error))?;
        self.dir_unsynced = true;
        let files = self.active.files().map_err(|error| self.refused(error))?;
        let mut plan = self.begin_flush()?;
        // The batches, the first of them, are among the plan's files where they are not durable yet.
        plan.files.extend(files.into_iter().skip(1));
        plan.settles = true;
        Ok(plan)
    }

    /// Makes all durable, so that the next open needs no scan, and ends the use of the handle.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.stop_cleaning();
        self.usable().map_err(LogError::Failed)?;
        if !self.is_settled() {
            let plan = self.begin_settle()?;
            let synced = plan.sync(&*self.disk);
            self.finish_flush(plan, synced)?;
        }
        if self.dir_unsynced {
            self.disk.sync_dir(&self.dir).map_err(|error| self.failed(error))?;
        }
        self.active.close_file();
        self.failure = Some("the log is closed".to_owned());
        Ok(())
    }
}
