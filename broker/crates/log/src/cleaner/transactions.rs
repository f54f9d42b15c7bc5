//! Which batches belong to aborted transactions, and which markers nobody needs any more, as a pass walks over a log from
//! some offset on. No I/O.
//!
//! Invariant: a marker stays as long as the walk met a batch of its transaction, so that readers of committed records
//! never meet an aborted batch without its marker, nor an entry in a transaction index that nothing ends.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_protocol::batch::{BatchHeader, EndTransactionMarker, TransactionResult};
use ottla_broker_types::{Offset, ProducerId};

use crate::segment::AbortedTransaction;

/// What a marker ends, as far as it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// Batches of the transaction are there. Of an aborted one the index must go on telling.
    Needed(Option<AbortedTransaction>),
    /// Nothing is left of the transaction.
    Spare,
}

/// See the module.
#[derive(Default)]
pub(super) struct TransactionWalk {
    /// Those that begin further on, the next one last.
    ahead: Vec<AbortedTransaction>,
    /// Those that the walk is within, and whether it met a batch of each.
    aborted: BTreeMap<ProducerId, (AbortedTransaction, bool)>,
    /// Producers of which batches were met that are not known to be aborted.
    committed: BTreeSet<ProducerId>,
}

impl TransactionWalk {
    /// A walk from `from` on; `aborted` holds at least all that were aborted at or after it.
    pub(super) fn new(aborted: &[AbortedTransaction], from: Offset) -> TransactionWalk {
        let mut ahead: Vec<_> = aborted.iter().filter(|entry| entry.last_offset >= from).copied().collect();
        ahead.sort_by_key(|entry| std::cmp::Reverse(entry.first_offset));
        TransactionWalk { ahead, aborted: BTreeMap::new(), committed: BTreeSet::new() }
    }

    /// Meets a batch of records; whether it belongs to an aborted transaction.
    pub(super) fn meet(&mut self, header: &BatchHeader) -> bool {
        let Some(producer) = ProducerId::from_wire(header.producer_id) else { return false };
        if !header.attributes.is_transactional() {
            return false;
        }
        self.go_on(header);
        match self.aborted.get_mut(&producer) {
            Some((_, is_met)) => {
                *is_met = true;
                true
            }
            None => {
                self.committed.insert(producer);
                false
            }
        }
    }

    /// Meets a control batch; `None` for one that ends no transaction.
    pub(super) fn meet_control(&mut self, header: &BatchHeader, batch: &[u8]) -> Option<Marker> {
        self.go_on(header);
        if header.record_count == 0 {
            // Compaction emptied it: it was spare.
            return Some(Marker::Spare);
        }
        let marker = EndTransactionMarker::read(header, batch)?;
        let producer = ProducerId::from_wire(header.producer_id)?;
        Some(match marker.result {
            TransactionResult::Abort => match self.aborted.remove(&producer) {
                Some((entry, true)) => Marker::Needed(Some(entry)),
                Some((_, false)) | None => Marker::Spare,
            },
            TransactionResult::Commit if self.committed.remove(&producer) => Marker::Needed(None),
            TransactionResult::Commit => Marker::Spare,
        })
    }

    /// Takes note of the transactions that begin at or before a batch.
    fn go_on(&mut self, header: &BatchHeader) {
        while let Some(next) = self.ahead.pop_if(|next| next.first_offset.get() <= header.last_offset()) {
            self.aborted.entry(next.producer_id).or_insert((next, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, empty_batch, stamp};

    use super::*;

    fn data(producer_id: i64, base_offset: i64) -> BatchHeader {
        let options = BatchOptions {
            producer_id,
            producer_epoch: 0,
            base_sequence: 0,
            base_offset,
            transactional: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        builder.append(Some(b"k"), None, 1);
        BatchHeader::parse(&builder.build().unwrap()).unwrap()
    }

    fn marker(result: TransactionResult, producer_id: i64, offset: i64) -> (BatchHeader, Vec<u8>) {
        let mut batch =
            EndTransactionMarker { result, coordinator_epoch: 0 }.batch(producer_id, 0, 1).to_vec();
        stamp(&mut batch, offset, 0);
        (BatchHeader::parse(&batch).unwrap(), batch)
    }

    fn aborted(producer_id: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer_id),
            first_offset: Offset::clamped(first),
            last_offset: Offset::clamped(last),
            last_stable_offset: Offset::clamped(last + 1),
        }
    }

    #[test]
    fn batches_between_the_begin_and_the_marker_of_an_aborted_transaction_are_void() {
        let entry = aborted(1, 10, 20);
        let mut walk = TransactionWalk::new(&[entry], Offset::ZERO);
        assert!(!walk.meet(&data(1, 5)), "of a transaction before");
        let (header, batch) = marker(TransactionResult::Commit, 1, 6);
        assert_eq!(walk.meet_control(&header, &batch), Some(Marker::Needed(None)));
        assert!(walk.meet(&data(1, 10)) && !walk.meet(&data(2, 11)));
        let (header, batch) = marker(TransactionResult::Abort, 1, 20);
        assert_eq!(walk.meet_control(&header, &batch), Some(Marker::Needed(Some(entry))));
        assert!(!walk.meet(&data(1, 21)));
    }

    #[test]
    fn a_marker_of_which_nothing_is_left_is_spare() {
        let mut walk = TransactionWalk::new(&[aborted(1, 10, 20)], Offset::ZERO);
        for result in [TransactionResult::Abort, TransactionResult::Commit] {
            let (header, batch) = marker(result, 1, 20);
            assert_eq!(walk.meet_control(&header, &batch), Some(Marker::Spare), "{result:?}");
        }
        let (header, _) = marker(TransactionResult::Commit, 1, 30);
        let emptied = empty_batch(&header);
        let header = BatchHeader::parse(&emptied).unwrap();
        assert_eq!(walk.meet_control(&header, &emptied), Some(Marker::Spare));
    }

    #[test]
    fn what_was_aborted_before_the_walk_begins_says_nothing_of_what_comes() {
        let mut walk = TransactionWalk::new(&[aborted(1, 10, 20)], Offset::clamped(21));
        assert!(!walk.meet(&data(1, 21)));
    }
}
