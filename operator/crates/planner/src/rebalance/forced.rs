//! Phase 1: replicas that must move, because their broker leaves, because their rack holds too many of their
//! partition, or because they have no home yet. No I/O.

use super::state::{NOWHERE, State};
use super::target::CountTarget;

/// Gives every such replica a broker that may hold it, the biggest first.
///
/// A legal broker exists for each: fewer than RF replicas are placed, each within its rack's limit, and the limits
/// were chosen so that RF replicas fit.
pub(super) fn place_forced(state: &mut State, target: &CountTarget) {
    let mut forced = Vec::new();
    for partition in 0..state.partitions() as u32 {
        if !state.pinned[partition as usize] {
            collect_forced(state, partition, &mut forced);
        }
    }
    forced.sort_by_key(|slot| (std::cmp::Reverse(state.bytes[state.part[*slot as usize] as usize]), *slot));
    for &slot in &forced {
        state.put(slot, NOWHERE);
    }
    for slot in forced {
        let best = (0..state.brokers() as u32)
            .filter(|broker| state.may_go(slot, *broker))
            .max_by_key(|broker| (state.copies_added(slot, *broker) == 0, room(state, target, *broker)));
        if let Some(broker) = best {
            state.put(slot, broker);
        }
    }
}

/// Replicas that the broker still lacks: to its low mark first, then to its high mark; earlier brokers win ties.
fn room(state: &State, target: &CountTarget, broker: u32) -> (i64, i64, std::cmp::Reverse<u32>) {
    let at = broker as usize;
    let count = state.count(at);
    (
        (target.low[at] - count).max(0) + (target.high[at] - count).min(0),
        target.high[at] - count,
        std::cmp::Reverse(broker),
    )
}

fn collect_forced(state: &State, partition: u32, forced: &mut Vec<u32>) {
    let limit = state.rack_limit(partition);
    let mut kept: Vec<u16> = Vec::new();
    for slot in state.slots(partition) {
        let broker = state.cur[slot];
        if broker == NOWHERE || !state.stays[broker as usize] {
            forced.push(slot as u32);
            continue;
        }
        let rack = state.rack[broker as usize];
        if kept.iter().filter(|r| **r == rack).count() as u32 >= limit {
            forced.push(slot as u32);
        } else {
            kept.push(rack);
        }
    }
}
