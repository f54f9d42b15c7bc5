//! Compaction: what stays of a log, what a pass may touch, and when one is due.

use std::path::Path;

use ottla_broker_protocol::batch::{BatchOptions, Compression, batches};
use ottla_broker_types::{DurationMs, LeaderEpoch, Offset};

use super::rig::{
    DIR, Pair, RESOURCES, Rig, at, bytes, clean, clean_at, header, keyed, lead, lead_each, now, produced,
    read_all, records_in, roll, spans,
};
use crate::{
    CleanError, CleanResources, CleanupPolicy, DirtyRatio, Disk, Log, SimDisk, SimError, SimFault, SimOp,
};

fn facts(log: &Log) -> Vec<(i64, String, Option<String>)> {
    records_in(log)
}

fn fact(offset: i64, key: &str, value: Option<&str>) -> (i64, String, Option<String>) {
    (offset, key.to_owned(), value.map(str::to_owned))
}

/// Three versions of `a`, two of `b`, one of `c`, over several segments, all sealed.
fn versions(log: &mut Log) {
    lead_each(log, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1"))]);
    roll(log);
    lead_each(log, &[("b", Some("2")), ("a", Some("3"))]);
    roll(log);
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let rig = Rig::compacted();
    let mut log = rig.open();
    versions(&mut log);
    let stats = clean(&mut log);
    let left = [fact(3, "c", Some("1")), fact(4, "b", Some("2")), fact(5, "a", Some("3"))];
    assert_eq!(facts(&log), left);
    assert_eq!((log.cleaned_end(), log.log_end(), log.segment_count()), (at(6), at(6), 2));
    assert!(stats.bytes_written < stats.bytes_read && stats.key_count == 3, "{stats:?}");
    assert_eq!(facts(&rig.kill_and_open()), left);
}

#[test]
fn a_fetch_within_what_is_gone_gets_the_next_record() {
    let mut log = Rig::compacted().open();
    versions(&mut log);
    clean(&mut log);
    for from in 0..=3 {
        let read = log.read(at(from), usize::MAX, log.log_end(), true).unwrap();
        assert_eq!(spans(&bytes(&read))[0], (3, 3), "{from}");
    }
}

#[test]
fn records_of_one_batch_are_taken_out_and_the_codec_stays() {
    for compression in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let mut log = Rig::compacted().open();
        let options = BatchOptions { compression, ..Default::default() };
        let records: [Pair<'_>; 4] = [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1"))];
        lead(&mut log, keyed(options, &records, 5)).unwrap();
        lead(&mut log, keyed(options, &[("b", Some("2"))], 6)).unwrap();
        roll(&mut log);
        clean(&mut log);
        let left = [fact(2, "a", Some("2")), fact(3, "c", Some("1")), fact(4, "b", Some("2"))];
        assert_eq!(facts(&log), left);
        let all = read_all(&log, at(0));
        assert_eq!(spans(&all), [(0, 3), (4, 4)], "a batch keeps its range");
        for item in batches(&all) {
            assert_eq!(item.unwrap().0.attributes.compression(), compression);
        }
    }
}

#[test]
fn a_tombstone_stays_until_delete_retention_ms_are_over_and_then_takes_its_key_along() {
    let mut rig = Rig::compacted();
    rig.config.delete_retention_ms = DurationMs(1_000);
    let mut log = rig.open();
    lead_each(&mut log, &[("a", Some("1")), ("b", Some("1")), ("a", None), ("c", Some("1"))]);
    roll(&mut log);
    clean_at(&mut log, 100, RESOURCES).unwrap().unwrap();
    let left = [fact(1, "b", Some("1")), fact(2, "a", None), fact(3, "c", Some("1"))];
    assert_eq!(facts(&log), left, "what it deletes is gone, the tombstone tells of it");
    let tombstone = log.read(at(2), 1, log.log_end(), true).unwrap();
    let said = header(&bytes(&tombstone));
    assert_eq!((said.delete_horizon(), said.max_timestamp), (Some(1_100), 1));
    let more = |log: &mut Log, ms| {
        lead_each(log, &[("d", Some("1"))]);
        roll(log);
        clean_at(log, ms, RESOURCES).unwrap().unwrap();
    };
    more(&mut log, 1_099);
    assert!(facts(&log).contains(&fact(2, "a", None)));
    let mut log = rig.kill_and_open();
    more(&mut log, 1_100);
    let left = [fact(1, "b", Some("1")), fact(3, "c", Some("1")), fact(5, "d", Some("1"))];
    assert_eq!(facts(&log), left);
}

#[test]
fn records_without_a_key_from_before_the_topic_was_compacted_go() {
    let mut rig = Rig::tiny();
    let mut log = rig.open();
    let mut builder = ottla_broker_protocol::batch::BatchBuilder::new(BatchOptions::default());
    builder.append(None, Some(b"x"), 1).append(Some(b"k"), Some(b"y"), 1);
    lead(&mut log, builder.build().unwrap().to_vec()).unwrap();
    roll(&mut log);
    rig.config.cleanup_policy = CleanupPolicy::COMPACT;
    log.set_config(rig.config.clone());
    clean(&mut log);
    assert_eq!(facts(&log), [fact(1, "k", Some("y"))]);
}

#[test]
fn the_last_batch_of_a_producer_stays_as_an_empty_one_so_that_it_is_known() {
    let rig = Rig::compacted();
    let mut log = rig.open();
    for sequence in 0..3 {
        lead(&mut log, produced(1, 4, sequence, 1)).unwrap();
    }
    lead_each(&mut log, &[("k", Some("last"))]);
    roll(&mut log);
    clean(&mut log);
    assert_eq!(spans(&read_all(&log, at(0))), [(2, 2), (3, 3)]);
    assert_eq!(facts(&log), [fact(3, "k", Some("last"))]);
    for path in rig.disk.list_dir(Path::new(DIR)).unwrap() {
        if path.extension().is_some_and(|kind| kind == "snapshot") {
            rig.disk.remove_file(&path).unwrap();
        }
    }
    let mut log = rig.kill_and_open();
    let again = lead(&mut log, produced(1, 4, 2, 1)).unwrap();
    assert_eq!((again.duplicate, again.base_offset), (true, at(2)));
    assert!(lead(&mut log, produced(1, 4, 9, 1)).is_err(), "a gap is seen");
    assert!(lead(&mut log, produced(1, 3, 3, 1)).is_err(), "a former epoch is fenced");
}

/// Recovery takes segments that do not follow each other for loss, and an empty last segment is removed by it.
#[test]
fn segments_go_on_following_each_other_although_all_of_their_records_are_gone() {
    let rig = Rig::compacted();
    let mut log = rig.open();
    for _ in 0..6 {
        lead_each(&mut log, &[("k", Some("v"))]);
        roll(&mut log);
    }
    let tiny = crate::LogConfig { segment_bytes_max: 100, ..rig.config.clone() };
    log.set_config(tiny);
    clean(&mut log);
    assert_eq!((log.segment_count(), log.log_end()), (7, at(6)), "nothing is grouped");
    log.set_config(rig.config.clone());
    lead_each(&mut log, &[("k", Some("w"))]);
    roll(&mut log);
    clean(&mut log);
    assert_eq!(facts(&log), [fact(6, "k", Some("w"))]);
    let log = rig.kill_and_open();
    assert_eq!((log.log_end(), facts(&log)), (at(7), vec![fact(6, "k", Some("w"))]));
}

#[test]
fn small_segments_become_one() {
    let mut log = Rig::compacted().open();
    for n in 0..20 {
        lead_each(&mut log, &[(&format!("{n}"), Some("v"))]);
        roll(&mut log);
    }
    assert_eq!(log.segment_count(), 21);
    clean(&mut log);
    assert_eq!((log.segment_count(), facts(&log).len()), (3, 20), "as many as fit into segment.bytes");
}

#[test]
fn a_batch_that_unfolds_into_too_much_stays_as_it_is() {
    let mut log = Rig::compacted().open();
    let large = "x".repeat(2_000);
    let options = BatchOptions { compression: Compression::Zstd, ..Default::default() };
    for _ in 0..2 {
        lead(&mut log, keyed(options, &[("a", Some(&large)), ("b", Some("1"))], 1)).unwrap();
    }
    lead_each(&mut log, &[("b", Some("2"))]);
    roll(&mut log);
    let small = CleanResources { decoded_bytes_max: 1_000, ..RESOURCES };
    clean_at(&mut log, 1, small).unwrap().unwrap();
    assert_eq!((facts(&log).len(), log.cleaned_end()), (5, at(5)));
}

#[test]
fn a_pass_reaches_as_far_as_its_map_and_the_next_goes_on_there() {
    let mut log = Rig::compacted().open();
    for n in 0..40 {
        lead_each(&mut log, &[(&format!("{}", n % 20), Some("v"))]);
    }
    roll(&mut log);
    let small = CleanResources { map_bytes: 24 * 8, map_load_percent: 90, ..RESOURCES };
    let mut ends = Vec::new();
    while clean_at(&mut log, 1, small).unwrap().is_some() {
        ends.push(log.cleaned_end().get());
    }
    assert!(ends.len() >= 5 && ends.is_sorted(), "{ends:?}");
    assert_eq!(ends.last(), Some(&40));
    assert_eq!(facts(&log).iter().map(|fact| fact.0).collect::<Vec<_>>(), (20..40).collect::<Vec<_>>());
}

#[test]
fn nothing_above_the_stable_end_or_in_the_active_segment_is_touched() {
    let mut log = Rig::compacted().open();
    versions(&mut log);
    lead_each(&mut log, &[("a", Some("4")), ("a", Some("5"))]);
    assert!(log.begin_clean(now(1), at(3), RESOURCES, 7).unwrap().is_none(), "within the first segment");
    let mut pass = log.begin_clean(now(1), at(5), RESOURCES, 7).unwrap().unwrap();
    pass.build_map(&mut |_| true).unwrap();
    assert_eq!(pass.reach(), at(4));
    drop(pass);
    clean(&mut log);
    let left = ["c", "b", "a", "a", "a"];
    assert_eq!(facts(&log).iter().map(|fact| fact.1.as_str()).collect::<Vec<_>>(), left);
}

#[test]
fn records_younger_than_min_compaction_lag_ms_stay() {
    let mut rig = Rig::compacted();
    rig.config.compaction_lag_ms_min = DurationMs(500);
    let mut log = rig.open();
    for timestamp in [100, 400] {
        lead(&mut log, keyed(BatchOptions::default(), &[("a", Some("v"))], timestamp)).unwrap();
        roll(&mut log);
    }
    assert!(clean_at(&mut log, 599, RESOURCES).unwrap().is_none());
    clean_at(&mut log, 600, RESOURCES).unwrap().unwrap();
    assert_eq!(log.cleaned_end(), at(1));
    clean_at(&mut log, 900, RESOURCES).unwrap().unwrap();
    assert_eq!(facts(&log).len(), 1);
}

#[test]
fn a_log_is_due_by_its_dirty_part_or_because_records_have_waited_too_long() {
    let mut rig = Rig::compacted();
    rig.config.dirty_ratio_min = DirtyRatio::of(0.5);
    let mut log = rig.open();
    versions(&mut log);
    let end = log.log_end();
    let cleanable = |log: &mut Log, ms| log.cleanable(now(ms), end).unwrap().unwrap();
    assert!(cleanable(&mut log, 1).is_due() && log.has_dirt());
    clean(&mut log);
    assert_eq!((cleanable(&mut log, 1).dirty_bytes, log.has_dirt()), (0, false));
    lead_each(&mut log, &[("a", Some("4"))]);
    roll(&mut log);
    let end = log.log_end();
    assert!(!log.cleanable(now(1), end).unwrap().unwrap().is_due(), "a quarter is dirty");
    rig.config.compaction_lag_ms_max = Some(DurationMs(1_000));
    log.set_config(rig.config.clone());
    assert!(!log.cleanable(now(1_001), end).unwrap().unwrap().is_overdue);
    assert!(log.cleanable(now(1_002), end).unwrap().unwrap().is_due());
    lead_each(&mut log, &[("a", Some("5"))]);
    let mut log = rig.kill_and_open();
    log.restore_cleaned_end(at(6));
    assert!(log.cleanable(now(1_002), end).unwrap().unwrap().is_overdue, "times are read where not known");
}

#[test]
fn a_segment_of_a_compacted_topic_is_sealed_before_its_records_are_overdue() {
    let mut rig = Rig::compacted();
    rig.config.compaction_lag_ms_max = Some(DurationMs(1_000));
    let mut log = rig.open();
    for timestamp in [100, 1_100, 1_101] {
        lead(&mut log, keyed(BatchOptions::default(), &[("a", Some("v"))], timestamp)).unwrap();
    }
    assert_eq!(log.segment_count(), 2);
}

/// Begins a pass over [`versions`], and cleans the first group without finishing it.
fn half_a_pass(log: &mut Log) -> (crate::CleanPass, crate::CleanedSegment) {
    let end = log.log_end();
    let mut pass = log.begin_clean(now(1), end, RESOURCES, 7).unwrap().unwrap();
    assert!(log.begin_clean(now(1), end, RESOURCES, 7).unwrap().is_none(), "one pass at a time");
    pass.build_map(&mut |_| true).unwrap();
    let group = pass.next_group().unwrap();
    let cleaned = pass.clean(group, &mut |_| true).unwrap();
    (pass, cleaned)
}

#[test]
fn a_log_that_was_cut_deleted_from_or_closed_meanwhile_is_left_as_it_is() {
    type Act = fn(&mut Log);
    let acts: [Act; 4] = [
        |log| log.advance_log_start(at(2)),
        |log| {
            log.truncate_to(at(5), now(1)).unwrap();
        },
        |log| log.reset_to(at(9), now(1)).unwrap(),
        |log| log.close().unwrap(),
    ];
    for (nth, act) in acts.into_iter().enumerate() {
        let rig = Rig::compacted();
        let mut log = rig.open();
        versions(&mut log);
        let (pass, cleaned) = half_a_pass(&mut log);
        act(&mut log);
        assert!(matches!(log.finish_clean(cleaned), Err(CleanError::Stopped)), "{nth}");
        assert_eq!(log.end_clean(&pass), at(0), "{nth}");
        let files = rig.disk.list_dir(Path::new(DIR)).unwrap();
        let is_left = |path: &std::path::PathBuf| {
            path.to_string_lossy().ends_with("cleaned") || path.to_string_lossy().ends_with("swap")
        };
        assert!(!files.iter().any(is_left), "{nth}: {files:?}");
    }
}

#[test]
fn appends_go_on_during_a_pass() {
    let mut log = Rig::compacted().open();
    versions(&mut log);
    let (pass, cleaned) = half_a_pass(&mut log);
    lead_each(&mut log, &[("a", Some("4"))]);
    let _ = log.finish_clean(cleaned).unwrap();
    log.end_clean(&pass);
    assert_eq!(facts(&log).last(), Some(&fact(6, "a", Some("4"))));
    assert_eq!(log.cleaned_end(), at(6));
}

#[test]
fn a_reader_of_a_segment_that_is_replaced_reads_on() {
    let mut log = Rig::compacted().open();
    versions(&mut log);
    let before = log.read(at(0), usize::MAX, at(4), true).unwrap();
    clean(&mut log);
    assert_eq!(spans(&bytes(&before)).len(), 4);
}

#[test]
fn a_damaged_batch_ends_the_pass_and_leaves_the_log() {
    let rig = Rig::compacted();
    let mut log = rig.open();
    versions(&mut log);
    log.flush().unwrap();
    let path = Path::new(DIR).join("00000000000000000000.log");
    let file = rig.disk.open(&path, crate::OpenMode::Write).unwrap();
    file.write_all_at(b"?", 66).unwrap();
    let error = clean_at(&mut log, 1, RESOURCES).unwrap_err();
    assert!(matches!(error, CleanError::Damaged { .. }) && !error.is_passing(), "{error}");
    assert_eq!((log.segment_count(), log.cleaned_end()), (3, at(0)));
}

#[test]
fn a_full_disk_ends_the_pass_and_leaves_nothing_behind() {
    for skip in 0..8 {
        let rig = Rig::compacted();
        let mut log = rig.open();
        versions(&mut log);
        let before = facts(&log);
        rig.disk.inject(SimFault { op: SimOp::Write, skip, error: SimError::NoSpace });
        let ended = clean_at(&mut log, 1, RESOURCES);
        rig.disk.clear_faults();
        match ended {
            Err(error) => {
                assert!(matches!(error, CleanError::Exhausted(_)) && error.is_passing(), "{error}");
                assert_eq!(facts(&log), before);
            }
            Ok(_) => assert!(skip > 1),
        }
        let files = rig.disk.list_dir(Path::new(DIR)).unwrap();
        assert!(!files.iter().any(|path| path.to_string_lossy().ends_with("cleaned")), "{files:?}");
        lead_each(&mut log, &[("a", Some("9"))]);
        roll(&mut log);
        clean(&mut log);
    }
}

#[test]
fn the_caller_can_end_a_pass_at_any_read_or_write() {
    for allowed in 0..30 {
        let mut log = Rig::compacted().open();
        versions(&mut log);
        let before = facts(&log);
        let end = log.log_end();
        let mut left = allowed;
        let mut pace = |_| {
            left -= 1;
            left >= 0
        };
        let mut pass = log.begin_clean(now(1), end, RESOURCES, 7).unwrap().unwrap();
        let cleaned = pass.build_map(&mut pace).and_then(|()| {
            let group = pass.next_group().unwrap();
            pass.clean(group, &mut pace)
        });
        match cleaned {
            Err(error) => assert!(matches!(error, CleanError::Stopped)),
            Ok(_) => assert!(allowed > 3),
        }
        drop(pass);
        assert_eq!(facts(&log), before);
    }
}

#[test]
fn a_compacted_log_can_be_cut_anywhere() {
    for end in 0..8 {
        let rig = Rig::compacted();
        let mut log = rig.open();
        versions(&mut log);
        lead_each(&mut log, &[("z", Some("1"))]);
        clean(&mut log);
        let kept: Vec<_> = facts(&log).into_iter().filter(|fact| fact.0 < end).collect();
        let log_end = log.truncate_to(at(end), now(1)).unwrap();
        assert!(log_end <= at(end) && log.cleaned_end() <= log_end, "{end}");
        assert_eq!(facts(&log), kept, "{end}");
        log.append_as_follower(&super::rig::replicated(end, 1, 1), now(1)).unwrap();
        assert_eq!(rig.kill_and_open().log_end(), at(end + 1));
    }
}

#[test]
fn what_the_checkpoint_says_does_not_count_where_the_log_was_cut_since() {
    let mut rig = Rig::compacted();
    let mut log = rig.open();
    versions(&mut log);
    rig.recovery.synced_end = log.flush().unwrap();
    clean(&mut log);
    assert_eq!(log.cleaned_end(), at(6));
    log.truncate_to(at(4), now(1)).unwrap();
    lead_each(&mut log, &[("x", Some("1")), ("x", Some("2")), ("x", Some("3"))]);
    roll(&mut log);
    let mut log = rig.kill_and_open();
    log.restore_cleaned_end(at(6));
    assert_eq!(log.cleaned_end(), at(4));
    log.restore_cleaned_end(at(2));
    assert_eq!(log.cleaned_end(), at(2));
}

#[test]
fn times_are_found_in_a_compacted_log() {
    let mut log = Rig::compacted().open();
    for timestamp in [10, 30, 20, 40] {
        let key = if timestamp == 30 { "gone" } else { "k" };
        lead(&mut log, keyed(BatchOptions::default(), &[(key, Some("v"))], timestamp)).unwrap();
    }
    lead(&mut log, keyed(BatchOptions::default(), &[("gone", None)], 35)).unwrap();
    lead(&mut log, keyed(BatchOptions::default(), &[("k", Some("w"))], 36)).unwrap();
    roll(&mut log);
    clean(&mut log);
    let found = |at_least| log.offset_for_timestamp(ottla_broker_types::TimestampMs(at_least)).unwrap();
    assert_eq!(found(5).map(|found| found.offset), Some(at(4)));
    assert_eq!(found(36).map(|found| found.offset), Some(at(5)));
    assert_eq!(found(37), None);
    assert_eq!(log.max_timestamp().unwrap().map(|found| found.offset), Some(at(5)));
}

#[test]
fn epochs_stay_although_their_records_are_gone() {
    let rig = Rig::compacted();
    let mut log = rig.open();
    for epoch in 0..3 {
        let mut batch = keyed(BatchOptions::default(), &[("k", Some("v"))], 1);
        log.append_as_leader(&mut batch, LeaderEpoch(epoch), now(1)).unwrap();
    }
    roll(&mut log);
    clean(&mut log);
    let end_of = |log: &Log, epoch| log.end_offset_for(LeaderEpoch(epoch)).map(|(_, end): (_, Offset)| end);
    assert_eq!([0, 1, 2].map(|epoch| end_of(&log, epoch)), [Some(at(1)), Some(at(2)), Some(at(3))]);
    log.flush().unwrap();
    let log = rig.kill_and_open();
    assert_eq!([0, 1, 2].map(|epoch| end_of(&log, epoch)), [Some(at(1)), Some(at(2)), Some(at(3))]);
}

/// Kafka renames the batches first, and indexes may be missing.
#[test]
fn a_swap_that_kafka_began_is_completed_and_one_that_it_only_prepared_is_not() {
    let compacted = || {
        let rig = Rig::compacted();
        let mut log = rig.open();
        versions(&mut log);
        log.flush().unwrap();
        let (pass, cleaned) = half_a_pass(&mut log);
        drop((pass, cleaned));
        rig
    };
    let name = |suffix: &str| Path::new(DIR).join(format!("00000000000000000000{suffix}"));
    let rename = |disk: &SimDisk, from: &str, to: &str| disk.rename(&name(from), &name(to)).unwrap();
    let left = [3, 4, 5];
    let offsets = |log: &Log| facts(log).iter().map(|fact| fact.0).collect::<Vec<_>>();

    let rig = compacted();
    for kind in [".log", ".index", ".timeindex"] {
        rename(&rig.disk, &format!("{kind}.cleaned"), &format!("{kind}.swap"));
    }
    let log = rig.kill_and_open();
    assert_eq!((offsets(&log), log.segment_count()), (left.to_vec(), 1));

    let rig = compacted();
    rename(&rig.disk, ".log.cleaned", ".log.swap");
    assert_eq!(offsets(&rig.kill_and_open()).len(), 6, "not all of it was there yet");

    let rig = compacted();
    for kind in [".log", ".index", ".timeindex"] {
        rename(&rig.disk, &format!("{kind}.cleaned"), &format!("{kind}.swap"));
    }
    rig.disk.remove_file(&Path::new(DIR).join("00000000000000000004.log")).unwrap();
    rename(&rig.disk, ".log.swap", ".log");
    let log = rig.kill_and_open();
    assert_eq!(offsets(&log), left, "only indexes were left to be renamed");
}
