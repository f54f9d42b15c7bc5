//! The end of phase 3 for topics: where one that carries load is not even yet, replicas of it trade places with others.
//! Numbers of replicas stay as they are, and no broker gets farther out of its band of bytes and traffic. No I/O.

use crate::rebalance::bounds::Band;
use crate::rebalance::bounds::Floors;
use crate::rebalance::facts::DIMENSIONS;
use crate::rebalance::facts::Targets;
use crate::rebalance::options::Options;
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::State;

/// Replicas up to which a cluster is searched in full, or nearly so.
const REPLICAS_SMALL: usize = 8_000;
/// Rounds over all topics; each makes what the next can still gain much smaller.
const ROUNDS_MAX: usize = 3;
/// Copies that evening topics out may add, as a part of those that are made anyway, where it is not worth them by itself.
const EXTRA_PART: i64 = 32;
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
/// Whether a topic that is worth copies by itself can get more even does not depend on luck, or on the order of replicas:
/// else a plan after the plan would find what this one missed.
const EFFORT_FULL: Effort = Effort { replicas: usize::MAX, brokers: usize::MAX, partners: usize::MAX };

/// What a step costs, the least first: copies added for what topics gain, topics drawn together, bytes copied; the slot
/// tells equals apart.
type Rating = (i64, i64, i64, u32);

/// Copies for each time that topics gain one, in thousandths.
fn price(copies: i64, crowding: i64) -> i64 {
    if copies > 0 { copies * 1000 / (-crowding).max(1) } else { copies * 1000 }
}

/// One change: a slot goes to a broker, and perhaps another comes back for it.
#[derive(Clone, Copy)]
struct Step {
    slot: u32,
    to: u32,
    back: Option<u32>,
}

/// Whether a move would make the slot's topic so uneven on one of the two brokers that a later plan mends it.
pub(crate) fn draws_far(state: &State<'_>, slot: u32, to: u32) -> bool {
    let (facts, topic, from) = (state.facts, state.topic(slot), state.cur[slot as usize]);
    let (at_from, at_to) = (state.spread.get(topic, from), state.spread.get(topic, to));
    let turns = |broker: u32, before: u32, after: u32| {
        facts.is_worth_copies(topic, broker, after) && !facts.is_worth_copies(topic, broker, before)
    };
    facts.topics.is_heavy(topic)
        && (turns(from, at_from, at_from.saturating_sub(1)) || turns(to, at_to, at_to + 1))
}

