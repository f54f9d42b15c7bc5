//! Each broker's fair share of a load: a water-fill over racks, because a partition's replicas must spread over them,
//! so that a small rack caps what its brokers' plain share would be. No I/O.
//!
//! Invariant: `low <= high` for every broker that stays; both are 0 for the others.

use super::{DIMENSIONS, Facts};

/// The fair share of every broker, rounded down and up.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) low: Vec<i64>,
    pub(crate) high: Vec<i64>,
    /// The set of brokers whose common load is fixed that a broker belongs to; `None` for those that leave.
    pub(crate) group: Vec<Option<u32>>,
    /// The load that each group ends with.
    pub(crate) group_total: Vec<i64>,
    /// The share itself.
    pub(crate) exact: Vec<f64>,
}

/// Shares per dimension.
pub(crate) struct Targets {
    /// Replicas.
    pub(crate) count: Fill,
    /// Scaled bytes and scaled write rate; all zero where nothing is known.
    pub(crate) load: [Vec<i64>; DIMENSIONS],
}

impl Targets {
    pub(crate) fn new(facts: &Facts) -> Targets {
        let load = |dimension: usize| {
            share(facts, |p| i128::from(facts.entry[p as usize].load[dimension]), None).high
        };
        Targets { count: share(facts, |_| 1, Some(facts.partitions() as i128)), load: [load(0), load(1)] }
    }
}

/// Shares a load of which each replica of a partition bears `per_replica`; no broker gets more than `limit`.
///
/// Racks are filled in proportion to their weight; the set of racks that is most crowded by the rule of replicas per
/// rack is fixed first, and the rest is shared by the others. For racks in the order of falling weight the most
/// crowded set is a prefix, so that a scan finds it. Of equally crowded sets the smallest is fixed, because what it
/// holds is forced, whatever the others hold.
pub(crate) fn share(facts: &Facts, per_replica: impl Fn(u32) -> i128, limit: Option<i128>) -> Fill {
    let mut weights = vec![0_i128; facts.rack_size.len()];
    for (broker, rack) in facts.rack.iter().enumerate() {
        weights[usize::from(*rack)] += i128::from(facts.weight[broker]);
    }
    let mut classes = vec![0_i128; facts.rack_max.len()];
    for partition in 0..facts.partitions() as u32 {
        classes[facts.slots_held(partition)] += per_replica(partition);
    }
    let mut open: Vec<usize> = (0..weights.len()).filter(|r| weights[*r] > 0).collect();
    open.sort_by_key(|r| (std::cmp::Reverse(weights[*r]), *r));
    let mut fixed: Vec<usize> = Vec::new();
    let mut fill = Fill {
        low: vec![0; facts.brokers()],
        high: vec![0; facts.brokers()],
        group: vec![None; facts.brokers()],
        group_total: Vec::new(),
        exact: vec![0.0; facts.brokers()],
    };
    while !open.is_empty() {
        let base = most(facts, &classes, &fixed);
        let mut best: Option<(i128, i128, usize)> = None;
        let mut trial = fixed.clone();
        let mut weight = 0;
        for (at, rack) in open.iter().enumerate() {
            trial.push(*rack);
            weight += weights[*rack];
            let room = most(facts, &classes, &trial) - base;
            if best.is_none_or(|(r, w, _)| room * w < r * weight) {
                best = Some((room, weight, at + 1));
            }
        }
        let (room, weight, taken) = best.expect("a non-empty list of racks has a first prefix");
        let members: Vec<usize> = open.drain(..taken).collect();
        fix_group(facts, &members, (room, weight), limit, &mut fill);
        fixed.extend(members);
    }
    fill
}

/// The most of the load that a set of racks can bear together.
fn most(facts: &Facts, classes: &[i128], racks: &[usize]) -> i128 {
    let room = |rf: usize| {
        let limit = facts.rack_max[rf];
        racks.iter().map(|r| i128::from(facts.rack_size[*r].min(limit))).sum::<i128>()
    };
    let bears = |(rf, load): (usize, &i128)| if *load == 0 { 0 } else { load * room(rf).min(rf as i128) };
    classes.iter().enumerate().map(bears).sum()
}

/// Shares `total` among the brokers of `racks` by weight, none above `limit`.
fn fix_group(
    facts: &Facts,
    racks: &[usize],
    (mut total, mut weight): (i128, i128),
    limit: Option<i128>,
    fill: &mut Fill,
) {
    let number = fill.group_total.len() as u32;
    fill.group_total.push(total as i64);
    let mut inside = vec![false; facts.rack_size.len()];
    racks.iter().for_each(|rack| inside[*rack] = true);
    let mut members: Vec<usize> =
        (0..facts.brokers()).filter(|b| facts.stays[*b] && inside[usize::from(facts.rack[*b])]).collect();
    members.iter().for_each(|b| fill.group[*b] = Some(number));
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        loop {
            let above = |b: &usize| total * i128::from(facts.weight[*b]) >= limit * weight;
            let full: Vec<usize> = members.iter().copied().filter(above).collect();
            for broker in &full {
                (fill.low[*broker], fill.high[*broker]) = (limit as i64, limit as i64);
                fill.exact[*broker] = limit as f64;
                total -= limit;
                weight -= i128::from(facts.weight[*broker]);
            }
            members.retain(|b| fill.high[*b] == 0);
            if full.is_empty() || members.is_empty() {
                break;
            }
        }
    }
    for broker in members {
        let share = total * i128::from(facts.weight[broker]);
        fill.exact[broker] = share as f64 / weight as f64;
        fill.low[broker] = share.div_euclid(weight) as i64;
        fill.high[broker] = (share + weight - 1).div_euclid(weight) as i64;
    }
}
