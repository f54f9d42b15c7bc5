//! The log's files under power cuts, failed flushes, cuts at either end, and reopening.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use ottla_broker_log::{Disk, SimDisk, SimError, SimFault, SimOp};
use ottla_broker_types::{DirectoryId, NodeId, Uuid};
use parking_lot::Mutex;

use super::log::SEGMENT_BYTES;
use super::{CommitHint, LogFiles, SnapshotFile, StoredSnapshot, VoteFile, WriteMode, Writer, make_dir};
use crate::raft::{Batch, Entry, LogId, Payload, SnapshotMeta, log_id, vote};
use crate::{Term, VoterId};

const DIR: &str = "/data/quorum";

fn open(disk: &SimDisk) -> io::Result<LogFiles> {
    make_dir(disk, Path::new(DIR))?;
    LogFiles::open(Arc::new(disk.clone()), Path::new(DIR), Writer::start(WriteMode::Inline)?)
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    let record = Bytes::from(vec![index as u8; len]);
    Entry { log_id: log_id(Term(term), index), payload: Payload::Normal(Batch::new(&[record])) }
}

/// Appends entries of one record of `len` bytes each and says whether they are on disk.
fn append(log: &LogFiles, term: u64, indexes: std::ops::Range<u64>, len: usize) -> bool {
    let outcome = Arc::new(Mutex::new(None));
    let told = outcome.clone();
    let entries = indexes.map(|index| entry(term, index, len));
    log.append(entries, move |result| *told.lock() = Some(result.is_ok())).unwrap();
    let outcome = outcome.lock().take();
    outcome.expect("an inline writer answers at once")
}

fn ids(log: &LogFiles) -> Vec<LogId> {
    log.read(0..u64::MAX, u64::MAX).unwrap().iter().map(|entry| entry.log_id).collect()
}

/// What an inline writer does is done when it is first asked.
fn done<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("an inline writer never waits")
}

#[test]
fn entries_are_read_back_from_memory_and_after_reopening_from_files() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    assert!(append(&log, 1, 0..10, 100));
    assert!(append(&log, 2, 10..20, 100));
    let before = log.read(0..20, u64::MAX).unwrap();
    let reopened = open(&disk).unwrap();
    assert_eq!(reopened.read(0..20, u64::MAX).unwrap(), before);
    assert_eq!(reopened.range().last, Some(log_id(Term(2), 19)));
    assert_eq!(reopened.read(5..7, u64::MAX).unwrap(), before[5..7]);
}

#[test]
fn a_read_stops_at_its_bytes_but_gives_one_entry_at_least() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..10, 1000);
    for log in [log, open(&disk).unwrap()] {
        assert_eq!(log.read(0..10, 0).unwrap().len(), 1);
        assert_eq!(log.read(0..10, 2500).unwrap().len(), 2);
        assert_eq!(log.read(10..20, 2500).unwrap(), []);
    }
}

#[test]
fn an_entry_out_of_order_is_refused() {
    let log = open(&SimDisk::new(1)).unwrap();
    append(&log, 1, 0..3, 10);
    assert!(log.append([entry(1, 4, 10)], |_| ()).is_err());
}

#[test]
fn flushed_entries_survive_any_power_cut_and_the_rest_ends_cleanly() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let log = open(&disk).unwrap();
        assert!(append(&log, 1, 0..20, 300));
        disk.inject(SimFault { op: SimOp::SyncData, skip: 0, error: SimError::Io });
        assert!(!append(&log, 1, 20..40, 300), "a failed flush is no acknowledgement");
        assert!(!append(&log, 1, 40..41, 300), "and it is final");
        disk.crash(seed);
        let log = open(&disk).unwrap();
        let survivors = ids(&log);
        let wanted: Vec<LogId> = (0..survivors.len() as u64).map(|index| log_id(Term(1), index)).collect();
        assert!(survivors.len() >= 20, "seed {seed} lost flushed entries");
        assert_eq!(survivors, wanted, "seed {seed}");
        let end = survivors.len() as u64;
        assert!(append(&log, 2, end..end + 5, 300));
        assert_eq!(ids(&open(&disk).unwrap()).len() as u64, end + 5, "seed {seed}");
    }
}

