//! The producers' state from the newest snapshot and the batches after it. I/O through [`crate::Disk`] only.

use ottla_broker_types::{Now, Offset};

use super::Log;
use crate::disk::{read_whole, remove_if_exists};
use crate::error::ReadError;
use crate::producers::{Producers, decode_snapshot};
use crate::segment::{FileKind, SEQUENTIAL_CHUNK_BYTES, Segment};

impl Log {
    /// Rebuilds the producers' state at the log end. Snapshots of later offsets and damaged ones are removed.
    pub(super) fn restore_producers(&mut self, now: Now) -> Result<(), ReadError> {
        let outdated = self.snapshots.split_off(&self.log_end.next());
        for offset in &outdated {
            remove_if_exists(&*self.disk, &FileKind::Snapshot.path(&self.dir, *offset))?;
        }
        if !outdated.is_empty() {
            // When the log has grown past them again they must not come back: they tell of other records.
            self.disk.sync_dir(&self.dir)?;
        }
        self.producers = Producers::default();
        // Batches below the log start tell of producers as long as they are there.
        let mut from = self.segments().next().map_or(self.log_start, Segment::base);
        while let Some(offset) = self.snapshots.last().copied() {
            let path = FileKind::Snapshot.path(&self.dir, offset);
            let file = read_whole(&*self.disk, &path)?;
            if let Some(producers) = file.and_then(|file| decode_snapshot(&file, now.wall)) {
                self.producers = producers;
                from = from.max(offset);
                break;
            }
            self.snapshots.remove(&offset);
            remove_if_exists(&*self.disk, &path)?;
        }
        self.replay_producers(from, now)
    }

    fn replay_producers(&mut self, from: Offset, now: Now) -> Result<(), ReadError> {
        if from >= self.log_end {
            return Ok(());
        }
        let mut producers = std::mem::take(&mut self.producers);
        for segment in self.segments_from(from) {
            segment.for_each_batch_from(from, SEQUENTIAL_CHUNK_BYTES, |batch| {
                producers.record(&batch.header, now.wall);
            })?;
            if segment.base() != self.active.base() && !segment.is_unsynced() {
                segment.close_file();
            }
        }
        self.producers = producers;
        Ok(())
    }
}
