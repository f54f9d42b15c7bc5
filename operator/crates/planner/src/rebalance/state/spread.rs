//! How many replicas of each topic each broker holds: a full table for few topics, else one entry per pair that
//! occurs. No I/O.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::rebalance::rng::mix;

/// Cells of a full table that are worth one replica's share of memory.
const CELLS_PER_REPLICA_MAX: usize = 4;

/// Counts by topic and broker.
pub(crate) enum TopicSpread {
    /// `topic * brokers + broker`.
    Full { brokers: usize, cells: Vec<u16> },
    /// Only pairs that occur; never iterated.
    Sparse(HashMap<u64, u16, BuildHasherDefault<Mix>>),
}

impl TopicSpread {
    pub(crate) fn new(topics: usize, brokers: usize, replicas: usize) -> TopicSpread {
        let cells = topics.saturating_mul(brokers);
        if cells <= replicas.saturating_mul(CELLS_PER_REPLICA_MAX) {
            TopicSpread::Full { brokers, cells: vec![0; cells] }
        } else {
            TopicSpread::Sparse(HashMap::default())
        }
    }

    pub(crate) fn get(&self, topic: u32, broker: u32) -> u32 {
        match self {
            TopicSpread::Full { brokers, cells } => {
                u32::from(cells[topic as usize * brokers + broker as usize])
            }
            TopicSpread::Sparse(pairs) => pairs.get(&key(topic, broker)).copied().map_or(0, u32::from),
        }
    }

    pub(crate) fn add(&mut self, topic: u32, broker: u32) {
        let cell = self.cell(topic, broker);
        *cell = cell.saturating_add(1);
    }

    pub(crate) fn remove(&mut self, topic: u32, broker: u32) {
        let cell = self.cell(topic, broker);
        *cell = cell.saturating_sub(1);
    }

    fn cell(&mut self, topic: u32, broker: u32) -> &mut u16 {
        match self {
            TopicSpread::Full { brokers, cells } => &mut cells[topic as usize * *brokers + broker as usize],
            TopicSpread::Sparse(pairs) => pairs.entry(key(topic, broker)).or_insert(0),
        }
    }
}

fn key(topic: u32, broker: u32) -> u64 {
    u64::from(topic) << 32 | u64::from(broker)
}

/// A hash for keys that nobody chooses in order to collide.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = mix(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(word);
    }
}
