//! The planner's working state: arrays over brokers, partitions and replica slots, with moves in constant time.
//!
//! A slot is one wanted replica of one partition; the slots of a partition are contiguous.
//! Invariants: `on[b][pos[s]] == s` exactly when `cur[s] == b`; a partition has at most one slot on a broker.
//! No I/O.

use std::collections::BTreeMap;

use super::model::{BrokerState, Model};

/// The broker of a slot that has no home yet.
pub(super) const NOWHERE: u32 = u32::MAX;

/// See the module's header.
pub(super) struct State {
    /// Brokers in the order of their ids; positions in here are the broker indexes used everywhere else.
    pub(super) ids: Vec<i32>,
    /// Whether a broker may keep and take replicas.
    pub(super) stays: Vec<bool>,
    /// Whether a broker can be copied from.
    pub(super) serves: Vec<bool>,
    /// Relative share of each broker that stays; 0 for the others.
    pub(super) weight: Vec<u32>,
    /// The rack of each broker; racks are numbered in the order of their names.
    pub(super) rack: Vec<u16>,
    /// Brokers that stay, per rack.
    pub(super) rack_size: Vec<u32>,
    /// First slot of each partition, and the end of the last.
    pub(super) start: Vec<u32>,
    /// First original replica of each partition in `orig`, and the end of the last.
    pub(super) orig_start: Vec<u32>,
    /// The original replica lists.
    pub(super) orig: Vec<u32>,
    /// Whether a partition is left alone.
    pub(super) pinned: Vec<bool>,
    /// Bytes of one replica, per partition.
    pub(super) bytes: Vec<i64>,
    /// The broker of each slot.
    pub(super) cur: Vec<u32>,
    /// The partition of each slot.
    pub(super) part: Vec<u32>,
    /// The slots on each broker.
    pub(super) on: Vec<Vec<u32>>,
    /// Where a slot stands in its broker's list.
    pub(super) pos: Vec<u32>,
    /// `rack_max[rf]`: how many of `rf` replicas a rack may hold.
    pub(super) rack_max: Vec<u32>,
}

impl State {
    /// Reads a checked model; `order` sorts its partitions.
    pub(super) fn new(model: &Model, order: &[u32]) -> State {
        let mut brokers: Vec<_> = model.brokers.iter().collect();
        brokers.sort_by_key(|b| b.id);
        let index: BTreeMap<i32, u32> = brokers.iter().zip(0..).map(|(b, at)| (b.id.get(), at)).collect();
        let mut racks: BTreeMap<Option<&str>, u16> = brokers.iter().map(|b| (b.rack.as_deref(), 0)).collect();
        racks.values_mut().zip(0..).for_each(|(number, at)| *number = at);
        let stays: Vec<bool> = brokers.iter().map(|b| b.state == BrokerState::Alive).collect();
        let rack: Vec<u16> = brokers.iter().map(|b| racks[&b.rack.as_deref()]).collect();
        let mut rack_size = vec![0; racks.len()];
        for (rack, _) in rack.iter().zip(&stays).filter(|(_, stays)| **stays) {
            rack_size[usize::from(*rack)] += 1;
        }
        let rf_max = model.partitions.iter().map(|p| p.replicas_wanted()).max().unwrap_or(0);
        let mut state = State {
            ids: brokers.iter().map(|b| b.id.get()).collect(),
            serves: brokers.iter().map(|b| b.state != BrokerState::Dead).collect(),
            weight: brokers
                .iter()
                .map(|b| if b.state == BrokerState::Alive { b.capacity.weight } else { 0 })
                .collect(),
            rack_max: rack_maxima(&rack_size, rf_max),
            on: vec![Vec::new(); brokers.len()],
            rack,
            rack_size,
            stays,
            start: vec![0],
            orig_start: vec![0],
            orig: Vec::new(),
            pinned: Vec::with_capacity(order.len()),
            bytes: Vec::with_capacity(order.len()),
            cur: Vec::new(),
            part: Vec::new(),
            pos: Vec::new(),
        };
        for &at in order {
            state.add_partition(model, at, &index);
        }
        state
    }

