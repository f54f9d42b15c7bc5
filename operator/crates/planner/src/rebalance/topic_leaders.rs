//! The first part of phase 4: each topic's leaderships spread over the brokers that hold its replicas, within one of even
//! or five percent. Moves no data. No I/O.

use super::facts::Facts;
use super::leaders::Leaders;
use super::score::Placement;
use super::spread::TopicSpread;
use super::topics::{Limits, band, nearest, root};

/// Replicas up to which every topic's leaders are evened out, whatever the topic carries: there it costs nothing.
const REPLICAS_SMALL: usize = 4_000;

/// Whether topics that are not worth copies are led evenly, too.
pub(super) fn is_small(facts: &Facts) -> bool {
    facts.part.len() <= REPLICAS_SMALL
}

/// How much handovers care for the spread of a topic's leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It gets no farther from the whole numbers next to even.
    Even,
    /// It gets no farther from its bands.
    Band,
    /// Not at all.
    None,
}

/// How many partitions of each topic each broker leads, and should.
pub(super) struct TopicLeaders {
    counts: TopicSpread,
    /// Leaderships of a topic for each unit of a broker's weight.
    per_weight: Vec<f64>,
}

impl TopicLeaders {
    pub(super) fn new(facts: &Facts, placement: Placement<'_>) -> TopicLeaders {
        let topics = facts.topic_slots.len();
        let mut counts = TopicSpread::new(topics, facts.brokers(), facts.partitions());
        let mut per_weight = Vec::with_capacity(topics);
        let mut held = vec![0_u32; facts.brokers()];
        let mut holders: Vec<u32> = Vec::new();
        for topic in 0..topics as u32 {
            let partitions = facts.topics.partitions(topic);
            for partition in partitions.clone() {
                let list = placement.of(partition as usize);
                list.first().into_iter().for_each(|leader| counts.add(topic, *leader));
                for &broker in list {
                    if held[broker as usize] == 0 {
                        holders.push(broker);
                    }
                    held[broker as usize] += 1;
                }
            }
            per_weight.push(level(facts, &holders, &held, partitions.len()));
            holders.drain(..).for_each(|broker| held[broker as usize] = 0);
        }
        TopicLeaders { counts, per_weight }
    }

    /// Remembers that a partition of the topic is led by another broker.
    pub(super) fn hand_over(&mut self, topic: u32, from: usize, to: usize) {
        self.counts.remove(topic, from as u32);
        self.counts.add(topic, to as u32);
    }

    pub(super) fn held(&self, topic: u32, broker: usize) -> u32 {
        self.counts.get(topic, broker as u32)
    }

    fn share(&self, facts: &Facts, topic: u32, broker: usize) -> f64 {
        self.per_weight[topic as usize] * f64::from(facts.weight[broker])
    }

    pub(super) fn limits(&self, facts: &Facts, topic: u32, broker: usize, care: Care) -> Limits {
        let share = self.share(facts, topic, broker);
        match care {
            Care::Even => nearest(share),
            Care::Band | Care::None => band(share),
        }
    }

    /// Whether the topic stays as even as it is when `to` leads one of its partitions instead of `from`, or gets more so.
    pub(super) fn allows(&self, facts: &Facts, topic: u32, (from, to): (usize, usize), care: Care) -> bool {
        if care == Care::None {
            return true;
        }
        let outside =
            |broker: usize, held: u32| i64::from(self.limits(facts, topic, broker, care).outside(held));
        let (at_from, at_to) = (self.held(topic, from), self.held(topic, to));
        outside(to, at_to + 1) - outside(to, at_to) + outside(from, at_from.saturating_sub(1))
            - outside(from, at_from)
            <= 0
    }

    /// Topics worth copies whose leaders are not even on some broker.
    pub(super) fn uneven(&self, facts: &Facts) -> i64 {
        let is_even = |topic: u32, b: usize| {
            let limits = self.limits(facts, topic, b, Care::Band);
            limits.outside(self.held(topic, b)) == 0
        };
        let topics = facts.topics.by_weight().iter();
        topics.filter(|topic| (0..facts.brokers()).any(|b| facts.stays[b] && !is_even(**topic, b))).count()
            as i64
    }
}

/// The leaderships for each unit of weight with which all partitions have a leader, and no broker leads more than it
/// holds.
fn level(facts: &Facts, holders: &[u32], held: &[u32], partitions: usize) -> f64 {
    let weight = |b: &u32| f64::from(facts.weight[*b as usize]);
    let all: f64 = holders.iter().map(weight).sum();
    let even = partitions as f64 / all.max(1.0);
    if holders.iter().all(|b| f64::from(held[*b as usize]) >= even * weight(b)) {
        return even;
    }
    let leads = |level: f64| {
        holders.iter().map(|b| (level * weight(b)).min(f64::from(held[*b as usize]))).sum::<f64>()
    };
    // Replicas on brokers that leave lead, too, but have no weight.
    let most = leads(f64::from(u32::MAX));
    root(leads, (partitions as f64).min(most))
}

/// Hands leaderships over until every topic is within its bands, or no chain within the topic is left. No broker gets
/// farther from its share of all leaderships, so that evening those out later and this never undo each other.
pub(super) fn spread_topics(leaders: &mut Leaders<'_>, quiet: bool) {
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
