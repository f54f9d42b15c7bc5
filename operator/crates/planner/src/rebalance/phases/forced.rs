//! Phase 1: replicas that must move, because their broker leaves, because their rack holds too many of their
//! partition, or because they have no home yet. No I/O.

use std::cmp::Reverse;

use super::counts::finals;
use crate::rebalance::facts::Targets;
use crate::rebalance::facts::{Facts, NOWHERE, SCALE};
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::State;

/// Brokers looked at for each replica: enough that the best of them is within a percent or so of the best of all.
const BROKERS_SAMPLED: usize = 128;
/// Replicas of a full broker that are tried as the ones to make room, before the next broker is tried.
const ROOM_MAKERS_TRIED: usize = 64;

/// Takes every such replica off its broker.
pub(crate) fn lift_forced(state: &mut State<'_>, targets: &Targets) -> Vec<u32> {
    let facts = state.facts;
    let mut lifted = Vec::new();
    let mut crowded = Vec::new();
    for partition in 0..facts.partitions() as u32 {
        if facts.entry[partition as usize].pinned {
            continue;
        }
        for slot in facts.slots(partition) {
            let broker = state.cur[slot];
            if broker == NOWHERE || !facts.stays[broker as usize] {
                state.put(slot as u32, NOWHERE);
                lifted.push(slot as u32);
            }
        }
        if crowded_rack(state, partition).is_some() {
            crowded.push(partition);
        }
    }
    crowded.sort_by_key(|partition| (Reverse(weight(facts, *partition)), *partition));
    for partition in crowded {
        while let Some(rack) = crowded_rack(state, partition) {
            let there = facts.slots(partition).map(|slot| slot as u32).filter(|slot| {
                let broker = state.cur[*slot as usize];
                broker != NOWHERE && facts.rack[broker as usize] == rack
            });
            let fullest = there.max_by_key(|slot| {
                let broker = state.cur[*slot as usize];
                (
                    -state.crowding_of_departure(*slot),
                    pressure(state, targets, broker, facts.entry[partition as usize].load.map(i64::from)),
                    Reverse(*slot),
                )
            });
            let slot = fullest.expect("a crowded rack holds replicas");
            state.put(slot, NOWHERE);
            lifted.push(slot);
        }
    }
    let heaviest_first =
        |slot: &u32| (Reverse(weight(facts, facts.part[*slot as usize])), facts.part[*slot as usize], *slot);
    lifted.sort_by_key(heaviest_first);
    lifted
}

/// The largest scaled load of a partition: what makes it hard to place.
fn weight(facts: &Facts, partition: u32) -> i64 {
    facts.entry[partition as usize].load.into_iter().max().map_or(0, i64::from)
}

/// A rack that holds more replicas of the partition than it may.
fn crowded_rack(state: &State<'_>, partition: u32) -> Option<u16> {
    let facts = state.facts;
    let slots = facts.slots(partition);
    let limit = facts.rack_max[slots.len()];
    let rack_of = |slot: usize| (state.cur[slot] != NOWHERE).then(|| facts.rack[state.cur[slot] as usize]);
    slots
        .clone()
        .filter_map(rack_of)
        .find(|rack| slots.clone().filter_map(rack_of).filter(|other| other == rack).count() as u32 > limit)
}

/// How much the squares of the broker's relative loads grow with one replica of `load` more: low on brokers that
/// have room in every dimension.
pub(crate) fn pressure(state: &State<'_>, targets: &Targets, broker: u32, load: [i64; 2]) -> i64 {
    let at = broker as usize;
    let unit = SCALE / (state.cur.len() as i64).max(1);
    let mut sum = (2 * state.count(at) + 1) * unit / targets.count.high[at].max(1);
    for (dimension, part) in load.into_iter().enumerate() {
        let target = targets.load[dimension][at];
        if target > 0 {
            sum += part * (2 * state.load[at][dimension] + part) / target;
        }
    }
    sum
}

