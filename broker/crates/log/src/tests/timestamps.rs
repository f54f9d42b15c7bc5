//! Looking records up by time.

use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, Compression};
use ottla_broker_types::{LeaderEpoch, TimestampMs};

use super::rig::{Rig, at, lead, now, records};
use crate::{Log, TimestampedOffset};

fn found(offset: i64, timestamp: i64, epoch: i32) -> Option<TimestampedOffset> {
    Some(TimestampedOffset {
        offset: at(offset),
        timestamp: TimestampMs(timestamp),
        leader_epoch: Some(LeaderEpoch(epoch)),
    })
}

fn look_up(log: &Log, timestamp: i64) -> Option<TimestampedOffset> {
    log.offset_for_timestamp(TimestampMs(timestamp)).unwrap()
}

#[test]
fn the_first_record_not_older_is_found_within_its_batch_with_its_own_epoch() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut log = Rig::new().open();
        lead(&mut log, records(2, 1, 10)).unwrap();
        let mut builder = BatchBuilder::new(BatchOptions { compression, ..Default::default() });
        builder.append(None, Some(b"a"), 20).append(None, Some(b"b"), 40).append(None, Some(b"c"), 30);
        let mut batch = builder.build().unwrap().to_vec();
        log.append_as_leader(&mut batch, LeaderEpoch(3), now(100)).unwrap();
        log.append_as_leader(&mut records(1, 1, 5), LeaderEpoch(4), now(100)).unwrap();
        assert_eq!(look_up(&log, 0), found(0, 10, 0));
        assert_eq!(look_up(&log, 11), found(2, 20, 3));
        assert_eq!(look_up(&log, 20), found(2, 20, 3));
        assert_eq!(look_up(&log, 21), found(3, 40, 3));
        assert_eq!(look_up(&log, 41), None);
        assert_eq!(log.max_timestamp().unwrap(), found(3, 40, 3));
    }
}

#[test]
fn every_timestamp_is_found_over_many_segments_also_after_reopening() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    let timestamps: Vec<i64> = (0..60).map(|n| 1_000 + (n * 37 % 23) * 10 + n).collect();
    for timestamp in &timestamps {
        log.append_as_leader(&mut records(1, 30, *timestamp), LeaderEpoch(0), now(5_000)).unwrap();
    }
    assert!(log.segment_count() > 3);
    let check = |log: &Log| {
        for asked in 990..1_300 {
            let first = timestamps.iter().position(|timestamp| *timestamp >= asked);
            let expected = first.and_then(|n| found(n as i64, timestamps[n], 0));
            assert_eq!(look_up(log, asked), expected, "{asked}");
        }
        let max = *timestamps.iter().max().unwrap();
        let first = timestamps.iter().position(|timestamp| *timestamp == max).unwrap();
        assert_eq!(log.max_timestamp().unwrap(), found(first as i64, max, 0));
    };
    check(&log);
    check(&rig.kill_and_open());
    let log = rig.open();
    check(&rig.close_and_open(log));
}

#[test]
fn records_below_the_log_start_are_not_found() {
    let mut log = Rig::new().open();
    for timestamp in [50, 10, 20] {
        lead(&mut log, records(2, 1, timestamp)).unwrap();
    }
    log.advance_log_start(at(1));
    assert_eq!(look_up(&log, 15), found(1, 50, 0));
    log.advance_log_start(at(3));
    assert_eq!(look_up(&log, 15), found(4, 20, 0));
}

#[test]
fn records_without_a_time_are_never_found() {
    let mut log = Rig::new().open();
    lead(&mut log, records(2, 1, -1)).unwrap();
    assert_eq!(look_up(&log, 0), None);
    assert_eq!(log.max_timestamp().unwrap(), None);
}
