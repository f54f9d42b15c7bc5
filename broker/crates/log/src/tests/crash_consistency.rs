//! What a killed process or a power cut leaves, and that recovery keeps what was synced and nothing that is torn.

use std::path::{Path, PathBuf};

use ottla_broker_types::LeaderEpoch;

use super::rig::{
    DIR, Rig, assert_prefix, at, fill, lead, now, produced, read_all, records, replicated, spans,
};
use crate::{Disk, DiskFile, OpenError, OpenMode};

fn segment(base: i64) -> PathBuf {
    Path::new(DIR).join(format!("{base:020}.log"))
}

fn segment_bases(rig: &Rig) -> Vec<i64> {
    let files = rig.disk.list_dir(Path::new(DIR)).unwrap();
    files.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok()).collect()
}

fn open_file(rig: &Rig, base: i64) -> std::sync::Arc<dyn DiskFile> {
    rig.disk.open(&segment(base), OpenMode::Write).unwrap()
}

/// A kill in the middle of a write: the last batch has any number of its bytes.
#[test]
fn a_batch_torn_at_any_byte_is_cut_off_whole() {
    let mut rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 3);
    rig.recovery.synced_end = log.flush().unwrap();
    let kept = read_all(&log, at(0));
    fill(&mut log, 1);
    let size = log.size_bytes();
    let batch = size - kept.len() as u64;
    drop(log);
    for missing in 1..batch {
        open_file(&rig, 0).set_len(size - missing).unwrap();
        let log = rig.kill_and_open();
        assert_eq!((read_all(&log, at(0)), log.log_end()), (kept.clone(), at(6)), "{missing} bytes missing");
        assert_eq!(log.open_report().truncated_bytes, batch - missing);
        let mut log = rig.kill_and_open();
        fill(&mut log, 1);
    }
}

/// File systems may extend a file before they write its blocks.
#[test]
fn a_tail_of_zeros_is_cut_off() {
    for zeros in [1, 11, 12, 60, 61, 62, 4_096, 70_000] {
        let rig = Rig::new();
        let mut log = rig.open();
        fill(&mut log, 3);
        let size = log.size_bytes();
        open_file(&rig, 0).set_len(size + zeros).unwrap();
        let log = rig.kill_and_open();
        assert_eq!((log.log_end(), log.size_bytes()), (at(6), size), "{zeros} zeros");
        assert_eq!(open_file(&rig, 0).len().unwrap(), size);
    }
}

/// Blocks of one write reach the disk in any order: a sound header may stand before a body that is not.
#[test]
fn a_flipped_byte_in_the_unsynced_tail_ends_the_log_before_its_batch() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 4);
    let all = read_all(&log, at(0));
    let size = all.len() / 4;
    for position in (size..2 * size).filter(|position| *position >= size + 21) {
        open_file(&rig, 0).write_all_at(&[all[position] ^ 0x40], position as u64).unwrap();
        let log = rig.kill_and_open();
        assert_eq!(log.log_end(), at(2), "byte {position}");
        open_file(&rig, 0).write_all_at(&all, 0).unwrap();
    }
    assert_eq!(rig.kill_and_open().log_end(), at(8));
}

/// Cutting there would lose what was acknowledged without a word.
#[test]
fn damage_below_the_recovery_point_is_reported_and_nothing_is_cut() {
    let mut rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 4);
    rig.recovery.synced_end = log.flush().unwrap();
    let size = log.size_bytes();
    open_file(&rig, 0).write_all_at(&[0; 20], size / 4).unwrap();
    rig.disk.kill();
    let error = rig.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Damaged { position, .. } if u64::from(position) == size / 4));
    assert_eq!(open_file(&rig, 0).len().unwrap(), size);
}

#[test]
fn a_bad_batch_ends_the_log_although_later_segments_are_sound() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 20);
    let second = at(segment_bases(&rig)[1]);
    assert!(log.segment_count() > 3);
    open_file(&rig, second.get()).write_all_at(&[9], 100).unwrap();
    let log = rig.kill_and_open();
    assert_eq!((log.log_end(), log.segment_count()), (second, 2));
    assert!(log.open_report().removed_segment_count >= 2);
    let mut log = rig.kill_and_open();
    fill(&mut log, 20);
    assert_eq!(spans(&read_all(&log, at(0))).len() as i64, (second.get() + 40) / 2);
}

#[test]
fn a_power_cut_keeps_what_was_flushed_and_a_prefix_of_the_rest() {
    for seed in 0..300 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 1 + seed as usize % 11);
        rig.recovery.synced_end = log.flush().unwrap();
        let synced = read_all(&log, at(0));
        fill(&mut log, seed as usize % 13);
        let all = read_all(&log, at(0));
        rig.disk.crash(seed);
        let log = rig.open();
        let left = read_all(&log, at(0));
        assert!(left.len() >= synced.len(), "seed {seed}: flushed records are gone");
        assert_prefix(&left, &all, &format!("seed {seed}"));
    }
}

