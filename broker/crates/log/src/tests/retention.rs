//! What retention removes and what it must keep.

use ottla_broker_types::{DurationMs, LeaderEpoch};

use super::rig::{DIR, Rig, at, fill, lead, now, read_all, records, spans};
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
    let snapshots = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "snapshot");
    let left: Vec<_> = rig.disk.list_dir(DIR.as_ref()).unwrap().into_iter().filter(snapshots).collect();
    assert_eq!(left.len(), 2, "{left:?}");
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
