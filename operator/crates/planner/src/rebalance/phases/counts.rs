//! Phase 2: brings the number of replicas per broker to its share with as few copies as possible, and picks the
//! replicas so that bytes and traffic come out even, too. No I/O.

use std::cmp::Reverse;

use super::chain::shift;
use super::topic_fill::fill_topics;
use crate::rebalance::facts::{DIMENSIONS, SCALE};
use crate::rebalance::facts::{Fill, Targets};
use crate::rebalance::options::Options;
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::{Held, State};

/// Replicas looked at for each move: the best of so many comes within a few percent of what is aimed at.
const REPLICAS_SAMPLED: usize = 32;
/// The same while many moves between the brokers are left, which can make up for what this one misses.
const REPLICAS_SAMPLED_EARLY: usize = 8;
/// The same while very many are left.
const REPLICAS_SAMPLED_FIRST: usize = 3;
/// Replicas above which time counts for more than a few copies.
const REPLICAS_MANY: usize = 300_000;
/// So many moves of a broker count as few.
const MOVES_FEW: i64 = 24;
/// More moves of a broker count as very many.
const MOVES_MANY: i64 = 300;
/// Brokers end with at least this part of their share of bytes and traffic: within the band, and cheaper than all.
const FILL_PERMILLE: i64 = 957;
/// And with at most this part.
const FULL_PERMILLE: i64 = 1040;
/// What is copied without need weighs this part of what brings a broker out of its band.
const NEEDLESS_PART: i64 = 16;
/// Chains tried after the first that leads nowhere would all search the same brokers again.
const CHAINS_FAILED_MAX: usize = 1;

/// The number of replicas that each broker shall end with: within its band, as near to what it has as the totals
/// allow, the emptier disks taking the remainders.
pub(crate) fn finals(state: &State<'_>, fill: &Fill) -> Vec<i64> {
    let mut goal: Vec<i64> = (0..fill.low.len())
        .map(|b| if fill.group[b].is_some() { state.count(b).clamp(fill.low[b], fill.high[b]) } else { 0 })
        .collect();
    for (group, total) in fill.group_total.iter().enumerate() {
        let mut members: Vec<usize> =
            (0..goal.len()).filter(|b| fill.group[*b] == Some(group as u32)).collect();
        let mut missing = total - members.iter().map(|b| goal[*b]).sum::<i64>();
        let disk = |b: usize| state.load[b][0] / fill.high[b].max(1);
        if missing > 0 {
            members.sort_by_key(|b| (Reverse(state.count(*b) - goal[*b]), disk(*b), *b));
            for broker in members.into_iter().filter(|b| goal[*b] < fill.high[*b]).collect::<Vec<_>>() {
                if missing > 0 {
                    goal[broker] += 1;
                    missing -= 1;
                }
            }
        } else {
            members.sort_by_key(|b| (state.count(*b) - goal[*b], Reverse(disk(*b)), *b));
            for broker in members.into_iter().filter(|b| goal[*b] > fill.low[*b]).collect::<Vec<_>>() {
                if missing < 0 {
                    goal[broker] -= 1;
                    missing += 1;
                }
            }
        }
    }
    goal
}

/// Moves replicas until every broker has its share or no legal chain of moves is left.
pub(crate) fn balance_counts(state: &mut State<'_>, targets: &Targets, options: &Options) {
    let goal = finals(state, &targets.count);
    if (0..goal.len()).all(|b| targets.count.group[b].is_none() || state.count(b) == goal[b]) {
        return;
    }
    if state.copies > 0 || state.cur.len() != state.facts.orig.len() {
        while shift(state, &targets.count, &goal, true, options) {}
    }
    fill_topics(state, targets, &goal, options);
    for group in 0..targets.count.group_total.len() as u32 {
        Aim::new(state, targets, &goal, group, options.seed).run(state, options);
    }
    let mut failed = 0;
    while failed < CHAINS_FAILED_MAX {
        if !shift(state, &targets.count, &goal, false, options) {
            failed += 1;
        }
    }
}

/// The least and the most of each scaled load.
type Range = [(i64, i64); DIMENSIONS];

/// Direct moves within a group of brokers, each aimed at what its two brokers still have to give and take.
struct Aim<'a> {
    targets: &'a Targets,
    goal: &'a [i64],
    sources: Vec<u32>,
    destinations: Vec<u32>,
    rng: SplitMix64,
}