/// Gives every lifted replica a broker that may hold it, and returns those for which no disk has room.
///
/// Racks and brokers never stand in the way: fewer than RF replicas are placed, each within its rack's limit, and the
/// limits were chosen so that RF replicas fit.
pub(crate) fn place(state: &mut State<'_>, targets: &Targets, lifted: &[u32], seed: u64) -> Vec<u32> {
    let goal = finals(state, &targets.count);
    let mut open = OpenBrokers::new(state, &goal);
    let mut rng = SplitMix64::new(seed, 1);
    let mut homeless = Vec::new();
    for &slot in lifted {
        let chosen = open
            .best(state, targets, slot, &mut rng)
            .or_else(|| any_legal(state, targets, &goal, slot, |s, slot, b| s.fits(slot, b)))
            .or_else(|| any_legal(state, targets, &goal, slot, |s, slot, b| s.fits_in_the_end(slot, b)))
            .or_else(|| make_room(state, slot));
        match chosen {
            Some(broker) => {
                state.put(slot, broker);
                open.close_if_full(state, &goal, broker);
            }
            None => homeless.push(slot),
        }
    }
    homeless
}

/// Brokers that still lack replicas, by rack.
struct OpenBrokers {
    by_rack: Vec<Vec<u32>>,
    total: usize,
}

impl OpenBrokers {
    fn new(state: &State<'_>, goal: &[i64]) -> OpenBrokers {
        let mut by_rack = vec![Vec::new(); state.facts.rack_size.len()];
        for broker in (0..goal.len()).filter(|b| state.count(*b) < goal[*b]) {
            by_rack[usize::from(state.facts.rack[broker])].push(broker as u32);
        }
        OpenBrokers { total: by_rack.iter().map(Vec::len).sum(), by_rack }
    }

    fn close_if_full(&mut self, state: &State<'_>, goal: &[i64], broker: u32) {
        if state.count(broker as usize) >= goal[broker as usize] {
            let list = &mut self.by_rack[usize::from(state.facts.rack[broker as usize])];
            if let Some(at) = list.iter().position(|b| *b == broker) {
                list.swap_remove(at);
                self.total -= 1;
            }
        }
    }

    fn nth(&self, mut at: usize) -> u32 {
        for list in &self.by_rack {
            match list.get(at) {
                Some(broker) => return *broker,
                None => at -= list.len(),
            }
        }
        NOWHERE
    }

    /// The broker with the most room among all, or among a sample.
    fn best(&self, state: &State<'_>, targets: &Targets, slot: u32, rng: &mut SplitMix64) -> Option<u32> {
        let load = state.slot_load(slot);
        let mut best: Option<((bool, i64, i64, u32), u32)> = None;
        for at in 0..self.total.min(BROKERS_SAMPLED) {
            let at = if self.total > BROKERS_SAMPLED { rng.below(self.total) } else { at };
            let broker = self.nth(at);
            let rating = (
                !state.is_original(slot, broker),
                state.crowding(slot, NOWHERE, broker),
                pressure(state, targets, broker, load),
                broker,
            );
            if best.is_none_or(|(least, _)| rating < least) && state.may_go(slot, broker) {
                best = Some((rating, broker));
            }
        }
        best.map(|(_, broker)| broker)
    }
}

/// The legal broker that is least above its goal, whatever its count.
fn any_legal(
    state: &State<'_>,
    targets: &Targets,
    goal: &[i64],
    slot: u32,
    fits: impl Fn(&State<'_>, u32, u32) -> bool,
) -> Option<u32> {
    let load = state.slot_load(slot);
    (0..goal.len() as u32).filter(|b| state.placeable(slot, *b) && fits(state, slot, *b)).min_by_key(|b| {
        let above = state.count(*b as usize) - goal[*b as usize];
        (above, pressure(state, targets, *b, load), *b)
    })
}

/// Moves one replica off a legal but full broker, so that its disk has room in the end.
fn make_room(state: &mut State<'_>, slot: u32) -> Option<u32> {
    for broker in 0..state.facts.brokers() as u32 {
        if !state.placeable(slot, broker) {
            continue;
        }
        let missing = state.disk[broker as usize].saturating_add(state.slot_bytes(slot))
            - state.facts.disk_max[broker as usize];
        let movers: Vec<u32> = state.on[broker as usize]
            .iter()
            .map(|held| held.slot)
            .filter(|other| state.slot_bytes(*other) >= missing)
            .take(ROOM_MAKERS_TRIED)
            .collect();
        for mover in movers {
            let home = (0..state.facts.brokers() as u32)
                .find(|b| state.may_go(mover, *b) && state.fits_in_the_end(mover, *b));
            if let Some(home) = home {
                state.put(mover, home);
                return Some(broker);
            }
        }
    }
    None
}
