//! What is appended, what is refused, and what both leave behind.

use ottla_broker_protocol::batch::{
    BatchHeader, BatchOptions, Compression, Scratch, TimestampType, stamp_max_timestamp,
};
use ottla_broker_types::{DurationMs, LeaderEpoch, Sequence, TimestampMs};

use super::rig::{
    Rig, at, bytes, compressed, fill, header, lead, now, produced, read_all, records, replicated, spans,
    with_options,
};
use crate::{AppendError, CleanupPolicy, Effort, Verdict};

#[test]
fn a_leader_stamps_offsets_and_epoch_and_leaves_the_rest() {
    let mut log = Rig::new().open();
    lead(&mut log, records(3, 5, 1)).unwrap();
    let mut batch = compressed(Compression::Zstd, 4, 1);
    let sent = batch.clone();
    let appended = log.append_as_leader(&mut batch, LeaderEpoch(6), now(1)).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (at(3), at(6)));
    assert_eq!((appended.bytes, appended.record_count, appended.duplicate), (sent.len(), 4, false));
    let read = bytes(&log.read(at(3), usize::MAX, log.log_end(), true).unwrap());
    assert_eq!((header(&read).base_offset, header(&read).partition_leader_epoch), (3, 6));
    header(&read).check_crc(&read).unwrap();
    assert_eq!(read[21..], sent[21..]);
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(0), at(0)), (LeaderEpoch(6), at(3))]);
}

#[test]
fn log_append_time_replaces_the_producers_time() {
    let mut rig = Rig::new();
    rig.config.timestamp_type = TimestampType::LogAppendTime;
    let mut log = rig.open();
    let mut batch = produced(1, 0, 0, 2);
    let appended = log.append_as_leader(&mut batch, LeaderEpoch(0), now(777)).unwrap();
    assert_eq!(appended.log_append_time, Some(TimestampMs(777)));
    let stored = header(&read_all(&log, at(0)));
    assert_eq!(
        (stored.max_timestamp, stored.attributes.timestamp_type()),
        (777, TimestampType::LogAppendTime)
    );
    let again = log.append_as_leader(&mut produced(1, 0, 0, 2), LeaderEpoch(0), now(999)).unwrap();
    assert_eq!((again.duplicate, again.log_append_time), (true, Some(TimestampMs(777))));
}

#[test]
fn a_duplicate_gets_its_first_offsets_and_is_not_written_again() {
    let mut log = Rig::new().open();
    for n in 0..5 {
        lead(&mut log, produced(9, 0, n * 3, 3)).unwrap();
    }
    let size = log.size_bytes();
    for n in 0..5 {
        let again = lead(&mut log, produced(9, 0, n * 3, 3)).unwrap();
        assert!(again.duplicate);
        assert_eq!((again.base_offset, again.last_offset), (at(n as i64 * 3), at(n as i64 * 3 + 2)));
    }
    assert_eq!((log.size_bytes(), log.log_end()), (size, at(15)));
    let gap = lead(&mut log, produced(9, 0, 16, 1)).unwrap_err();
    assert!(matches!(gap, AppendError::OutOfOrderSequence { expected: Sequence(15), .. }));
}

#[test]
fn a_follower_knows_the_producers_when_it_becomes_leader() {
    let (mut leader, mut follower) = (Rig::new().open(), Rig::new().open());
    lead(&mut leader, produced(9, 2, 0, 3)).unwrap();
    follower.append_as_follower(&read_all(&leader, at(0)), now(1)).unwrap();
    let mut again = produced(9, 2, 0, 3);
    let appended = follower.append_as_leader(&mut again, LeaderEpoch(1), now(2)).unwrap();
    assert_eq!((appended.duplicate, appended.base_offset), (true, at(0)));
    let fenced = follower.append_as_leader(&mut produced(9, 1, 3, 1), LeaderEpoch(1), now(2));
    assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })));
}

#[test]
fn what_a_producer_must_not_send_is_refused_and_changes_nothing() {
    let mut rig = Rig::new();
    rig.config.max_message_bytes = 300;
    let mut log = rig.open();
    let good = records(2, 10, 1);
    let control = BatchOptions { control: true, ..Default::default() };
    let transactional = BatchOptions { transactional: true, ..produced_options() };
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut old_magic = good.clone();
    old_magic[16] = 1;
    let mut unknown_codec = good.clone();
    unknown_codec[22] |= 7;
    type Expected = fn(&AppendError) -> bool;
    let cases: [(Vec<u8>, Expected); 9] = [
        (flipped, |e| matches!(e, AppendError::CorruptBatch(_))),
        (good[..good.len() - 1].to_vec(), |e| matches!(e, AppendError::CorruptBatch(_))),
        (Vec::new(), |e| matches!(e, AppendError::CorruptBatch(_))),
        (old_magic, |e| matches!(e, AppendError::UnsupportedMagic { magic: 1 })),
        (unknown_codec, |e| matches!(e, AppendError::UnsupportedCompression { codec: 7 })),
        (records(1, 400, 1), |e| matches!(e, AppendError::TooLarge { size_max: 300, .. })),
        ([good.clone(), good.clone()].concat(), |e| matches!(e, AppendError::InvalidRecord { .. })),
        (with_options(control, 1, 1, 1), |e| matches!(e, AppendError::InvalidRecord { .. })),
        (with_options(transactional, 1, 1, 1), |e| matches!(e, AppendError::InvalidRecord { .. })),
    ];
    for (at_case, (batch, expected)) in cases.into_iter().enumerate() {
        let error = lead(&mut log, batch).unwrap_err();
        assert!(expected(&error), "case {at_case}: {error:?}");
    }
    assert_eq!((log.log_end(), log.size_bytes()), (at(0), 0));
    lead(&mut log, good).unwrap();
}

