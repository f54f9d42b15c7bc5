//! Randomness from a seed, so that a decision can be repeated. No I/O, no entropy.

use ottla_broker_types::{TopicId, Uuid};

/// Where a decision's randomness starts; the shell draws one a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// What a stream of numbers is for; each purpose has its own, so that one more draw here changes nothing there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    TopicIds = 1,
    Placement = 2,
}

/// Splitmix64: fast, and enough to spread ids and replicas.
pub(crate) struct Random(u64);

impl Seed {
    pub(crate) fn stream(self, purpose: Purpose) -> Random {
        let mut random = Random(self.0 ^ (purpose as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random version-4 id; never one of Kafka's reserved ids.
    pub(crate) fn topic_id(&mut self) -> TopicId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        // The text of an id must not start with '-': command lines would take it for an option.
        if bytes[0] >> 2 == 62 {
            bytes[0] = 0;
        }
        TopicId(Uuid(bytes))
    }
}
