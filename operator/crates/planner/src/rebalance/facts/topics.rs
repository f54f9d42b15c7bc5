//! How many replicas of each topic each broker should hold: the topic's replicas shared out as all replicas are, rack by
//! rack, and a band around that share. Topics that together carry next to nothing have no share to keep. No I/O.
//!
//! Shares are fractions, since a topic rarely has a replica for each broker; limits are whole numbers.

use super::shares::Fill;
use super::{Facts, SCALE};

/// A topic may have so much more or less than its share on a broker, as a part of the share; one replica at least.
const BAND_PART: f64 = 20.0;
/// Topics that together carry less than this part of the load are spread only where that costs nothing.
const LIGHT_PART: i128 = 20;
/// What a replica counts for beyond its bytes and its traffic: a topic that is empty today may not be tomorrow, and one
/// of a few kilobytes is nobody's load.
const REPLICA_BYTES: i128 = 1 << 20;
/// Brokers that were there before keep what they hold of a topic unless it is this part above or below the share...
const FAR_PART: f64 = 5.0;
/// ...so many replicas at least...
const FAR_REPLICAS: f64 = 2.0;
/// ...and that is felt: a whole replica of the topic is at least this part of what a broker carries.
const FELT_PART: i128 = 200;
/// A replica of this part of what a broker carries is too much to be held by chance: where it is free, topics of such
/// replicas are brought to the whole numbers next to their shares, so that brokers stay even while those topics grow.
const WEIGHTY_PART: i128 = 50;
/// Sums of fractions are a little off.
const EPSILON: f64 = 1e-6;
/// Rounds in which the racks' shares of partitions with different numbers of replicas are brought together.
const FIT_ROUNDS: usize = 40;
/// Halvings of an interval until it is as small as a number can tell.
const HALVINGS: usize = 60;

/// See the module's header.
#[derive(Default)]
pub(crate) struct Topics {
    /// `fraction[rf][b]`: replicas on broker `b` of a partition with `rf` of them; empty where none has so many.
    fraction: Vec<Vec<f64>>,
    /// Partitions of each topic by their number of replicas.
    parts: Vec<Vec<(u32, u32)>>,
    /// Whether a topic is worth copies.
    heavy: Vec<bool>,
    /// Whether one replica of a topic more or less is felt by a broker.
    felt: Vec<bool>,
    /// Whether a replica of a topic is a large part of what a broker carries.
    weighty: Vec<bool>,
    /// The topics worth copies, the heaviest first.
    order: Vec<u32>,
    /// The first partition of each topic, and the end of the last.
    first: Vec<u32>,
}

/// The fewest and the most replicas of a topic on a broker that count as even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl Limits {
    /// How many replicas too many or too few `held` are.
    pub(crate) fn outside(self, held: u32) -> u32 {
        held.saturating_sub(self.high).max(self.low.saturating_sub(held))
    }
}

/// The whole numbers within the band around a share.
pub(crate) fn band(share: f64) -> Limits {
    let tolerance = (share / BAND_PART).max(1.0);
    Limits {
        low: (share - tolerance - EPSILON).ceil().max(0.0) as u32,
        high: (share + tolerance + EPSILON).floor() as u32,
    }
}

/// The whole numbers next to a share.
pub(crate) fn nearest(share: f64) -> Limits {
    Limits { low: (share + EPSILON).floor() as u32, high: (share - EPSILON).ceil().max(0.0) as u32 }
}

