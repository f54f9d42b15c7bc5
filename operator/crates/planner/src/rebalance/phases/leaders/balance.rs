//! Phase 4: evens out preferred leaders, and the traffic that leaders send, by choosing which replica comes first in
//! each list. Moves no data. No I/O.

use super::flow::mend_leaders;
use super::handover::hand_over;
use super::leadership::Leaders;
use super::shares::shares;
use super::spread_topics::spread_topics;
use super::topics::{Care, is_small};
use crate::rebalance::facts::Facts;
use crate::rebalance::options::Options;
use crate::rebalance::state::Placement;

/// Leaderships looked at for each one that is handed over directly.
const PARTITIONS_SAMPLED: usize = 64;
/// A handover must be worth this part of a broker's share.
const ENOUGH_PART: i64 = 2000;
/// Rounds over the brokers that send too much.
const OUT_ROUNDS_MAX: usize = 8;

/// Reorders `lists` until every broker leads its share within the band, or no chain of handovers is left. Returns
/// the scaled traffic above the band that could not be moved.
pub(crate) fn balance_leaders(facts: &Facts, lists: &mut [u32], options: &Options, quiet: bool) -> i64 {
    let share = shares(facts, Placement { start: &facts.start, list: lists });
    let mut leaders = Leaders::new(facts, lists, share);
    spread_topics(&mut leaders, quiet);
    if !quiet || !leaders.are_even_enough() {
        leaders.even_out();
    }
    mend_leaders(&mut leaders, |topic| is_small(facts) || facts.topics.is_heavy(topic));
    leaders.care = Care::Band;
    leaders.balance_out(options, quiet);
    let high = |b: usize| leaders.share.out[b] / 1000 * (1000 + options.load_permille_max);
    (0..facts.brokers())
        .filter(|b| leaders.share.out[*b] > 0)
        .map(|b| (leaders.out[b] - high(b)).max(0))
        .sum()
}