fn produced_options() -> BatchOptions {
    BatchOptions { producer_id: 1, producer_epoch: 0, base_sequence: 0, ..Default::default() }
}

#[test]
fn a_batch_without_records_or_with_a_wrong_count_is_refused() {
    let mut log = Rig::new().open();
    let empty = with_options(BatchOptions::default(), 0, 0, 1);
    assert!(matches!(lead(&mut log, empty), Err(AppendError::InvalidRecord { .. })));
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    let mut rig = Rig::tiny();
    rig.config.segment_bytes_max = 200;
    let error = lead(&mut rig.open(), records(1, 300, 1)).unwrap_err();
    assert!(matches!(error, AppendError::LargerThanSegment { segment_bytes_max: 200, .. }));
}

#[test]
fn timestamps_too_far_from_the_brokers_clock_are_refused() {
    let mut rig = Rig::new();
    rig.config.timestamp_after_max_ms = Some(DurationMs(100));
    rig.config.timestamp_before_max_ms = Some(DurationMs(1_000));
    let mut log = rig.open();
    let mut append =
        |timestamp| log.append_as_leader(&mut records(2, 1, timestamp), LeaderEpoch(0), now(5_000));
    append(5_100).unwrap();
    append(4_000).unwrap();
    assert!(matches!(append(5_101), Err(AppendError::InvalidTimestamp { records }) if records[0].index == 0));
    assert!(matches!(append(3_999), Err(AppendError::InvalidTimestamp { records }) if records.len() == 2));
    append(-1).unwrap();
}

#[test]
fn a_compacted_topic_needs_keys_also_in_compressed_batches() {
    let mut rig = Rig::new();
    rig.config.cleanup_policy = CleanupPolicy::COMPACT;
    let mut log = rig.open();
    let mut builder = ottla_broker_protocol::batch::BatchBuilder::new(BatchOptions {
        compression: Compression::Gzip,
        ..Default::default()
    });
    builder.append(Some(b"k"), None, 1).append(None, Some(b"v"), 1);
    let error = lead(&mut log, builder.build().unwrap().to_vec()).unwrap_err();
    assert!(matches!(error, AppendError::InvalidRecord { records, .. } if records[0].index == 1));
    lead(&mut log, compressed(Compression::Gzip, 3, 1)).unwrap();
}

#[test]
fn the_largest_timestamp_is_the_records_own_whatever_the_header_says() {
    for compression in [Compression::None, Compression::Zstd] {
        let mut log = Rig::new().open();
        let mut batch = compressed(compression, 3, 50);
        stamp_max_timestamp(&mut batch, 9_000_000);
        log.append_as_leader(&mut batch, LeaderEpoch(0), now(100)).unwrap();
        let stored = BatchHeader::parse(&batch).unwrap();
        assert_eq!(stored.max_timestamp, 50);
        stored.check_crc(&batch).unwrap();
    }
}

