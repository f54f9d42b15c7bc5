//! The same log on the machine's own files.

use std::path::Path;
use std::sync::Arc;

use ottla_broker_protocol::Segment;
use ottla_broker_types::Offset;

use super::rig::{at, fill, lead, now, read_all, records, topic, topic_id};
use crate::{Disk, Log, LogConfig, OpenMode, RealDisk, RecoveryPoint, replace_file};

fn open(dir: &Path, recovery: RecoveryPoint) -> Log {
    let config = LogConfig { segment_bytes_max: 1_000, index_interval_bytes: 200, ..LogConfig::default() };
    Log::open(Arc::new(RealDisk), &dir.join("t-0"), topic(), topic_id(), config, recovery, now(1)).unwrap()
}

fn clean(synced_end: Offset) -> RecoveryPoint {
    RecoveryPoint { clean_shutdown: true, synced_end, log_start: Offset::ZERO }
}

#[test]
fn a_log_is_written_closed_killed_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), RecoveryPoint::default());
    fill(&mut log, 20);
    let all = read_all(&log, at(0));
    assert_eq!(read_all(&open(dir.path(), RecoveryPoint::default()), at(0)), all);
    log.close().unwrap();
    let log = open(dir.path(), clean(log.log_end()));
    assert_eq!((read_all(&log, at(0)), log.open_report().rebuilt_bytes), (all, 0));
}

#[test]
fn ranges_carry_a_descriptor_for_sendfile() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), RecoveryPoint::default());
    lead(&mut log, records(1, 1, 1)).unwrap();
    let read = log.read(at(0), 1, at(1), true).unwrap();
    let [Segment::File(range)] = &read.segments[..] else { panic!("{read:?}") };
    assert!(range.file.as_fd().is_some());
}

#[test]
fn retention_and_deletion_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), RecoveryPoint::default());
    fill(&mut log, 20);
    log.set_config(LogConfig { retention_bytes: Some(0), ..log.config().clone() });
    let high_watermark = log.log_end();
    let deleted = log.apply_retention(now(1), high_watermark).unwrap();
    deleted.remove_files(&RealDisk).unwrap();
    assert_eq!(log.size_bytes(), 0);
    let moved = log.delete(ottla_broker_types::Uuid([1; 16])).unwrap();
    RealDisk.remove_dir_all(&moved).unwrap();
    assert_eq!(RealDisk.list_dir(dir.path()).unwrap(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_large_log_is_readable_while_it_is_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), RecoveryPoint::default());
    log.set_config(LogConfig { segment_bytes_max: 1 << 30, ..LogConfig::default() });
    let batch = records(10, 50_000, 1);
    for _ in 0..20 {
        lead(&mut log, batch.clone()).unwrap();
    }
    assert_eq!(read_all(&log, at(0)).len() as u64, log.size_bytes());
}

#[test]
fn files_are_replaced_and_free_space_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    replace_file(&RealDisk, &path, b"one").unwrap();
    replace_file(&RealDisk, &path, b"2").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"2");
    assert!(RealDisk.free_bytes(dir.path()).unwrap() > 0);
    assert!(RealDisk.open(&path, OpenMode::Read).unwrap().write_all_at(b"x", 0).is_err());
    assert_eq!(RealDisk.list_dir(dir.path()).unwrap(), [path]);
}
