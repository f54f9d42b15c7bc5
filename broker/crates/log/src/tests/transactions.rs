//! Transactions in a log: what is stable, what was aborted, and that both are the same after a crash, a cut, a roll and a
//! deletion, and on followers.

use std::path::Path;

use ottla_broker_protocol::batch::{BatchOptions, EndTransactionMarker, TransactionResult, batches, stamp};
use ottla_broker_types::{DurationMs, LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use super::rig::{
    DIR, RESOURCES, Rig, at, clean_at, fill, keyed, lead, now, read_all, records_in, roll, spans,
};
use crate::{AbortedTransaction, AppendError, CleanupPolicy, Disk, EndTransaction, Log};

/// Appends a batch of a transaction, as a follower does: whether a producer may is its leader's business.
fn begin_or_go_on(log: &mut Log, producer_id: i64, sequence: i32, keys: &[&str]) -> Offset {
    let base = log.log_end();
    let options = BatchOptions {
        producer_id,
        producer_epoch: 0,
        base_sequence: sequence,
        base_offset: base.get(),
        leader_epoch: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let records: Vec<_> = keys.iter().map(|key| (*key, Some("v"))).collect();
    log.append_as_follower(&keyed(options, &records, 1), now(1)).unwrap();
    base
}

fn end(producer_id: i64, epoch: i16, result: TransactionResult, coordinator_epoch: i32) -> EndTransaction {
    EndTransaction {
        producer_id: ProducerId(producer_id),
        producer_epoch: ProducerEpoch(epoch),
        marker: EndTransactionMarker { result, coordinator_epoch },
    }
}

fn abort(log: &mut Log, producer_id: i64) -> Offset {
    log.append_marker(&end(producer_id, 0, TransactionResult::Abort, 0), LeaderEpoch(0), now(1))
        .unwrap()
        .base_offset
}

fn commit(log: &mut Log, producer_id: i64) -> Offset {
    log.append_marker(&end(producer_id, 0, TransactionResult::Commit, 0), LeaderEpoch(0), now(1))
        .unwrap()
        .base_offset
}

fn entry(producer: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
    AbortedTransaction {
        producer_id: ProducerId(producer),
        first_offset: at(first),
        last_offset: at(last),
        last_stable_offset: at(stable),
    }
}

fn all_aborted(log: &Log) -> Vec<AbortedTransaction> {
    log.aborted_transactions(at(0), log.log_end()).unwrap()
}

/// Two transactions that are aborted, one that is committed, one that is open, over several segments.
fn history(log: &mut Log) {
    begin_or_go_on(log, 1, 0, &["a", "b"]);
    begin_or_go_on(log, 2, 0, &["c"]);
    roll(log);
    abort(log, 1);
    begin_or_go_on(log, 3, 0, &["d"]);
    commit(log, 2);
    roll(log);
    begin_or_go_on(log, 4, 0, &["e"]);
    abort(log, 3);
    fill(log, 2);
}

fn expected() -> [AbortedTransaction; 2] {
    [entry(1, 0, 3, 2), entry(3, 4, 7, 6)]
}

#[test]
fn the_last_stable_offset_is_that_of_the_oldest_transaction_that_is_not_over() {
    let mut log = Rig::tiny().open();
    let stable = |log: &Log, committed: i64| log.last_stable_offset(at(committed)).get();
    fill(&mut log, 1);
    assert_eq!(stable(&log, 2), 2);
    let first = begin_or_go_on(&mut log, 1, 0, &["a"]);
    begin_or_go_on(&mut log, 2, 0, &["b"]);
    assert_eq!((first, stable(&log, 4), stable(&log, 1)), (at(2), 2, 1));
    let marker = commit(&mut log, 1);
    assert_eq!((marker, stable(&log, 4)), (at(4), 2), "its marker is not committed");
    assert_eq!(stable(&log, 5), 3, "the other one is open");
    log.note_committed(at(5));
    abort(&mut log, 2);
    assert_eq!((stable(&log, 5), stable(&log, 6)), (3, 6));
}

#[test]
fn a_deletion_past_an_open_transaction_moves_the_last_stable_offset_along() {
    let mut log = Rig::tiny().open();
    begin_or_go_on(&mut log, 1, 0, &["a", "b", "c"]);
    log.advance_log_start(at(2));
    assert_eq!(log.last_stable_offset(at(3)), at(2));
}

#[test]
fn aborted_transactions_are_found_for_the_range_that_is_read() {
    let mut log = Rig::tiny().open();
    history(&mut log);
    assert_eq!(all_aborted(&log), expected());
    let of = |from, end| log.aborted_transactions(at(from), at(end)).unwrap();
    assert_eq!(of(0, 1), [entry(1, 0, 3, 2)]);
    assert_eq!(of(4, 9), [entry(3, 4, 7, 6)]);
    assert_eq!(of(8, 9), []);
    let read = log.read(at(0), 1, log.log_end(), true).unwrap();
    let found = log.aborted_in(&read, at(0), log.log_end()).unwrap();
    assert_eq!(found, [entry(1, 0, 3, 2)], "the read ends before the other begins");
    let nothing = log.read(at(0), 1, at(0), true).unwrap();
    assert_eq!(log.aborted_in(&nothing, at(0), log.log_end()).unwrap(), []);
}

#[test]
fn a_log_without_transactions_has_no_file_for_them() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 20);
    log.flush().unwrap();
    let files = rig.disk.list_dir(Path::new(DIR)).unwrap();
    assert!(!files.iter().any(|path| path.to_string_lossy().ends_with("txnindex")));
}