/// Replicas of topics worth copies that are outside of their bands.
pub(crate) fn unevenness(state: &State<'_>) -> i64 {
    let facts = state.facts;
    if !facts.mends_topics() {
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

/// How much may be spent on topics.
#[derive(Clone, Copy)]
pub(crate) struct Spending {
    /// Whether nothing moves otherwise: then only what is worth it by itself does.
    pub(crate) quiet: bool,
    /// Copies that the plan makes anyway; a part of them again is free.
    pub(crate) copies_base: i64,
}

/// Evens topics out, the heaviest first.
pub(crate) fn mend_topics(
    state: &mut State<'_>,
    targets: &Targets,
    floors: &Floors,
    options: &Options,
    spending: Spending,
) {
    let Spending { quiet, copies_base } = spending;
    let facts = state.facts;
    if !facts.mends_topics() {
        return;
    }
    let effort = if facts.part.len() <= REPLICAS_SMALL { EFFORT_SMALL } else { EFFORT };
    let band = Band::new(state, targets, floors, options.load_permille_max);
    let copies_max = copies_base + if quiet { 0 } else { (copies_base / EXTRA_PART).max(EXTRA_LEAST) };
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
    spared: Vec<Partner>,
}

/// A replica that may come back in exchange: what topics gain then, and the copies that it adds.
struct Partner {
    slot: u32,
    crowding: i64,
    copies: i64,
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
        let is_worth_copies = state.facts.is_worth_copies(topic, broker, held(state));
        if quiet && !is_worth_copies {
            return false;
        }
        let (mut improved, effort) = (false, self.effort);
        while limits.outside(held(state)) > 0 {
            let allowed = if is_worth_copies { i64::MAX } else { (copies_max - state.copies).max(0) };
            let step = self.step(state, (topic, broker), (allowed, effort));
            let full = || self.step(state, (topic, broker), (allowed, EFFORT_FULL));
            let Some(step) = step.or_else(|| is_worth_copies.then(full).flatten()) else { break };
            match step.back {
                Some(back) => state.swap(step.slot, back),
                None => state.put(step.slot, step.to),
            }
            improved = true;
        }
        improved
    }

    /// The best step that brings the topic nearer to its band on the broker.
    fn step(
        &mut self,
        state: &State<'_>,
        (topic, broker): (u32, u32),
        (allowed, effort): (i64, Effort),
    ) -> Option<Step> {
        let is_crowded = state.spread.get(topic, broker) > state.facts.topics.limits(topic, broker).high;
        let mut best = None;
        for other in self.others(state, broker, effort) {
            let lane = if is_crowded { (broker, other) } else { (other, broker) };
            if state.spread.get(topic, lane.0) > 0 {
                let slots = self.replicas(state, (topic, lane.0), effort);
                self.consider(state, &slots, lane, (allowed, effort), &mut best);
            }
        }
        best.map(|(_, step)| step)
    }

    /// Some replicas of a topic on a broker.
    fn replicas(&mut self, state: &State<'_>, (topic, broker): (u32, u32), effort: Effort) -> Vec<u32> {
        let held = &state.on[broker as usize];
        let (front, back) = held.split_at(self.rng.below(held.len()));
        let slots = back.iter().chain(front).map(|held| held.slot);
        slots.filter(|slot| state.topic(*slot) == topic).take(effort.replicas).collect()
    }

    /// Some other brokers that stay.
    fn others(&mut self, state: &State<'_>, broker: u32, effort: Effort) -> Vec<u32> {
        let brokers = state.facts.brokers();
        let first = self.rng.below(brokers);
        let all = (0..brokers).map(|n| ((first + n) % brokers) as u32);
        all.filter(|b| *b != broker && state.facts.stays[*b as usize]).take(effort.brokers).collect()
    }

    /// Rates moves of `slots` from one broker to another, alone and in exchange.
    fn consider(
        &mut self,
        state: &State<'_>,
        slots: &[u32],
        (from, to): (u32, u32),
        (allowed, effort): (i64, Effort),
        best: &mut Option<(Rating, Step)>,
    ) {
        let Some(first) = slots.first() else { return };
        let crowding = state.crowding(*first, from, to);
        if crowding >= 0 {
            return;
        }
        let least = slots.iter().map(|slot| state.copies_added(*slot, to)).min().unwrap_or(0);
        let there = &state.on[to as usize];
        self.spared.clear();
        let start = self.rng.below(there.len());
        let around = (0..there.len()).map(|n| there[(start + n) % there.len()].slot);
        self.spared.extend(around.take(effort.partners).filter_map(|back| {
            let copies = state.copies_added(back, from);
            let crowding = if least + copies > allowed { 0 } else { state.crowding_of_swap(*first, back) };
            (crowding < 0).then_some(Partner { slot: back, crowding, copies })
        }));
        let count = &self.targets.count;
        let may_shift = state.count(from as usize) > count.low[from as usize]
            && state.count(to as usize) < count.high[to as usize];
        for &slot in slots {
            let copies = state.copies_added(slot, to);
            if may_shift {
                self.rate(state, Step { slot, to, back: None }, (copies, crowding), allowed, best);
            }
            for partner in &self.spared {
                let step = Step { slot, to, back: Some(partner.slot) };
                self.rate(state, step, (copies + partner.copies, partner.crowding), allowed, best);
            }
        }
    }

    fn rate(
        &self,
        state: &State<'_>,
        step: Step,
        (copies, crowding): (i64, i64),
        allowed: i64,
        best: &mut Option<(Rating, Step)>,
    ) {
        let is_best = |rating: Rating| best.as_ref().is_none_or(|(least, _)| rating < *least);
        let price = price(copies, crowding);
        if copies > allowed || !is_best((price, crowding, i64::MIN, 0)) {
            return;
        }
        let from = state.cur[step.slot as usize];
        let cost = |slot: u32, to: u32| state.copies_added(slot, to) * state.slot_bytes(slot);
        let bytes = cost(step.slot, step.to) + step.back.map_or(0, |back| cost(back, from));
        let rating = (price, crowding, bytes, step.slot);
        let within_limits = (copies <= 0 && bytes <= 0)
            || self.options.allows(state.copies + copies, state.bytes_copied + bytes);
        if is_best(rating)
            && within_limits
            && self.keeps_bands(state, step, from)
            && is_legal(state, step, from)
        {
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

/// Whether both replicas may go where the step puts them, without another topic that would have to be mended then.
fn is_legal(state: &State<'_>, step: Step, from: u32) -> bool {
    let may_come_back = |back: u32| {
        state.facts.part[step.slot as usize] != state.facts.part[back as usize]
            && state.may_go(back, from)
            && !draws_far(state, back, from)
    };
    state.may_go(step.slot, step.to)
        && !draws_far(state, step.slot, step.to)
        && step.back.is_none_or(may_come_back)
}
