//! A kill or a power cut at any call of the disk during a pass: the log is read as before it, or as after it; and what
//! was flushed is there. An oracle tells what must be left: the last value of each key.

use std::collections::BTreeMap;

use ottla_broker_protocol::batch::BatchOptions;

use super::rig::{RESOURCES, Rig, at, clean_at, keyed, lead, read_all, records_in, roll, spans};
use crate::{CleanError, Log, SimError, SimFault, SimOp};

/// The last value of each key, with its offset.
type Latest = BTreeMap<String, (i64, Option<String>)>;

fn latest(log: &Log) -> Latest {
    records_in(log).into_iter().map(|(offset, key, value)| (key, (offset, value))).collect()
}

/// Some segments of records whose keys repeat, flushed; the last is not full.
fn filled(rig: &mut Rig) -> Log {
    let mut log = rig.open();
    for n in 0..30 {
        let (key, value) = (format!("k{}", n * 7 % 9), format!("v{n}"));
        let records = [(key.as_str(), (n % 5 > 0).then_some(value.as_str())), ("same", Some(value.as_str()))];
        let options = BatchOptions {
            producer_id: n % 3,
            producer_epoch: 0,
            base_sequence: n as i32 / 3 * 2,
            ..Default::default()
        };
        lead(&mut log, keyed(options, &records, 1)).unwrap();
        if n % 4 == 3 {
            roll(&mut log);
        }
    }
    rig.recovery.synced_end = log.flush().unwrap();
    log
}

/// Runs a pass in which a call fails, then `stop`s the disk; whether the call was reached.
fn interrupted(op: SimOp, skip: u64, recovery_is_known: bool, stop: impl Fn(&Rig)) -> bool {
    let mut rig = Rig::compacted();
    let mut log = filled(&mut rig);
    let (expected, end) = (latest(&log), log.log_end());
    let producers = log.known_producers();
    rig.disk.inject(SimFault { op, skip, error: SimError::Io });
    let passed = clean_at(&mut log, 1, RESOURCES);
    drop(log);
    stop(&rig);
    if !recovery_is_known {
        // The checkpoint is older than what was flushed.
        rig.recovery.synced_end = at(0);
    }
    let mut log = rig.open();
    let context = format!("{op:?} {skip}");
    assert_eq!((latest(&log), log.log_end()), (expected.clone(), end), "{context}");
    let all = spans(&read_all(&log, at(0)));
    assert!(all.is_sorted() && all.last().is_some_and(|last| last.1 + 1 == end.get()), "{context}");
    let last = |producers: &[crate::KnownProducer]| {
        producers.iter().map(|known| (known.id, known.batches.last().copied())).collect::<Vec<_>>()
    };
    assert_eq!(last(&log.known_producers()), last(&producers), "{context}");
    clean_at(&mut log, 1, RESOURCES).unwrap();
    assert_eq!((latest(&log), log.log_end()), (expected, end), "{context}: the next pass");
    let kept = records_in(&log).iter().filter(|(offset, ..)| *offset < log.cleaned_end().get()).count();
    assert!(kept <= 10, "{context}: {kept} records are left below {}", log.cleaned_end());
    !matches!(passed, Ok(Some(_)))
}

const OPS: [SimOp; 8] = [
    SimOp::Open,
    SimOp::Read,
    SimOp::Write,
    SimOp::SetLen,
    SimOp::SyncData,
    SimOp::SyncDir,
    SimOp::Rename,
    SimOp::Remove,
];

#[test]
fn a_kill_at_any_call_of_a_pass_leaves_every_last_value() {
    let mut reached = 0;
    for op in OPS {
        for skip in 0..400 {
            if !interrupted(op, skip, true, |rig| rig.disk.kill()) && op != SimOp::Remove {
                break;
            }
            reached += 1;
            if op == SimOp::Remove && skip > 30 {
                break;
            }
        }
    }
    assert!(reached > 100, "{reached}");
}

#[test]
fn a_power_cut_at_any_call_of_a_pass_leaves_every_last_value() {
    let mut reached = 0;
    for op in [SimOp::Open, SimOp::Write, SimOp::SetLen, SimOp::SyncData, SimOp::Rename, SimOp::Remove] {
        for skip in 0..400 {
            let mut was_reached = false;
            for seed in 0..6 {
                let seed = seed + skip * 1_000;
                let known = seed % 2 == 0;
                was_reached |= interrupted(op, skip, known, |rig| rig.disk.crash(seed));
            }
            reached += u64::from(was_reached);
            if !was_reached && (op != SimOp::Remove || skip > 30) {
                break;
            }
        }
    }
    assert!(reached > 60, "{reached}");
}

#[test]
fn a_power_cut_after_a_pass_leaves_every_last_value() {
    for seed in 0..300 {
        let mut rig = Rig::compacted();
        let mut log = filled(&mut rig);
        let (expected, end) = (latest(&log), log.log_end());
        clean_at(&mut log, 1, RESOURCES).unwrap().unwrap();
        rig.disk.crash(seed);
        if seed % 2 == 0 {
            rig.recovery.synced_end = at(0);
        }
        let log = rig.open();
        assert_eq!((latest(&log), log.log_end()), (expected, end), "seed {seed}");
    }
}

/// A pass that failed on the disk is not taken for one that was ended: somebody must hear of it.
#[test]
fn a_disk_that_fails_is_told() {
    let mut rig = Rig::compacted();
    let mut log = filled(&mut rig);
    rig.disk.inject(SimFault { op: SimOp::Read, skip: 0, error: SimError::Io });
    assert!(matches!(clean_at(&mut log, 1, RESOURCES), Err(CleanError::Io(_))));
}
