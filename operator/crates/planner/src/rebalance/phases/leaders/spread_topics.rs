//! The first part of phase 4: each topic's leaderships spread over the brokers that hold its replicas, within one of even
//! or five percent. Moves no data. No I/O.

use super::leadership::Leaders;
use super::topics::{Care, is_small};

/// Hands leaderships over until every topic is within its bands, or no chain within the topic is left. No broker gets
/// farther from its share of all leaderships, so that evening those out later and this never undo each other.
pub(crate) fn spread_topics(leaders: &mut Leaders<'_>, quiet: bool) {
    let facts = leaders.facts;
    let small = is_small(facts);
    let care = if small && !quiet { Care::Even } else { Care::Band };
    let mut search =
        Search { care, led: vec![Vec::new(); facts.brokers()], came: vec![None; facts.brokers()] };
    for topic in 0..facts.topic_slots.len() as u32 {
        if small || facts.topics.is_heavy(topic) {
            search.spread(leaders, topic, quiet && !small);
        }
    }
}

/// Leaderships of one topic while they are handed around.
struct Search {
    care: Care,
    /// Partitions of the topic that each broker leads.
    led: Vec<Vec<u32>>,
    /// How a broker was reached: from which broker, by which partition.
    came: Vec<Option<(usize, u32)>>,
}

impl Search {
    fn spread(&mut self, leaders: &mut Leaders<'_>, topic: u32, only_far: bool) {
        let (facts, care) = (leaders.facts, self.care);
        let outside = |leaders: &Leaders<'_>, b: usize| {
            let (topics, held) = (&leaders.topics, leaders.topics.held(topic, b));
            let limits = topics.limits(facts, topic, b, care);
            let far = (held as f64 - topics.share(facts, topic, b)).abs() >= 2.0;
            if only_far && !far {
                0
            } else {
                i64::from(held) - i64::from(held.clamp(limits.low, limits.high))
            }
        };
        let uneven: Vec<usize> =
            (0..facts.brokers()).filter(|b| facts.stays[*b] && outside(leaders, *b) != 0).collect();
        if uneven.is_empty() {
            return;
        }
        for partition in facts.topics.partitions(topic) {
            if !facts.entry[partition as usize].pinned {
                self.led[leaders.list(partition)[0] as usize].push(partition);
            }
        }
        for broker in uneven {
            while outside(leaders, broker) != 0 {
                let chain = match outside(leaders, broker) > 0 {
                    true => self.away(leaders, topic, broker),
                    false => self.here(leaders, topic, broker),
                };
                let Some(chain) = chain else { break };
                for (partition, from, to) in chain {
                    self.led[from].retain(|led| *led != partition);
                    self.led[to].push(partition);
                    leaders.set(partition, to);
                }
            }
        }
        self.led.iter_mut().for_each(Vec::clear);
    }

    /// A chain from a broker that leads too many to the one that can take one more and leads the least beside.
    fn away(&mut self, leaders: &Leaders<'_>, topic: u32, broker: usize) -> Option<Vec<(u32, usize, usize)>> {
        let facts = leaders.facts;
        let order = self.reach(leaders, &[broker]);
        let can_take = |b: &usize| {
            let held = leaders.topics.held(topic, *b);
            *b != broker
                && held < leaders.topics.limits(facts, topic, *b, self.care).high
                && leaders.keeps_even(broker, *b)
        };
        let end = order.into_iter().filter(can_take).min_by_key(|b| (leaders.above(*b), *b))?;
        Some(self.chain(end))
    }

    /// A chain to a broker that leads too few, from those that can give one.
    fn here(&mut self, leaders: &Leaders<'_>, topic: u32, broker: usize) -> Option<Vec<(u32, usize, usize)>> {
        let facts = leaders.facts;
        let can_give = |b: &usize| {
            let held = leaders.topics.held(topic, *b);
            *b != broker
                && held > leaders.topics.limits(facts, topic, *b, self.care).low
                && leaders.keeps_even(*b, broker)
        };
        let mut sources: Vec<usize> = (0..facts.brokers()).filter(can_give).collect();
        sources.sort_by_key(|b| (std::cmp::Reverse(leaders.above(*b)), *b));
        self.reach(leaders, &sources).contains(&broker).then(|| self.chain(broker))
    }

    /// Brokers that leaderships of the topic can be handed to from `sources`, one after the other, the nearest first.
    fn reach(&mut self, leaders: &Leaders<'_>, sources: &[usize]) -> Vec<usize> {
        let mut is_seen = vec![false; self.came.len()];
        self.came.fill(None);
        sources.iter().for_each(|b| is_seen[*b] = true);
        let mut order = sources.to_vec();
        let mut at = 0;
        while at < order.len() {
            let from = order[at];
            at += 1;
            for &partition in &self.led[from] {
                for &to in &leaders.list(partition)[1..] {
                    let to = to as usize;
                    if !is_seen[to] && leaders.facts.stays[to] {
                        is_seen[to] = true;
                        self.came[to] = Some((from, partition));
                        order.push(to);
                    }
                }
            }
        }
        order
    }

    /// The handovers that end at `end`, the last first.
    fn chain(&self, end: usize) -> Vec<(u32, usize, usize)> {
        let mut chain = Vec::new();
        let mut at = end;
        while let Some((from, partition)) = self.came[at] {
            chain.push((partition, from, at));
            at = from;
        }
        chain
    }
}