    fn add_partition(&mut self, model: &Model, at: u32, index: &BTreeMap<i32, u32>) {
        let partition = &model.partitions[at as usize];
        let number = self.bytes.len() as u32;
        let first = self.orig.len();
        self.orig.extend(partition.replicas.iter().map(|id| index[&id.get()]));
        self.orig_start.push(self.orig.len() as u32);
        self.pinned.push(partition.reassigning);
        self.bytes.push(partition.bytes);
        let wanted =
            if partition.reassigning { partition.replicas.len() } else { partition.replicas_wanted() };
        let mut list: Vec<u32> = self.orig[first..].to_vec();
        while list.len() > wanted {
            list.remove(self.expendable(&list));
        }
        list.resize(wanted, NOWHERE);
        for broker in list {
            let slot = self.cur.len() as u32;
            self.part.push(number);
            self.cur.push(NOWHERE);
            self.pos.push(0);
            self.put(slot, broker);
        }
        self.start.push(self.cur.len() as u32);
    }

    /// Which of too many replicas goes first: one that must go anyway, then one of the fullest rack, then the last.
    fn expendable(&self, list: &[u32]) -> usize {
        let key = |at: usize| {
            let broker = list[at] as usize;
            let neighbours = list.iter().filter(|b| self.rack[**b as usize] == self.rack[broker]).count();
            (!self.serves[broker], !self.stays[broker], neighbours, at)
        };
        (0..list.len()).max_by_key(|at| key(*at)).unwrap_or(0)
    }

    /// Number of partitions.
    pub(super) fn partitions(&self) -> usize {
        self.bytes.len()
    }

    /// Number of brokers, with those that leave.
    pub(super) fn brokers(&self) -> usize {
        self.ids.len()
    }

    /// The slots of a partition.
    pub(super) fn slots(&self, partition: u32) -> std::ops::Range<usize> {
        self.start[partition as usize] as usize..self.start[partition as usize + 1] as usize
    }

    /// The original replica list of a partition.
    pub(super) fn original(&self, partition: u32) -> &[u32] {
        let at = partition as usize;
        &self.orig[self.orig_start[at] as usize..self.orig_start[at + 1] as usize]
    }

    /// Replicas on a broker.
    pub(super) fn count(&self, broker: usize) -> i64 {
        self.on[broker].len() as i64
    }

    /// How many replicas of a partition a rack may hold.
    pub(super) fn rack_limit(&self, partition: u32) -> u32 {
        self.rack_max[self.slots(partition).len()]
    }

    /// Whether the slot may move to `broker`: it stays, has no replica of the partition, and its rack has room.
    pub(super) fn may_go(&self, slot: u32, broker: u32) -> bool {
        let partition = self.part[slot as usize];
        if !self.stays[broker as usize] || self.pinned[partition as usize] {
            return false;
        }
        let rack = self.rack[broker as usize];
        let mut neighbours = 0;
        for other in self.slots(partition) {
            let at = self.cur[other];
            if at == broker {
                return false;
            }
            if other as u32 != slot && at != NOWHERE && self.rack[at as usize] == rack {
                neighbours += 1;
            }
        }
        neighbours < self.rack_limit(partition)
    }

    /// Copies that moving the slot to `broker` adds (1), saves (-1) or leaves as they are (0).
    pub(super) fn copies_added(&self, slot: u32, broker: u32) -> i64 {
        let original = self.original(self.part[slot as usize]);
        let from = self.cur[slot as usize];
        let paid = from != NOWHERE && !original.contains(&from);
        i64::from(!original.contains(&broker)) - i64::from(paid)
    }

    /// Puts the slot on `broker`, which may be [`NOWHERE`].
    pub(super) fn put(&mut self, slot: u32, broker: u32) {
        let from = self.cur[slot as usize];
        if from != NOWHERE {
            let at = self.pos[slot as usize] as usize;
            let list = &mut self.on[from as usize];
            list.swap_remove(at);
            if let Some(&moved) = list.get(at) {
                self.pos[moved as usize] = at as u32;
            }
        }
        self.cur[slot as usize] = broker;
        if broker != NOWHERE {
            self.pos[slot as usize] = self.on[broker as usize].len() as u32;
            self.on[broker as usize].push(slot);
        }
    }
}

/// The smallest limit per rack that lets `rf` replicas find a place, for each `rf`.
fn rack_maxima(rack_size: &[u32], rf_max: usize) -> Vec<u32> {
    let mut maxima = vec![0; rf_max + 1];
    let mut limit = 0;
    for (rf, maximum) in maxima.iter_mut().enumerate() {
        let room = |limit: u32| rack_size.iter().map(|n| u64::from((*n).min(limit))).sum::<u64>();
        while room(limit) < rf as u64 && limit as usize <= rf {
            limit += 1;
        }
        *maximum = limit;
    }
    maxima
}
