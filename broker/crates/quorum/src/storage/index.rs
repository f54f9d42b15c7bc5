//! Where each entry of the log lies, and the newest entries themselves. No I/O.
//!
//! Invariants: slots are without gaps from `first`; every entry that may not have been written to its file yet
//! is among the recent ones.

use std::collections::VecDeque;

use super::segment::Segment;
use crate::Term;
use crate::raft::{Entry, LogId, log_id};

/// How many bytes of frames stay in memory behind the writer, so that replication to peers that keep up and
/// followers of the stream read no files.
const RECENT_BYTES_MAX: u64 = 256 * 1024;

/// One entry's place in its segment: 24 bytes an entry, so a log of 100,000 entries costs 2.4 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) term: Term,
    pub(crate) position: u64,
    pub(crate) len: u32,
}

/// The log as it is known in memory.
#[derive(Default)]
pub(crate) struct Index {
    /// The entry before the first, if the log has or had one.
    pub(crate) before: Option<LogId>,
    /// Never empty once opened; the last one is appended to.
    pub(crate) segments: VecDeque<Segment>,
    first: u64,
    slots: VecDeque<Slot>,
    recent: VecDeque<Entry>,
    recent_bytes: u64,
    /// Exclusive end of what is in the files.
    written_end: u64,
}

impl Index {
    /// An index of entries that are all in their files.
    pub(crate) fn new(before: Option<LogId>, segments: VecDeque<Segment>, slots: VecDeque<Slot>) -> Index {
        let first = next_index(before.as_ref());
        let written_end = first + slots.len() as u64;
        Index { before, segments, first, slots, recent: VecDeque::new(), recent_bytes: 0, written_end }
    }

    /// The position of the first entry, or of the next if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Exclusive.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The newest entry, or the one before an empty log.
    pub(crate) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.end() - 1)),
            None => self.before,
        }
    }

    /// The full position of an entry; also of the one before the first.
    pub(crate) fn id(&self, index: u64) -> Option<LogId> {
        match self.before {
            Some(before) if before.index == index => Some(before),
            _ => self.slot(index).map(|slot| log_id(slot.term, index)),
        }
    }

    pub(crate) fn slot(&self, index: u64) -> Option<Slot> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.slots.get(at).copied()
    }

    /// The segment that holds the entry.
    pub(crate) fn segment(&self, index: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.base <= index);
        self.segments.get(after.checked_sub(1)?)
    }

    /// The entry, if it is still in memory.
    pub(crate) fn recent(&self, index: u64) -> Option<&Entry> {
        let first = self.recent.front()?.log_id.index;
        self.recent.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// Adds the next entry.
    pub(crate) fn push(&mut self, entry: Entry, slot: Slot) {
        self.slots.push_back(slot);
        self.recent.push_back(entry);
        self.recent_bytes += u64::from(slot.len);
    }

    /// Notes that entries before `end` are in their files, and forgets the oldest of them.
    pub(crate) fn written(&mut self, end: u64) {
        self.written_end = self.written_end.max(end.min(self.end()));
        while self.recent_bytes > RECENT_BYTES_MAX
            && let Some(oldest) = self.recent.front().map(|entry| entry.log_id.index)
            && oldest < self.written_end
        {
            self.recent_bytes -= self.slot(oldest).map_or(0, |slot| u64::from(slot.len));
            self.recent.pop_front();
        }
    }

    /// Drops the entries from `end` on.
    pub(crate) fn cut_end(&mut self, end: u64) {
        while self.end() > end.max(self.first) {
            let last = self.end() - 1;
            if self.recent.back().is_some_and(|entry| entry.log_id.index == last) {
                self.recent.pop_back();
                self.recent_bytes -= self.slot(last).map_or(0, |slot| u64::from(slot.len));
            }
            self.slots.pop_back();
        }
        self.written_end = self.written_end.min(self.end());
    }

    /// Drops the entries up to and including `upto`, and with them the segments that hold nothing else; a log
    /// that ends before `upto` becomes empty and goes on after it. Returns the dropped segments.
    pub(crate) fn cut_start(&mut self, upto: LogId) -> Vec<Segment> {
        while self.first <= upto.index && !self.slots.is_empty() {
            if self.recent.front().is_some_and(|entry| entry.log_id.index == self.first) {
                self.recent.pop_front();
                self.recent_bytes -= self.slot(self.first).map_or(0, |slot| u64::from(slot.len));
            }
            self.slots.pop_front();
            self.first += 1;
        }
        self.first = self.first.max(upto.index + 1);
        self.written_end = self.written_end.max(self.first);
        if self.before < Some(upto) {
            self.before = Some(upto);
        }
        let mut dropped = Vec::new();
        while self.segments.get(1).is_some_and(|second| second.base <= self.first) {
            dropped.extend(self.segments.pop_front());
        }
        dropped
    }
}

/// The position after `id`.
pub(crate) fn next_index(id: Option<&LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}
