//! Calls of the disk that fail: what the caller is told, and that nothing that was promised is lost.

use ottla_broker_types::{DurationMs, LeaderEpoch};

use super::rig::{Rig, at, fill, lead, now, read_all, records, spans};
use crate::{AppendError, LogError, OpenError, SimError, SimFault, SimOp};

fn fail_next(rig: &Rig, op: SimOp, error: SimError) {
    rig.disk.inject(SimFault { op, skip: 0, error });
}

#[test]
fn an_append_without_space_leaves_the_log_as_it_was() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 3);
    let before = read_all(&log, at(0));
    fail_next(&rig, SimOp::Write, SimError::NoSpace);
    assert!(matches!(lead(&mut log, records(2, 40, 1)), Err(AppendError::NoSpace(_))));
    assert_eq!(read_all(&log, at(0)), before);
    fill(&mut log, 1);
    assert_eq!(spans(&read_all(&rig.kill_and_open(), at(0))), [(0, 1), (2, 3), (4, 5), (6, 7)]);
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_works_again_when_there_is_space() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    rig.disk.set_capacity_bytes(3_000);
    let mut acked = 0;
    loop {
        match lead(&mut log, records(2, 40, 1)) {
            Ok(_) => acked += 1,
            Err(AppendError::NoSpace(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(acked > 5);
    assert_eq!(spans(&read_all(&log, at(0))).len(), acked);
    rig.disk.set_capacity_bytes(u64::MAX);
    fill(&mut log, 20);
    assert_eq!(spans(&read_all(&rig.kill_and_open(), at(0))).len(), acked + 20);
}

/// The log may go on in the old segment, past the base of the one that could not be made.
#[test]
fn a_segment_that_could_not_be_made_hides_nothing_later() {
    let mut refused_count = 0;
    for op in [SimOp::Open, SimOp::SetLen] {
        for skip in 0..8 {
            for removable in [true, false] {
                let mut rig = Rig::new();
                rig.config.segment_ms = DurationMs(1_000);
                let mut log = rig.open();
                lead(&mut log, records(1, 1, 0)).unwrap();
                rig.disk.inject(SimFault { op, skip, error: SimError::NoSpace });
                if !removable {
                    (0..3).for_each(|_| fail_next(&rig, SimOp::Remove, SimError::Io));
                }
                refused_count += usize::from(lead(&mut log, records(1, 1, 2_000)).is_err());
                rig.disk.clear_faults();
                lead(&mut log, records(1, 1, 500)).unwrap();
                lead(&mut log, records(1, 1, 501)).unwrap();
                let all = read_all(&log, at(0));
                let mut log = rig.kill_and_open();
                assert_eq!(read_all(&log, at(0)), all, "{op:?} {skip}");
                let end = spans(&all).last().map(|last| at(last.1 + 1));
                assert_eq!(Some(log.log_end()), end, "{op:?} {skip}");
                lead(&mut log, records(1, 1, 9_000)).unwrap();
                let all = read_all(&log, at(0));
                assert_eq!(read_all(&rig.close_and_open(log), at(0)), all, "{op:?} {skip}");
            }
        }
    }
    assert!(refused_count >= 4, "{refused_count}");
}

#[test]
fn an_io_error_of_a_write_ends_the_use_of_the_log() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 2);
    fail_next(&rig, SimOp::Write, SimError::Io);
    assert!(matches!(lead(&mut log, records(1, 1, 1)), Err(AppendError::Failed(_))));
    assert!(log.is_failed());
    assert!(matches!(lead(&mut log, records(1, 1, 1)), Err(AppendError::Failed(_))));
    assert!(log.read(at(0), 1, at(4), true).is_err());
    assert!(matches!(log.flush(), Err(LogError::Failed(_))));
    assert_eq!(rig.kill_and_open().log_end(), at(4));
}

/// After a failed sync the operating system forgets the writes: a second sync would succeed and lie.
#[test]
fn a_failed_sync_is_final_and_nothing_is_claimed() {
    let mut rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 2);
    rig.recovery.synced_end = log.flush().unwrap();
    fill(&mut log, 2);
    fail_next(&rig, SimOp::SyncData, SimError::Io);
    assert!(matches!(log.flush(), Err(LogError::Failed(_))));
    assert_eq!(log.recovery_point(), at(4));
    assert!(matches!(log.flush(), Err(LogError::Failed(_))), "a sync is never tried again");
    assert!(lead(&mut log, records(1, 1, 1)).is_err());
    rig.disk.crash(3);
    assert!(rig.open().log_end() >= at(4));
}

#[test]
fn flush_messages_makes_an_append_durable() {
    let mut rig = Rig::new();
    rig.config.flush_messages = Some(1);
    let mut log = rig.open();
    fill(&mut log, 3);
    assert_eq!(log.recovery_point(), at(6));
    rig.recovery.synced_end = at(6);
    rig.disk.crash(0);
    assert_eq!(rig.open().log_end(), at(6));
}

