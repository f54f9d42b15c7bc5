//! What retention removes and what it must keep.

use ottla_broker_protocol::batch::BatchOptions;
use ottla_broker_types::{DurationMs, LeaderEpoch};

use super::rig::{DIR, Rig, at, fill, lead, now, produced, read_all, records, spans, with_options};
use crate::{CleanupPolicy, Disk, Log, LogConfig, LogError, SimError, SimFault, SimOp};

fn aged(log: &mut Log, timestamps: impl IntoIterator<Item = i64>) {
    for timestamp in timestamps {
        log.append_as_leader(&mut records(1, 900, timestamp), LeaderEpoch(0), now(10_000)).unwrap();
    }
}

fn rig(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> Rig {
    let mut rig = Rig::tiny();
    rig.config.retention_ms = retention_ms.map(DurationMs);
    rig.config.retention_bytes = retention_bytes;
    rig
}

fn run(rig: &Rig, log: &mut Log, at_ms: i64) -> usize {
    let high_watermark = log.log_end();
    let deleted = log.apply_retention(now(at_ms), high_watermark).unwrap();
    deleted.remove_files(&rig.disk).unwrap();
    deleted.segment_count
}

#[test]
fn segments_older_than_the_limit_go_the_oldest_first() {
    let rig = rig(Some(1_000), None);
    let mut log = rig.open();
    aged(&mut log, [100, 200, 5_000, 150, 5_100]);
    assert_eq!(run(&rig, &mut log, 1_100), 0);
    assert_eq!(run(&rig, &mut log, 1_101), 1);
    assert_eq!(run(&rig, &mut log, 2_000), 1, "a younger segment keeps the older ones behind it");
    assert_eq!((log.log_start(), log.segment_count()), (at(2), 3));
    assert_eq!(spans(&read_all(&log, at(2))), [(2, 2), (3, 3), (4, 4)]);
    let left = rig.disk.list_dir(DIR.as_ref()).unwrap();
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("deleted")), "{left:?}");
}

#[test]
fn the_active_segment_goes_only_when_it_is_sealed_first() {
    let rig = rig(Some(1_000), None);
    let mut log = rig.open();
    aged(&mut log, [100, 200]);
    assert_eq!(run(&rig, &mut log, 9_000), 2);
    assert_eq!((log.log_start(), log.log_end(), log.size_bytes()), (at(2), at(2), 0));
    assert_eq!(run(&rig, &mut log, 99_000), 0, "an empty active segment stays");
    lead(&mut log, records(1, 1, 1)).unwrap();
    assert_eq!(log.log_end(), at(3));
}

#[test]
fn size_above_the_limit_goes_but_not_more() {
    let rig = rig(None, Some(2_500));
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1, 1, 1]);
    let size = log.size_bytes() / 5;
    assert_eq!(run(&rig, &mut log, 1), ((5 * size - 2_500) / size) as usize);
    assert!(log.size_bytes() >= 2_500);
}

#[test]
fn nothing_that_reaches_the_high_watermark_goes() {
    let rig = rig(Some(1), None);
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1]);
    let deleted = log.apply_retention(now(9_999), at(1)).unwrap();
    assert_eq!((deleted.segment_count, log.log_start()), (1, at(1)));
}

#[test]
fn a_compacted_topic_loses_only_what_is_below_its_log_start() {
    let mut rig = rig(Some(1), Some(1));
    rig.config.cleanup_policy = CleanupPolicy::COMPACT;
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1]);
    assert_eq!(run(&rig, &mut log, 9_999), 0);
    log.advance_log_start(at(2));
    assert_eq!(run(&rig, &mut log, 9_999), 2);
    assert_eq!((log.log_start(), log.segment_count()), (at(2), 1));
}

#[test]
fn the_log_start_never_goes_back_nor_past_the_end() {
    let mut log = Rig::tiny().open();
    fill(&mut log, 2);
    log.advance_log_start(at(3));
    log.advance_log_start(at(1));
    assert_eq!(log.log_start(), at(3));
    log.advance_log_start(at(99));
    assert_eq!(log.log_start(), at(4));
}

#[test]
fn epochs_and_snapshots_of_deleted_segments_go_with_them() {
    let rig = rig(Some(1_000), None);
    let mut log = rig.open();
    for epoch in 0..4 {
        log.append_as_leader(&mut records(1, 900, 100), LeaderEpoch(epoch), now(1)).unwrap();
    }
    let high_watermark = at(2);
    let _ = log.apply_retention(now(9_000), high_watermark).unwrap();
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(2), at(2)), (LeaderEpoch(3), at(3))]);
    assert_eq!(snapshots(&rig), [2, 3]);
}

