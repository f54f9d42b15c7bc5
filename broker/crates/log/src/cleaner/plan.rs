//! What of a log can be compacted, and how a pass begins. Reads timestamps of segments at most.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ottla_broker_types::{Now, Offset};

use super::choose::Cleanable;
use super::pass::{CleanPass, LastBatch, Source};
use crate::disk::remove_if_exists;
use crate::error::LogError;
use crate::log::Log;
use crate::segment::{CLEANED_SUFFIX, Segment};

/// What a pass may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanResources {
    /// Memory for the map of keys, in bytes.
    pub map_bytes: usize,
    /// How full the map may get, in percent.
    pub map_load_percent: u32,
    /// Bytes read at once, and about as many written at once; more where one batch is larger.
    pub chunk_bytes: usize,
    /// The most that the records of one batch may take when they are decompressed; batches that unfold into more stay as
    /// they are.
    pub decoded_bytes_max: usize,
}

impl Log {
    /// How much could be compacted, of what lies below `stable_end`, up to which nothing can change any more: no record
    /// is uncommitted and no transaction open. `None` for a topic that is not compacted, and while a pass is under way.
    pub fn cleanable(&mut self, now: Now, stable_end: Offset) -> io::Result<Option<Cleanable>> {
        if !self.config.cleanup_policy.compact || self.is_failed() || self.cleaning.strong_count() > 0 {
            return Ok(None);
        }
        let dirty_start = self.dirty_start();
        let is_clean = |end: Offset| end <= dirty_start;
        let end = self.cleanable_end(now, stable_end);
        let (mut clean_bytes, mut dirty_bytes) = (0, 0);
        for segment in self.sealed.range(..end).map(|(_, segment)| segment) {
            let bytes = u64::from(segment.size_bytes());
            if is_clean(self.end_of(segment)) { clean_bytes += bytes } else { dirty_bytes += bytes }
        }
        let is_overdue = dirty_bytes > 0 && self.is_overdue(now, dirty_start, end)?;
        let dirty_ratio_min = self.config.dirty_ratio_min;
        Ok(Some(Cleanable { clean_bytes, dirty_bytes, is_overdue, dirty_ratio_min }))
    }

    /// Whether there is anything sealed that was not compacted yet, whether or not its time has come.
    pub fn has_dirt(&self) -> bool {
        self.config.cleanup_policy.compact && self.active.base() > self.dirty_start()
    }

    /// Begins a pass over what [`Log::cleanable`] speaks of; `None` if there is nothing, or a pass is under way. `seed` must
    /// be unknown to who writes the keys.
    pub fn begin_clean(
        &mut self,
        now: Now,
        stable_end: Offset,
        resources: CleanResources,
        seed: u64,
    ) -> Result<Option<CleanPass>, LogError> {
        self.usable().map_err(LogError::Failed)?;
        let dirty_start = self.dirty_start();
        let end = self.cleanable_end(now, stable_end);
        let is_compacted = self.config.cleanup_policy.compact;
        if !is_compacted || self.cleaning.strong_count() > 0 || end <= dirty_start {
            return Ok(None);
        }
        let sources = self.sealed.range(..end).map(|(_, segment)| Source {
            base: segment.base(),
            end: self.end_of(segment),
            size_bytes: segment.size_bytes(),
            index_bytes: segment.index_bytes(),
            has_aborted: segment.has_aborted(),
        });
        let sources: Vec<Source> = sources.collect();
        let first = sources.first().map_or(dirty_start, |source| source.base);
        // What cannot be read now, and leftovers of an earlier pass, which would make a crash void this one's swaps, are
        // looked at again by the next pass; neither is a reason to give the log up.
        let Ok(aborted) = self.aborted_transactions(first, end) else { return Ok(None) };
        if self.remove_leftovers().is_err() {
            return Ok(None);
        }
        let stop = Arc::new(AtomicBool::new(false));
        self.cleaning = Arc::downgrade(&stop);
        let last_batches = self.producers.iter().map(|(id, producer)| {
            let last_offset = producer.last_batch().map(|batch| batch.last_offset);
            LastBatch { id, epoch: producer.epoch, last_offset }
        });
        let last_batches = last_batches.collect();
        Ok(Some(CleanPass::new(
            self,
            now,
            (dirty_start, sources, aborted),
            last_batches,
            stop,
            (resources, seed),
        )))
    }

    /// Removes what a pass that was ended left behind.
    fn remove_leftovers(&self) -> io::Result<()> {
        for path in self.disk.list_dir(self.dir())? {
            let is_leftover = path.to_str().is_some_and(|path| path.ends_with(CLEANED_SUFFIX));
            if is_leftover {
                remove_if_exists(&*self.disk, &path)?;
            }
        }
        Ok(())
    }

    /// First offset that was not compacted yet.
    fn dirty_start(&self) -> Offset {
        self.cleaned_end.max(self.log_start)
    }

    /// Where the segments end that may be compacted: before the active one, before the first that reaches `stable_end`, and
    /// before the first with a record that is too young.
    fn cleanable_end(&self, now: Now, stable_end: Offset) -> Offset {
        let lag = self.config.compaction_lag_ms_min;
        let youngest = now.wall.minus(lag);
        let dirty_start = self.dirty_start();
        let is_too_young =
            |segment: &Segment| lag.0 > 0 && segment.max_timestamp().unwrap_or(segment.touched()) > youngest;
        let stops = |segment: &&Segment| {
            let end = self.end_of(segment);
            end > stable_end || (end > dirty_start && is_too_young(segment))
        };
        self.sealed.values().find(stops).map_or(self.active.base(), Segment::base)
    }

    fn is_overdue(&mut self, now: Now, dirty_start: Offset, end: Offset) -> io::Result<bool> {
        let Some(lag) = self.config.compaction_lag_ms_max else { return Ok(false) };
        let first = self.sealed.range(..=dirty_start).next_back().map_or(Offset::ZERO, |(base, _)| *base);
        for (_, segment) in self.sealed.range_mut(first..end.max(first)) {
            let first = segment.first_timestamp()?;
            if !segment.is_unsynced() {
                segment.close_file();
            }
            if first.is_some_and(|first| first < now.wall.minus(lag).0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