/// Appends, rolls, flushes, cuts and closes, with one call failing; how far it was promised to be durable.
fn script(rig: &Rig) -> Result<i64, i64> {
    let mut promised = 0;
    let mut log = rig.try_open().map_err(|_| promised)?;
    for round in 0..3 {
        for _ in 0..5 {
            let mut batch = records(2, 40, 1);
            log.append_as_leader(&mut batch, LeaderEpoch(round), now(1)).map_err(|_| promised)?;
        }
        promised = log.flush().map_err(|_| promised)?.get();
    }
    let kept = promised.min(20);
    promised = log.truncate_to(at(20), now(1)).map_err(|_| kept)?.get();
    fill_epoch(&mut log).map_err(|_| promised)?;
    log.close().map_err(|_| promised)?;
    Ok(log.log_end().get())
}

fn fill_epoch(log: &mut crate::Log) -> Result<(), AppendError> {
    for _ in 0..4 {
        log.append_as_leader(&mut records(2, 40, 1), LeaderEpoch(5), now(1))?;
    }
    Ok(())
}

#[test]
fn whichever_call_fails_and_then_the_power_nothing_promised_is_lost() {
    let mut failed_count = 0;
    for op in SimOp::ALL {
        for error in [SimError::Io, SimError::NoSpace] {
            for skip in 0..60 {
                let mut rig = Rig::tiny();
                rig.disk.inject(SimFault { op, skip, error });
                let promised = script(&rig).unwrap_or_else(|promised| {
                    failed_count += 1;
                    promised
                });
                rig.disk.crash(skip);
                rig.recovery.synced_end = at(promised);
                let log = match rig.try_open() {
                    Ok(log) => log,
                    Err(error @ OpenError::Damaged { .. }) => panic!("{op:?} {skip}: {error}"),
                    Err(error) => panic!("{op:?} {skip}: {error}"),
                };
                assert!(log.log_end() >= at(promised), "{op:?} {error:?} after {skip} calls");
                assert_eq!(spans(&read_all(&log, at(0))).len() as i64 * 2, log.log_end().get());
            }
        }
    }
    assert!(failed_count > 100, "the script meets the faults: {failed_count}");
}

#[test]
fn a_log_costs_one_open_file_however_many_segments_it_has() {
    let rig = Rig::tiny();
    let mut log = rig.open();
    fill(&mut log, 60);
    log.flush().unwrap();
    assert!(log.segment_count() > 5);
    assert_eq!(rig.disk.open_count(), 1);
    read_all(&log, at(0));
    assert_eq!(rig.disk.open_count(), 2, "one more for the last reader of old segments");
    drop(log);
    let log = rig.kill_and_open();
    assert!(rig.disk.open_count() <= 1 + log.segment_count());
    drop(log);
    assert_eq!(rig.disk.open_count(), 0);
}

/// Whatever cannot be opened fails its own call and nothing after it.
#[test]
fn running_out_of_open_files_is_an_error_of_that_call_only() {
    let mut refused_count = 0;
    for skip in 0..24 {
        let rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 4);
        rig.disk.inject(SimFault { op: SimOp::Open, skip, error: SimError::TooManyFiles });
        for _ in 0..12 {
            match lead(&mut log, records(2, 40, 1)) {
                Ok(_) => {}
                Err(AppendError::Exhausted(_)) => refused_count += 1,
                Err(error) => panic!("after {skip} calls: {error}"),
            }
        }
        match log.flush() {
            Ok(_) => {}
            Err(LogError::Exhausted(_)) => refused_count += 1,
            Err(error) => panic!("after {skip} calls: {error}"),
        }
        let high_watermark = log.log_end();
        let _ = log.apply_retention(now(1), high_watermark);
        rig.disk.clear_faults();
        assert!(!log.is_failed());
        assert_eq!(log.flush().unwrap(), log.log_end(), "what was not synced then is synced now");
        let end = log.log_end();
        rig.disk.crash(skip);
        assert!(rig.open().log_end() >= end);
    }
    assert!(refused_count > 5, "{refused_count}");
}

/// What no file could be opened to sync is due as before, so that `flush.ms` holds once there are some.
#[test]
fn a_flush_that_ran_out_of_open_files_is_still_due() {
    let mut rig = Rig::tiny();
    rig.config.flush_ms = Some(DurationMs(50));
    let mut log = rig.open();
    lead(&mut log, records(1, 40, 1)).unwrap();
    let due = log.flush_due();
    assert!(due.is_some());
    let plan = log.begin_flush().unwrap();
    assert_eq!(log.flush_due(), None, "it is under way");
    let failed = log.finish_flush(plan, Err(rustix::io::Errno::MFILE.into()));
    assert!(matches!(failed, Err(LogError::Exhausted(_))), "{failed:?}");
    assert_eq!(log.flush_due(), due);
    log.flush().unwrap();
    assert_eq!(log.flush_due(), None);
}
