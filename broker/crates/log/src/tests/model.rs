//! Random histories of appends, cuts, flushes, kills and power cuts against a model: a list of batches.
//!
//! After any crash the log is a prefix of the model's, and holds all that was flushed. The checkpoint of the
//! recovery point is written only sometimes, so it may be outdated in either direction.

use ottla_broker_protocol::batch::BatchOptions;
use ottla_broker_types::{LeaderEpoch, Offset};
use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{Rig, assert_prefix, at, bytes, now, produced, read_all, spans, with_options};
use crate::{Log, RecoveryPoint};

#[derive(Clone, Debug)]
enum Step {
    Lead { count: i32, value_bytes: usize },
    Produce { producer: i64, count: i32 },
    Follow { count: i32, gap: i64 },
    NewEpoch,
    Flush,
    Checkpoint,
    Cut { keep_percent: i64 },
    Kill,
    Crash { seed: u64 },
    Close,
    Read { from_percent: i64, bytes_max: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5i32, 1..200usize).prop_map(|(count, value_bytes)| Step::Lead { count, value_bytes }),
        6 => (0..3i64, 1..4i32).prop_map(|(producer, count)| Step::Produce { producer, count }),
        3 => (1..4i32, 0..3i64).prop_map(|(count, gap)| Step::Follow { count, gap }),
        1 => Just(Step::NewEpoch),
        3 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        1 => (0..100i64).prop_map(|keep_percent| Step::Cut { keep_percent }),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        1 => Just(Step::Close),
        3 => (0..100i64, 1..2_000usize).prop_map(|(from_percent, bytes_max)| Step::Read { from_percent, bytes_max }),
    ]
}

/// A batch as the log must return it.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    base: i64,
    last: i64,
    bytes: Vec<u8>,
    /// Producer and first sequence, for batches of [`Step::Produce`].
    produced: Option<(i64, i32)>,
}

struct Model {
    rig: Rig,
    log: Log,
    stored: Vec<Stored>,
    synced_end: Offset,
    epoch: i32,
}

impl Model {
    fn new() -> Model {
        let rig = Rig::tiny();
        let log = rig.open();
        Model { rig, log, stored: Vec::new(), synced_end: at(0), epoch: 0 }
    }

    fn push(&mut self, base: i64, last: i64, produced: Option<(i64, i32)>) {
        let read = self.log.read(at(base), 1, self.log.log_end(), true).unwrap();
        self.stored.push(Stored { base, last, bytes: bytes(&read), produced });
    }

    fn next_sequence(&self, producer: i64) -> i32 {
        let last = self.stored.iter().rev().find(|batch| batch.produced.is_some_and(|p| p.0 == producer));
        last.map_or(0, |batch| batch.produced.unwrap().1 + (batch.last - batch.base + 1) as i32)
    }

    fn lead(&mut self, mut batch: Vec<u8>, produced: Option<(i64, i32)>) {
        let appended = self.log.append_as_leader(&mut batch, LeaderEpoch(self.epoch), now(1)).unwrap();
        assert!(!appended.duplicate);
        self.push(appended.base_offset.get(), appended.last_offset.get(), produced);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Lead { count, value_bytes } => {
                self.lead(with_options(BatchOptions::default(), count, value_bytes, 1), None);
            }
            Step::Produce { producer, count } => {
                let sequence = self.next_sequence(producer);
                self.lead(produced(producer, 0, sequence, count), Some((producer, sequence)));
            }
            Step::Follow { count, gap } => {
                let base_offset = self.log.log_end().get() + gap;
                let options = BatchOptions { base_offset, leader_epoch: self.epoch, ..Default::default() };
                let batch = with_options(options, count, 20, 1);
                self.log.append_as_follower(&batch, now(1)).unwrap();
                self.push(base_offset, base_offset + i64::from(count) - 1, None);
            }
            Step::NewEpoch => self.epoch += 1,
            Step::Flush => self.synced_end = self.log.flush().unwrap(),
            Step::Checkpoint => self.rig.recovery.synced_end = self.log.recovery_point(),
            Step::Cut { keep_percent } => self.cut(keep_percent),
            Step::Kill => {
                let before = self.stored.len();
                self.log = self.rig.kill_and_open();
                self.reopened();
                assert_eq!(self.stored.len(), before, "a kill loses nothing");
            }
            Step::Crash { seed } => {
                self.rig.disk.crash(seed);
                self.log = self.rig.open();
                self.reopened();
            }
            Step::Close => {
                self.log.close().unwrap();
                let checkpointed = self.rig.recovery;
                self.rig.recovery =
                    RecoveryPoint { clean_shutdown: true, synced_end: self.log.log_end(), ..checkpointed };
                self.log = self.rig.open();
                self.rig.recovery.clean_shutdown = false;
                self.synced_end = self.log.log_end();
                self.reopened();
            }
            Step::Read { from_percent, bytes_max } => self.read(from_percent, bytes_max),
        }
    }

    fn cut(&mut self, keep_percent: i64) {
        let end = self.log.log_end().get() * keep_percent / 100;
        let end = self.log.truncate_to(at(end), now(1)).unwrap();
        self.stored.retain(|batch| batch.last < end.get());
        self.synced_end = self.synced_end.min(end);
    }

    /// After a start: the log is a prefix of the model's and reaches what was synced.
    fn reopened(&mut self) {
        let end = self.log.log_end();
        assert!(end >= self.synced_end, "the log ends at {end}, {} was synced", self.synced_end);
        self.stored.retain(|batch| batch.last < end.get());
        let expected: Vec<u8> = self.stored.iter().flat_map(|batch| batch.bytes.clone()).collect();
        let left = read_all(&self.log, at(0));
        assert_prefix(&left, &expected, "reopened");
        assert_eq!(left.len(), expected.len());
        self.synced_end = self.synced_end.min(end);
        for producer in 0..3 {
            let last = self.stored.iter().rev().find(|batch| batch.produced.is_some_and(|p| p.0 == producer));
            let Some(Stored { base, last, produced: Some((_, sequence)), .. }) = last else { continue };
            let mut again = produced(producer, 0, *sequence, (last - base + 1) as i32);
            let appended = self.log.append_as_leader(&mut again, LeaderEpoch(self.epoch), now(1)).unwrap();
            assert_eq!((appended.duplicate, appended.base_offset), (true, at(*base)));
        }
    }

    fn read(&mut self, from_percent: i64, bytes_max: usize) {
        let end = self.log.log_end();
        let from = end.get() * from_percent / 100;
        let read = self.log.read(at(from), bytes_max, end, true).unwrap();
        let mut left = bytes_max;
        let expected: Vec<(i64, i64)> = self
            .stored
            .iter()
            .filter(|batch| batch.last >= from)
            .enumerate()
            .take_while(|(n, batch)| {
                let fits = batch.bytes.len() <= left || (*n == 0);
                left = left.saturating_sub(batch.bytes.len());
                fits
            })
            .map(|(_, batch)| (batch.base, batch.last))
            .collect();
        let found = spans(&bytes(&read));
        // A read may end early at a bound of segments, never skip or exceed.
        assert!(expected.starts_with(&found), "{found:?} of {expected:?}");
        assert!(!found.is_empty() || expected.is_empty());
    }
}

proptest! {
    #[test]
    fn the_log_is_always_a_prefix_of_the_model_and_keeps_what_was_synced(steps in vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.log = model.rig.kill_and_open();
        model.reopened();
    }
}
