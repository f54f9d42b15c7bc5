//! What does not change while planning: brokers, racks, partitions and their loads, as arrays over small indexes.
//!
//! Brokers are numbered by id, partitions by topic and index, topics and racks by name, so that the order of the
//! model's entries has no influence. A slot is one wanted replica; the slots of a partition are contiguous.
//! Loads are also kept scaled: all replicas together weigh 2^30 in each dimension, so that products of two loads fit
//! 64 bits. No I/O.

mod shares;
mod topics;

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

use super::options::Options;
use crate::rebalance::model::BrokerIndex;
use crate::rebalance::model::{Broker, BrokerState, DISK_PERCENT_MAX, Model};

/// Replicas up to which a cluster is mended; beyond, one replica more or less of a topic is nothing that anyone feels.
const REPLICAS_MENDED: usize = 40_000;
pub(crate) use shares::{Fill, Targets, share};
pub(crate) use topics::{Limits, Topics, band, nearest, root};

/// The broker of a slot that has no home yet.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// The weight of all replicas together in each scaled dimension.
pub(crate) const SCALE: i64 = 1 << 30;
/// Loads that every replica of a partition bears alike: bytes on disk, and bytes per second written.
pub(crate) const DIMENSIONS: usize = 2;

/// See the module's header.
pub(crate) struct Facts {
    pub(crate) ids: Vec<i32>,
    /// Whether a broker may keep and take replicas.
    pub(crate) stays: Vec<bool>,
    /// Whether a broker can be copied from.
    pub(crate) serves: Vec<bool>,
    /// Relative share of each broker that stays; 0 for the others.
    pub(crate) weight: Vec<u32>,
    pub(crate) rack: Vec<u16>,
    /// Brokers that stay, per rack.
    pub(crate) rack_size: Vec<u32>,
    /// Bytes up to which a broker may be filled.
    pub(crate) disk_max: Vec<i64>,
    /// Original bytes per broker.
    pub(crate) disk_before: Vec<i64>,
    /// Bytes of all wanted replicas together, at least 1: what weighs [`SCALE`].
    pub(crate) disk_total: i128,
    /// Bytes per second that all leaders together send, at least 1.
    pub(crate) out_total: i128,
    /// First slot of each partition, and the end of the last.
    pub(crate) start: Vec<u32>,
    /// First original replica of each partition in `orig`, and the end of the last.
    pub(crate) orig_start: Vec<u32>,
    /// The original replica lists.
    pub(crate) orig: Vec<u32>,
    /// The partition of each slot.
    pub(crate) part: Vec<u32>,
    pub(crate) entry: Vec<Entry>,
    /// Replicas wanted per topic.
    pub(crate) topic_slots: Vec<u32>,
    /// Bytes per second written to each replica.
    pub(crate) in_rate: Vec<i64>,
    /// Bytes per second that the leader sends, to followers and consumers.
    pub(crate) out_rate: Vec<i64>,
    /// `rack_max[rf]`: how many of `rf` replicas a rack may hold.
    pub(crate) rack_max: Vec<u32>,
    pub(crate) topics: Topics,
    /// Brokers that stay and came without replicas, or were named as those that copies go to.
    pub(crate) is_new: Vec<bool>,
    /// Where copies may go that nothing forces; `None` is anywhere.
    only_onto: Option<Vec<bool>>,
}

/// What is asked of a partition most, together, so that one look finds it all.
pub(crate) struct Entry {
    /// Bytes of one replica.
    pub(crate) bytes: i64,
    /// Those, and the bytes per second written to each replica, scaled.
    pub(crate) load: [u32; DIMENSIONS],
    pub(crate) topic: u32,
    /// Whether the partition is left alone.
    pub(crate) pinned: bool,
}

/// An original placement.
pub(crate) struct Original {
    start: Vec<u32>,
    list: Vec<u32>,
    disk: Vec<i64>,
}

