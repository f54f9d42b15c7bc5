//! Opening a log that was closed, or whose process was killed.

use std::path::Path;
use std::sync::Arc;

use ottla_broker_types::{LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition, Uuid};

use super::rig::{DIR, Rig, at, fill, lead, now, produced, read_all, records, topic};
use crate::{
    Disk, Log, LogConfig, OpenError, OpenMode, OpenReport, PartitionDir, RecoveryPoint, partition_dir_name,
};

#[test]
fn a_closed_log_opens_without_a_scan_and_goes_on() {
    for count in [0, 1, 3, 12, 30] {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, count);
        let before = read_all(&log, at(0));
        let (end, size) = (log.log_end(), log.size_bytes());
        let mut log = rig.close_and_open(log);
        assert_eq!(log.open_report().rebuilt_bytes, 0, "{count} batches");
        assert_eq!((log.log_end(), log.size_bytes(), log.recovery_point()), (end, size, end));
        assert_eq!(read_all(&log, at(0)), before);
        fill(&mut log, 5);
        assert_eq!(read_all(&log, at(0))[..before.len()], before);
    }
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    for count in [0, 1, 12, 30] {
        let rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, count);
        let before = read_all(&log, at(0));
        let log = rig.kill_and_open();
        assert_eq!((read_all(&log, at(0)), log.open_report().truncated_bytes), (before, 0));
    }
}

#[test]
fn producers_and_epochs_survive_a_close_and_a_kill() {
    for clean in [true, false] {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        for n in 0..20 {
            log.append_as_leader(&mut produced(n % 3, 1, n as i32 / 3, 1), LeaderEpoch(2), now(1)).unwrap();
        }
        let mut log = if clean { rig.close_and_open(log) } else { rig.kill_and_open() };
        assert_eq!(log.epochs().entries(), [(LeaderEpoch(2), at(0))]);
        let again = log.append_as_leader(&mut produced(1, 1, 6, 1), LeaderEpoch(2), now(1)).unwrap();
        assert_eq!((again.duplicate, again.base_offset), (true, at(19)), "clean: {clean}");
        let next = log.append_as_leader(&mut produced(1, 1, 7, 1), LeaderEpoch(2), now(1)).unwrap();
        assert_eq!(next.base_offset, at(20));
    }
}

#[test]
fn a_closed_log_refuses_further_work() {
    let mut log = Rig::new().open();
    log.close().unwrap();
    assert!(lead(&mut log, records(1, 1, 1)).is_err());
    assert!(log.flush().is_err());
}

#[test]
fn missing_or_damaged_indexes_are_built_anew_and_equal_the_originals() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    for n in 0..30 {
        lead(&mut log, records(2, 40, n)).unwrap();
    }
    let log = rig.close_and_open(log);
    let files: Vec<_> = rig.disk.list_dir(Path::new(DIR)).unwrap();
    let indexes = || files.iter().filter(|path| path.extension().is_some_and(|e| e != "log")).cloned();
    let content = |path: &Path| {
        let file = rig.disk.open(path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let originals: Vec<_> = indexes().map(|path| (path.clone(), content(&path))).collect();
    drop(log);
    for (path, bytes) in &originals {
        match path.extension().and_then(|e| e.to_str()) {
            Some("index") => rig.disk.remove_file(path).unwrap(),
            Some("timeindex") => {
                rig.disk.open(path, OpenMode::Write).unwrap().set_len(bytes.len() as u64 / 2 + 1).unwrap();
            }
            _ => {}
        }
    }
    let mut log = rig.open();
    assert!(log.open_report().rebuilt_bytes > 0);
    assert_eq!(log.log_end(), at(60));
    log.close().unwrap();
    for (path, bytes) in &originals {
        assert_eq!(&content(path), bytes, "{}", path.display());
    }
}

#[test]
fn missing_epochs_are_read_from_the_batches() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    for epoch in [1, 1, 4, 9] {
        log.append_as_leader(&mut records(2, 400, 1), LeaderEpoch(epoch), now(1)).unwrap();
    }
    let expected = log.epochs().clone();
    let log = rig.close_and_open(log);
    assert_eq!(log.epochs(), &expected);
    drop(log);
    rig.disk.remove_file(&Path::new(DIR).join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(rig.open().epochs(), &expected);
}

#[test]
fn a_directory_of_another_topic_id_is_refused_untouched() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 2);
    drop(log);
    let other = TopicId(Uuid([9; 16]));
    let disk = Arc::new(rig.disk.clone());
    let opened = Log::open(
        disk,
        Path::new(DIR),
        topic(),
        other,
        LogConfig::default(),
        RecoveryPoint::default(),
        now(1),
    );
    assert!(matches!(opened, Err(OpenError::TopicIdMismatch { expected, .. }) if expected == other));
    assert_eq!(rig.open().log_end(), at(4));
}

