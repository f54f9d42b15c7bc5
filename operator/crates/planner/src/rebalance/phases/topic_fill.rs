//! The first part of phase 2: brokers that lack replicas get those of the topics that carry the load first, each topic up
//! to the broker's share, from brokers that hold the most of it. Whatever they lack beyond that comes from anywhere. No I/O.

use crate::rebalance::facts::Targets;
use crate::rebalance::facts::{DIMENSIONS, Facts};
use crate::rebalance::options::Options;
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::State;

/// Brokers looked at for each replica, of those that can give one.
const SOURCES_SAMPLED: usize = 48;
/// Replicas of such a broker that are looked at.
const REPLICAS_SAMPLED: usize = 24;

/// Brings replicas of topics worth copies to brokers below `goal`, without a copy more than the goal asks for.
pub(crate) fn fill_topics(state: &mut State<'_>, targets: &Targets, goal: &[i64], options: &Options) {
    let facts = state.facts;
    let lacks = |state: &State<'_>, b: usize| targets.count.group[b].is_some() && state.count(b) < goal[b];
    let takers: Vec<u32> = (0..goal.len())
        .filter(|b| lacks(state, *b) && facts.takes_copies(*b as u32))
        .map(|b| b as u32)
        .collect();
    if takers.is_empty() {
        return;
    }
    let mut rng = SplitMix64::new(options.seed, 1 << 34);
    let mut givers = Givers { at: vec![usize::MAX; facts.brokers()], brokers: Vec::new(), slots: Vec::new() };
    for &topic in facts.topics.by_weight() {
        let wants = |state: &State<'_>, b: u32| {
            let whole = (facts.topics.share(topic, b) + 1e-6).floor() as u32;
            state.spread.get(topic, b) < whole && lacks(state, b as usize)
        };
        let mut open: Vec<u32> = takers.iter().copied().filter(|b| wants(state, *b)).collect();
        if open.is_empty() {
            continue;
        }
        givers.find(state, topic, goal);
        let mut need = Need::new(state, topic, &takers);
        while !open.is_empty() {
            open.retain(|&to| {
                let Some(slot) = givers.best(state, (topic, goal), (to, &need), &mut rng) else {
                    return false;
                };
                let (copies, bytes) = (state.copies_added(slot, to), state.slot_bytes(slot));
                if !options.allows(state.copies + copies, state.bytes_copied + copies * bytes) {
                    return false;
                }
                let load = state.slot_load(slot);
                state.put(slot, to);
                need.add(to, load);
                wants(state, to)
            });
        }
    }
}

/// Loads of one topic on brokers that take replicas of it.
struct Need {
    /// Of a replica, on average.
    mean: [i64; DIMENSIONS],
    held: Vec<[i64; DIMENSIONS]>,
}

impl Need {
    fn new(state: &State<'_>, topic: u32, takers: &[u32]) -> Need {
        let facts = state.facts;
        let mut need = Need { mean: [0; DIMENSIONS], held: vec![[0; DIMENSIONS]; facts.brokers()] };
        let mut is_taker = vec![false; facts.brokers()];
        takers.iter().for_each(|b| is_taker[*b as usize] = true);
        let mut slots = 0;
        for partition in facts.topics.partitions(topic) {
            let load = facts.entry[partition as usize].load.map(i64::from);
            for slot in facts.slots(partition) {
                slots += 1;
                (0..DIMENSIONS).for_each(|d| need.mean[d] += load[d]);
                if let Some(true) = is_taker.get(state.cur[slot] as usize) {
                    need.add(state.cur[slot], load);
                }
            }
        }
        need.mean.iter_mut().for_each(|sum| *sum /= slots.max(1));
        need
    }

    fn add(&mut self, broker: u32, load: [i64; DIMENSIONS]) {
        self.held[broker as usize].iter_mut().zip(load).for_each(|(sum, part)| *sum += part);
    }

    /// How far the broker is from holding replicas that are as large as the topic's are on average, with one more.
    fn distance(&self, broker: u32, held: u32, load: [i64; DIMENSIONS]) -> i64 {
        let off = |d: usize| {
            self.held[broker as usize][d] + load[d] - self.mean[d].saturating_mul(i64::from(held) + 1)
        };
        (0..DIMENSIONS).map(|d| off(d).abs()).sum()
    }
}

/// Brokers above their goal that hold replicas of one topic.
struct Givers {
    /// Where a broker stands in `brokers`.
    at: Vec<usize>,
    brokers: Vec<u32>,
    /// Its replicas when it was listed.
    slots: Vec<Vec<u32>>,
}

impl Givers {
    fn find(&mut self, state: &State<'_>, topic: u32, goal: &[i64]) {
        let facts: &Facts = state.facts;
        self.brokers.drain(..).for_each(|b| self.at[b as usize] = usize::MAX);
        self.slots.clear();
        for partition in facts.topics.partitions(topic) {
            if facts.entry[partition as usize].pinned {
                continue;
            }
            for slot in facts.slots(partition) {
                let broker = state.cur[slot] as usize;
                if goal.get(broker).is_none_or(|goal| state.count(broker) <= *goal) {
                    continue;
                }
                if self.at[broker] == usize::MAX {
                    self.at[broker] = self.brokers.len();
                    self.brokers.push(broker as u32);
                    self.slots.push(Vec::new());
                }
                self.slots[self.at[broker]].push(slot as u32);
            }
        }
    }

    /// The replica that suits `to` best of the broker that holds most of the topic above its share and may give one.
    fn best(
        &self,
        state: &State<'_>,
        (topic, goal): (u32, &[i64]),
        (to, need): (u32, &Need),
        rng: &mut SplitMix64,
    ) -> Option<u32> {
        let topics = &state.facts.topics;
        let mut order: Vec<(i64, usize)> = Vec::new();
        for at in 0..self.brokers.len().min(SOURCES_SAMPLED) {
            let at = if self.brokers.len() > SOURCES_SAMPLED { rng.below(self.brokers.len()) } else { at };
            let from = self.brokers[at];
            let above = f64::from(state.spread.get(topic, from)) - topics.share(topic, from);
            if state.count(from as usize) > goal[from as usize] {
                order.push(((-above * 1000.0) as i64, at));
            }
        }
        order.sort_unstable();
        order.dedup();
        let held = state.spread.get(topic, to);
        order.into_iter().find_map(|(_, at)| {
            let slots = &self.slots[at];
            let (few, first) = (slots.len().min(REPLICAS_SAMPLED), rng.below(slots.len()));
            let sampled = (0..few).map(|n| slots[(first + n) % slots.len()]);
            let may_leave =
                |slot: &u32| state.cur[*slot as usize] == self.brokers[at] && state.may_go(*slot, to);
            sampled
                .filter(may_leave)
                .min_by_key(|slot| (need.distance(to, held, state.slot_load(*slot)), *slot))
        })
    }
}