impl Topics {
    /// Topics of facts that know their partitions; `count` is each broker's share of all replicas.
    pub(crate) fn new(facts: &Facts, count: &Fill) -> Topics {
        let topics = facts.topic_slots.len();
        let slots_total = facts.part.len() as i128;
        // What the traffic of all replicas together counts for: as much as their bytes.
        let per_rate = facts.disk_total + slots_total * REPLICA_BYTES;
        let mut parts: Vec<Vec<(u32, u32)>> = vec![Vec::new(); topics];
        let mut load = vec![0_i128; topics];
        let mut first = vec![0; topics + 1];
        let mut classes = vec![0_u32; facts.rack_max.len()];
        for partition in 0..facts.partitions() {
            let replicas = facts.slots(partition as u32).len() as u32;
            let topic = facts.entry[partition].topic as usize;
            first[topic + 1] = partition as u32 + 1;
            classes[replicas as usize] += 1;
            match parts[topic].iter_mut().find(|(rf, _)| *rf == replicas) {
                Some((_, count)) => *count += 1,
                None => parts[topic].push((replicas, 1)),
            }
            let entry = &facts.entry[partition];
            let of_one = i128::from(entry.bytes)
                + REPLICA_BYTES
                + i128::from(entry.load[1]) * per_rate / i128::from(SCALE);
            load[topic] += of_one * i128::from(replicas);
        }
        let total: i128 = load.iter().sum();
        let mut order: Vec<u32> = (0..topics as u32).collect();
        order.sort_by_key(|topic| (load[*topic as usize], *topic));
        let mut below = 0;
        order.retain(|topic| {
            below += load[*topic as usize];
            below * LIGHT_PART >= total
        });
        order.reverse();
        let mut heavy = vec![false; topics];
        order.iter().for_each(|topic| heavy[*topic as usize] = true);
        let staying = facts.stays.iter().filter(|stays| **stays).count() as i128;
        let is_part = |topic: usize, part: i128| {
            let replicas = i128::from(facts.topic_slots[topic].max(1));
            load[topic] * staying * part >= total * replicas
        };
        Topics {
            fraction: fractions(facts, count, &classes),
            felt: (0..topics).map(|topic| is_part(topic, FELT_PART)).collect(),
            weighty: (0..topics).map(|topic| heavy[topic] && is_part(topic, WEIGHTY_PART)).collect(),
            parts,
            heavy,
            order,
            first,
        }
    }

    /// Topics worth copies, the heaviest first.
    pub(crate) fn by_weight(&self) -> &[u32] {
        &self.order
    }

    /// Whether a topic is worth copies.
    pub(crate) fn is_heavy(&self, topic: u32) -> bool {
        self.heavy[topic as usize]
    }

    /// The partitions of a topic.
    pub(crate) fn partitions(&self, topic: u32) -> std::ops::Range<u32> {
        self.first[topic as usize]..self.first[topic as usize + 1]
    }

    /// The share of a broker in the replicas of a topic.
    pub(crate) fn share(&self, topic: u32, broker: u32) -> f64 {
        let part = |(rf, partitions): &(u32, u32)| {
            f64::from(*partitions) * self.fraction[*rf as usize][broker as usize]
        };
        self.parts[topic as usize].iter().map(part).sum()
    }

    /// The band of a topic on a broker; topics that are not worth copies may be there or not.
    pub(crate) fn limits(&self, topic: u32, broker: u32) -> Limits {
        let share = self.share(topic, broker);
        match self.is_heavy(topic) {
            true => band(share),
            false => Limits { low: 0, high: (share - EPSILON).ceil().max(0.0) as u32 + 1 },
        }
    }

    /// What choices among equals aim at: the band, or nearer to the share where each replica weighs much.
    pub(crate) fn aim(&self, topic: u32, broker: u32) -> Limits {
        match self.weighty[topic as usize] {
            true => nearest(self.share(topic, broker)),
            false => self.limits(topic, broker),
        }
    }

    /// Whether so many replicas of a topic worth copies are so far from the share that this alone is worth some.
    pub(crate) fn is_far(&self, topic: u32, broker: u32, held: u32) -> bool {
        let share = self.share(topic, broker);
        let far = (share / FAR_PART).max(FAR_REPLICAS);
        self.felt[topic as usize] && (f64::from(held) - share).abs() + EPSILON >= far
    }
}

/// Fractions for every number of replicas that occurs.
fn fractions(facts: &Facts, count: &Fill, classes: &[u32]) -> Vec<Vec<f64>> {
    let racks = facts.rack_size.len();
    let mut weight = vec![0.0; racks];
    let mut wanted = vec![0.0; racks];
    for broker in 0..facts.brokers() {
        let rack = usize::from(facts.rack[broker]);
        weight[rack] += f64::from(facts.weight[broker]);
        wanted[rack] += count.exact[broker];
    }
    let mut rows: Vec<Row> = (0..classes.len())
        .filter(|rf| classes[*rf] > 0)
        .map(|rf| Row::new(facts, rf, classes[rf], &weight))
        .collect();
    if rows.len() > 1 {
        fit(&mut rows, &wanted);
    }
    let mut fractions = vec![Vec::new(); classes.len()];
    for row in rows {
        fractions[row.replicas] = row.brokers(facts);
    }
    fractions
}

