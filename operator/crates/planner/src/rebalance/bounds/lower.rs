//! What no plan can beat: the fewest copies, the fewest bytes, and the smallest possible load of the fullest broker.
//! No I/O.

use std::cmp::Ordering;

use crate::rebalance::facts::{DIMENSIONS, Facts, SCALE};
use crate::rebalance::facts::{Fill, Targets, share};

/// The smallest load that the fullest broker can have, whatever the placement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors {
    /// Scaled, by dimension.
    pub(crate) scaled: [i64; DIMENSIONS],
}

/// Copies and bytes that every plan to the same balance must make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LowerBounds {
    pub(crate) moves: i64,
    pub(crate) bytes: i64,
    /// The same where the spread of topics does not matter.
    pub(crate) moves_of_loads: i64,
    pub(crate) bytes_of_loads: i64,
}

impl Floors {
    /// A broker with the largest replica also holds its share of others; with one replica more than there are
    /// brokers, two of the largest share one.
    pub(crate) fn new(facts: &Facts, count: &Fill) -> Floors {
        let staying = facts.rack_size.iter().sum::<u32>() as usize;
        let brokers = if facts.racks_are_independent() {
            facts.rack_size.iter().filter(|n| **n > 0).min().copied().unwrap_or(0) as usize
        } else {
            staying
        };
        let low = (0..facts.brokers()).filter(|b| facts.stays[*b]).map(|b| count.low[b]).min().unwrap_or(0);
        let copies = |p: usize| if facts.racks_are_independent() { 1 } else { facts.slots(p as u32).len() };
        let mut floors = Floors::default();
        for (dimension, floor) in floors.scaled.iter_mut().enumerate() {
            let mut loads: Vec<i64> =
                facts.entry.iter().map(|entry| i64::from(entry.load[dimension])).collect();
            if loads.is_empty() || brokers == 0 {
                continue;
            }
            let others = |but: i64, loads: &mut [i64]| {
                let n = (low - but).clamp(0, loads.len() as i64 - 1) as usize;
                loads.select_nth_unstable(n);
                loads[..n].iter().sum::<i64>()
            };
            let with_one = others(1, &mut loads);
            let with_two = others(2, &mut loads);
            let mut order: Vec<u32> = (0..facts.partitions() as u32).collect();
            let top = (brokers + 1).min(order.len());
            let heaviest = |p: &u32| std::cmp::Reverse((facts.entry[*p as usize].load[dimension], *p));
            if top < order.len() {
                order.select_nth_unstable_by_key(top, heaviest);
                order.truncate(top);
            }
            order.sort_unstable_by_key(heaviest);
            let replicas = order.iter().flat_map(|p| {
                std::iter::repeat_n(i64::from(facts.entry[*p as usize].load[dimension]), copies(*p as usize))
            });
            let heavy: Vec<i64> = replicas.take(brokers + 1).collect();
            let pair = heavy.get(brokers).map_or(0, |last| last + heavy[brokers - 1] + with_two);
            *floor = (heavy.first().copied().unwrap_or(0) + with_one).max(pair);
        }
        floors
    }
}

