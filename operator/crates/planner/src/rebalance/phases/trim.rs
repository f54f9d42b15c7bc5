//! The end of phase 3 in small clusters: where every broker is within its band, copies are exchanged for smaller ones.
//! No I/O.

use super::topic_repair::draws_far;
use crate::rebalance::bounds::Band;
use crate::rebalance::bounds::Floors;
use crate::rebalance::facts::Targets;
use crate::rebalance::options::Options;
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::State;

/// Replicas that copies could be exchanged for, looked at for each copy.
const REPLICAS_SAMPLED: usize = 24;
/// The same in a small cluster.
const REPLICAS_SAMPLED_SMALL: usize = 160;
/// Replicas up to which a cluster is small.
const REPLICAS_SMALL: usize = 8_000;
/// Replicas up to which a cluster is so small that sizes which grow while replicas move are felt.
const REPLICAS_FEW: usize = 2_000;
/// Of the band, in per mille of the share, so much is left to that growth.
const GROWTH_PERMILLE: i64 = 20;
/// Rounds over all copies; each makes what the next can still gain much smaller.
const ROUNDS_MAX: usize = 4;

/// Lets copied replicas go home in exchange for smaller ones, as long as no broker leaves its band.
pub(crate) fn trim(state: &mut State<'_>, targets: &Targets, floors: &Floors, options: &Options) {
    let margin = if state.cur.len() <= REPLICAS_FEW { GROWTH_PERMILLE } else { 0 };
    let band = |permille: i64| Band::new(state, targets, floors, permille.max(0));
    let bands = [band(options.load_permille_max), band(options.load_permille_max - margin)];
    let mut rng = SplitMix64::new(options.seed, 1 << 33);
    for _ in 0..ROUNDS_MAX {
        let mut improved = false;
        for slot in 0..state.cur.len() as u32 {
            if state.is_paid(slot)
                && let Some(back) = smaller(state, &bands, slot, &mut rng)
            {
                state.swap(slot, back);
                improved = true;
            }
        }
        if !improved {
            return;
        }
    }
}

/// The replica at one of the slot's homes that can take its place with the fewest bytes.
fn smaller(state: &State<'_>, bands: &[Band; 2], slot: u32, rng: &mut SplitMix64) -> Option<u32> {
    let facts = state.facts;
    let here = state.cur[slot as usize];
    let mut best: Option<(i64, u32)> = None;
    for &home in facts.original(facts.part[slot as usize]) {
        let there = &state.on[home as usize];
        if !facts.stays[home as usize] || there.is_empty() || !state.placeable(slot, home) {
            continue;
        }
        let few = if state.cur.len() <= REPLICAS_SMALL { REPLICAS_SAMPLED_SMALL } else { REPLICAS_SAMPLED };
        for at in 0..there.len().min(few) {
            let sampled = there.len() > few;
            let back = there[if sampled { rng.below(there.len()) } else { at }].slot;
            // Most are larger and need a copy, too; whether they would go home is not worth looking up.
            if !state.is_paid(back) && state.slot_bytes(back) >= state.slot_bytes(slot) {
                continue;
            }
            let bytes = state.copies_added(back, here) * state.slot_bytes(back) - state.slot_bytes(slot);
            if best.is_none_or(|(least, _)| bytes < least)
                && bytes < 0
                && bands.iter().all(|band| stays_within(state, band, (slot, here), (back, home)))
                && facts.part[slot as usize] != facts.part[back as usize]
                && state.may_go(back, here)
                && state.fits(slot, home)
                && state.crowding_of_swap(slot, back) <= 0
                && !draws_far(state, slot, home)
                && !draws_far(state, back, here)
            {
                best = Some((bytes, back));
            }
        }
    }
    best.map(|(_, back)| back)
}

/// Whether neither broker gets farther out of its band when the two slots trade places.
fn stays_within(state: &State<'_>, band: &Band, (a, at_a): (u32, u32), (b, at_b): (u32, u32)) -> bool {
    let (load_a, load_b) = (state.slot_load(a), state.slot_load(b));
    let (old_a, old_b) = (state.load[at_a as usize], state.load[at_b as usize]);
    let new_a = std::array::from_fn(|d| old_a[d] - load_a[d] + load_b[d]);
    let new_b = std::array::from_fn(|d| old_b[d] - load_b[d] + load_a[d]);
    band.excess(at_a as usize, new_a) <= band.excess(at_a as usize, old_a)
        && band.excess(at_b as usize, new_b) <= band.excess(at_b as usize, old_b)
}
