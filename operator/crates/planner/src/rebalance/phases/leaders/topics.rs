//! How many partitions of each topic each broker leads, and should. No I/O.

use crate::rebalance::facts::Facts;
use crate::rebalance::facts::{Limits, band, nearest, root};
use crate::rebalance::state::Placement;
use crate::rebalance::state::TopicSpread;

/// Replicas up to which every topic's leaders are evened out, whatever the topic carries: there it costs nothing.
const REPLICAS_SMALL: usize = 4_000;

/// Whether topics that are not worth copies are led evenly, too.
pub(crate) fn is_small(facts: &Facts) -> bool {
    facts.part.len() <= REPLICAS_SMALL
}

/// How much handovers care for the spread of a topic's leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// It gets no farther from the whole numbers next to even.
    Even,
    /// It gets no farther from its bands.
    Band,
    /// Not at all.
    None,
}

/// How many partitions of each topic each broker leads, and should.
pub(crate) struct TopicLeaders {
    counts: TopicSpread,
    /// Leaderships of a topic for each unit of a broker's weight.
    per_weight: Vec<f64>,
}

impl TopicLeaders {
    pub(crate) fn new(facts: &Facts, placement: Placement<'_>) -> TopicLeaders {
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
    pub(crate) fn hand_over(&mut self, topic: u32, from: usize, to: usize) {
        self.counts.remove(topic, from as u32);
        self.counts.add(topic, to as u32);
    }

    pub(crate) fn held(&self, topic: u32, broker: usize) -> u32 {
        self.counts.get(topic, broker as u32)
    }

    pub(crate) fn share(&self, facts: &Facts, topic: u32, broker: usize) -> f64 {
        self.per_weight[topic as usize] * f64::from(facts.weight[broker])
    }

    pub(crate) fn limits(&self, facts: &Facts, topic: u32, broker: usize, care: Care) -> Limits {
        let share = self.share(facts, topic, broker);
        match care {
            Care::Even => nearest(share),
            Care::Band | Care::None => band(share),
        }
    }

    /// Whether the topic stays as even as it is when `to` leads one of its partitions instead of `from`, or gets more so.
    pub(crate) fn allows(&self, facts: &Facts, topic: u32, (from, to): (usize, usize), care: Care) -> bool {
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
    pub(crate) fn uneven(&self, facts: &Facts) -> i64 {
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
