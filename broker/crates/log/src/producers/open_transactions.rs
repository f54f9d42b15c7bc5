//! The transactions of a log that are not over: open ones, and those whose marker is not committed. No I/O.
//!
//! Invariant: a transaction is in one of the two at most, under the offset of its first record.

use std::collections::BTreeMap;

use ottla_broker_types::{Offset, ProducerId};

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedTransaction {
    /// Offset of its first record.
    pub(crate) first_offset: Offset,
    /// First offset of the oldest transaction that is open after it, or else the one after the marker.
    pub(crate) last_stable_offset: Offset,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenTransactions {
    /// Whose they are, by the offset of the first record.
    open: BTreeMap<Offset, ProducerId>,
    /// Offset of the marker, by the offset of the first record.
    ended: BTreeMap<Offset, Offset>,
}

impl OpenTransactions {
    /// A transaction begins with the record at `first`.
    pub(crate) fn begin(&mut self, first: Offset, producer: ProducerId) {
        self.open.insert(first, producer);
    }

    /// The marker at `marker` ends the transaction that began at `first`. Until the marker is committed, its records may
    /// not be shown: if the marker were lost, how the transaction ended would not be known any more.
    pub(crate) fn end(&mut self, first: Offset, marker: Offset) -> EndedTransaction {
        self.open.remove(&first);
        self.ended.insert(first, marker);
        let oldest = self.open.first_key_value().map(|(first, _)| *first);
        EndedTransaction { first_offset: first, last_stable_offset: oldest.unwrap_or(marker.next()) }
    }

    /// First offset of the oldest transaction that is open or whose marker lies at or above `committed_end`.
    pub(crate) fn first_unstable(&self, committed_end: Offset) -> Option<Offset> {
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let mut uncommitted = self.ended.iter().filter(|(_, marker)| **marker >= committed_end);
        let ended = uncommitted.next().map(|(first, _)| *first);
        [open, ended].into_iter().flatten().min()
    }

    /// Everything below `end` is committed for ever.
    pub(crate) fn committed(&mut self, end: Offset) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, marker| *marker >= end);
        }
    }

    /// Count of open transactions.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::clamped(offset)
    }

    #[test]
    fn the_oldest_open_transaction_is_unstable() {
        let mut transactions = OpenTransactions::default();
        assert_eq!(transactions.first_unstable(at(9)), None);
        transactions.begin(at(10), ProducerId(1));
        transactions.begin(at(20), ProducerId(2));
        assert_eq!(transactions.first_unstable(at(99)), Some(at(10)));
        let ended = transactions.end(at(10), at(30));
        assert_eq!((ended.first_offset, ended.last_stable_offset), (at(10), at(20)));
        assert_eq!(transactions.first_unstable(at(99)), Some(at(20)));
        assert_eq!(transactions.end(at(20), at(31)).last_stable_offset, at(32));
        assert_eq!(transactions.open_count(), 0);
    }

    #[test]
    fn an_ended_transaction_is_unstable_until_its_marker_is_committed() {
        let mut transactions = OpenTransactions::default();
        transactions.begin(at(10), ProducerId(1));
        transactions.end(at(10), at(30));
        assert_eq!(transactions.first_unstable(at(30)), Some(at(10)));
        assert_eq!(transactions.first_unstable(at(31)), None);
        transactions.committed(at(30));
        assert_eq!(transactions.first_unstable(at(30)), Some(at(10)));
        transactions.committed(at(31));
        assert_eq!(transactions, OpenTransactions::default());
    }
}
