//! What a log knows of its producers is what all batches up to its end say, whatever it went through.

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{DurationMs, LeaderEpoch, TimestampMs};
use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{Rig, at, header, lead, now, produced, read_all};
use crate::producers::{Check, Producers};
use crate::{AppendError, Log, RecoveryPoint};

const PRODUCER_COUNT: i64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The producer's next batch.
    Produce {
        producer: i64,
        count: i32,
    },
    /// The producer begins a new epoch.
    Bump {
        producer: i64,
    },
    /// Batches of the former leader go.
    Cut {
        keep_percent: i64,
    },
    /// Records below an offset are deleted, and the segments of which nothing is left.
    Delete {
        percent: i64,
    },
    Kill,
    Close,
    /// Another replica fetches the log from its start and goes on with it.
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    let producer = 0..PRODUCER_COUNT;
    prop_oneof![
        12 => (producer.clone(), 1..4i32).prop_map(|(producer, count)| Step::Produce { producer, count }),
        1 => producer.prop_map(|producer| Step::Bump { producer }),
        2 => (0..100i64).prop_map(|keep_percent| Step::Cut { keep_percent }),
        1 => (0..100i64).prop_map(|percent| Step::Delete { percent }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        1 => Just(Step::Move),
    ]
}

/// A log and every batch that it ever knew of, but for those that were cut off.
struct History {
    rig: Rig,
    log: Log,
    batches: Vec<BatchHeader>,
    epochs: [i16; PRODUCER_COUNT as usize],
}

impl History {
    fn new() -> History {
        let mut rig = Rig::tiny();
        rig.config.segment_bytes_max = 400;
        rig.config.retention_ms = None;
        rig.config.producer_id_expiration_ms = DurationMs(u64::MAX);
        let log = rig.open();
        History { rig, log, batches: Vec::new(), epochs: Default::default() }
    }

    /// The state that a replay of all batches gives.
    fn replay(&self) -> Producers {
        let mut replayed = Producers::default();
        self.batches.iter().for_each(|header| replayed.record(header, TimestampMs(1)));
        replayed
    }

    fn next_sequence(&self, producer: i64) -> i32 {
        let epoch = self.epochs[producer as usize];
        let of_it = |batch: &&BatchHeader| (batch.producer_id, batch.producer_epoch) == (producer, epoch);
        self.batches
            .iter()
            .rev()
            .find(of_it)
            .map_or(0, |last| last.base_sequence + last.last_offset_delta + 1)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Produce { producer, count } => {
                let batch =
                    produced(producer, self.epochs[producer as usize], self.next_sequence(producer), count);
                let appended = lead(&mut self.log, batch).unwrap();
                assert!(!appended.duplicate);
                self.batches.push(header(&read_all(&self.log, appended.base_offset)));
            }
            Step::Bump { producer } => self.epochs[producer as usize] += 1,
            Step::Cut { keep_percent } => {
                let kept = self.log.log_start().get() + self.kept(keep_percent);
                let end = self.log.truncate_to(at(kept), now(1)).unwrap();
                self.rig.recovery.log_start = self.log.log_start();
                self.batches.retain(|batch| batch.last_offset() < end.get());
            }
            Step::Delete { percent } => {
                let to = self.log.log_start().get() + self.kept(percent);
                self.log.advance_log_start(at(to));
                let _ = self.log.apply_retention(now(1), self.log.log_end()).unwrap();
                self.rig.recovery.log_start = self.log.log_start();
            }
            Step::Kill => self.log = self.rig.kill_and_open(),
            Step::Close => {
                self.log.close().unwrap();
                let clean = RecoveryPoint {
                    clean_shutdown: true,
                    synced_end: self.log.log_end(),
                    log_start: self.log.log_start(),
                };
                self.rig.recovery = clean;
                self.log = self.rig.open();
                self.rig.recovery.clean_shutdown = false;
            }
            Step::Move => self.move_away(),
        }
    }

    fn kept(&self, percent: i64) -> i64 {
        self.log.log_end().distance_from(self.log.log_start()) * percent / 100
    }

    fn move_away(&mut self) {
        let (start, bytes) = (self.log.log_start(), read_all(&self.log, self.log.log_start()));
        let History { rig, log, .. } = History::new();
        (self.rig, self.log) = (rig, log);
        self.batches.retain(|batch| batch.last_offset() >= start.get());
        let first = self.batches.first().map_or(start, |batch| at(batch.base_offset));
        self.log.reset_to(first, now(1)).unwrap();
        self.log.append_as_follower(&bytes, now(1)).unwrap();
        self.log.advance_log_start(start);
        self.rig.recovery.log_start = start;
    }
}

/// All but when producers were last heard of, which is not in the log.
fn timeless(producers: &Producers) -> Vec<String> {
    let told = producers.iter().map(|(id, known)| format!("{id:?} {:?} {:?}", known.epoch, known.batches()));
    told.collect()
}

proptest! {
    #[test]
    fn what_is_known_of_producers_equals_a_replay_of_the_log(steps in vec(step(), 1..80)) {
        let mut history = History::new();
        for step in &steps {
            history.run(step);
            prop_assert_eq!(timeless(&history.log.producers), timeless(&history.replay()), "after {:?}", step);
        }
    }
}

#[test]
fn all_five_batches_under_way_are_recognised_after_a_close_a_kill_and_a_cut() {
    for ending in 0..3 {
        let mut rig = Rig::tiny();
        rig.config.segment_bytes_max = 400;
        let mut log = rig.open();
        for sequence in 0..20 {
            lead(&mut log, produced(4, 0, sequence, 1)).unwrap();
        }
        let mut log = match ending {
            0 => rig.close_and_open(log),
            1 => rig.kill_and_open(),
            _ => {
                log.append_as_leader(&mut produced(4, 0, 20, 1), LeaderEpoch(0), now(1)).unwrap();
                log.truncate_to(at(20), now(1)).unwrap();
                log
            }
        };
        for sequence in 15..20 {
            let again = lead(&mut log, produced(4, 0, sequence, 1));
            let again = again.unwrap_or_else(|error| panic!("ending {ending}, sequence {sequence}: {error}"));
            assert_eq!(
                (again.duplicate, again.base_offset),
                (true, at(i64::from(sequence))),
                "ending {ending}"
            );
        }
        let older = lead(&mut log, produced(4, 0, 14, 1));
        assert!(matches!(older, Err(AppendError::OutOfOrderSequence { .. })), "ending {ending}");
    }
}

#[test]
fn a_producer_whose_records_were_all_deleted_is_known_after_a_crash() {
    let mut rig = Rig::new();
    let mut log = rig.open();
    lead(&mut log, produced(4, 0, 0, 1)).unwrap();
    log.advance_log_start(at(1));
    rig.recovery.log_start = at(1);
    let mut log = rig.kill_and_open();
    assert!(lead(&mut log, produced(4, 0, 0, 1)).unwrap().duplicate);
}

#[test]
fn a_predecessor_is_a_batch_of_the_same_producer_and_epoch() {
    let mut log = Rig::new().open();
    let next = |epoch, sequence| header(&produced(4, epoch, sequence, 1));
    assert!(!log.has_predecessor_of(&next(0, 1)));
    lead(&mut log, produced(4, 0, 0, 1)).unwrap();
    assert!(log.has_predecessor_of(&next(0, 1)));
    assert!(!log.has_predecessor_of(&next(1, 1)));
    assert!(matches!(log.producers.check(&next(0, 1)), Ok(Check::New)));
}