#[test]
fn a_power_cut_while_a_segment_is_begun_loses_nothing_that_was_flushed() {
    for seed in 0..50 {
        for op in [SimOp::SyncData, SimOp::SyncDir, SimOp::Write] {
            let disk = SimDisk::new(seed);
            let log = open(&disk).unwrap();
            let len = SEGMENT_BYTES as usize / 4;
            assert!(append(&log, 1, 0..4, len));
            disk.inject(SimFault { op, skip: 0, error: SimError::Io });
            assert!(!append(&log, 1, 4..6, len));
            disk.crash(seed);
            let log = open(&disk).unwrap();
            let end = ids(&log).len() as u64;
            assert!(end >= 4, "seed {seed}");
            assert!(append(&log, 2, end..end + 1, len));
            assert_eq!(ids(&open(&disk).unwrap()).len() as u64, end + 1);
        }
    }
}

#[test]
fn a_damaged_frame_before_the_last_segment_stops_the_start() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    let len = SEGMENT_BYTES as usize / 2;
    append(&log, 1, 0..5, len);
    let first = disk.list_dir(Path::new(DIR)).unwrap().remove(0);
    let file = disk.open(&first, ottla_broker_log::OpenMode::Write).unwrap();
    file.write_all_at(b"damage", 1000).unwrap();
    assert!(open(&disk).is_err());
}

#[test]
fn dropped_entries_at_the_end_are_gone_and_others_take_their_place() {
    for keep in [1, 3, 4, 7, 8] {
        let disk = SimDisk::new(keep);
        let log = open(&disk).unwrap();
        let len = SEGMENT_BYTES as usize / 4;
        append(&log, 1, 0..10, len);
        done(log.truncate_after(Some(log_id(Term(1), keep - 1)))).unwrap();
        assert_eq!(ids(&log).len() as u64, keep);
        disk.crash(keep);
        let log = open(&disk).unwrap();
        assert_eq!(ids(&log).len() as u64, keep, "a cut is durable when it returns");
        assert!(append(&log, 2, keep..12, 50));
        let wanted: Vec<LogId> =
            (0..12).map(|index| log_id(Term(if index < keep { 1 } else { 2 }), index)).collect();
        assert_eq!(ids(&log), wanted);
        assert_eq!(ids(&open(&disk).unwrap()), wanted);
    }
}

#[test]
fn all_entries_can_be_dropped_but_none_before_the_purged_start() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..5, 10);
    done(log.truncate_after(None)).unwrap();
    assert_eq!(log.range().last, None);
    append(&log, 2, 0..5, 10);
    done(log.purge(log_id(Term(2), 2))).unwrap();
    assert!(done(log.truncate_after(Some(log_id(Term(2), 1)))).is_err());
    done(log.truncate_after(Some(log_id(Term(2), 2)))).unwrap();
    assert_eq!(log.range().last, Some(log_id(Term(2), 2)));
    assert!(append(&log, 3, 3..4, 10));
    assert_eq!(ids(&open(&disk).unwrap()).last(), Some(&log_id(Term(3), 3)));
}

#[test]
fn purged_entries_go_in_whole_segments_and_the_rest_stays_readable() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    let len = SEGMENT_BYTES as usize / 2;
    append(&log, 1, 0..10, len);
    let files = disk.list_dir(Path::new(DIR)).unwrap().len();
    done(log.purge(log_id(Term(1), 6))).unwrap();
    assert!(disk.list_dir(Path::new(DIR)).unwrap().len() < files);
    assert_eq!(log.range().before, Some(log_id(Term(1), 6)));
    let rest: Vec<LogId> = (7..10).map(|index| log_id(Term(1), index)).collect();
    assert_eq!(ids(&log), rest);
    assert_eq!(log.id(6), Some(log_id(Term(1), 6)));
    assert_eq!(log.id(5), None);
    let log = open(&disk).unwrap();
    assert!(ids(&log).ends_with(&rest));
    assert!(append(&log, 1, 10..11, len));
}