impl Facts {
    /// Reads a checked model; `order` sorts its partitions.
    pub(crate) fn new(model: &Model, order: &[u32], options: &Options) -> Facts {
        let mut brokers: Vec<_> = model.brokers.iter().collect();
        brokers.sort_by_key(|b| b.id);
        let mut racks: BTreeMap<Option<&str>, u16> = brokers.iter().map(|b| (b.rack.as_deref(), 0)).collect();
        racks.values_mut().zip(0..).for_each(|(number, at)| *number = at);
        let stays: Vec<bool> = brokers.iter().map(|b| b.state == BrokerState::Alive).collect();
        let rack: Vec<u16> = brokers.iter().map(|b| racks[&b.rack.as_deref()]).collect();
        let mut rack_size = vec![0; racks.len()];
        for (rack, _) in rack.iter().zip(&stays).filter(|(_, stays)| **stays) {
            rack_size[usize::from(*rack)] += 1;
        }
        let rf_max =
            model.partitions.iter().map(|p| p.replicas_wanted().max(p.replicas.len())).max().unwrap_or(0);
        let weight = |b: &&Broker| {
            if b.state == BrokerState::Alive { b.capacity.weight } else { 0 }
        };
        let limit = |bytes: i64| (i128::from(bytes) * i128::from(DISK_PERCENT_MAX) / 100) as i64;
        let mut facts = Facts {
            ids: brokers.iter().map(|b| b.id.get()).collect(),
            serves: brokers.iter().map(|b| b.state != BrokerState::Dead).collect(),
            weight: brokers.iter().map(weight).collect(),
            disk_max: brokers.iter().map(|b| b.capacity.disk_bytes.map_or(i64::MAX, limit)).collect(),
            disk_before: vec![0; brokers.len()],
            disk_total: 1,
            out_total: 1,
            rack_max: rack_maxima(&rack_size, rf_max),
            rack,
            rack_size,
            stays,
            start: vec![0],
            orig_start: vec![0],
            orig: Vec::new(),
            part: Vec::new(),
            entry: Vec::with_capacity(order.len()),
            topic_slots: Vec::new(),
            in_rate: Vec::with_capacity(order.len()),
            out_rate: Vec::with_capacity(order.len()),
            topics: Topics::default(),
            is_new: Vec::new(),
            only_onto: None,
        };
        facts.read_partitions(model, order);
        facts.scale();
        let count = share(&facts, |_| 1, Some(facts.partitions() as i128));
        facts.topics = Topics::new(&facts, &count);
        facts.only_onto = options.only_onto.as_ref().map(|onto| {
            facts
                .ids
                .iter()
                .zip(&facts.stays)
                .map(|(id, stays)| *stays && onto.contains(&NodeId(*id)))
                .collect()
        });
        facts.find_new();
        facts
    }

    fn read_partitions(&mut self, model: &Model, order: &[u32]) {
        let index = self.index();
        let replicas: usize = model.partitions.iter().map(|p| p.replicas.len()).sum();
        self.orig.reserve_exact(replicas);
        self.part.reserve_exact(replicas);
        let mut before = None;
        for &at in order {
            let partition = &model.partitions[at as usize];
            let number = self.entry.len() as u32;
            if before != Some(&partition.topic) {
                self.topic_slots.push(0);
                before = Some(&partition.topic);
            }
            let wanted =
                if partition.reassigning { partition.replicas.len() } else { partition.replicas_wanted() };
            for id in &partition.replicas {
                let broker = index.get(*id).expect("a checked model lists every broker that it names");
                self.orig.push(broker);
                self.disk_before[broker as usize] += partition.bytes;
            }
            self.orig_start.push(self.orig.len() as u32);
            self.part.resize(self.part.len() + wanted, number);
            self.start.push(self.part.len() as u32);
            self.entry.push(Entry {
                bytes: partition.bytes,
                load: [0; DIMENSIONS],
                topic: self.topic_slots.len() as u32 - 1,
                pinned: partition.reassigning,
            });
            *self.topic_slots.last_mut().expect("pushed for the first partition") += wanted as u32;
            self.in_rate.push(partition.in_rate);
            self.out_rate.push(partition.in_rate * (wanted as i64 - 1) + partition.out_rate);
        }
    }

    fn find_new(&mut self) {
        self.is_new = self.only_onto.clone().unwrap_or_else(|| {
            let mut is_new = self.stays.clone();
            self.orig.iter().for_each(|broker| is_new[*broker as usize] = false);
            is_new
        });
    }

    /// Whether topics are evened out for their own sake, which takes its time in large clusters.
    pub(crate) fn mends_topics(&self) -> bool {
        self.part.len() <= REPLICAS_MENDED
    }