/// Brokers between which replicas move, and how many may leave and enter each rack.
struct Lane {
    sources: Vec<u32>,
    destinations: Vec<u32>,
    exports: Vec<i64>,
    imports: Vec<i64>,
}

impl<'a> Aim<'a> {
    fn new(state: &State<'_>, targets: &'a Targets, goal: &'a [i64], group: u32, seed: u64) -> Aim<'a> {
        let members = (0..goal.len()).filter(|b| targets.count.group[*b] == Some(group));
        let (mut sources, mut destinations) = (Vec::new(), Vec::new());
        for broker in members {
            match state.count(broker) - goal[broker] {
                0 => {}
                1.. => sources.push(broker as u32),
                _ => destinations.push(broker as u32),
            }
        }
        Aim { targets, goal, sources, destinations, rng: SplitMix64::new(seed, 2 + u64::from(group)) }
    }

    /// First what must change its rack, while every source still has replicas that may; then within each rack, where
    /// nearly any replica may go; then whatever is left.
    fn run(&mut self, state: &mut State<'_>, options: &Options) {
        let racks = state.facts.rack_size.len();
        let rack_of = |broker: &u32| usize::from(state.facts.rack[*broker as usize]);
        let mut surplus = vec![0; racks];
        for broker in self.sources.iter().chain(&self.destinations) {
            surplus[rack_of(broker)] += state.count(*broker as usize) - self.goal[*broker as usize];
        }
        let within = |of: &[u32], rack: usize| -> Vec<u32> {
            of.iter().copied().filter(|broker| rack_of(broker) == rack).collect()
        };
        let free = || vec![i64::MAX; racks];
        let mut lanes = vec![Lane {
            sources: self.sources.iter().copied().filter(|b| surplus[rack_of(b)] > 0).collect(),
            destinations: self.destinations.iter().copied().filter(|b| surplus[rack_of(b)] < 0).collect(),
            exports: surplus.clone(),
            imports: surplus.iter().map(|surplus| -surplus).collect(),
        }];
        lanes.extend((0..racks).map(|rack| Lane {
            sources: within(&self.sources, rack),
            destinations: within(&self.destinations, rack),
            exports: free(),
            imports: free(),
        }));
        lanes.push(Lane {
            sources: std::mem::take(&mut self.sources),
            destinations: std::mem::take(&mut self.destinations),
            exports: free(),
            imports: free(),
        });
        for mut lane in lanes {
            lane.sources.retain(|b| state.count(*b as usize) > self.goal[*b as usize]);
            lane.destinations.retain(|b| state.count(*b as usize) < self.goal[*b as usize]);
            if !self.drive(state, options, lane) {
                return;
            }
        }
    }

    /// Moves along a lane until one end of it is done; false when the limits forbid any more.
    fn drive(&mut self, state: &mut State<'_>, options: &Options, mut lane: Lane) -> bool {
        let mut turn = 0;
        while !lane.sources.is_empty() && !lane.destinations.is_empty() {
            let to_at = turn % lane.destinations.len();
            let from_at = self.rng.below(lane.sources.len());
            let (from, to) = (lane.sources[from_at], lane.destinations[to_at]);
            let Some(slot) = self.pick(state, from, to) else {
                match pick_any_destination(state, &lane.destinations, from) {
                    Some(at) => turn = at,
                    None => {
                        lane.sources.swap_remove(from_at);
                    }
                }
                continue;
            };
            let (copies, bytes) = (state.copies_added(slot, to), state.slot_bytes(slot));
            if !options.allows(state.copies + copies, state.bytes_copied + copies * bytes) {
                return false;
            }
            state.put(slot, to);
            turn += 1;
            if state.count(to as usize) >= self.goal[to as usize] {
                lane.destinations.swap_remove(to_at);
            }
            if state.count(from as usize) <= self.goal[from as usize] {
                lane.sources.swap_remove(from_at);
            }
            let rack_of = |broker: u32| usize::from(state.facts.rack[broker as usize]);
            let (export, import) = (&mut lane.exports[rack_of(from)], &mut lane.imports[rack_of(to)]);
            (*export, *import) = (*export - 1, *import - 1);
            if *export == 0 {
                lane.sources.retain(|b| rack_of(*b) != rack_of(from));
            }
            if *import == 0 {
                lane.destinations.retain(|b| rack_of(*b) != rack_of(to));
            }
        }
        true
    }

    /// The replica of `from` that fits best, from a sample; from all when no sampled one may go.
    fn pick(&mut self, state: &State<'_>, from: u32, to: u32) -> Option<u32> {
        let held = &state.on[from as usize];
        let (give, take) = (self.range(state, from), self.range(state, to));
        let rated = |held: &Held| Rating {
            needs_copy: !state.is_paid(held.slot),
            topic: state.topic_rank(held.slot, from, to),
            distance: distance(held.load(), give, take),
            unevenness: state.unevenness(held.slot, from, to),
            slot: held.slot,
        };
        let mut sample: Vec<Rating> = if held.len() <= 2 * REPLICAS_SAMPLED {
            held.iter().map(rated).collect()
        } else {
            let left = |b: u32| (state.count(b as usize) - self.goal[b as usize]).abs();
            let left = left(from).min(left(to));
            let sampled = if left <= MOVES_FEW || state.cur.len() <= REPLICAS_MANY {
                REPLICAS_SAMPLED
            } else if left <= MOVES_MANY {
                REPLICAS_SAMPLED_EARLY
            } else {
                REPLICAS_SAMPLED_FIRST
            };
            (0..sampled).map(|_| rated(&held[self.rng.below(held.len())])).collect()
        };
        sample.sort_unstable();
        best_legal(state, to, &sample).or_else(|| {
            // What may not go gathers at the front of the list, so the search begins anywhere.
            let (front, back) = held.split_at(self.rng.below(held.len()));
            back.iter().chain(front).map(|held| held.slot).find(|slot| state.may_go(*slot, to))
        })
    }

    /// The least and the most scaled load that each replica still to be given or taken may carry on average, so that
    /// the broker ends within its band.
    fn range(&self, state: &State<'_>, broker: u32) -> Range {
        let at = broker as usize;
        let surplus = state.count(at) - self.goal[at];
        let moves = surplus.abs().max(1);
        let mut range = [(0, 0); DIMENSIONS];
        for (dimension, (least, most)) in range.iter_mut().enumerate() {
            let share = self.targets.load[dimension][at] / 1000;
            let (low, high) = (share * FILL_PERMILLE, share * FULL_PERMILLE);
            let load = state.load[at][dimension];
            let gaps = if surplus > 0 { (load - high, load - low) } else { (low - load, high - load) };
            (*least, *most) = ((gaps.0 / moves).clamp(0, SCALE), (gaps.1 / moves).clamp(0, SCALE));
        }
        range
    }
}

/// How well a replica serves as the next to move; the least is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rating {
    needs_copy: bool,
    topic: i64,
    distance: i64,
    unevenness: i64,
    slot: u32,
}