/// The offsets of the producers' snapshots.
fn snapshots(rig: &Rig) -> Vec<i64> {
    let paths = rig.disk.list_dir(DIR.as_ref()).unwrap();
    let snapshots = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "snapshot"));
    snapshots.map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_follower_deletes_what_its_leader_has_deleted_and_nothing_else() {
    let rig = rig(Some(1), Some(1));
    let mut log = rig.open();
    for offset in 0..6 {
        log.append_as_follower(&replicated_large(offset, offset as i32), now(1)).unwrap();
    }
    let (bytes, end) = (log.size_bytes(), log.log_end());
    let _ = log.delete_below_log_start(now(99_999)).unwrap();
    assert_eq!(log.size_bytes(), bytes, "age and size are the leader's business");
    log.advance_log_start(at(4));
    let deleted = log.delete_below_log_start(now(1)).unwrap();
    deleted.remove_files(&rig.disk).unwrap();
    assert!(deleted.bytes > 0 && log.size_bytes() == bytes - deleted.bytes);
    assert_eq!((log.log_start(), log.log_end()), (at(4), end));
    assert_eq!(log.epochs().entries().first().map(|(_, start)| *start), Some(at(4)));
    assert_eq!(snapshots(&rig), [4, 5]);
    assert_eq!(rig.kill_and_open().log_end(), end);
}

/// A batch that fills a tiny segment.
fn replicated_large(base_offset: i64, leader_epoch: i32) -> Vec<u8> {
    with_options(BatchOptions { base_offset, leader_epoch, ..Default::default() }, 1, 900, 1)
}

#[test]
fn a_log_that_its_leader_has_emptied_is_emptied_here_too() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 12);
    let end = log.log_end();
    log.advance_log_start(end);
    log.delete_below_log_start(now(1)).unwrap().remove_files(&rig.disk).unwrap();
    assert_eq!((log.size_bytes(), log.segment_count(), log.log_end()), (0, 1, end));
    fill(&mut log, 1);
    assert_eq!(rig.kill_and_open().log_end().get(), end.get() + 2);
}

#[test]
fn snapshots_of_clean_stops_go_when_newer_ones_are_there() {
    let mut rig = Rig::new();
    let mut log = rig.open();
    for stop in 0..4 {
        log.append_as_leader(&mut produced(7, 0, stop, 1), LeaderEpoch(0), now(1)).unwrap();
        log = rig.close_and_open(log);
    }
    assert_eq!(snapshots(&rig), [4], "each stop left one in the middle of the segment");
    rig.config.segment_bytes_max = 100;
    log.set_config(rig.config.clone());
    log.append_as_leader(&mut produced(7, 0, 4, 1), LeaderEpoch(0), now(1)).unwrap();
    log.append_as_leader(&mut produced(7, 0, 5, 1), LeaderEpoch(0), now(1)).unwrap();
    assert_eq!(snapshots(&rig), [4, 5], "where segments begin");
}

#[test]
fn a_full_disk_gives_back_what_retention_could_take_out() {
    let rig = rig(Some(1), None);
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1]);
    // There is no space for the segment that would follow the last one.
    rig.disk.set_capacity_bytes(0);
    let high_watermark = log.log_end();
    let deleted = log.apply_retention(now(9_999), high_watermark).unwrap();
    assert_eq!((deleted.segment_count, log.segment_count()), (2, 1));
    deleted.remove_files(&rig.disk).unwrap();
    rig.disk.set_capacity_bytes(10_000);
    assert_eq!(run(&rig, &mut log, 9_999), 1);
    lead(&mut log, records(1, 1, 1)).unwrap();
}

#[test]
fn a_segment_that_cannot_be_renamed_ends_the_use_of_the_log() {
    let rig = rig(Some(1), None);
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1]);
    rig.disk.inject(SimFault { op: SimOp::Rename, skip: 0, error: SimError::Io });
    let high_watermark = log.log_end();
    assert!(matches!(log.apply_retention(now(9_999), high_watermark), Err(LogError::Failed(_))));
    assert!(log.is_failed());
}

#[test]
fn leftovers_of_a_deletion_are_removed_at_the_next_open() {
    let rig = rig(Some(1), None);
    let mut log = rig.open();
    aged(&mut log, [1, 1, 1]);
    let high_watermark = at(2);
    let deleted = log.apply_retention(now(9_999), high_watermark).unwrap();
    assert_eq!(deleted.files.len(), 6);
    let log = rig.kill_and_open();
    assert_eq!((log.log_start(), log.log_end()), (at(2), at(3)));
    assert!(deleted.files.iter().all(|file| !rig.disk.exists(file).unwrap()));
    assert_eq!(log.config(), &LogConfig { ..rig.config.clone() });
}