    /// Whether a topic is so uneven on a broker that this alone is worth copies: it has just come, or it holds far more or
    /// less than its share.
    pub(crate) fn is_worth_copies(&self, topic: u32, broker: u32, held: u32) -> bool {
        (self.is_new[broker as usize] && held < self.topics.limits(topic, broker).low)
            || (self.mends_topics() && self.topics.is_far(topic, broker, held))
    }

    /// Whether copies that nothing forces may go to the broker.
    pub(crate) fn takes_copies(&self, broker: u32) -> bool {
        self.only_onto.as_ref().is_none_or(|onto| onto[broker as usize])
    }

    fn scale(&mut self) {
        let slots = |p: usize| i128::from(self.start[p + 1] - self.start[p]);
        let total = |load: &dyn Fn(usize) -> i64| {
            (0..self.partitions()).map(|p| i128::from(load(p)) * slots(p)).sum::<i128>().max(1)
        };
        let totals = [total(&|p| self.entry[p].bytes), total(&|p| self.in_rate[p])];
        self.disk_total = totals[0];
        self.out_total = self.out_rate.iter().map(|rate| i128::from(*rate)).sum::<i128>().max(1);
        for (entry, in_rate) in self.entry.iter_mut().zip(&self.in_rate) {
            entry.load = [scaled(entry.bytes, totals[0]) as u32, scaled(*in_rate, totals[1]) as u32];
        }
    }

    /// Makes `lists` the original placement, as if a plan had been applied; returns the one before.
    pub(crate) fn rebase(&mut self, lists: &[u32]) -> Original {
        let mut disk = vec![0; self.brokers()];
        for (slot, broker) in lists.iter().enumerate() {
            disk[*broker as usize] += self.entry[self.part[slot] as usize].bytes;
        }
        let original = Original {
            start: std::mem::replace(&mut self.orig_start, self.start.clone()),
            list: std::mem::replace(&mut self.orig, lists.to_vec()),
            disk: std::mem::replace(&mut self.disk_before, disk),
        };
        self.find_new();
        original
    }

    /// Takes back an original placement that [`Facts::rebase`] returned.
    pub(crate) fn restore(&mut self, original: Original) {
        (self.orig_start, self.orig, self.disk_before) = (original.start, original.list, original.disk);
        self.find_new();
    }

    /// The numbers of the brokers.
    pub(crate) fn index(&self) -> BrokerIndex {
        BrokerIndex::new(self.ids.iter().map(|id| NodeId(*id)))
    }

    /// Number of partitions.
    pub(crate) fn partitions(&self) -> usize {
        self.entry.len()
    }

    /// Number of brokers, with those that leave.
    pub(crate) fn brokers(&self) -> usize {
        self.ids.len()
    }

    /// The slots of a partition.
    pub(crate) fn slots(&self, partition: u32) -> std::ops::Range<usize> {
        self.start[partition as usize] as usize..self.start[partition as usize + 1] as usize
    }

    /// The original replica list of a partition.
    pub(crate) fn original(&self, partition: u32) -> &[u32] {
        let at = partition as usize;
        &self.orig[self.orig_start[at] as usize..self.orig_start[at + 1] as usize]
    }

    /// Whether every rack must hold exactly one replica of each partition, so that racks cannot help each other.
    pub(crate) fn racks_are_independent(&self) -> bool {
        let racks = self.rack_size.iter().filter(|n| **n > 0).count();
        self.start.windows(2).all(|pair| (pair[1] - pair[0]) as usize == racks)
    }

    /// Replicas of a partition that brokers which stay will hold.
    pub(crate) fn slots_held(&self, partition: u32) -> usize {
        if self.entry[partition as usize].pinned {
            self.original(partition).iter().filter(|b| self.stays[**b as usize]).count()
        } else {
            self.slots(partition).len()
        }
    }
}

/// A load relative to `total`, which weighs [`SCALE`].
pub(crate) fn scaled(load: i64, total: i128) -> i64 {
    // Division of 128 bits takes several times as long, and few loads need it.
    match (u64::try_from(load), u64::try_from(total)) {
        (Ok(load), Ok(total)) if load < 1 << 34 => (load * SCALE as u64 / total) as i64,
        _ => (i128::from(load) * i128::from(SCALE) / total) as i64,
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