#[test]
fn a_marker_of_a_former_epoch_or_coordinator_is_refused() {
    let mut log = Rig::tiny().open();
    let mut append = |epoch, coordinator| {
        let end = end(1, epoch, TransactionResult::Abort, coordinator);
        log.append_marker(&end, LeaderEpoch(0), now(1)).map(|appended| appended.base_offset.get())
    };
    assert_eq!(append(3, 5).unwrap(), 0);
    assert!(matches!(append(2, 5), Err(AppendError::InvalidProducerEpoch { .. })));
    assert!(matches!(append(3, 4), Err(AppendError::CoordinatorFenced { current: 5, found: 4 })));
    assert_eq!(append(4, 6).unwrap(), 1, "a marker may fence");
    let mut stale = super::rig::produced(1, 3, 0, 1);
    let refused = log.append_as_leader(&mut stale, LeaderEpoch(0), now(1));
    assert!(matches!(refused, Err(AppendError::InvalidProducerEpoch { .. })));
}

#[test]
fn a_producer_goes_on_from_its_sequence_after_a_marker() {
    let mut log = Rig::tiny().open();
    lead(&mut log, super::rig::produced(1, 0, 0, 2)).unwrap();
    commit(&mut log, 1);
    assert!(lead(&mut log, super::rig::produced(1, 0, 5, 1)).is_err());
    lead(&mut log, super::rig::produced(1, 0, 2, 1)).unwrap();
}

/// What is known of transactions, to compare.
fn state(log: &Log) -> (Vec<AbortedTransaction>, Offset, usize) {
    (all_aborted(log), log.last_stable_offset(log.log_end()), log.open_transaction_count())
}

#[test]
fn a_kill_a_power_cut_and_a_clean_stop_leave_what_is_known_of_transactions() {
    for seed in 0..60 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        history(&mut log);
        let before = state(&log);
        if seed % 3 > 0 {
            let point = log.flush().unwrap();
            rig.recovery.synced_end = if seed % 3 == 1 { point } else { at(0) };
        }
        let log = match seed % 4 {
            0 => rig.close_and_open(log),
            _ if seed % 3 == 0 => rig.kill_and_open(),
            _ => {
                rig.disk.crash(seed);
                rig.open()
            }
        };
        let (aborted, stable, open) = state(&log);
        // Markers whose transactions are over are committed by now.
        assert_eq!((aborted, open), (before.0, before.2), "seed {seed}");
        assert_eq!(stable, at(6), "seed {seed}");
    }
}

#[test]
fn a_power_cut_at_any_time_leaves_what_the_batches_say() {
    for seed in 0..200 {
        let rig = Rig::tiny();
        let mut log = rig.open();
        history(&mut log);
        rig.disk.crash(seed);
        let log = rig.open();
        let end = log.log_end().get();
        let left: Vec<_> = expected().into_iter().filter(|entry| entry.last_offset.get() < end).collect();
        assert_eq!(all_aborted(&log), left, "seed {seed}: the log ends at {end}");
        let open = [(0, 3), (2, 5), (4, 7), (6, 99)];
        let is_open = |(first, marker): &&(i64, i64)| *first < end && *marker >= end;
        let first = open.iter().filter(is_open).map(|(first, _)| *first).min();
        let stable = first.unwrap_or(end);
        assert_eq!(log.last_stable_offset(log.log_end()).get(), stable, "seed {seed}: it ends at {end}");
    }
}

#[test]
fn a_cut_opens_transactions_again_whose_markers_it_takes() {
    for end in 0..12 {
        let rig = Rig::tiny();
        let mut log = rig.open();
        history(&mut log);
        let end = log.truncate_to(at(end), now(1)).unwrap();
        let left: Vec<_> = expected().into_iter().filter(|entry| entry.last_offset < end).collect();
        assert_eq!(all_aborted(&log), left, "{end}");
        let known = state(&log);
        assert_eq!(state(&rig.kill_and_open()), known, "{end}");
    }
    let mut log = Rig::tiny().open();
    history(&mut log);
    log.truncate_to(at(7), now(1)).unwrap();
    assert_eq!((log.last_stable_offset(at(7)), log.open_transaction_count()), (at(4), 2));
    log.reset_to(at(50), now(1)).unwrap();
    assert_eq!(state(&log), (vec![], at(50), 0));
}

