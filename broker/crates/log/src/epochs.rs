//! Which leader epoch began at which offset of a log. No I/O.
//!
//! Invariant: both epochs and start offsets increase from entry to entry.

use ottla_broker_types::{LeaderEpoch, Offset};

/// The leader epochs of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// Takes entries that are in order.
    pub(crate) fn new(entries: Vec<(LeaderEpoch, Offset)>) -> EpochCache {
        EpochCache { entries }
    }

    /// Each epoch with the offset of its first record, in order.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The newest epoch that has records.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// The epoch of the record at `offset`; `None` before the first epoch.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        self.entries[..after].last().map(|(epoch, _)| *epoch)
    }

    /// The largest epoch at or below `asked`, and the first offset after its records, in a log that ends at
    /// `log_end` (KIP-101, KIP-279). Before the first epoch that is `asked` itself and the first epoch's start.
    pub fn end_offset_for(&self, asked: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|(epoch, _)| *epoch <= asked);
        let end = self.entries.get(after).map(|(_, start)| *start);
        match (self.entries[..after].last(), end) {
            (Some((epoch, _)), end) => Some((*epoch, end.unwrap_or(log_end))),
            (None, Some(first_start)) => Some((asked, first_start)),
            (None, None) => None,
        }
    }

    /// Takes note that `epoch` has a record at `offset`; whether that is news. Older epochs are ignored.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        if self.latest_epoch().is_some_and(|latest| latest >= epoch) {
            return false;
        }
        // An epoch that begins where the one before did has replaced it: that one has no record.
        self.truncate_from_end(offset);
        self.entries.push((epoch, offset));
        true
    }

    /// Forgets the epochs that begin at or after `end`; whether there were any.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|(_, start)| *start < end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets what lies before `log_start`: its epoch begins there; whether that changed anything.
    pub(crate) fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let after = self.entries.partition_point(|(_, start)| *start <= log_start);
        if after == 0 || (after == 1 && self.entries[0].1 == log_start) {
            return false;
        }
        self.entries.drain(..after - 1);
        self.entries[0].1 = log_start;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::clamped(offset)
    }

    fn cache() -> EpochCache {
        EpochCache::new(vec![(LeaderEpoch(2), at(10)), (LeaderEpoch(3), at(20)), (LeaderEpoch(7), at(30))])
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_one_with_records() {
        let end = |asked| cache().end_offset_for(LeaderEpoch(asked), at(40));
        assert_eq!(end(2), Some((LeaderEpoch(2), at(20))));
        assert_eq!(end(5), Some((LeaderEpoch(3), at(30))));
        assert_eq!(end(7), Some((LeaderEpoch(7), at(40))));
        assert_eq!(end(9), Some((LeaderEpoch(7), at(40))));
        assert_eq!(end(1), Some((LeaderEpoch(1), at(10))));
        assert_eq!(EpochCache::default().end_offset_for(LeaderEpoch(1), at(40)), None);
    }

    #[test]
    fn an_offset_has_the_epoch_that_began_last_before_it() {
        assert_eq!(cache().epoch_at(at(9)), None);
        assert_eq!(cache().epoch_at(at(20)), Some(LeaderEpoch(3)));
        assert_eq!(cache().epoch_at(at(99)), Some(LeaderEpoch(7)));
    }

    #[test]
    fn an_epoch_is_assigned_once_and_never_goes_back() {
        let mut cache = cache();
        assert!(!cache.assign(LeaderEpoch(7), at(35)));
        assert!(!cache.assign(LeaderEpoch(5), at(36)));
        assert!(cache.assign(LeaderEpoch(8), at(40)));
        assert_eq!(cache.entries().last(), Some(&(LeaderEpoch(8), at(40))));
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut cache = cache();
        assert!(cache.assign(LeaderEpoch(8), at(30)));
        assert_eq!(cache.entries().last(), Some(&(LeaderEpoch(8), at(30))));
        assert_eq!(cache.entries().len(), 3);
    }

    #[test]
    fn truncation_keeps_the_epoch_that_contains_the_cut() {
        let mut end = cache();
        assert!(end.truncate_from_end(at(30)));
        assert_eq!(end.latest_epoch(), Some(LeaderEpoch(3)));
        let mut start = cache();
        assert!(start.truncate_from_start(at(25)));
        assert_eq!(start.entries(), [(LeaderEpoch(3), at(25)), (LeaderEpoch(7), at(30))]);
        assert!(!start.truncate_from_start(at(25)));
    }
}