/// Bounds from the original placement to balance within `permille` of each broker's share.
pub(crate) fn lower_bounds(facts: &Facts, targets: &Targets, floors: &Floors, permille: i64) -> LowerBounds {
    let (mut forced_moves, mut forced_bytes) = (0, 0);
    for partition in (0..facts.partitions() as u32).filter(|p| !facts.entry[*p as usize].pinned) {
        let missing = must_arrive(facts, partition);
        forced_moves += missing;
        forced_bytes += missing * facts.entry[partition as usize].bytes;
    }
    let held = held(facts);
    let largest = largest_sums(facts);
    let disk = share(facts, |p| i128::from(facts.entry[p as usize].bytes), None);
    let independent = facts.racks_are_independent();
    let groups = if independent { facts.rack_size.len() } else { 1 };
    let mut moves = vec![Joint::default(); groups];
    let mut bytes = vec![Joint::default(); groups];
    let mut is_used = vec![false; groups];
    let by_topics = by_topics(facts);
    let floor_bytes = (i128::from(floors.scaled[0]) * facts.disk_total / i128::from(SCALE)) as i64;
    for broker in (0..facts.brokers()).filter(|b| facts.stays[*b]) {
        let group = if independent { usize::from(facts.rack[broker]) } else { 0 };
        let mut holds = Holds::new(facts, &held[broker]);
        let part = |whole: i64, permille: i64| (i128::from(whole) * i128::from(permille) / 1000) as i64;
        let even = part(disk.high[broker], 1000 + permille);
        let low = if floor_bytes <= even { part(disk.low[broker], 1000 - permille) } else { 0 };
        let count = held[broker].len() as i64;
        let surplus = (count - targets.count.high[broker]).max(0);
        let smallest = holds.smallest_bytes(surplus as usize);
        let above = |holds: &Holds, dimension: usize| {
            // One more per mille than the planner's own band leaves room for the rounding of scaled loads.
            let target = targets.load[dimension][broker];
            let high = (target / 1000 * (1001 + permille)).max(floors.scaled[dimension]);
            if target == 0 { 0 } else { (holds.load(dimension) - high).max(0) }
        };
        let topics = by_topics[broker];
        let flow = Flow {
            over: (facts.disk_before[broker] - even.max(floor_bytes))
                .max(smallest)
                .max(holds.bytes_for_rate(above(&holds, 1)))
                .max(0),
            under: (low - facts.disk_before[broker]).max(0),
            held: facts.disk_before[broker],
            total: disk.low[broker],
        };
        bytes[group].add(flow, (0, topics.under_bytes));
        // A broker that keeps too few bytes once its surplus has left gets some back, and gives as many for them.
        let kept = facts.disk_before[broker] - smallest;
        let back = largest.iter().position(|sum| *sum >= low - kept).unwrap_or(largest.len() - 1) as i64;
        let surplus = (count + back - targets.count.high[broker]).max(0);
        let loads = (0..DIMENSIONS).map(|d| holds.largest_moves(d, above(&holds, d))).max().unwrap_or(0);
        is_used[group] = true;
        let under = (targets.count.low[broker] - count).max(0);
        let flow = Flow { over: surplus.max(loads), under, held: count, total: 0 };
        moves[group].add(flow, (topics.over, topics.under));
    }
    let wanted: i64 = (0..facts.partitions() as u32).map(|p| facts.slots_held(p) as i64).sum();
    let per_group = if independent { facts.partitions() as i64 } else { wanted };
    for (joint, _) in moves.iter_mut().zip(is_used).filter(|(_, used)| *used) {
        (joint.loads.total, joint.all.total) = (per_group, per_group);
    }
    let sum = |joint: &[Joint], of: fn(&Joint) -> &Flow| joint.iter().map(|j| of(j).arrivals()).sum::<i64>();
    LowerBounds {
        moves: forced_moves.max(sum(&moves, |joint| &joint.all)),
        bytes: forced_bytes.max(sum(&bytes, |joint| &joint.all)),
        moves_of_loads: forced_moves.max(sum(&moves, |joint| &joint.loads)),
        bytes_of_loads: forced_bytes.max(sum(&bytes, |joint| &joint.loads)),
    }
}

/// What counts, bytes and rates ask for, and what they and the spread of topics do.
#[derive(Clone, Copy, Default)]
struct Joint {
    loads: Flow,
    all: Flow,
}

impl Joint {
    /// Adds a broker's flow, and what must leave it and arrive there for the spread of topics.
    fn add(&mut self, flow: Flow, (over, under): (i64, i64)) {
        self.loads.add(flow);
        self.all.add(Flow { over: flow.over.max(over), under: flow.under.max(under), ..flow });
    }
}

/// What must leave a broker and arrive there for the spread of topics.
#[derive(Clone, Copy, Default)]
struct TopicNeed {
    over: i64,
    under: i64,
    under_bytes: i64,
}

/// Of every topic that is so uneven on a broker that it is worth copies, those that bring it into its band.
fn by_topics(facts: &Facts) -> Vec<TopicNeed> {
    let mut needs = vec![TopicNeed::default(); facts.brokers()];
    let mut held = vec![0_u32; facts.brokers()];
    for &topic in facts.topics.by_weight() {
        let partitions = facts.topics.partitions(topic);
        for partition in partitions.clone() {
            facts.original(partition).iter().for_each(|b| held[*b as usize] += 1);
        }
        let mut sums: Option<Vec<i64>> = None;
        for broker in (0..facts.brokers()).filter(|b| facts.stays[*b]) {
            let (limits, held) = (facts.topics.limits(topic, broker as u32), held[broker]);
            if limits.outside(held) == 0 || !facts.is_worth_copies(topic, broker as u32, held) {
                continue;
            }
            let sums = sums.get_or_insert_with(|| smallest_sums(facts, partitions.clone()));
            let missing = (limits.low.saturating_sub(held) as usize).min(sums.len() - 1);
            let need = &mut needs[broker];
            need.over += i64::from(held.saturating_sub(limits.high));
            need.under += missing as i64;
            need.under_bytes += sums[missing];
        }
        held.fill(0);
    }
    needs
}

/// Bytes of none, the smallest, the two smallest of some partitions and so on.
fn smallest_sums(facts: &Facts, partitions: std::ops::Range<u32>) -> Vec<i64> {
    let mut bytes: Vec<i64> = partitions.map(|partition| facts.entry[partition as usize].bytes).collect();
    bytes.sort_unstable();
    let mut sum = 0;
    let sums = bytes.into_iter().map(|bytes| {
        sum += bytes;
        sum
    });
    std::iter::once(0).chain(sums).collect()
}

/// Bytes of none, the largest, the two largest partitions and so on.
fn largest_sums(facts: &Facts) -> Vec<i64> {
    /// More replicas at once never make a difference of more than their number.
    const LARGEST_MAX: usize = 64;
    let mut bytes: Vec<i64> = facts.entry.iter().map(|entry| entry.bytes).collect();
    let count = LARGEST_MAX.min(bytes.len());
    if count < bytes.len() {
        bytes.select_nth_unstable_by(count, |a, b| b.cmp(a));
        bytes.truncate(count);
    }
    bytes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    std::iter::once(0)
        .chain(bytes.into_iter().map(|bytes| {
            sum += bytes;
            sum
        }))
        .collect()
}

