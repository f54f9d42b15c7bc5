//! Where every replica is while planning, with each broker's loads, kept up to date in constant time per move.
//!
//! Invariants: `on[b][pos[s]].slot == s` exactly when `cur[s] == b`; a partition has at most one slot on a broker;
//! `load[b]` is the sum over `on[b]`; `copies` and `bytes_copied` count slots on brokers that the original list lacks.
//! No I/O.

use super::spread::TopicSpread;
use crate::rebalance::facts::{DIMENSIONS, Facts, NOWHERE};

/// A replica in its broker's list, with its loads beside it: what is looked at most is not worth three lookups.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) slot: u32,
    load: [u32; DIMENSIONS],
}

impl Held {
    /// Its scaled loads.
    pub(crate) fn load(self) -> [i64; DIMENSIONS] {
        self.load.map(i64::from)
    }
}

/// See the module's header.
pub(crate) struct State<'f> {
    pub(crate) facts: &'f Facts,
    /// The broker of each slot.
    pub(crate) cur: Vec<u32>,
    /// The replicas on each broker.
    pub(crate) on: Vec<Vec<Held>>,
    /// Where a slot stands in its broker's list.
    pos: Vec<u32>,
    /// Whether a slot needs a copy where it is.
    paid: Vec<bool>,
    /// Scaled loads per broker.
    pub(crate) load: Vec<[i64; DIMENSIONS]>,
    /// Bytes per broker.
    pub(crate) disk: Vec<i64>,
    /// Bytes of copies that a broker gets.
    pub(crate) arriving: Vec<i64>,
    pub(crate) spread: TopicSpread,
    /// Replicas to copy so far.
    pub(crate) copies: i64,
    /// Bytes to copy so far.
    pub(crate) bytes_copied: i64,
}

