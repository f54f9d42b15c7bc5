//! Reading: ranges of whole batches for fetches, records by timestamp. Reads only.

use std::sync::PoisonError;

use ottla_broker_protocol::{FileRange, Segment as Piece};
use ottla_broker_types::{Offset, TimestampMs};

use super::{Log, LogRead, TimestampedOffset};
use crate::error::ReadError;
use crate::segment::{Segment, TimestampQuery, Wanted};

/// Segments that one read touches at most, so that tiny segments do not make it slow; the reader asks again.
const READ_SEGMENTS_MAX: usize = 16;
/// Sealed segments whose files stay open for the next reader; the one that was not used for longest gives way. One, as
/// every partition may have such a reader and the files that a process may open are few.
const OPEN_SEALED_MAX: usize = 1;

impl Log {
    /// Whole batches from the one that contains `from`, or the next one after it, up to `end`, which is exclusive:
    /// a batch that reaches `end` is left out. At most `max_bytes`; with `at_least_one` the first batch is
    /// returned even if it is larger.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        end: Offset,
        at_least_one: bool,
    ) -> Result<LogRead, ReadError> {
        self.usable()?;
        if from < self.log_start || from > self.log_end {
            return Err(ReadError::OffsetOutOfRange {
                asked: from,
                log_start: self.log_start,
                log_end: self.log_end,
            });
        }
        let mut found = LogRead::empty(from);
        for segment in self.segments_from(from).take(READ_SEGMENTS_MAX) {
            if segment.base() >= end || from >= end {
                break;
            }
            let whole = segment.base() != self.active.base() && self.end_of(segment) <= end;
            let whole = whole || end >= self.log_end;
            let selection = segment.select(Wanted {
                from,
                end: if whole { None } else { Some(end) },
                bytes_max: max_bytes.saturating_sub(found.bytes),
                at_least_one: at_least_one && found.bytes == 0,
            });
            let selection = match selection {
                Err(ReadError::Corrupt { source, .. }) => {
                    return Err(ReadError::Corrupt { offset: from.max(segment.base()), source });
                }
                other => other?,
            };
            let Some(selection) = selection else { continue };
            if selection.len > 0 {
                if found.segments.is_empty() {
                    found.first_batch_offset = selection.base_offset;
                }
                found.bytes += selection.len as usize;
                found.last = Some((segment.base(), selection.position + selection.len));
                found.segments.push(Piece::File(FileRange {
                    file: segment.file()?,
                    position: u64::from(selection.position),
                    len: selection.len as usize,
                }));
                self.used(segment);
            }
            if !selection.to_the_end {
                break;
            }
        }
        Ok(found)
    }

    /// The first record at or after the log start whose timestamp is not below `at_least`.
    pub fn offset_for_timestamp(
        &self,
        at_least: TimestampMs,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        self.usable()?;
        let query = TimestampQuery { at_least, from: self.log_start };
        for segment in self.segments_from(self.log_start) {
            let found = segment.find_by_timestamp(query)?;
            if segment.max_timestamp().is_some_and(|max| max >= at_least) {
                self.used(segment);
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp; `None` if no record has one.
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        self.usable()?;
        let Some(largest) = self.largest_timestamp() else { return Ok(None) };
        let holder = self.segments().find(|segment| segment.max_timestamp() == Some(largest));
        let Some(segment) = holder else { return Ok(None) };
        let found = segment.record_with_max_timestamp()?;
        self.used(segment);
        Ok(found)
    }

    /// The segments from the one that `offset` falls into.
    pub(super) fn segments_from(&self, offset: Offset) -> impl Iterator<Item = &Segment> {
        let first = self.sealed.range(..=offset).next_back().map_or(Offset::ZERO, |(base, _)| *base);
        let only_active = self.active.base() <= offset;
        self.sealed
            .range(first..)
            .map(|(_, segment)| segment)
            .filter(move |_| !only_active)
            .chain(std::iter::once(&self.active))
    }

    /// First offset after a segment.
    pub(crate) fn end_of(&self, segment: &Segment) -> Offset {
        if segment.base() == self.active.base() {
            return self.log_end;
        }
        self.sealed.range(segment.base().next()..).next().map_or(self.active.base(), |(base, _)| *base)
    }

    /// Keeps the number of open files bounded: notes the use of a sealed segment and closes another.
    fn used(&self, segment: &Segment) {
        if segment.base() == self.active.base() {
            return;
        }
        let mut open = self.open_sealed.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|base| *base != segment.base());
        open.push_back(segment.base());
        while open.len() > OPEN_SEALED_MAX {
            // What is not synced yet keeps its handle: an error of its writeback is reported there.
            let closed = open.pop_front().and_then(|base| self.sealed.get(&base));
            if let Some(closed) = closed.filter(|closed| !closed.is_unsynced()) {
                closed.close_file();
            }
        }
    }
}
