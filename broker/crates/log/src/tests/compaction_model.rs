//! Random histories of a compacted log against a naive model: a list of all records that were ever appended.

use std::collections::BTreeMap;

use ottla_broker_protocol::batch::{BatchOptions, Compression};
use ottla_broker_types::{DurationMs, Offset};
use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{RESOURCES, Rig, at, clean_at, keyed, lead, now, records_in, roll};
use crate::{CleanResources, CleanupPolicy, Log};

/// How long tombstones stay.
const RETENTION_MS: i64 = 50;

#[derive(Clone, Debug)]
enum Step {
    Append { keys: Vec<u8>, tombstones: u8, compression: u8, producer: Option<i64> },
    Roll,
    Clean { keys_max: usize },
    Pass { ms: i64 },
    DeleteBelow { percent: i64 },
    Cut { percent: i64 },
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let append = (vec(0..12u8, 1..5), any::<u8>(), 0..5u8, proptest::option::of(0..3i64));
    prop_oneof![
        10 => append.prop_map(|(keys, tombstones, compression, producer)| {
            Step::Append { keys, tombstones, compression, producer }
        }),
        3 => Just(Step::Roll),
        3 => (1..40usize).prop_map(|keys_max| Step::Clean { keys_max }),
        2 => (1..80i64).prop_map(|ms| Step::Pass { ms }),
        1 => (0..60i64).prop_map(|percent| Step::DeleteBelow { percent }),
        1 => (50..100i64).prop_map(|percent| Step::Cut { percent }),
        1 => Just(Step::Kill),
    ]
}

/// A record that was appended.
#[derive(Clone, Debug, PartialEq)]
struct Appended {
    key: String,
    value: Option<String>,
    batch_last: i64,
}

struct Model {
    rig: Rig,
    log: Log,
    /// By offset.
    all: BTreeMap<i64, Appended>,
    sequences: BTreeMap<i64, i32>,
    /// Up to where a pass took the log for committed.
    stable_end: Offset,
    ms: i64,
    nth: u32,
}

impl Model {
    fn new() -> Model {
        let mut rig = Rig::compacted();
        rig.config.cleanup_policy = CleanupPolicy { delete: true, compact: true };
        rig.config.delete_retention_ms = DurationMs(RETENTION_MS as u64);
        rig.config.retention_ms = None;
        let log = rig.open();
        Model { rig, log, all: BTreeMap::new(), sequences: BTreeMap::new(), stable_end: at(0), ms: 1, nth: 0 }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append { keys, tombstones, compression, producer } => {
                self.append(&keys, tombstones, compression, producer);
            }
            Step::Roll if self.log.log_end() > self.log.active.base() => roll(&mut self.log),
            Step::Roll => {}
            Step::Clean { keys_max } => {
                let resources =
                    CleanResources { map_bytes: 24 * (keys_max + 1), map_load_percent: 100, ..RESOURCES };
                self.stable_end = self.log.log_end();
                clean_at(&mut self.log, self.ms, resources).unwrap();
                self.check();
            }
            Step::Pass { ms } => self.ms += ms,
            Step::DeleteBelow { percent } => {
                self.log.advance_log_start(at(self.log.log_end().get() * percent / 100));
                let end = self.log.log_end();
                let _ = self.log.apply_retention(now(self.ms), end).unwrap();
            }
            Step::Cut { percent } => {
                let end = at(self.log.log_end().get() * percent / 100);
                // What is committed is never cut, and nothing else is compacted.
                let end = end.max(self.log.log_start()).max(self.stable_end);
                let end = self.log.truncate_to(end, now(1)).unwrap();
                self.all.retain(|_, appended| appended.batch_last < end.get());
                let next = |known: crate::KnownProducer| {
                    let (first, base, last) = *known.batches.last()?;
                    Some((known.id.get(), first.get() + (last.get() - base.get() + 1) as i32))
                };
                self.sequences = self.log.known_producers().into_iter().filter_map(next).collect();
            }
            Step::Kill => {
                let (start, cleaned_end) = (self.log.log_start(), self.log.cleaned_end());
                self.rig.recovery.log_start = start;
                self.log = self.rig.kill_and_open();
                self.log.restore_cleaned_end(cleaned_end);
            }
        }
    }

    fn append(&mut self, keys: &[u8], tombstones: u8, compression: u8, producer: Option<i64>) {
        self.nth += 1;
        let texts: Vec<(String, Option<String>)> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let is_tombstone = tombstones & (1 << at) != 0 && tombstones & 0x80 != 0;
                (format!("k{key}"), (!is_tombstone).then(|| format!("v{}", self.nth)))
            })
            .collect();
        let records: Vec<_> = texts.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let mut options = BatchOptions { compression: codec(compression), ..Default::default() };
        if let Some(id) = producer {
            let sequence = self.sequences.entry(id).or_default();
            options.producer_id = id;
            options.producer_epoch = 0;
            options.base_sequence = *sequence;
            *sequence += keys.len() as i32;
        }
        let appended = lead(&mut self.log, keyed(options, &records, self.ms)).unwrap();
        for (offset, (key, value)) in (appended.base_offset.get()..).zip(texts) {
            let batch_last = appended.last_offset.get();
            self.all.insert(offset, Appended { key, value, batch_last });
        }
    }

    /// Each record that is there was appended so; the last of each key is there, unless it is a tombstone; and below where
    /// the log is compacted no key is there twice.
    fn check(&self) {
        let start = self.log.log_start().get();
        let found = records_in(&self.log);
        let mut seen = BTreeMap::new();
        for (offset, key, value) in &found {
            let appended = self.all.get(offset).expect("it was appended");
            assert_eq!((key, value), (&appended.key, &appended.value), "at {offset}");
            if *offset >= start && *offset < self.log.cleaned_end().get() {
                assert_eq!(
                    seen.insert(key, offset),
                    None,
                    "{key} is there twice below {}",
                    self.log.cleaned_end()
                );
            }
        }
        let mut last = BTreeMap::new();
        for (offset, appended) in self.all.range(start..) {
            last.insert(&appended.key, (*offset, &appended.value));
        }
        for (key, (offset, value)) in last {
            let there = found.iter().rev().find(|found| found.1 == *key);
            match (there, value) {
                (Some(there), _) => assert_eq!((there.0, &there.2), (offset, value), "{key}"),
                (None, None) => {}
                (None, Some(value)) => panic!("{key}={value} at {offset} is gone"),
            }
        }
    }
}

fn codec(number: u8) -> Compression {
    match number {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        _ => Compression::None,
    }
}

proptest! {
    #[test]
    fn compaction_keeps_the_last_value_of_every_key_and_invents_nothing(steps in vec(step(), 1..80)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.check();
        let end = model.log.log_end();
        model.log = model.rig.kill_and_open();
        assert_eq!(model.log.log_end(), end);
        model.check();
    }
}
