//! The producers' state from the newest snapshot and the batches after it. I/O through [`crate::Disk`] only.

use std::collections::BTreeSet;
use std::io;

use ottla_broker_protocol::batch::EndTransactionMarker;
use ottla_broker_types::{Now, Offset};

use super::Log;
use super::transactions::aborted_by;
use crate::disk::{read_whole, remove_if_exists};
use crate::error::ReadError;
use crate::producers::{Producers, decode_snapshot};
use crate::segment::{AbortedTransaction, FileKind, SEQUENTIAL_CHUNK_BYTES, Segment, StoredBatch};

/// Bytes of a control batch at most; others are no markers.
const MARKER_BYTES_MAX: usize = 4 << 10;

impl Log {
    /// Rebuilds the producers' state at the log end. Snapshots of later offsets and damaged ones are removed. Of the
    /// segments at `rebuilt` the indexes of aborted transactions are made anew.
    pub(super) fn restore_producers(
        &mut self,
        now: Now,
        rebuilt: &BTreeSet<Offset>,
    ) -> Result<(), ReadError> {
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
        // What was open where the first of these segments begins has to be known.
        let latest = rebuilt.first().copied().unwrap_or(Offset::MAX);
        while let Some(offset) = self.snapshots.range(..=latest).next_back().copied() {
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
        self.replay_producers(from, now, rebuilt)
    }

    fn replay_producers(
        &mut self,
        from: Offset,
        now: Now,
        rebuilt: &BTreeSet<Offset>,
    ) -> Result<(), ReadError> {
        if from >= self.log_end {
            return Ok(());
        }
        let mut producers = std::mem::take(&mut self.producers);
        let mut aborted = Vec::new();
        for segment in self.segments_from(from) {
            let mut unread = None;
            segment.for_each_batch_from(from, SEQUENTIAL_CHUNK_BYTES, |batch| {
                producers.record(&batch.header, now.wall);
                if batch.header.attributes.is_control() {
                    match replay_marker(&mut producers, segment, batch) {
                        Ok(ended) => aborted.extend(ended.map(|aborted| (segment.base(), aborted))),
                        Err(error) => unread = Some(error),
                    }
                }
            })?;
            if let Some(error) = unread {
                return Err(error.into());
            }
            if segment.base() != self.active.base() && !segment.is_unsynced() {
                segment.close_file();
            }
        }
        self.producers = producers;
        for (base, aborted) in aborted.into_iter().filter(|(base, _)| rebuilt.contains(base)) {
            self.sealed.get_mut(&base).unwrap_or(&mut self.active).push_aborted(aborted);
        }
        Ok(())
    }
}

/// Takes note of a control batch; the transaction that it aborted, if any.
fn replay_marker(
    producers: &mut Producers,
    segment: &Segment,
    batch: &StoredBatch,
) -> io::Result<Option<AbortedTransaction>> {
    let Some(bytes) = segment.read_small(batch, MARKER_BYTES_MAX)? else { return Ok(None) };
    let marker = EndTransactionMarker::read(&batch.header, &bytes);
    Ok(marker.and_then(|marker| {
        let ended = producers.end(&batch.header, marker)?;
        aborted_by(&batch.header, marker, ended)
    }))
}