#[test]
fn a_record_count_that_the_content_does_not_hold_moves_no_offset() {
    let mut log = Rig::new().open();
    let mut batch = records(1, 10, 1);
    batch[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    stamp_max_timestamp(&mut batch, 1);
    let refused = lead(&mut log, batch).unwrap_err();
    assert!(matches!(refused, AppendError::InvalidRecord { records, .. } if records[0].index == 1));
    assert_eq!(log.log_end(), at(0));
}

#[test]
fn a_brief_check_leaves_what_unfolds_far_to_a_full_one() {
    let rules = crate::LogConfig::default().batch_rules();
    let now = now(1).wall;
    let check = |batch: &[u8], effort| rules.check(batch, now, effort, &mut Scratch::default()).unwrap();
    let bomb = {
        let options = BatchOptions { compression: Compression::Zstd, ..Default::default() };
        let mut builder = ottla_broker_protocol::batch::BatchBuilder::new(options);
        builder.append(None, Some(&vec![0; 1 << 20]), 1);
        builder.build().unwrap()
    };
    assert_eq!(check(&bomb, Effort::Brief), Verdict::Undecided);
    assert!(matches!(check(&bomb, Effort::Full), Verdict::Sound(_)));
    assert!(matches!(check(&compressed(Compression::Zstd, 3, 1), Effort::Brief), Verdict::Sound(_)));
    let large = records(1, 900_000, 1);
    assert!(
        matches!(check(&large, Effort::Brief), Verdict::Sound(_)),
        "uncompressed ones are walked where they lie"
    );
}

#[test]
fn a_leader_of_an_older_epoch_cannot_append() {
    let mut log = Rig::new().open();
    log.append_as_leader(&mut records(1, 1, 1), LeaderEpoch(4), now(1)).unwrap();
    let error = lead(&mut log, records(1, 1, 1)).unwrap_err();
    assert!(matches!(error, AppendError::StaleLeaderEpoch { latest: LeaderEpoch(4), .. }));
}

#[test]
fn a_follower_keeps_the_leaders_bytes_gaps_and_epochs() {
    let mut log = Rig::new().open();
    let fetched = [replicated(0, 1, 2), replicated(5, 1, 1), replicated(6, 3, 4)].concat();
    let mut cut = fetched.clone();
    cut.extend_from_slice(&replicated(10, 3, 1)[..70]);
    let appended = log.append_as_follower(&cut, now(1)).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset, appended.record_count), (at(0), at(9), 7));
    assert_eq!(read_all(&log, at(0)), fetched);
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(1), at(0)), (LeaderEpoch(3), at(6))]);
    assert_eq!(log.end_offset_for(LeaderEpoch(2)), Some((LeaderEpoch(1), at(6))));
}

#[test]
fn a_follower_takes_nothing_of_a_response_with_a_bad_batch() {
    let mut log = Rig::new().open();
    let good = replicated(0, 1, 2);
    let mut flipped = replicated(2, 1, 1);
    *flipped.last_mut().unwrap() ^= 1;
    for (bad, name) in [
        (flipped, "flipped"),
        (replicated(1, 1, 1), "offset goes back"),
        (replicated(2, 0, 1), "epoch goes back"),
    ] {
        let result = log.append_as_follower(&[good.clone(), bad].concat(), now(1));
        assert!(result.is_err(), "{name}");
        assert_eq!((log.log_end(), log.size_bytes()), (at(0), 0), "{name}");
    }
}

#[test]
fn an_answer_without_a_whole_batch_appends_nothing() {
    let mut log = Rig::new().open();
    log.append_as_follower(&replicated(0, 0, 1), now(1)).unwrap();
    let appended = log.append_as_follower(&replicated(1, 0, 5)[..50], now(1)).unwrap();
    assert_eq!((appended.base_offset, appended.bytes, log.log_end()), (at(1), 0, at(1)));
}

#[test]
fn segments_roll_by_size_and_each_begins_at_its_first_offset() {
    let mut log = Rig::tiny().open();
    fill(&mut log, 12);
    assert!(log.segment_count() > 1);
    let size = log.size_bytes() as usize / 12;
    assert_eq!(log.segment_count(), 12_usize.div_ceil(1_000 / size));
    assert_eq!(spans(&read_all(&log, at(0))).len(), 12);
}

#[test]
fn segments_roll_by_the_age_of_their_records() {
    let mut rig = Rig::new();
    rig.config.segment_ms = DurationMs(1_000);
    let mut log = rig.open();
    for (timestamp, segments) in [(5_000, 1), (6_000, 1), (6_001, 2), (6_002, 2)] {
        log.append_as_leader(&mut records(1, 1, timestamp), LeaderEpoch(0), now(6_000)).unwrap();
        assert_eq!(log.segment_count(), segments, "{timestamp}");
    }
}

#[test]
fn segments_roll_when_the_index_is_full() {
    let mut rig = Rig::new();
    rig.config.index_interval_bytes = 0;
    rig.config.segment_index_bytes_max = 8 * 4;
    let mut log = rig.open();
    fill(&mut log, 6);
    assert!(log.segment_count() > 1, "segment.index.bytes counts");
}

#[test]
fn segments_roll_before_an_offset_outgrows_the_index() {
    let rig = Rig::new();
    let mut log = rig.open();
    let far = i64::from(i32::MAX) + 10;
    log.append_as_follower(&[replicated(0, 0, 1), replicated(far, 0, 1)].concat(), now(1)).unwrap();
    assert_eq!(log.segment_count(), 2);
    let read = log.read(at(1), usize::MAX, log.log_end(), true).unwrap();
    assert_eq!((read.first_batch_offset, spans(&bytes(&read))), (at(far), vec![(far, far)]));
}

#[test]
fn a_far_first_batch_of_an_empty_log_is_kept() {
    let rig = Rig::new();
    let mut log = rig.open();
    let far = i64::from(i32::MAX) * 3;
    log.append_as_follower(&replicated(far, 0, 1), now(1)).unwrap();
    let log = rig.kill_and_open();
    assert_eq!(spans(&read_all(&log, at(0))), [(far, far)]);
}
