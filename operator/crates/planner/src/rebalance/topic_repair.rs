//! The end of phase 3 for topics: where one that carries load is not even yet, replicas of it trade places with others.
//! Numbers of replicas stay as they are, and no broker gets farther out of its band of bytes and traffic. No I/O.

use super::band::Band;
use super::bounds::Floors;
use super::facts::{DIMENSIONS, Facts};
use super::options::Options;
use super::rng::SplitMix64;
use super::state::State;
use super::target::Targets;

/// Replicas up to which a cluster is mended; beyond, one replica more or less of a topic is nothing that anyone feels.
const REPLICAS_MENDED: usize = 40_000;
/// Replicas up to which a cluster is searched in full, or nearly so.
const REPLICAS_SMALL: usize = 4_000;
/// Rounds over all topics; each makes what the next can still gain much smaller.
const ROUNDS_MAX: usize = 3;
/// Copies that evening topics out may add, as a part of those that are made anyway, where it is not worth them by itself.
const EXTRA_PART: i64 = 25;
/// And so many at least.
const EXTRA_LEAST: i64 = 4;

/// How much is looked at for a step.
#[derive(Clone, Copy)]
struct Effort {
    replicas: usize,
    brokers: usize,
    partners: usize,
}

const EFFORT_SMALL: Effort = Effort { replicas: 16, brokers: 32, partners: 128 };
const EFFORT: Effort = Effort { replicas: 4, brokers: 8, partners: 16 };

/// What a step costs, the least first: copies added, topics drawn together, bytes copied; the slot tells equals apart.
type Rating = (i64, i64, i64, u32);

/// One change: a slot goes to a broker, and perhaps another comes back for it.
#[derive(Clone, Copy)]
struct Step {
    slot: u32,
    to: u32,
    back: Option<u32>,
}

/// Whether a topic is so uneven on a broker that this alone is worth copies: it has just come, or it holds far more or
/// less than its share.
pub(super) fn is_worth_copies(facts: &Facts, topic: u32, broker: u32, held: u32) -> bool {
    (facts.is_new[broker as usize] && held < facts.topics.limits(topic, broker).low)
        || (facts.part.len() <= REPLICAS_MENDED && facts.topics.is_far(topic, broker, held))
}

/// Replicas of topics worth copies that are outside of their bands.
pub(super) fn unevenness(state: &State<'_>) -> i64 {
    let facts = state.facts;
    if facts.part.len() > REPLICAS_MENDED {
        return 0;
    }
    let mut sum = 0;
    for &topic in facts.topics.by_weight() {
        for broker in (0..facts.brokers() as u32).filter(|b| facts.stays[*b as usize]) {
            sum += i64::from(facts.topics.limits(topic, broker).outside(state.spread.get(topic, broker)));
        }
    }
    sum
}

/// Evens topics out, the heaviest first. With `quiet`, where nothing moves otherwise, only what is worth it by itself.
pub(super) fn mend_topics(
    state: &mut State<'_>,
    targets: &Targets,
    floors: &Floors,
    options: &Options,
    quiet: bool,
) {
    let facts = state.facts;
    if facts.part.len() > REPLICAS_MENDED {
        return;
    }
    let effort = if facts.part.len() <= REPLICAS_SMALL { EFFORT_SMALL } else { EFFORT };
    let band = Band::new(state, targets, floors, options.load_permille_max);
    let copies_max = state.copies + if quiet { 0 } else { (state.copies / EXTRA_PART).max(EXTRA_LEAST) };
    let mut search = Search {
        targets,
        band,
        options,
        effort,
        rng: SplitMix64::new(options.seed, 1 << 35),
        spared: Vec::new(),
    };
    for _ in 0..ROUNDS_MAX {
        let mut improved = false;
        for &topic in facts.topics.by_weight() {
            for broker in (0..facts.brokers() as u32).filter(|b| facts.stays[*b as usize]) {
                improved |= search.mend(state, (topic, broker), copies_max, quiet);
            }
        }
        if !improved {
            break;
        }
    }
}

struct Search<'a> {
    targets: &'a Targets,
    band: Band,
    options: &'a Options,
    effort: Effort,
    rng: SplitMix64,
    spared: Vec<u32>,
}

