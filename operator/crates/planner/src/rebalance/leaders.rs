//! Phase 4: evens out the preferred leaders by choosing which replica comes first in each list. Moves no data. No I/O.

use std::collections::VecDeque;

use super::state::State;

/// The slot that shall come first, for each partition.
pub(super) type Firsts = Vec<u32>;

/// Leaders as the lists have them now: the first original replica that is still in place, else the first slot.
pub(super) fn present_leaders(state: &State) -> Firsts {
    (0..state.partitions() as u32)
        .map(|partition| {
            let mut slots = state.slots(partition);
            let first = slots.start as u32;
            let kept = state
                .original(partition)
                .iter()
                .find_map(|broker| slots.find(|slot| state.cur[*slot] == *broker).map(|slot| slot as u32));
            kept.unwrap_or(first)
        })
        .collect()
}

/// Moves leaderships along chains of brokers until every broker leads its share, rounded up or down, or no chain is
/// left. A broker's share is its part of all replicas.
pub(super) fn balance_leaders(state: &State, firsts: &mut Firsts) {
    let mut led: Vec<Vec<u32>> = vec![Vec::new(); state.brokers()];
    let mut moveable = 0;
    for (partition, slot) in firsts.iter().enumerate() {
        if !state.pinned[partition] {
            led[state.cur[*slot as usize] as usize].push(partition as u32);
            moveable += 1;
        }
    }
    let replicas = (state.cur.len() as i64).max(1);
    let low = |b: usize| (state.count(b) * moveable).div_euclid(replicas);
    let high = |b: usize| (state.count(b) * moveable + replicas - 1).div_euclid(replicas);
    for broker in 0..state.brokers() {
        while led[broker].len() as i64 > high(broker) {
            let ends = |b: usize, led: &[Vec<u32>]| (led[b].len() as i64) < high(b);
            if !hand_over(state, firsts, &mut led, broker, ends) {
                break;
            }
        }
    }
    for broker in 0..state.brokers() {
        while led[broker].len() as i64 > low(broker) {
            let ends = |b: usize, led: &[Vec<u32>]| (led[b].len() as i64) < low(b);
            if !hand_over(state, firsts, &mut led, broker, ends) {
                break;
            }
        }
    }
}

/// Hands one leadership from `from` along the shortest chain to a broker for which `ends` holds.
fn hand_over(
    state: &State,
    firsts: &mut Firsts,
    led: &mut [Vec<u32>],
    from: usize,
    ends: impl Fn(usize, &[Vec<u32>]) -> bool,
) -> bool {
    let mut came: Vec<Option<(usize, u32)>> = vec![None; state.brokers()];
    let mut queue = VecDeque::from([from]);
    let mut end = None;
    'search: while let Some(broker) = queue.pop_front() {
        for &partition in &led[broker] {
            for slot in state.slots(partition) {
                let next = state.cur[slot] as usize;
                if next == from || came[next].is_some() {
                    continue;
                }
                came[next] = Some((broker, slot as u32));
                if ends(next, led) {
                    end = Some(next);
                    break 'search;
                }
                queue.push_back(next);
            }
        }
    }
    let Some(mut at) = end else { return false };
    while at != from {
        let (before, slot) = came[at].expect("every broker of the chain was reached from another");
        let partition = state.part[slot as usize];
        firsts[partition as usize] = slot;
        led[before].retain(|p| *p != partition);
        led[at].push(partition);
        at = before;
    }
    true
}