impl<'f> State<'f> {
    /// The original placement; wanted replicas without one are [`NOWHERE`], surplus ones are dropped.
    pub(crate) fn new(facts: &'f Facts) -> State<'f> {
        let brokers = facts.brokers();
        let mut held = vec![0_usize; brokers];
        facts.orig.iter().for_each(|b| held[*b as usize] += 1);
        let mut state = State {
            facts,
            cur: vec![NOWHERE; facts.part.len()],
            on: held.iter().map(|n| Vec::with_capacity(*n)).collect(),
            pos: vec![0; facts.part.len()],
            paid: vec![false; facts.part.len()],
            load: vec![[0; DIMENSIONS]; brokers],
            disk: vec![0; brokers],
            arriving: vec![0; brokers],
            spread: TopicSpread::new(facts.topic_slots.len(), brokers, facts.part.len()),
            copies: 0,
            bytes_copied: 0,
        };
        for partition in 0..facts.partitions() as u32 {
            let slots = facts.slots(partition);
            let original = facts.original(partition);
            if original.len() <= slots.len() {
                slots.zip(original).for_each(|(slot, broker)| state.put(slot as u32, *broker));
            } else {
                let kept = state.kept(original, slots.len());
                slots.zip(kept).for_each(|(slot, broker)| state.put(slot as u32, broker));
            }
        }
        state
    }

    /// The replicas that stay when fewer are wanted: those that must go anyway leave first, then those of the
    /// fullest rack, then those of the fullest broker, then the last.
    fn kept(&self, original: &[u32], wanted: usize) -> Vec<u32> {
        let facts = self.facts;
        let mut list = original.to_vec();
        while list.len() > wanted {
            let key = |at: usize| {
                let broker = list[at] as usize;
                let neighbours =
                    list.iter().filter(|b| facts.rack[**b as usize] == facts.rack[broker]).count();
                (!facts.serves[broker], !facts.stays[broker], neighbours, self.count(broker), at)
            };
            let expendable = (0..list.len()).max_by_key(|at| key(*at)).unwrap_or(0);
            list.remove(expendable);
        }
        list
    }

    /// Replicas on a broker.
    pub(crate) fn count(&self, broker: usize) -> i64 {
        self.on[broker].len() as i64
    }

    /// The scaled loads of a slot.
    pub(crate) fn slot_load(&self, slot: u32) -> [i64; DIMENSIONS] {
        self.facts.entry[self.facts.part[slot as usize] as usize].load.map(i64::from)
    }

    /// The bytes of a slot.
    pub(crate) fn slot_bytes(&self, slot: u32) -> i64 {
        self.facts.entry[self.facts.part[slot as usize] as usize].bytes
    }

    /// Whether the slot may go to `broker`: it stays, has no replica of the partition, its rack has room, and its
    /// disk holds what it has and what it gets before anything leaves.
    pub(crate) fn may_go(&self, slot: u32, broker: u32) -> bool {
        self.placeable(slot, broker) && self.fits(slot, broker)
    }

    /// [`State::may_go`] without the disk.
    pub(crate) fn placeable(&self, slot: u32, broker: u32) -> bool {
        let facts = self.facts;
        let partition = facts.part[slot as usize];
        if !facts.stays[broker as usize] || facts.entry[partition as usize].pinned {
            return false;
        }
        if !facts.takes_copies(broker) && !self.need_not_ask(slot, broker) {
            return false;
        }
        let rack = facts.rack[broker as usize];
        let mut neighbours = 0;
        let slots = facts.slots(partition);
        let limit = facts.rack_max[slots.len()];
        for other in slots {
            let at = self.cur[other];
            if at == broker {
                return false;
            }
            if other as u32 != slot && at != NOWHERE && facts.rack[at as usize] == rack {
                neighbours += 1;
            }
        }
        neighbours < limit
    }

    /// Whether a copy of the slot may go also to a broker that takes no copies for the sake of balance: home, or because
    /// it must be copied to a broker of that kind anyway.
    fn need_not_ask(&self, slot: u32, broker: u32) -> bool {
        let at = self.cur[slot as usize];
        at == NOWHERE
            || self.is_original(slot, broker)
            || (self.is_paid(slot) && !self.facts.takes_copies(at))
    }

    /// Whether the broker's disk has room for a copy while everything that it had is still there.
    pub(crate) fn fits(&self, slot: u32, broker: u32) -> bool {
        let at = broker as usize;
        let limit = self.facts.disk_max[at];
        let (before, bytes) = (self.facts.disk_before[at], self.slot_bytes(slot));
        limit == i64::MAX
            || before + self.arriving[at] + bytes <= limit
            || (self.is_original(slot, broker) && self.disk[at] + bytes <= limit.max(before))
    }

    /// Whether the broker's disk has room once everything that leaves it has left.
    pub(crate) fn fits_in_the_end(&self, slot: u32, broker: u32) -> bool {
        self.disk[broker as usize].saturating_add(self.slot_bytes(slot))
            <= self.facts.disk_max[broker as usize]
    }

    /// Whether a broker that is too full comes nearer to its limit by giving `out` for the smaller `back`.
    pub(crate) fn relieves(&self, broker: u32, out: u32, back: u32) -> bool {
        let at = broker as usize;
        self.facts.disk_before[at] > self.facts.disk_max[at]
            && self.disk[at] <= self.facts.disk_before[at]
            && self.slot_bytes(back) < self.slot_bytes(out)
    }

    /// Whether the slot's partition had a replica on `broker` from the start.
    pub(crate) fn is_original(&self, slot: u32, broker: u32) -> bool {
        self.facts.original(self.facts.part[slot as usize]).contains(&broker)
    }

    /// Whether some broker may lack a replica of the slot's partition that it had from the start.
    pub(crate) fn has_left_home(&self, slot: u32) -> bool {
        let facts = self.facts;
        let partition = facts.part[slot as usize];
        let slots = facts.slots(partition);
        self.paid[slots.clone()].contains(&true)
            || (facts.orig.len() != facts.part.len() && facts.original(partition).len() > slots.len())
    }

    /// Whether the slot needs a copy where it is.
    pub(crate) fn is_paid(&self, slot: u32) -> bool {
        self.paid[slot as usize]
    }

    /// Copies that moving the slot to `broker` adds (1), saves (-1) or leaves as they are (0).
    pub(crate) fn copies_added(&self, slot: u32, broker: u32) -> i64 {
        i64::from(!self.is_original(slot, broker)) - i64::from(self.is_paid(slot))
    }

    /// The topic of a slot.
    pub(crate) fn topic(&self, slot: u32) -> u32 {
        self.facts.entry[self.facts.part[slot as usize] as usize].topic
    }

    /// Whether the topic would be crowded on `broker` with one replica more.
    pub(crate) fn crowds(&self, slot: u32, broker: u32) -> bool {
        let topic = self.topic(slot);
        self.spread.get(topic, broker) >= self.facts.topics.limits(topic, broker).high
    }

    /// By how much the squares of what the slot's topic has outside of its bands grow once the slot has left `from`, which
    /// may be [`NOWHERE`], for `to`; below zero where the topic gets more even.
    pub(crate) fn crowding(&self, slot: u32, from: u32, to: u32) -> i64 {
        let topic = self.topic(slot);
        let outside = |broker: u32, held: u32| square(self.facts.topics.aim(topic, broker).outside(held));
        let held = self.spread.get(topic, to);
        let there = outside(to, held + 1) - outside(to, held);
        if from == NOWHERE {
            return there;
        }
        let held = self.spread.get(topic, from);
        there + outside(from, held.saturating_sub(1)) - outside(from, held)
    }

    /// The same once the slot has left its broker.
    pub(crate) fn crowding_of_departure(&self, slot: u32) -> i64 {
        let (topic, from) = (self.topic(slot), self.cur[slot as usize]);
        let (limits, held) = (self.facts.topics.aim(topic, from), self.spread.get(topic, from));
        square(limits.outside(held.saturating_sub(1))) - square(limits.outside(held))
    }

    /// The same once two slots have traded places.
    pub(crate) fn crowding_of_swap(&self, a: u32, b: u32) -> i64 {
        if self.topic(a) == self.topic(b) {
            return 0;
        }
        let (at_a, at_b) = (self.cur[a as usize], self.cur[b as usize]);
        self.crowding(a, at_a, at_b) + self.crowding(b, at_b, at_a)
    }

    /// How much farther from its share the topic is on `to` than on `from` once the slot has moved, in thousandths of a
    /// replica; below zero where it gets more even.
    pub(crate) fn unevenness(&self, slot: u32, from: u32, to: u32) -> i64 {
        let (topic, topics) = (self.topic(slot), &self.facts.topics);
        let above = |broker: u32| f64::from(self.spread.get(topic, broker)) - topics.share(topic, broker);
        ((above(to) - above(from) + 1.0) * 1000.0) as i64
    }

    /// How well a move serves the topic's spread, less is better: first what brings a topic worth copies into its bands,
    /// then what makes such a topic more even, then all that does no harm.
    pub(crate) fn topic_rank(&self, slot: u32, from: u32, to: u32) -> i64 {
        let makes_even = self.facts.topics.is_heavy(self.topic(slot)) && self.unevenness(slot, from, to) <= 0;
        2 * self.crowding(slot, from, to) + i64::from(!makes_even)
    }

    /// Puts the slot on `broker`, which may be [`NOWHERE`].
    pub(crate) fn put(&mut self, slot: u32, broker: u32) {
        self.take(slot);
        if broker == NOWHERE {
            return;
        }
        let partition = self.facts.part[slot as usize] as usize;
        let (at, bytes) = (broker as usize, self.facts.entry[partition].bytes);
        self.cur[slot as usize] = broker;
        self.pos[slot as usize] = self.on[at].len() as u32;
        let held = Held { slot, load: self.facts.entry[partition].load };
        self.on[at].push(held);
        self.disk[at] += bytes;
        let load = &mut self.load[at];
        load.iter_mut().zip(held.load).for_each(|(sum, part)| *sum += i64::from(part));
        self.spread.add(self.facts.entry[partition].topic, broker);
        if !self.is_original(slot, broker) {
            self.paid[slot as usize] = true;
            self.arriving[at] += bytes;
            self.copies += 1;
            self.bytes_copied += bytes;
        }
    }

    fn take(&mut self, slot: u32) {
        let from = self.cur[slot as usize];
        if from == NOWHERE {
            return;
        }
        let partition = self.facts.part[slot as usize] as usize;
        let (at, bytes) = (from as usize, self.facts.entry[partition].bytes);
        let hole = self.pos[slot as usize] as usize;
        let held = self.on[at].swap_remove(hole);
        if let Some(moved) = self.on[at].get(hole) {
            self.pos[moved.slot as usize] = hole as u32;
        }
        self.cur[slot as usize] = NOWHERE;
        self.disk[at] -= bytes;
        let load = &mut self.load[at];
        load.iter_mut().zip(held.load).for_each(|(sum, part)| *sum -= i64::from(part));
        self.spread.remove(self.facts.entry[partition].topic, from);
        if std::mem::take(&mut self.paid[slot as usize]) {
            self.arriving[at] -= bytes;
            self.copies -= 1;
            self.bytes_copied -= bytes;
        }
    }

    /// Lets two slots trade places.
    pub(crate) fn swap(&mut self, a: u32, b: u32) {
        let (at_a, at_b) = (self.cur[a as usize], self.cur[b as usize]);
        self.put(a, at_b);
        self.put(b, at_a);
    }
}

fn square(outside: u32) -> i64 {
    i64::from(outside) * i64::from(outside)
}