#[test]
fn no_partition_is_opened_in_the_folder_of_the_metadata_log() {
    let rig = Rig::tiny();
    let metadata = TopicName::stored(TopicName::METADATA_LOG).unwrap();
    let in_folder = TopicPartition { topic: metadata, partition: PartitionIndex(0) };
    let folder = Path::new("/data").join(partition_dir_name(&in_folder));
    let vote = folder.join("vote");
    rig.disk.create_dir_all(&folder).unwrap();
    rig.disk.open(&vote, OpenMode::Create).unwrap();
    for topic in [in_folder, topic()] {
        let (config, recovery) = (LogConfig::default(), RecoveryPoint::default());
        let id = TopicId(Uuid([9; 16]));
        let opened = Log::open(Arc::new(rig.disk.clone()), &folder, topic, id, config, recovery, now(1));
        assert!(matches!(opened, Err(OpenError::MetadataLog { .. })));
    }
    assert_eq!(rig.disk.list_dir(&folder).unwrap(), [vote]);
}

#[test]
fn the_checkpointed_log_start_holds_and_one_beyond_the_log_empties_it() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 5);
    rig.recovery.log_start = at(3);
    let log = rig.kill_and_open();
    assert_eq!((log.log_start(), log.log_end()), (at(3), at(10)));
    rig.recovery.log_start = at(50);
    let log = rig.kill_and_open();
    assert_eq!((log.log_start(), log.log_end(), log.size_bytes()), (at(50), at(50), 0));
}

#[test]
fn a_deleted_log_leaves_its_place_to_a_new_one() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 5);
    let moved = log.delete(Uuid([5; 16])).unwrap();
    let name = moved.file_name().unwrap().to_str().unwrap();
    assert_eq!(PartitionDir::parse(name), Some(PartitionDir::Deleted));
    assert_eq!(rig.open().log_end(), at(0));
    rig.disk.remove_dir_all(&moved).unwrap();
}

#[test]
fn an_idle_log_that_was_flushed_closes_without_a_sync() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 12);
    for _ in 0..2 {
        let plan = log.begin_upkeep().unwrap();
        let synced = plan.sync(&rig.disk);
        log.finish_flush(plan, synced).unwrap();
    }
    assert!(log.is_settled());
    let plan = log.begin_upkeep().unwrap();
    assert!(plan.is_empty(), "once is enough");
    let before = rig.disk.sync_count();
    let mut log = rig.close_and_open(log);
    assert_eq!(log.open_report(), OpenReport::default());
    log.close().unwrap();
    assert_eq!(rig.disk.sync_count(), before, "neither did the run in which it was only opened");
    rig.disk.crash(1);
    assert_eq!((rig.open().log_end(), rig.open().open_report().rebuilt_bytes), (log.log_end(), 0));
}

#[test]
fn a_log_without_a_record_is_settled_after_its_first_clean_stop() {
    let mut rig = Rig::new();
    let log = rig.open();
    let mut log = rig.close_and_open(log);
    assert!(log.is_settled());
    let before = rig.disk.sync_count();
    log.close().unwrap();
    assert_eq!(rig.disk.sync_count(), before);
}

#[test]
fn a_log_that_changed_in_any_way_is_not_settled() {
    let changes: [fn(&mut Log); 5] = [
        |log| fill(log, 1),
        |log| assert_eq!(log.truncate_to(at(3), now(1)).unwrap(), at(2)),
        |log| log.reset_to(at(9), now(1)).unwrap(),
        |log| {
            log.advance_log_start(at(12));
            let _ = log.delete_below_log_start(now(1)).unwrap();
        },
        |log| log.advance_log_start(at(1)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        let mut log = rig.close_and_open(log);
        assert!(log.is_settled());
        change(&mut log);
        assert!(!log.is_settled(), "change {number}");
        let before = rig.disk.sync_count();
        log.close().unwrap();
        assert!((1..=10).contains(&(rig.disk.sync_count() - before)), "change {number}");
    }
}
