//! What a fetch gets.

use std::path::Path;

use ottla_broker_types::LeaderEpoch;

use super::rig::{DIR, Rig, at, bytes, fill, lead, now, read_all, records, replicated, spans};
use crate::{Disk, Log, OpenMode, ReadError};

/// Twelve batches of two records in several segments, each batch with 170 bytes or so.
fn log() -> (Log, usize) {
    let (_, log, size) = rig_and_log();
    (log, size)
}

fn rig_and_log() -> (Rig, Log, usize) {
    let rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 12);
    let size = log.size_bytes() as usize / 12;
    (rig, log, size)
}

#[test]
fn a_fetch_from_within_a_batch_returns_the_whole_batch() {
    let (log, size) = log();
    for from in 0..24 {
        let read = log.read(at(from), size, log.log_end(), true).unwrap();
        let base = from / 2 * 2;
        assert_eq!(spans(&bytes(&read)), [(base, base + 1)], "from {from}");
        assert_eq!(read.first_batch_offset, at(base));
    }
}

#[test]
fn a_fetch_capped_within_a_segment_never_skips_into_the_next() {
    let (log, size) = log();
    for max in [size, size + 1, 2 * size - 1, 2 * size, 3 * size + 7, 7 * size, 11 * size] {
        for from in (0..24).step_by(2) {
            let read = log.read(at(from), max, log.log_end(), true).unwrap();
            let spans = spans(&bytes(&read));
            let expected: Vec<(i64, i64)> =
                (from..24).step_by(2).take(max / size).map(|base| (base, base + 1)).collect();
            assert_eq!(spans, expected, "from {from}, {max} bytes");
        }
    }
}

#[test]
fn the_first_batch_comes_whole_however_large_only_if_asked() {
    let (log, _) = log();
    assert_eq!(spans(&bytes(&log.read(at(5), 1, log.log_end(), true).unwrap())), [(4, 5)]);
    let nothing = log.read(at(5), 1, log.log_end(), false).unwrap();
    assert_eq!((nothing.bytes, nothing.segments.len()), (0, 0));
    assert_eq!(log.read(at(5), 0, log.log_end(), false).unwrap().bytes, 0);
}

#[test]
fn nothing_at_or_beyond_the_end_is_returned() {
    let (log, _) = log();
    for end in 0..=24 {
        for from in 0..24 {
            let read = log.read(at(from), usize::MAX, at(end), true).unwrap();
            let expected: Vec<(i64, i64)> = (from / 2 * 2..24)
                .step_by(2)
                .map(|base| (base, base + 1))
                .filter(|(_, last)| *last < end && from < end)
                .collect();
            assert_eq!(spans(&bytes(&read)), expected, "{from}..{end}");
        }
    }
}

#[test]
fn a_fetch_at_the_log_end_is_empty_and_beyond_it_out_of_range() {
    let (mut log, _) = log();
    assert_eq!(log.read(at(24), 100, at(24), true).unwrap().bytes, 0);
    assert!(matches!(log.read(at(25), 100, at(25), true), Err(ReadError::OffsetOutOfRange { .. })));
    log.advance_log_start(at(3));
    assert!(matches!(
        log.read(at(2), 100, at(24), true),
        Err(ReadError::OffsetOutOfRange { log_start, .. }) if log_start == at(3)
    ));
    assert_eq!(log.read(at(3), 1, at(24), true).unwrap().first_batch_offset, at(2));
}

#[test]
fn a_fetch_in_a_gap_returns_the_next_batch() {
    let mut log = Rig::tiny().open();
    let fetched = [replicated(0, 0, 1), replicated(10, 0, 1), replicated(500, 0, 9)].concat();
    log.append_as_follower(&fetched, now(1)).unwrap();
    assert_eq!(log.read(at(1), 1, log.log_end(), true).unwrap().first_batch_offset, at(10));
    assert_eq!(log.read(at(11), 1, log.log_end(), true).unwrap().first_batch_offset, at(500));
}

#[test]
fn tiny_segments_bound_a_read_and_the_next_one_goes_on() {
    let mut rig = Rig::tiny();
    rig.config.segment_bytes_max = 180;
    let mut log = rig.open();
    fill(&mut log, 40);
    assert_eq!(log.segment_count(), 40);
    let read = log.read(at(0), usize::MAX, log.log_end(), true).unwrap();
    assert_eq!(read.segments.len(), 16);
    assert_eq!(spans(&read_all(&log, at(0))).len(), 40);
}

#[test]
fn ranges_stay_readable_after_their_segment_was_deleted() {
    let (rig, mut log, _) = rig_and_log();
    let read = log.read(at(0), usize::MAX, log.log_end(), true).unwrap();
    let before = bytes(&read);
    let high_watermark = log.log_end();
    log.set_config(crate::LogConfig { retention_bytes: Some(0), ..log.config().clone() });
    let deleted = log.apply_retention(now(2), high_watermark).unwrap();
    assert!(deleted.segment_count > 1);
    deleted.remove_files(&rig.disk).unwrap();
    assert_eq!(bytes(&read), before);
}

#[test]
fn a_damaged_batch_is_an_error_and_no_panic() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    lead(&mut log, records(2, 40, 1)).unwrap();
    log.append_as_leader(&mut records(2, 40, 1), LeaderEpoch(0), now(1)).unwrap();
    let path = Path::new(DIR).join(format!("{:020}.log", 0));
    rig.disk.open(&path, OpenMode::Write).unwrap().write_all_at(&[0; 61], 0).unwrap();
    assert!(matches!(log.read(at(0), 100, at(4), true), Err(ReadError::Corrupt { .. })));
}