#[test]
fn retention_takes_the_index_of_a_segment_along() {
    let mut rig = Rig::tiny();
    rig.config.retention_bytes = Some(0);
    let mut log = rig.open();
    history(&mut log);
    roll(&mut log);
    let end = log.log_end();
    let deleted = log.apply_retention(now(1), end).unwrap();
    deleted.remove_files(&rig.disk).unwrap();
    assert_eq!(all_aborted(&log), []);
    let files = rig.disk.list_dir(Path::new(DIR)).unwrap();
    assert!(!files.iter().any(|path| path.to_string_lossy().contains("txnindex")), "{files:?}");
    assert_eq!(log.open_transaction_count(), 1, "its producer is known all the same");
}

#[test]
fn a_producer_with_an_open_transaction_does_not_expire() {
    let mut rig = Rig::tiny();
    rig.config.producer_id_expiration_ms = DurationMs(10);
    let mut log = rig.open();
    history(&mut log);
    log.expire_producers(now(1_000));
    assert_eq!((log.producer_count(), log.open_transaction_count()), (1, 1));
}

#[test]
fn a_follower_knows_the_same_as_its_leader() {
    let mut leader = Rig::tiny().open();
    history(&mut leader);
    let mut follower = Rig::tiny().open();
    for batch in batches(&read_all(&leader, at(0))).flatten() {
        follower.append_as_follower(batch.1, now(1)).unwrap();
    }
    assert_eq!(state(&follower), state(&leader));
}

#[test]
fn compaction_drops_aborted_records_and_then_their_marker() {
    let mut rig = Rig::compacted();
    rig.config.delete_retention_ms = DurationMs(100);
    let mut log = rig.open();
    lead(&mut log, keyed(BatchOptions::default(), &[("a", Some("old"))], 1)).unwrap();
    begin_or_go_on(&mut log, 1, 0, &["a"]);
    begin_or_go_on(&mut log, 2, 0, &["b"]);
    abort(&mut log, 1);
    commit(&mut log, 2);
    lead(&mut log, super::rig::produced(1, 0, 1, 1)).unwrap();
    lead(&mut log, super::rig::produced(2, 0, 1, 1)).unwrap();
    roll(&mut log);
    log.note_committed(log.log_end());
    let keys = |log: &Log| records_in(log).into_iter().map(|(offset, ..)| offset).collect::<Vec<_>>();
    clean_at(&mut log, 1_000, RESOURCES).unwrap().unwrap();
    assert_eq!(keys(&log), [0, 2, 3, 4, 6], "the aborted record does not count, nor is it there");
    assert_eq!(all_aborted(&log), [entry(1, 1, 3, 2)], "its marker is, and is told of");
    let pass = |log: &mut Log, ms| {
        lead(log, keyed(BatchOptions::default(), &[("x", Some("y"))], 1)).unwrap();
        roll(log);
        clean_at(log, ms, RESOURCES).unwrap().unwrap();
    };
    pass(&mut log, 2_000);
    assert!(keys(&log).contains(&3) && all_aborted(&log).is_empty(), "it may go from now on");
    let mut log = rig.kill_and_open();
    pass(&mut log, 2_100);
    assert!(!keys(&log).contains(&3) && keys(&log).contains(&4), "{:?}", keys(&log));
    assert!(keys(&log).contains(&2), "what was committed stays");
    assert_eq!(spans(&read_all(&log, at(0))).last().map(|last| last.1 + 1), Some(log.log_end().get()));
}

#[test]
fn nothing_of_an_open_transaction_is_compacted() {
    let mut rig = Rig::compacted();
    rig.config.cleanup_policy = CleanupPolicy::COMPACT;
    let mut log = rig.open();
    begin_or_go_on(&mut log, 1, 0, &["a"]);
    roll(&mut log);
    begin_or_go_on(&mut log, 1, 1, &["a"]);
    roll(&mut log);
    let stable = log.last_stable_offset(log.log_end());
    assert!(log.begin_clean(now(1), stable, RESOURCES, 7).unwrap().is_none());
}

/// A control batch of another kind, as later versions may have.
#[test]
fn a_control_batch_that_is_no_marker_changes_nothing() {
    let mut log = Rig::tiny().open();
    begin_or_go_on(&mut log, 1, 0, &["a"]);
    let options = BatchOptions { producer_id: 1, producer_epoch: 0, control: true, ..Default::default() };
    let mut batch = keyed(options, &[("\0\0\0\u{5}", Some("??????"))], 1);
    stamp(&mut batch, 1, 0);
    log.append_as_follower(&batch, now(1)).unwrap();
    assert_eq!((log.open_transaction_count(), log.last_stable_offset(at(2))), (1, at(0)));
}
