//! The end of a pass, on the log: what was written anew takes the place of what it was made of.
//! I/O through [`crate::Disk`] only.

use std::io;
use std::sync::atomic::Ordering;

use ottla_broker_types::Offset;

use super::error::CleanError;
use super::pass::{CleanPass, CleanedSegment, Source};
use crate::disk::remove_if_exists;
use crate::error::LogError;
use crate::log::{Deleted, Log};
use crate::segment::{CLEANED_SUFFIX, FileKind, SWAP_SUFFIX, Segment};

impl Log {
    /// Puts a segment that was written anew in the place of those that it was made of, if these are as they were. What it
    /// replaces but the first leaves the log; the files wait for their removal.
    ///
    /// A crash at any point leaves the one or the other; which, is certain once the directory was synced, as a flush does.
    pub fn finish_clean(&mut self, cleaned: CleanedSegment) -> Result<Deleted, CleanError> {
        let CleanedSegment { mut segment, sources, stop } = cleaned;
        let usable = self.usable().is_ok() && self.config.cleanup_policy.compact;
        if !usable || stop.load(Ordering::Relaxed) || !self.has_as_they_were(&sources) {
            self.discard(&segment);
            return Err(CleanError::Stopped);
        }
        if let Err(error) = self.rename(&segment, CLEANED_SUFFIX, SWAP_SUFFIX) {
            self.discard(&segment);
            return Err(match self.refused(error) {
                LogError::NoSpace(error) | LogError::Exhausted(error) => CleanError::Exhausted(error),
                LogError::Failed(error) => CleanError::Io(error),
                corrupt @ LogError::Corrupt { .. } => CleanError::Io(io::Error::other(corrupt)),
            });
        }
        let deleted =
            self.swap_in(&mut segment, &sources).map_err(|error| CleanError::Io(self.fail(error)))?;
        self.sealed.insert(segment.base(), segment);
        Ok(deleted)
    }

    /// Takes note of a pass after its last group; where the compacted part of the log ends now. Without that the next pass
    /// begins where this one did.
    pub fn end_clean(&mut self, pass: &CleanPass) -> Offset {
        if pass.is_through() && !pass.stop.load(Ordering::Relaxed) && self.usable().is_ok() {
            self.cleaned_end = self.cleaned_end.max(pass.reach()).min(self.log_end);
        }
        self.cleaned_end
    }

    fn has_as_they_were(&self, sources: &[Source]) -> bool {
        sources.iter().all(|source| {
            let found = self.sealed.get(&source.base);
            found.is_some_and(|found| {
                found.size_bytes() == source.size_bytes && self.end_of(found) == source.end
            })
        })
    }

    fn swap_in(&mut self, segment: &mut Segment, sources: &[Source]) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        for source in &sources[1..] {
            if let Some(replaced) = self.sealed.remove(&source.base) {
                self.retire(&replaced, &mut deleted)?;
            }
        }
        if let Some(first) = self.sealed.get(&segment.base()) {
            first.close_file();
        }
        self.rename(segment, SWAP_SUFFIX, "")?;
        segment.renamed("");
        self.dir_unsynced = true;
        self.prune_snapshots()?;
        Ok(deleted)
    }

    /// Renames the files of a segment, the batches last: it is their name by which a crash is recovered from.
    fn rename(&self, segment: &Segment, from: &str, to: &str) -> io::Result<()> {
        for kind in FileKind::SEGMENT.into_iter().rev() {
            let place = segment.place();
            let renamed = self.disk.rename(&place.path_with(kind, from), &place.path_with(kind, to));
            match renamed {
                // Without aborted transactions there is no index of them, neither here nor in what is replaced.
                Err(error) if error.kind() == io::ErrorKind::NotFound && kind == FileKind::TxnIndex => {}
                renamed => renamed?,
            }
        }
        Ok(())
    }

    /// Removes the files of a segment that does not come into the log. What cannot be removed now is when it is opened.
    fn discard(&self, segment: &Segment) {
        segment.close_file();
        for kind in FileKind::SEGMENT {
            for suffix in [CLEANED_SUFFIX, SWAP_SUFFIX] {
                let _ = remove_if_exists(&*self.disk, &segment.place().path_with(kind, suffix));
            }
        }
    }
}