impl Leaders<'_> {
    /// Whether no broker leads so much more or less than its share that this alone is worth handovers.
    fn are_even_enough(&self) -> bool {
        let mut share = self.share.clone();
        share.loosen();
        (0..self.facts.brokers()).all(|b| (share.low[b]..=share.high[b]).contains(&self.count(b)))
    }

    /// Brings every broker to its share, with as little harm to topics as that takes.
    fn even_out(&mut self) {
        for broker in 0..self.facts.brokers() {
            while self.count(broker) > self.share.high[broker] && self.hand_over_directly(broker) {}
        }
        for care in [Care::Even, Care::Band, Care::None] {
            self.care = care;
            hand_over(self, |l, b| l.count(b) - l.share.high[b], |l, b| l.share.high[b] - l.count(b));
            hand_over(self, |l, b| l.count(b) - l.share.low[b], |l, b| l.share.low[b] - l.count(b));
        }
    }

    /// Hands one leadership to a broker that is below its share, choosing the one that also evens out the traffic.
    fn hand_over_directly(&mut self, from: usize) -> bool {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in self.led[from].iter().take(PARTITIONS_SAMPLED) {
            if self.facts.entry[partition as usize].pinned {
                continue;
            }
            for &to in &self.list(partition)[1..] {
                let at = to as usize;
                let has_room = self.count(at) < self.share.high[at] && self.facts.stays[at];
                if has_room && self.spares_topic(partition, from, at) {
                    let rating = self.relief(partition, from, at);
                    if best.is_none_or(|(most, ..)| rating > most) {
                        best = Some((rating, partition, at));
                    }
                }
            }
        }
        best.is_some_and(|(_, partition, to)| {
            self.set(partition, to);
            true
        })
    }

    /// Takes traffic off brokers that send too much, within the band of leaderships.
    fn balance_out(&mut self, options: &Options, quiet: bool) {
        let limit = |l: &Leaders<'_>, b: usize, permille: i64| l.share.out[b] / 1000 * (1000 + permille);
        let hot = |l: &Leaders<'_>, permille: i64| {
            (0..l.facts.brokers())
                .filter(|b| l.share.out[*b] > 0 && l.out[*b] > limit(l, *b, permille))
                .collect()
        };
        let start: Vec<usize> =
            hot(self, if quiet { options.load_permille_trigger } else { options.load_permille_max });
        if start.is_empty() {
            return;
        }
        for _ in 0..OUT_ROUNDS_MAX {
            let mut improved = false;
            let brokers: Vec<usize> = hot(self, options.load_permille_max);
            let held = self.held(&brokers);
            for (broker, follows) in brokers.into_iter().zip(held) {
                let high = limit(self, broker, options.load_permille_max);
                while self.out[broker] > high && self.relieve(broker, &follows) {
                    improved = true;
                }
            }
            if !improved {
                break;
            }
        }
    }

    /// The best handover that lowers what `from` sends; where it leaves the band of leaderships, cheap ones are handed
    /// around to make up for it.
    fn relieve(&mut self, from: usize, follows: &[u32]) -> bool {
        let mut best: Option<(i64, u32, usize)> = None;
        let enough = self.share.out[from] / ENOUGH_PART + 1;
        for &partition in self.led[from].iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            for &to in &self.list(partition)[1..] {
                let to = to as usize;
                let relief = self.relief(partition, from, to);
                let is_best = relief > enough && best.is_none_or(|(most, ..)| relief > most);
                if is_best && self.facts.stays[to] && self.spares_topic(partition, from, to) {
                    best = Some((relief, partition, to));
                }
            }
        }
        let Some((relief, partition, to)) = best else { return false };
        self.set(partition, to);
        let budget = relief / 2;
        let pushed = (self.count(to) > self.share.high[to]).then(|| self.push(to, budget));
        let pulled = (self.count(from) < self.share.low[from]).then(|| self.pull(from, follows, budget));
        if pushed == Some(None) || pulled == Some(None) {
            if let Some(Some((back, home))) = pulled {
                self.set(back, home);
            }
            if let Some(Some((back, home))) = pushed {
                self.set(back, home);
            }
            self.set(partition, from);
            return false;
        }
        true
    }

    /// Hands one leadership of `from` to a broker that may lead more, at the least cost in balance.
    fn push(&mut self, from: usize, budget: i64) -> Option<(u32, usize)> {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in self.led[from].iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            for &to in &self.list(partition)[1..] {
                let to = to as usize;
                if !self.facts.stays[to] || self.count(to) >= self.share.high[to] {
                    continue;
                }
                let relief = self.relief(partition, from, to);
                let is_best = relief > -budget && best.is_none_or(|(most, ..)| relief > most);
                if is_best && self.spares_topic(partition, from, to) {
                    best = Some((relief, partition, to));
                }
            }
        }
        best.map(|(_, partition, to)| {
            self.set(partition, to);
            (partition, from)
        })
    }

    /// Takes one leadership for `to`, which follows the partitions `follows`, from a broker that can give.
    fn pull(&mut self, to: usize, follows: &[u32], budget: i64) -> Option<(u32, usize)> {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in follows.iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            let from = self.list(partition)[0] as usize;
            if from == to || self.count(from) <= self.share.low[from] {
                continue;
            }
            let relief = self.relief(partition, from, to);
            let is_best = relief > -budget && best.is_none_or(|(most, ..)| relief > most);
            if is_best && self.spares_topic(partition, from, to) {
                best = Some((relief, partition, from));
            }
        }
        best.map(|(_, partition, from)| {
            self.set(partition, to);
            (partition, from)
        })
    }

    /// Partitions of which each of `brokers` holds a replica.
    fn held(&self, brokers: &[usize]) -> Vec<Vec<u32>> {
        let mut place = vec![usize::MAX; self.facts.brokers()];
        brokers.iter().enumerate().for_each(|(at, broker)| place[*broker] = at);
        let mut held = vec![Vec::new(); brokers.len()];
        for partition in 0..self.facts.partitions() as u32 {
            for broker in self.list(partition) {
                if let Some(list) = held.get_mut(place[*broker as usize]) {
                    list.push(partition);
                }
            }
        }
        held
    }
}
