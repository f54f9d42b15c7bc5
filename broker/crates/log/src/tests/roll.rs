//! When segments begin, and how.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use ottla_broker_types::{DurationMs, PartitionIndex, TopicPartition};

use super::rig::{Rig, at, fill, lead, now, read_all, records, topic, topic_id};
use crate::{Log, LogConfig, RealDisk, RecoveryPoint};

#[test]
fn jitter_spreads_the_age_at_which_partitions_begin_segments() {
    let mut ages = BTreeSet::new();
    for index in 0..20 {
        let rig = Rig::new();
        let config = LogConfig {
            segment_ms: DurationMs(1_000),
            segment_jitter_ms: DurationMs(500),
            ..LogConfig::default()
        };
        let topic = TopicPartition { partition: PartitionIndex(index), ..topic() };
        let dir = Path::new("/data").join(topic.to_string());
        let disk = Arc::new(rig.disk.clone());
        let mut log =
            Log::open(disk, &dir, topic, topic_id(), config, RecoveryPoint::default(), now(1)).unwrap();
        let age = (0..2_000).find(|age| {
            lead(&mut log, records(1, 1, *age)).unwrap();
            log.segment_count() > 1
        });
        ages.insert(age.unwrap());
    }
    assert!(ages.iter().all(|age| (501..=1_001).contains(age)), "{ages:?}");
    assert!(ages.len() > 10, "{ages:?}");
}

/// What is acknowledged lies in the file, whatever space was set aside: the end of the process loses nothing.
#[test]
fn a_preallocated_segment_holds_what_was_written_and_gives_back_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let config = LogConfig { segment_bytes_max: 1 << 20, preallocate: true, ..LogConfig::default() };
        let recovery = RecoveryPoint::default();
        Log::open(Arc::new(RealDisk), &dir.path().join("t-0"), topic(), topic_id(), config, recovery, now(1))
            .unwrap()
    };
    let file = dir.path().join("t-0/00000000000000000000.log");
    let stat = || file.metadata().unwrap();
    let mut log = open();
    fill(&mut log, 3);
    assert_eq!(stat().len(), log.size_bytes(), "the length is that of the records");
    let allocated = stat().blocks() * 512;
    let all = read_all(&log, at(0));
    drop(log);
    let mut log = open();
    assert_eq!(read_all(&log, at(0)), all);
    assert_eq!(log.open_report().truncated_bytes, 0);
    log.close().unwrap();
    // Not every file system sets space aside.
    assert!(allocated < 1 << 20 || stat().blocks() * 512 < 1 << 19, "{} of {allocated}", stat().blocks());
}
