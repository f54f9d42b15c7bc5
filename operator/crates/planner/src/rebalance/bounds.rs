//! What no plan can beat: the fewest copies, the fewest bytes, and the smallest possible load of the fullest broker.
//! No I/O.

use super::facts::{DIMENSIONS, Facts, NOWHERE, SCALE};
use super::state::State;
use super::target::{Fill, Targets, share};

/// The smallest load that the fullest broker can have, whatever the placement.
#[derive(Clone, Debug, Default)]
pub(super) struct Floors {
    /// Scaled, by dimension.
    pub(super) scaled: [i64; DIMENSIONS],
}

/// Copies and bytes that every plan to the same balance must make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LowerBounds {
    pub(super) moves: i64,
    pub(super) bytes: i64,
}

impl Floors {
    /// A broker with the largest replica also holds its share of others; with one replica more than there are
    /// brokers, two of the largest share one.
    pub(super) fn new(facts: &Facts, count: &Fill) -> Floors {
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
            let mut loads: Vec<i64> = facts.load.iter().map(|load| i64::from(load[dimension])).collect();
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
            let heaviest = |p: &u32| std::cmp::Reverse((facts.load[*p as usize][dimension], *p));
            if top < order.len() {
                order.select_nth_unstable_by_key(top, heaviest);
                order.truncate(top);
            }
            order.sort_unstable_by_key(heaviest);
            let replicas = order.iter().flat_map(|p| {
                std::iter::repeat_n(i64::from(facts.load[*p as usize][dimension]), copies(*p as usize))
            });
            let heavy: Vec<i64> = replicas.take(brokers + 1).collect();
            let pair = heavy.get(brokers).map_or(0, |last| last + heavy[brokers - 1] + with_two);
            *floor = (heavy.first().copied().unwrap_or(0) + with_one).max(pair);
        }
        floors
    }
}

/// Bounds from `start`, the placement before the plan, to balance within `permille` of each broker's share.
pub(super) fn lower_bounds(
    start: &State<'_>,
    targets: &Targets,
    floors: &Floors,
    permille: i64,
) -> LowerBounds {
    let facts = start.facts;
    let (mut forced_moves, mut forced_bytes) = (0, 0);
    for partition in (0..facts.partitions() as u32).filter(|p| !facts.pinned[*p as usize]) {
        let missing = must_arrive(start, partition);
        forced_moves += missing;
        forced_bytes += missing * facts.bytes[partition as usize];
    }
    let disk = share(facts, |p| i128::from(facts.bytes[p as usize]), None);
    let independent = facts.racks_are_independent();
    let groups = if independent { facts.rack_size.len() } else { 1 };
    let mut moves = vec![Flow::default(); groups];
    let mut bytes = vec![Flow::default(); groups];
    let floor_bytes = (i128::from(floors.scaled[0]) * facts.disk_total / i128::from(SCALE)) as i64;
    for broker in (0..facts.brokers()).filter(|b| facts.stays[*b]) {
        let group = if independent { usize::from(facts.rack[broker]) } else { 0 };
        let even = (i128::from(disk.high[broker]) * i128::from(1000 + permille) / 1000) as i64;
        let low = (i128::from(disk.low[broker]) * i128::from(1000 - permille) / 1000) as i64;
        let low = if floor_bytes <= even { low } else { 0 };
        let flow = &mut bytes[group];
        let (count, held) = (start.count(broker), start.disk[broker]);
        let surplus = (count - targets.count.high[broker]).max(0);
        let smallest = smallest_bytes(start, broker, surplus as usize);
        let for_rate = bytes_for_rate(start, targets, floors, broker, permille);
        flow.over += (held - even.max(floor_bytes)).max(smallest).max(for_rate).max(0);
        flow.under += (low - held).max(0);
        flow.held += held;
        flow.total += disk.high[broker];
        let flow = &mut moves[group];
        flow.over += surplus.max(largest_moves(start, targets, floors, broker, permille));
        flow.under += (targets.count.low[broker] - count).max(0);
        flow.held += count;
    }
    let per_group: i64 = facts.partitions() as i64;
    let wanted: i64 = (0..facts.partitions() as u32).map(|p| facts.slots_held(p) as i64).sum();
    moves.iter_mut().for_each(|flow| flow.total = if independent { per_group } else { wanted });
    LowerBounds {
        moves: forced_moves.max(moves.iter().map(Flow::arrivals).sum()),
        bytes: forced_bytes.max(bytes.iter().map(|flow| flow.arrivals_at_least(facts.brokers())).sum()),
    }
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
    fn arrivals(&self) -> i64 {
        if self.total == 0 {
            return 0;
        }
        self.under.max(self.over + self.total - self.held).max(0)
    }

    /// As [`Flow::arrivals`] when the total was rounded up once for each broker.
    fn arrivals_at_least(&self, brokers: usize) -> i64 {
        let slack = brokers as i64;
        self.under.max(self.over + self.total - self.held - slack).max(0)
    }
}

