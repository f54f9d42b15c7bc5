//! Chains of moves: one replica's worth of count carried from a crowded broker to one that lacks replicas, through
//! others where no replica may go directly. No I/O.

use crate::rebalance::facts::Fill;
use crate::rebalance::options::Options;
use crate::rebalance::state::State;

/// A chain search: how each broker was reached.
struct Search<'s, 'f> {
    state: &'s State<'f>,
    /// The broker before, and the slot that moves from there.
    came: Vec<Option<(u32, u32)>>,
    /// Brokers not reached yet, by rack.
    unseen: Vec<Vec<u32>>,
    is_seen: Vec<bool>,
}

/// Carries one replica's worth of count from a broker above its goal to one below by the chain that adds the fewest
/// copies; with `free_only` only by one that adds none. False when there is none, or the limits forbid it.
pub(crate) fn shift(
    state: &mut State<'_>,
    fill: &Fill,
    goal: &[i64],
    free_only: bool,
    options: &Options,
) -> bool {
    let mut over: Vec<u32> = Vec::new();
    let mut lacks = vec![false; goal.len()];
    for broker in (0..goal.len()).filter(|b| fill.group[*b].is_some()) {
        match state.count(broker) - goal[broker] {
            0 => {}
            1.. => over.push(broker as u32),
            _ => lacks[broker] = true,
        }
    }
    if over.is_empty() || !lacks.contains(&true) {
        return false;
    }
    let mut search = Search::new(state, &over);
    let Some(end) = search.run(over, &lacks, free_only) else { return false };
    let came = search.came;
    carry_out(state, &came, end, options)
}

impl<'s, 'f> Search<'s, 'f> {
    fn new(state: &'s State<'f>, from: &[u32]) -> Search<'s, 'f> {
        let facts = state.facts;
        let mut is_seen: Vec<bool> = facts.stays.iter().map(|stays| !stays).collect();
        from.iter().for_each(|b| is_seen[*b as usize] = true);
        let mut unseen = vec![Vec::new(); facts.rack_size.len()];
        for broker in (0..facts.brokers()).filter(|b| !is_seen[*b]) {
            unseen[usize::from(facts.rack[broker])].push(broker as u32);
        }
        Search { state, came: vec![None; facts.brokers()], unseen, is_seen }
    }

    /// Level by level of copies added; within a level, moves that add none are followed to the end first.
    fn run(&mut self, from: Vec<u32>, lacks: &[bool], free_only: bool) -> Option<u32> {
        let mut level = from;
        loop {
            let mut at = 0;
            while at < level.len() {
                let broker = level[at];
                if lacks[broker as usize] {
                    return Some(broker);
                }
                self.follow_free(broker, &mut level);
                at += 1;
            }
            if free_only {
                return None;
            }
            let mut next = Vec::new();
            for broker in level {
                for held in &self.state.on[broker as usize] {
                    let first = next.len();
                    self.reach_all(broker, held.slot, &mut next);
                    if let Some(end) = next[first..].iter().find(|b| lacks[**b as usize]) {
                        return Some(*end);
                    }
                }
            }
            if next.is_empty() {
                return None;
            }
            level = next;
        }
    }

    /// Reaches brokers by moves of `broker`'s replicas that add no copy.
    fn follow_free(&mut self, broker: u32, level: &mut Vec<u32>) {
        let facts = self.state.facts;
        for slot in self.state.on[broker as usize].iter().map(|held| held.slot) {
            if self.state.is_paid(slot) {
                self.reach_all(broker, slot, level);
                continue;
            }
            if !self.state.has_left_home(slot) {
                continue;
            }
            for &home in facts.original(facts.part[slot as usize]) {
                if !self.is_seen[home as usize] && self.state.may_go(slot, home) {
                    self.unseen[usize::from(facts.rack[home as usize])].retain(|b| *b != home);
                    self.reach(broker, slot, home, level);
                }
            }
        }
    }

    /// Reaches every broker not seen yet that the slot may go to.
    fn reach_all(&mut self, broker: u32, slot: u32, reached: &mut Vec<u32>) {
        for rack in 0..self.unseen.len() {
            let mut at = 0;
            while let Some(&to) = self.unseen[rack].get(at) {
                if self.state.may_go(slot, to) {
                    self.unseen[rack].swap_remove(at);
                    self.reach(broker, slot, to, reached);
                } else if !self.rack_has_room(slot, rack) {
                    break;
                } else {
                    at += 1;
                }
            }
        }
    }

    fn rack_has_room(&self, slot: u32, rack: usize) -> bool {
        let facts = self.state.facts;
        let slots = facts.slots(facts.part[slot as usize]);
        let limit = facts.rack_max[slots.len()] as usize;
        let there = |other: &usize| {
            let at = self.state.cur[*other];
            *other != slot as usize && facts.rack.get(at as usize).is_some_and(|r| usize::from(*r) == rack)
        };
        slots.filter(there).count() < limit
    }

    fn reach(&mut self, broker: u32, slot: u32, to: u32, reached: &mut Vec<u32>) {
        self.is_seen[to as usize] = true;
        self.came[to as usize] = Some((broker, slot));
        reached.push(to);
    }
}

/// Performs the chain that ends at `end`, last move first. Moves of one partition can hinder each other; then nothing
/// of the chain stays.
fn carry_out(state: &mut State<'_>, came: &[Option<(u32, u32)>], end: u32, options: &Options) -> bool {
    let mut at = end;
    let mut done: Vec<(u32, u32)> = Vec::new();
    let mut legal = true;
    while let Some((before, slot)) = came[at as usize] {
        legal = state.may_go(slot, at);
        if !legal {
            break;
        }
        done.push((slot, before));
        state.put(slot, at);
        at = before;
    }
    if !legal || !options.allows(state.copies, state.bytes_copied) {
        done.iter().rev().for_each(|(slot, from)| state.put(*slot, *from));
        return false;
    }
    !done.is_empty()
}