/// The first replica of the sample that may go to `to` without a copy more than one and without crowding its topic
/// there; without such, the one that comes nearest to that.
fn best_legal(state: &State<'_>, to: u32, sample: &[Rating]) -> Option<u32> {
    let mut best: Option<((i64, bool), u32)> = None;
    for Rating { slot, .. } in sample {
        let rating = (state.copies_added(*slot, to), state.crowds(*slot, to));
        if best.is_none_or(|(least, _)| rating < least) && state.may_go(*slot, to) {
            best = Some((rating, *slot));
            if rating <= (1, false) {
                break;
            }
        }
    }
    best.map(|(_, slot)| slot)
}

/// A destination that some replica of `from` may go to; `None` leaves the source to chains.
fn pick_any_destination(state: &State<'_>, destinations: &[u32], from: u32) -> Option<usize> {
    let held = &state.on[from as usize];
    (0..destinations.len()).find(|at| held.iter().any(|held| state.may_go(held.slot, destinations[*at])))
}

/// How far a load is from what the giving and the taking broker ask for; more bytes than both ask for count a little.
fn distance(load: [i64; DIMENSIONS], give: Range, take: Range) -> i64 {
    let square = |x: i64| x.max(0) * x.max(0);
    let outside = |load: i64, (least, most): (i64, i64)| square(least - load) + square(load - most);
    let needless = square(load[0] - give[0].0.max(take[0].0)) / NEEDLESS_PART;
    (0..DIMENSIONS).map(|d| outside(load[d], give[d]) + outside(load[d], take[d])).sum::<i64>() + needless
}