#[test]
fn a_log_that_a_snapshot_overtook_goes_on_behind_it() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let log = open(&disk).unwrap();
        append(&log, 1, 0..10, 1000);
        let upto = log_id(Term(3), 99);
        if seed % 2 == 0 {
            done(log.purge(upto)).unwrap();
            assert_eq!(ids(&log), []);
            assert_eq!(log.range().last, Some(upto));
            assert!(append(&log, 3, 100..101, 10));
            disk.crash(seed);
            let log = open(&disk).unwrap();
            assert_eq!(log.range().before, Some(upto));
            assert_eq!(ids(&log), [log_id(Term(3), 100)]);
        } else {
            // A crash in the middle leaves the old log, a part of its end, or nothing; purging again completes it.
            disk.inject(SimFault { op: SimOp::SyncDir, skip: 0, error: SimError::Io });
            assert!(done(log.purge(upto)).is_err());
            disk.crash(seed);
            let log = open(&disk).unwrap();
            done(log.purge(upto)).unwrap();
            assert!(append(&log, 3, 100..101, 10));
            assert_eq!(ids(&open(&disk).unwrap()), [log_id(Term(3), 100)]);
        }
    }
}

#[test]
fn the_bytes_since_an_entry_are_counted_over_segments() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    append(&log, 1, 0..10, SEGMENT_BYTES as usize / 2);
    let one = log.bytes_from(9);
    assert!(one > SEGMENT_BYTES / 2);
    assert_eq!(log.bytes_from(0), one * 10);
    assert_eq!(log.bytes_from(10), 0);
}

#[test]
fn a_vote_is_either_the_old_or_the_new_one_after_a_power_cut() {
    let id = VoterId { node: NodeId(3), directory: DirectoryId(Uuid([7; 16])) };
    let (first, second) = (vote(Term(4), id, false), vote(Term(4), id, true));
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        make_dir(&disk, Path::new(DIR)).unwrap();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (file, none) = VoteFile::open(shared.clone(), Path::new(DIR)).unwrap();
        assert_eq!(none, None);
        file.save(&first).unwrap();
        let op = [SimOp::SyncData, SimOp::SyncDir, SimOp::Rename][seed as usize % 3];
        disk.inject(SimFault { op, skip: 0, error: SimError::Io });
        assert!(file.save(&second).is_err());
        disk.crash(seed);
        let (_, stored) = VoteFile::open(shared, Path::new(DIR)).unwrap();
        assert!(stored == Some(first) || stored == Some(second), "seed {seed}: {stored:?}");
    }
}

#[test]
fn a_damaged_vote_or_snapshot_stops_the_start_and_a_damaged_hint_does_not() {
    let disk = SimDisk::new(1);
    make_dir(&disk, Path::new(DIR)).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (vote_file, _) = VoteFile::open(shared.clone(), Path::new(DIR)).unwrap();
    vote_file.save(&vote(Term(1), VoterId::default(), true)).unwrap();
    let (hint, _) = CommitHint::open(&shared, Path::new(DIR)).unwrap();
    hint.save(Some(&log_id(Term(1), 5))).unwrap();
    assert_eq!(CommitHint::open(&shared, Path::new(DIR)).unwrap().1, Some(log_id(Term(1), 5)));
    let snapshots = SnapshotFile::new(shared.clone(), Path::new(DIR));
    let meta = SnapshotMeta { last_log_id: Some(log_id(Term(1), 5)), ..SnapshotMeta::default() };
    let snapshot = StoredSnapshot { meta, bytes: Bytes::from_static(b"image") };
    snapshots.save(&snapshot).unwrap();
    assert_eq!(snapshots.load().unwrap(), Some(snapshot));
    for path in disk.list_dir(Path::new(DIR)).unwrap() {
        let file = disk.open(&path, ottla_broker_log::OpenMode::Write).unwrap();
        let last = file.len().unwrap() - 1;
        let mut byte = [0];
        file.read_exact_at(&mut byte, last).unwrap();
        file.write_all_at(&[byte[0] ^ 1], last).unwrap();
    }
    assert!(VoteFile::open(shared.clone(), Path::new(DIR)).is_err());
    assert!(snapshots.load().is_err());
    assert_eq!(CommitHint::open(&shared, Path::new(DIR)).unwrap().1, None);
}
