//! Which replicas are looked at when a step of phase 3 is sought: those that move anyway, those that relieve a broker
//! most for their bytes, the lightest, and some at random. No I/O.

use crate::rebalance::bounds::Band;
use crate::rebalance::facts::{DIMENSIONS, NOWHERE};
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::{Held, State};

/// A replica that may change its broker.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) slot: u32,
    pub(crate) load: [i64; DIMENSIONS],
    /// Whether it is copied to where it is now.
    pub(crate) is_paid: bool,
}

impl Candidate {
    pub(crate) fn new(state: &State<'_>, slot: u32) -> Candidate {
        Candidate { slot, load: state.slot_load(slot), is_paid: state.is_paid(slot) }
    }

    pub(crate) fn of(state: &State<'_>, held: Held) -> Candidate {
        Candidate { slot: held.slot, load: held.load(), is_paid: state.is_paid(held.slot) }
    }
}

/// Slots that move anyway, as they were when they were listed last.
pub(crate) struct Travellers {
    /// Those that left each broker, and those that may come back for one that left the rack: replicas of the same
    /// partition that stay there on another broker.
    pub(crate) departed: Vec<Vec<u32>>,
    /// Those that came to each broker, the lightest first.
    arrived: Vec<Vec<u32>>,
}

impl Travellers {
    pub(crate) fn new(state: &State<'_>) -> Travellers {
        let facts = state.facts;
        let mut departed = vec![Vec::new(); facts.brokers()];
        let mut arrived = vec![Vec::new(); facts.brokers()];
        for slot in (0..state.cur.len() as u32).filter(|slot| state.is_paid(*slot)) {
            arrived[state.cur[slot as usize] as usize].push(slot);
            let partition = facts.part[slot as usize];
            for &home in facts.original(partition) {
                if facts.stays[home as usize] && !state.cur[facts.slots(partition)].contains(&home) {
                    departed[home as usize].push(slot);
                    departed[home as usize].extend(siblings(state, slot, home));
                }
            }
        }
        let weight = |slot: &u32| state.slot_load(*slot).into_iter().sum::<i64>();
        arrived.iter_mut().for_each(|slots| slots.sort_by_cached_key(weight));
        Travellers { departed, arrived }
    }

    /// Replicas of a broker: some that move anyway, and as many or more of all.
    pub(crate) fn sample(
        &self,
        state: &State<'_>,
        broker: u32,
        (replicas, end): (usize, End),
        rng: &mut SplitMix64,
    ) -> Vec<Candidate> {
        let held = &state.on[broker as usize];
        if held.len() <= 2 * replicas {
            return all(state, broker);
        }
        let mut sampled: Vec<Candidate> = Vec::with_capacity(4 * replicas);
        let arrived = &self.arrived[broker as usize];
        for at in 0..replicas.min(arrived.len()) {
            // Half of them from the end that is asked for.
            let at = match end {
                _ if at % 2 == 1 => rng.below(arrived.len()),
                End::Light => at / 2,
                End::Heavy => arrived.len() - 1 - at / 2,
            };
            let slot = arrived[at];
            if state.cur[slot as usize] == broker && state.is_paid(slot) {
                sampled.push(Candidate::new(state, slot));
            }
        }
        let others = (sampled.len()..2 * replicas).map(|_| Candidate::of(state, held[rng.below(held.len())]));
        sampled.extend(others);
        sampled
    }
}

/// Replicas of the slot's partition that stayed in the rack of `home`, which the slot itself has left.
fn siblings<'s>(state: &'s State<'_>, slot: u32, home: u32) -> impl Iterator<Item = u32> + 's {
    let facts = state.facts;
    let rack = facts.rack[home as usize];
    let rack_of = |slot: &u32| facts.rack[state.cur[*slot as usize] as usize];
    let has_left = rack_of(&slot) != rack;
    let slots = facts.slots(facts.part[slot as usize]).map(|slot| slot as u32);
    slots.filter(move |other| {
        let at = state.cur[*other as usize];
        has_left && at != NOWHERE && facts.rack[at as usize] == rack && !state.is_paid(*other)
    })
}

/// Which replicas are wanted most.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Light,
    Heavy,
}

/// The replicas that take most of a broker's excess away for their bytes, the best first. Which ones depends on the
/// excess, so they are chosen anew when half of it is gone.
#[derive(Default)]
pub(crate) struct Densest {
    slots: Vec<u32>,
    /// The excess for which they were chosen.
    excess: i64,
}

impl Densest {
    /// How many are kept, more than are asked for, since some leave.
    const KEPT: usize = 48;
    /// From about how many they are chosen; more would hardly bring better ones.
    const RATED: usize = 2048;

    pub(crate) fn renew(
        &mut self,
        (state, band): (&State<'_>, &Band),
        broker: u32,
        copy_cost: i64,
        rng: &mut SplitMix64,
    ) {
        let at = broker as usize;
        let load = state.load[at];
        let excess: [i64; DIMENSIONS] = std::array::from_fn(|d| (load[d] - band.of(at).high[d]).max(0));
        let sum = excess.iter().sum();
        if 2 * sum > self.excess && !self.slots.is_empty() {
            return;
        }
        let step = state.on[at].len().div_ceil(Self::RATED).max(1);
        let mut rated: Vec<(i64, u32)> = Vec::with_capacity(Self::RATED);
        for held in state.on[at].iter().skip(rng.below(step)).step_by(step) {
            let load = held.load();
            let useful: i64 = (0..DIMENSIONS).map(|d| load[d].min(excess[d])).sum();
            rated.push((-(useful << 24) / (load[0] + copy_cost), held.slot));
        }
        if rated.len() > Self::KEPT {
            rated.select_nth_unstable(Self::KEPT);
            rated.truncate(Self::KEPT);
        }
        rated.sort_unstable();
        self.excess = sum;
        self.slots.clear();
        self.slots.extend(rated.into_iter().map(|(_, slot)| slot));
    }

    /// The best of them that are still on the broker.
    pub(crate) fn of(&self, state: &State<'_>, broker: u32, count: usize) -> impl Iterator<Item = Candidate> {
        let there = self.slots.iter().filter(move |slot| state.cur[**slot as usize] == broker);
        there.take(count).map(|slot| Candidate::new(state, *slot))
    }
}

/// The replicas with the least load of each broker, looked up when first asked for. Brokers change meanwhile, so
/// entries that have left are passed over.
pub(crate) struct Lightest(pub(crate) Vec<Vec<u32>>);

impl Lightest {
    /// How many are kept, a few more than are asked for, since some leave.
    const KEPT: usize = 24;

    pub(crate) fn of(&mut self, state: &State<'_>, broker: u32) -> &[u32] {
        let list = &mut self.0[broker as usize];
        list.retain(|slot| state.cur[*slot as usize] == broker);
        if list.len() < Self::KEPT / 2 {
            let mut held = state.on[broker as usize].clone();
            let weight = |held: &Held| (held.load().into_iter().sum::<i64>(), held.slot);
            if held.len() > Self::KEPT {
                held.select_nth_unstable_by_key(Self::KEPT, weight);
                held.truncate(Self::KEPT);
            }
            held.sort_unstable_by_key(weight);
            list.clear();
            list.extend(held.into_iter().map(|held| held.slot));
        }
        list
    }
}

pub(crate) fn all(state: &State<'_>, broker: u32) -> Vec<Candidate> {
    state.on[broker as usize].iter().map(|held| Candidate::of(state, *held)).collect()
}