/// Replicas of a partition that must be copied: what is wanted less what may stay.
fn must_arrive(start: &State<'_>, partition: u32) -> i64 {
    let facts = start.facts;
    let slots = facts.slots(partition);
    let limit = facts.rack_max[slots.len()] as usize;
    let mut kept: Vec<u16> = Vec::with_capacity(slots.len());
    let wanted = slots.len();
    for &broker in facts.original(partition).iter().filter(|b| **b != NOWHERE && facts.stays[**b as usize]) {
        let rack = facts.rack[broker as usize];
        if kept.len() < wanted && kept.iter().filter(|r| **r == rack).count() < limit {
            kept.push(rack);
        }
    }
    (wanted - kept.len()) as i64
}

/// Bytes of the `n` smallest replicas of a broker.
fn smallest_bytes(start: &State<'_>, broker: usize, n: usize) -> i64 {
    if n == 0 {
        return 0;
    }
    let mut bytes: Vec<i64> = start.on[broker].iter().map(|slot| start.slot_bytes(*slot)).collect();
    bytes.sort_unstable();
    bytes.into_iter().take(n).sum()
}

/// The fewest replicas with which a broker's loads come down into the band: its largest.
fn largest_moves(start: &State<'_>, targets: &Targets, floors: &Floors, broker: usize, permille: i64) -> i64 {
    let mut most = 0;
    for dimension in 0..DIMENSIONS {
        let target = targets.load[dimension][broker];
        // One more per mille than the planner's own band leaves room for the rounding of scaled loads.
        let high = (target / 1000 * (1001 + permille)).max(floors.scaled[dimension]);
        let mut excess = start.load[broker][dimension] - high;
        if target == 0 || excess <= 0 {
            continue;
        }
        let mut loads: Vec<i64> = start.on[broker].iter().map(|s| start.slot_load(*s)[dimension]).collect();
        loads.sort_unstable();
        let mut moves = 0;
        while let (true, Some(largest)) = (excess > 0, loads.pop()) {
            excess -= largest;
            moves += 1;
        }
        most = most.max(moves);
    }
    most
}

/// The fewest bytes with which a broker's write rate comes down into the band: replicas with the most rate for their
/// bytes first, the last one in part.
fn bytes_for_rate(
    start: &State<'_>,
    targets: &Targets,
    floors: &Floors,
    broker: usize,
    permille: i64,
) -> i64 {
    let target = targets.load[1][broker];
    let high = (target / 1000 * (1001 + permille)).max(floors.scaled[1]);
    let mut excess = start.load[broker][1] - high;
    if target == 0 || excess <= 0 {
        return 0;
    }
    let mut replicas: Vec<(i64, i64)> =
        start.on[broker].iter().map(|slot| (start.slot_load(*slot)[1], start.slot_bytes(*slot))).collect();
    let per_byte = |(rate, bytes): (i64, i64)| i128::from(rate) * (1 << 62) / i128::from(bytes.max(1));
    replicas.sort_unstable_by_key(|replica| std::cmp::Reverse(per_byte(*replica)));
    let mut sum = 0;
    for (rate, bytes) in replicas {
        if rate >= excess {
            return sum + (i128::from(bytes) * i128::from(excess) / i128::from(rate.max(1))) as i64;
        }
        excess -= rate;
        sum += bytes;
    }
    sum
}