/// How the replicas of a partition with so many of them are shared out over racks.
struct Row {
    replicas: usize,
    partitions: f64,
    least: Vec<f64>,
    most: Vec<f64>,
    held: Vec<f64>,
}

impl Row {
    /// In proportion to the racks' weights, as far as their brokers and the rule of replicas per rack allow.
    fn new(facts: &Facts, replicas: usize, partitions: u32, weight: &[f64]) -> Row {
        let limit = facts.rack_max[replicas];
        let most: Vec<f64> = facts.rack_size.iter().map(|size| f64::from((*size).min(limit))).collect();
        let room: f64 = most.iter().sum();
        let least = most.iter().map(|most| (replicas as f64 - (room - most)).max(0.0).min(*most)).collect();
        let mut row = Row { replicas, partitions: f64::from(partitions), least, most, held: weight.to_vec() };
        row.normalize();
        row
    }

    /// Scales what is held so that it adds up to the number of replicas, within the limits.
    fn normalize(&mut self) {
        let within =
            |factor: f64, rack: usize| (self.held[rack] * factor).clamp(self.least[rack], self.most[rack]);
        let sum = |factor: f64| (0..self.held.len()).map(|rack| within(factor, rack)).sum::<f64>();
        let factor = root(sum, self.replicas as f64);
        self.held = (0..self.held.len()).map(|rack| within(factor, rack)).collect();
    }

    /// Shares of brokers: those of their racks by weight, and at most one replica of a partition each.
    fn brokers(&self, facts: &Facts) -> Vec<f64> {
        let mut shares = vec![0.0; facts.brokers()];
        for (rack, held) in self.held.iter().enumerate() {
            let inside = |b: &usize| facts.stays[*b] && usize::from(facts.rack[*b]) == rack;
            let members: Vec<usize> = (0..facts.brokers()).filter(inside).collect();
            let part = |factor: f64, b: usize| (f64::from(facts.weight[b]) * factor).min(1.0);
            let factor = root(|factor| members.iter().map(|b| part(factor, *b)).sum(), *held);
            members.iter().for_each(|b| shares[*b] = part(factor, *b));
        }
        shares
    }
}

/// Brings the rows together so that each rack ends with what it should hold of all, as far as limits allow: partitions
/// with few replicas stay away from racks that others must fill.
fn fit(rows: &mut [Row], wanted: &[f64]) {
    for _ in 0..FIT_ROUNDS {
        for (rack, wanted) in wanted.iter().enumerate() {
            let held: f64 = rows.iter().map(|row| row.held[rack] * row.partitions).sum();
            if held > 0.0 {
                let scaled =
                    |row: &Row| (row.held[rack] * wanted / held).clamp(row.least[rack], row.most[rack]);
                rows.iter_mut().for_each(|row| row.held[rack] = scaled(row));
            }
        }
        rows.iter_mut().for_each(Row::normalize);
    }
}

/// Where a function that rises from zero reaches `value`, or the end of the search where it never does.
pub(crate) fn root(rises: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Doubled as often as halved: a factor beyond that is for weights that no cluster has.
    for _ in 0..HALVINGS {
        if rises(high) >= value {
            break;
        }
        high *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if rises(middle) < value { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_may_be_missed_by_one_replica_or_five_percent() {
        assert_eq!(band(7.2), Limits { low: 7, high: 8 });
        assert_eq!(band(6.0), Limits { low: 5, high: 7 });
        assert_eq!(band(0.3), Limits { low: 0, high: 1 });
        assert_eq!(band(100.0), Limits { low: 95, high: 105 });
        assert_eq!(band(0.0), Limits { low: 0, high: 1 });
        assert_eq!((nearest(7.2), nearest(6.0)), (Limits { low: 7, high: 8 }, Limits { low: 6, high: 6 }));
        assert_eq!([5, 6, 7, 8, 9].map(|held| band(7.2).outside(held)), [2, 1, 0, 0, 1]);
    }
}
