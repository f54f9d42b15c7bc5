//! Phase 2: brings the number of replicas per broker into the band with as few copies as possible. No I/O.

use std::collections::VecDeque;

use super::state::State;
use super::target::CountTarget;

/// A move on the way from a crowded broker to one with room.
#[derive(Clone, Copy)]
struct Hop {
    slot: u32,
    to: u32,
}

/// Moves replicas until no broker is above its high mark while another has room, nor one below its low mark while
/// another can give: directly where a replica may go, else through other brokers on the shortest way.
pub(super) fn balance_counts(state: &mut State, target: &CountTarget) {
    loop {
        let over: Vec<usize> = stayers(state).filter(|b| state.count(*b) > target.high[*b]).collect();
        let under: Vec<usize> = stayers(state).filter(|b| state.count(*b) < target.low[*b]).collect();
        let (from, to): (Vec<usize>, Vec<usize>) = match (over.is_empty(), under.is_empty()) {
            (true, true) => return,
            (false, false) => (over.clone(), under.clone()),
            (false, true) => (over, stayers(state).filter(|b| state.count(*b) < target.high[*b]).collect()),
            (true, false) => (stayers(state).filter(|b| state.count(*b) > target.low[*b]).collect(), under),
        };
        if shift(state, &from, &to) || (!to.is_empty() && shift_any(state, target)) {
            continue;
        }
        return;
    }
}

/// When the worst cannot give to the worst, any crowded broker may give to any with room.
fn shift_any(state: &mut State, target: &CountTarget) -> bool {
    let over: Vec<usize> = stayers(state).filter(|b| state.count(*b) > target.high[*b]).collect();
    let room: Vec<usize> = stayers(state).filter(|b| state.count(*b) < target.high[*b]).collect();
    let under: Vec<usize> = stayers(state).filter(|b| state.count(*b) < target.low[*b]).collect();
    let spare: Vec<usize> = stayers(state).filter(|b| state.count(*b) > target.low[*b]).collect();
    shift(state, &over, &room) || shift(state, &spare, &under)
}

fn stayers(state: &State) -> impl Iterator<Item = usize> + use<'_> {
    (0..state.brokers()).filter(|b| state.stays[*b])
}

/// Carries one replica's worth of count from one of `from` to one of `to` by a shortest chain of moves, preferring
/// chains whose moves add no copies; false when there is no chain.
fn shift(state: &mut State, from: &[usize], to: &[usize]) -> bool {
    if from.is_empty() || to.is_empty() {
        return false;
    }
    let mut goal = vec![false; state.brokers()];
    to.iter().for_each(|b| goal[*b] = true);
    let mut came: Vec<Option<(u32, Hop)>> = vec![None; state.brokers()];
    let mut seen = vec![false; state.brokers()];
    let mut distance = vec![i64::MAX; state.brokers()];
    let mut queue = VecDeque::new();
    for &broker in from {
        distance[broker] = 0;
        queue.push_back(broker as u32);
    }
    let mut end = None;
    while let Some(broker) = queue.pop_front() {
        if std::mem::replace(&mut seen[broker as usize], true) {
            continue;
        }
        if goal[broker as usize] {
            end = Some(broker);
            break;
        }
        for &slot in &state.on[broker as usize] {
            for next in 0..state.brokers() as u32 {
                let added = state.copies_added(slot, next).max(0);
                let through = distance[broker as usize] + added;
                if through < distance[next as usize] && state.may_go(slot, next) {
                    distance[next as usize] = through;
                    came[next as usize] = Some((broker, Hop { slot, to: next }));
                    if added == 0 { queue.push_front(next) } else { queue.push_back(next) }
                }
            }
        }
    }
    end.is_some_and(|end| carry_out(state, &came, end))
}

/// Performs the chain that ends at `end`, last hop first. Hops of one partition can hinder each other; then nothing
/// of the chain stays.
fn carry_out(state: &mut State, came: &[Option<(u32, Hop)>], end: u32) -> bool {
    let mut at = end;
    let mut done: Vec<(u32, u32)> = Vec::new();
    while let Some((before, hop)) = came[at as usize] {
        if !state.may_go(hop.slot, hop.to) {
            done.iter().rev().for_each(|(slot, from)| state.put(*slot, *from));
            return false;
        }
        done.push((hop.slot, before));
        state.put(hop.slot, hop.to);
        at = before;
    }
    !done.is_empty()
}