impl Search<'_> {
    /// Brings one topic into its band on one broker, or nearer; whether anything changed.
    fn mend(
        &mut self,
        state: &mut State<'_>,
        (topic, broker): (u32, u32),
        copies_max: i64,
        quiet: bool,
    ) -> bool {
        let limits = state.facts.topics.limits(topic, broker);
        let held = |state: &State<'_>| state.spread.get(topic, broker);
        if limits.outside(held(state)) == 0 {
            return false;
        }
        let is_worth_copies = is_worth_copies(state.facts, topic, broker, held(state));
        if quiet && !is_worth_copies {
            return false;
        }
        let mut improved = false;
        while limits.outside(held(state)) > 0 {
            let allowed = if is_worth_copies { i64::MAX } else { (copies_max - state.copies).max(0) };
            let step = match held(state) > limits.high {
                true => self.away(state, (topic, broker), allowed),
                false => self.here(state, (topic, broker), allowed),
            };
            let Some(step) = step else { break };
            match step.back {
                Some(back) => state.swap(step.slot, back),
                None => state.put(step.slot, step.to),
            }
            improved = true;
        }
        improved
    }

    /// The best step that takes a replica of the topic off the broker.
    fn away(&mut self, state: &State<'_>, (topic, broker): (u32, u32), allowed: i64) -> Option<Step> {
        let mine = self.replicas(state, topic, broker);
        let mut best = None;
        for to in self.others(state, broker) {
            self.consider(state, &mine, (broker, to), allowed, &mut best);
        }
        best.map(|(_, step)| step)
    }

    /// The best step that brings a replica of the topic to the broker.
    fn here(&mut self, state: &State<'_>, (topic, broker): (u32, u32), allowed: i64) -> Option<Step> {
        let mut best = None;
        for from in self.others(state, broker) {
            if state.spread.get(topic, from) > 0 {
                let theirs = self.replicas(state, topic, from);
                self.consider(state, &theirs, (from, broker), allowed, &mut best);
            }
        }
        best.map(|(_, step)| step)
    }

    /// Some replicas of a topic on a broker.
    fn replicas(&mut self, state: &State<'_>, topic: u32, broker: u32) -> Vec<u32> {
        let held = &state.on[broker as usize];
        let (front, back) = held.split_at(self.rng.below(held.len()));
        let slots = back.iter().chain(front).map(|held| held.slot);
        slots.filter(|slot| state.topic(*slot) == topic).take(self.effort.replicas).collect()
    }

    /// Some other brokers that stay.
    fn others(&mut self, state: &State<'_>, broker: u32) -> Vec<u32> {
        let brokers = state.facts.brokers();
        let first = self.rng.below(brokers);
        let all = (0..brokers).map(|n| ((first + n) % brokers) as u32);
        all.filter(|b| *b != broker && state.facts.stays[*b as usize]).take(self.effort.brokers).collect()
    }

    /// Rates moves of `slots` from one broker to another, alone and in exchange.
    fn consider(
        &mut self,
        state: &State<'_>,
        slots: &[u32],
        (from, to): (u32, u32),
        allowed: i64,
        best: &mut Option<(Rating, Step)>,
    ) {
        let Some(first) = slots.first() else { return };
        let crowding = state.crowding(*first, from, to);
        if crowding >= 0 {
            return;
        }
        let there = &state.on[to as usize];
        self.spared.clear();
        let start = self.rng.below(there.len());
        let around = (0..there.len()).map(|n| there[(start + n) % there.len()].slot);
        self.spared.extend(around.take(self.effort.partners));
        let count = &self.targets.count;
        let may_shift = state.count(from as usize) > count.low[from as usize]
            && state.count(to as usize) < count.high[to as usize];
        for &slot in slots {
            if may_shift {
                self.rate(state, Step { slot, to, back: None }, crowding, allowed, best);
            }
            for &back in &self.spared {
                let sum = state.crowding_of_swap(slot, back);
                if sum < 0 {
                    self.rate(state, Step { slot, to, back: Some(back) }, sum, allowed, best);
                }
            }
        }
    }

    fn rate(
        &self,
        state: &State<'_>,
        step: Step,
        crowding: i64,
        allowed: i64,
        best: &mut Option<(Rating, Step)>,
    ) {
        let from = state.cur[step.slot as usize];
        let mut copies = state.copies_added(step.slot, step.to);
        let mut bytes = copies * state.slot_bytes(step.slot);
        if let Some(back) = step.back {
            let added = state.copies_added(back, from);
            copies += added;
            bytes += added * state.slot_bytes(back);
        }
        let rating = (copies, crowding, bytes, step.slot);
        if copies > allowed || best.as_ref().is_some_and(|(least, _)| rating >= *least) {
            return;
        }
        let within_limits = (copies <= 0 && bytes <= 0)
            || self.options.allows(state.copies + copies, state.bytes_copied + bytes);
        if within_limits && self.keeps_bands(state, step, from) && is_legal(state, step, from) {
            *best = Some((rating, step));
        }
    }

    /// Whether neither broker gets farther out of its band.
    fn keeps_bands(&self, state: &State<'_>, step: Step, from: u32) -> bool {
        let out = state.slot_load(step.slot);
        let back = step.back.map_or([0; DIMENSIONS], |back| state.slot_load(back));
        let (old_from, old_to) = (state.load[from as usize], state.load[step.to as usize]);
        let new_from = std::array::from_fn(|d| old_from[d] - out[d] + back[d]);
        let new_to = std::array::from_fn(|d| old_to[d] + out[d] - back[d]);
        let sum = |rate: &dyn Fn(usize, [i64; DIMENSIONS]) -> i64, at_from, at_to| {
            rate(from as usize, at_from) + rate(step.to as usize, at_to)
        };
        let excess = |b: usize, load| self.band.excess(b, load);
        let penalty = |b: usize, load| self.band.penalty(b, load);
        sum(&excess, new_from, new_to) <= sum(&excess, old_from, old_to)
            && sum(&penalty, new_from, new_to) <= sum(&penalty, old_from, old_to)
    }
}

fn is_legal(state: &State<'_>, step: Step, from: u32) -> bool {
    match step.back {
        Some(back) => {
            state.facts.part[step.slot as usize] != state.facts.part[back as usize]
                && state.may_go(step.slot, step.to)
                && state.may_go(back, from)
        }
        None => state.may_go(step.slot, step.to),
    }
}