/// The followers' case: the log was cut below a recovery point that is in a checkpoint already. What is appended
/// then is not synced, although it lies below that point.
#[test]
fn a_torn_tail_below_an_outdated_recovery_point_is_no_damage() {
    for seed in 0..200 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        rig.recovery.synced_end = log.flush().unwrap();
        log.truncate_to(at(10), now(1)).unwrap();
        let kept = read_all(&log, at(0));
        log.append_as_follower(&replicated(10, 1, 3), now(1)).unwrap();
        log.append_as_follower(&replicated(13, 1, 3), now(1)).unwrap();
        let all = read_all(&log, at(0));
        rig.disk.crash(seed);
        let left = read_all(&rig.open(), at(0));
        assert!(left.len() >= kept.len(), "seed {seed}");
        assert_prefix(&left, &all, &format!("seed {seed}"));
    }
}

#[test]
fn a_second_cut_does_not_vouch_for_what_came_after_the_first() {
    for seed in 0..200 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        rig.recovery.synced_end = log.flush().unwrap();
        log.truncate_to(at(2), now(1)).unwrap();
        fill(&mut log, 10);
        log.truncate_to(at(13), now(1)).unwrap();
        let all = read_all(&log, at(0));
        rig.disk.crash(seed);
        let log = rig.open();
        let left = read_all(&log, at(0));
        assert_prefix(&left, &all, &format!("seed {seed}"));
        assert_eq!(spans(&left).last().map(|last| at(last.1 + 1)), Some(log.log_end()), "seed {seed}");
    }
}

/// A topic made anew under an old name finds the old recovery point in the checkpoint.
#[test]
fn a_new_log_under_an_old_recovery_point_may_be_torn() {
    for seed in 0..100 {
        let mut rig = Rig::tiny();
        rig.recovery.synced_end = at(1_000);
        let mut log = rig.open();
        fill(&mut log, 10);
        rig.disk.crash(seed);
        let log = rig.open();
        assert!(log.log_end() <= at(20), "seed {seed}");
    }
}

#[test]
fn the_limit_of_the_recovery_point_ends_when_the_log_is_synced_past_it() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 4);
    rig.recovery.synced_end = log.flush().unwrap();
    log.truncate_to(at(4), now(1)).unwrap();
    let limit = Path::new(DIR).join("recovery-point-limit");
    fill(&mut log, 1);
    assert_eq!(log.flush().unwrap(), at(6));
    assert!(rig.disk.exists(&limit).unwrap());
    fill(&mut log, 1);
    assert_eq!(log.flush().unwrap(), at(8));
    assert!(!rig.disk.exists(&limit).unwrap());
}

/// A torn batch is followed by bytes of later batches. The batch that replaces it must not be followed by them.
#[test]
fn bytes_behind_a_torn_batch_never_come_back() {
    for seed in 0..200 {
        let rig = Rig::new();
        let mut log = rig.open();
        fill(&mut log, 6);
        let size = log.size_bytes() / 6;
        open_file(&rig, 0).write_all_at(&[9], 2 * size + 100).unwrap();
        let mut log = rig.kill_and_open();
        assert_eq!(log.log_end(), at(4));
        log.append_as_leader(&mut records(2, 40, 2), LeaderEpoch(0), now(1)).unwrap();
        rig.disk.crash(seed);
        assert!(rig.open().log_end() <= at(6), "seed {seed}");
    }
}

/// A snapshot of producers at an offset that was lost tells of records that are not there. Removed, it must not
/// come back when the log has grown past its offset with other records.
#[test]
fn a_snapshot_of_lost_records_never_comes_back() {
    for seed in 0..200 {
        let rig = Rig::tiny();
        let mut log = rig.open();
        lead(&mut log, produced(1, 0, 0, 1)).unwrap();
        for n in 0..12 {
            lead(&mut log, produced(1, 0, 1 + n * 30, 30)).unwrap();
        }
        rig.disk.crash(seed);
        let mut log = rig.open();
        let end = log.log_end();
        while log.log_end() < at(400) {
            fill(&mut log, 1);
        }
        let all = read_all(&log, at(0));
        rig.disk.crash(seed + 1);
        let mut log = rig.open();
        assert_prefix(&read_all(&log, at(0)), &all, &format!("seed {seed}"));
        let sequence = if end == at(0) { 77 } else { end.get().min(log.log_end().get()) as i32 };
        let next = lead(&mut log, produced(1, 0, sequence, 1)).unwrap();
        assert!(!next.duplicate, "seed {seed}");
    }
}

#[test]
fn a_cut_survives_a_power_cut() {
    for seed in 0..100 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        rig.recovery.synced_end = log.flush().unwrap();
        log.truncate_to(at(7), now(1)).unwrap();
        let kept = read_all(&log, at(0));
        rig.disk.crash(seed);
        let log = rig.open();
        assert_eq!((log.log_end(), read_all(&log, at(0))), (at(6), kept), "seed {seed}");
    }
}

#[test]
fn a_close_survives_a_power_cut() {
    for seed in 0..50 {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        lead(&mut log, produced(3, 0, 0, 1)).unwrap();
        let all = read_all(&log, at(0));
        let log = rig.close_and_open(log);
        drop(log);
        rig.disk.crash(seed);
        let mut log = rig.open();
        assert_eq!((read_all(&log, at(0)), log.open_report().rebuilt_bytes), (all, 0), "seed {seed}");
        assert!(lead(&mut log, produced(3, 0, 0, 1)).unwrap().duplicate);
    }
}