/// The partitions that each broker holds by the original lists.
fn held(facts: &Facts) -> Vec<Vec<u32>> {
    let mut counts = vec![0; facts.brokers()];
    facts.orig.iter().for_each(|b| counts[*b as usize] += 1);
    let mut held: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
    for partition in 0..facts.partitions() as u32 {
        facts.original(partition).iter().for_each(|b| held[*b as usize].push(partition));
    }
    held
}

/// What leaves, arrives and stays within a set of brokers whose total is given.
#[derive(Clone, Copy, Default)]
struct Flow {
    over: i64,
    under: i64,
    held: i64,
    total: i64,
}

impl Flow {
    fn add(&mut self, other: Flow) {
        self.over += other.over;
        self.under += other.under;
        self.held += other.held;
        self.total += other.total;
    }

    /// What arrives is what is missing, or what leaves and changes the total.
    fn arrivals(&self) -> i64 {
        self.under.max(self.over + self.total - self.held).max(0)
    }
}

/// Replicas of a partition that must be copied: what is wanted less what may stay.
fn must_arrive(facts: &Facts, partition: u32) -> i64 {
    let wanted = facts.slots(partition).len();
    let limit = facts.rack_max[wanted] as usize;
    let mut kept: Vec<u16> = Vec::with_capacity(wanted);
    for &broker in facts.original(partition).iter().filter(|b| facts.stays[**b as usize]) {
        let rack = facts.rack[broker as usize];
        if kept.len() < wanted && kept.iter().filter(|r| **r == rack).count() < limit {
            kept.push(rack);
        }
    }
    (wanted - kept.len()) as i64
}

/// What one broker holds.
struct Holds {
    replicas: Vec<Replica>,
}

/// A replica's bytes and scaled loads.
#[derive(Clone, Copy)]
struct Replica {
    bytes: i64,
    load: [u32; DIMENSIONS],
}

impl Holds {
    fn new(facts: &Facts, held: &[u32]) -> Holds {
        let replica = |p: &u32| {
            let entry = &facts.entry[*p as usize];
            Replica { bytes: entry.bytes, load: entry.load }
        };
        Holds { replicas: held.iter().map(replica).collect() }
    }

    fn load(&self, dimension: usize) -> i64 {
        self.replicas.iter().map(|replica| i64::from(replica.load[dimension])).sum()
    }

    /// Bytes of the `n` smallest.
    fn smallest_bytes(&mut self, n: usize) -> i64 {
        if n == 0 {
            return 0;
        }
        if n < self.replicas.len() {
            self.replicas.select_nth_unstable_by_key(n, |replica| replica.bytes);
        }
        self.replicas.iter().take(n).map(|replica| replica.bytes).sum()
    }

    /// The fewest that carry `excess`: the largest.
    fn largest_moves(&mut self, dimension: usize, excess: i64) -> i64 {
        let load = |replica: &Replica| i64::from(replica.load[dimension]);
        self.sort_until(excess, load, |a, b| b.load[dimension].cmp(&a.load[dimension])).0 as i64
    }

    /// The fewest bytes with which `excess` of the write rate leaves: replicas with the most rate for their bytes
    /// first, the last one in part.
    fn bytes_for_rate(&mut self, excess: i64) -> i64 {
        let rate = |replica: &Replica| i64::from(replica.load[1]);
        let times = |a: &Replica, b: &Replica| i128::from(a.load[1]) * i128::from(b.bytes.max(1));
        let (count, rest) = self.sort_until(excess, rate, |a, b| times(b, a).cmp(&times(a, b)));
        let Some(last) = count.checked_sub(1).map(|last| self.replicas[last]) else { return 0 };
        let before: i64 = self.replicas[..count - 1].iter().map(|replica| replica.bytes).sum();
        before + (i128::from(last.bytes) * i128::from(rest) / i128::from(last.load[1].max(1))) as i64
    }

    /// Puts the first replicas in the order of `by` to the front, as many as carry `excess` of `load` together, or
    /// all. Returns their number, and what is left for the last of them to carry.
    fn sort_until(
        &mut self,
        mut excess: i64,
        load: impl Fn(&Replica) -> i64,
        by: impl Fn(&Replica, &Replica) -> Ordering,
    ) -> (usize, i64) {
        if excess <= 0 {
            return (0, 0);
        }
        let (mut from, mut to) = (0, self.replicas.len());
        // Halves what the end is sought in, so that all is looked at twice.
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            self.replicas[from..to].select_nth_unstable_by(middle - from, &by);
            let front: i64 = self.replicas[from..middle].iter().map(&load).sum();
            if front >= excess {
                to = middle;
            } else {
                (from, excess) = (middle, excess - front);
            }
        }
        let last = self.replicas.get(from).map_or(0, load);
        (to, excess.min(last))
    }
}
