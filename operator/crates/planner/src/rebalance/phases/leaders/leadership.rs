//! Who leads what, while leaderships are handed around. No I/O.
//!
//! Invariant: `led`, `pos`, `out` and `topics` say of the lists what the lists say.

use super::shares::{Shares, scaled_out};
use super::topics::{Care, TopicLeaders};
use crate::rebalance::facts::{Facts, SCALE};
use crate::rebalance::state::{Placement, lead};

/// Shares below this part of [`SCALE`] weigh as if they were this large.
const PER_SHARE_LEAST: i64 = 1 << 10;

/// Who leads what, while leaderships are handed around.
pub(crate) struct Leaders<'a> {
    pub(crate) facts: &'a Facts,
    lists: &'a mut [u32],
    /// Partitions that each broker leads.
    pub(crate) led: Vec<Vec<u32>>,
    /// Where a partition stands in its leader's list.
    pos: Vec<u32>,
    /// Scaled bytes per second that the leader of each partition sends.
    sent: Vec<u32>,
    /// The same of each broker.
    pub(crate) out: Vec<i64>,
    /// [`SCALE`] over each broker's share of that, to multiply with where a division would take its time.
    per_share: Vec<i64>,
    pub(crate) share: Shares,
    pub(crate) topics: TopicLeaders,
    /// How much handovers care for topics now.
    pub(crate) care: Care,
}

impl<'a> Leaders<'a> {
    pub(crate) fn new(facts: &'a Facts, lists: &'a mut [u32], share: Shares) -> Leaders<'a> {
        let mut led = vec![Vec::new(); facts.brokers()];
        let sent: Vec<u32> = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p) as u32).collect();
        let mut out = vec![0; facts.brokers()];
        let mut pos = vec![0; facts.partitions()];
        for partition in 0..facts.partitions() as u32 {
            let leader = lists[facts.start[partition as usize] as usize] as usize;
            pos[partition as usize] = led[leader].len() as u32;
            led[leader].push(partition);
            out[leader] += i64::from(sent[partition as usize]);
        }
        let per_share = share.out.iter().map(|share| SCALE / share.max(&PER_SHARE_LEAST)).collect();
        let topics = TopicLeaders::new(facts, Placement { start: &facts.start, list: lists });
        Leaders { facts, lists, led, pos, sent, out, per_share, share, topics, care: Care::Even }
    }

    /// How far above its share a broker leads.
    pub(crate) fn above(&self, broker: usize) -> i64 {
        self.count(broker) - self.share.exact[broker]
    }

    /// Whether both brokers stay as near to their shares when `to` leads one more and `from` one less.
    pub(crate) fn keeps_even(&self, from: usize, to: usize) -> bool {
        let outside =
            |b: usize, count: i64| (count - self.share.high[b]).max(self.share.low[b] - count).max(0);
        let (at_from, at_to) = (self.count(from), self.count(to));
        outside(from, at_from - 1) + outside(to, at_to + 1) <= outside(from, at_from) + outside(to, at_to)
    }

    /// Whether the partition's topic stays as evenly led as it is when `to` leads instead of `from`.
    pub(crate) fn spares_topic(&self, partition: u32, from: usize, to: usize) -> bool {
        let topic = self.facts.entry[partition as usize].topic;
        self.topics.allows(self.facts, topic, (from, to), self.care)
    }

    pub(crate) fn count(&self, broker: usize) -> i64 {
        self.led[broker].len() as i64
    }

    pub(crate) fn list(&self, partition: u32) -> &[u32] {
        &self.lists[self.facts.slots(partition)]
    }

    pub(crate) fn set(&mut self, partition: u32, to: usize) {
        let from = self.list(partition)[0] as usize;
        let hole = self.pos[partition as usize] as usize;
        self.led[from].swap_remove(hole);
        if let Some(moved) = self.led[from].get(hole) {
            self.pos[*moved as usize] = hole as u32;
        }
        self.pos[partition as usize] = self.led[to].len() as u32;
        self.led[to].push(partition);
        self.topics.hand_over(self.facts.entry[partition as usize].topic, from, to);
        let sent = i64::from(self.sent[partition as usize]);
        self.out[from] -= sent;
        self.out[to] += sent;
        lead(self.facts, self.lists, partition, to as u32);
    }

    /// How much a handover lowers the squares of the relative traffic of both brokers.
    pub(crate) fn relief(&self, partition: u32, from: usize, to: usize) -> i64 {
        let sent = i64::from(self.sent[partition as usize]);
        // Both products stay below 2^62, and below 2^41 once shifted; `per_share` is at most 2^20.
        let falls = ((sent * (2 * self.out[from] - sent)) >> 21) * self.per_share[from];
        let rises = ((sent * (2 * self.out[to] + sent)) >> 21) * self.per_share[to];
        (falls - rises) >> 9
    }
}
