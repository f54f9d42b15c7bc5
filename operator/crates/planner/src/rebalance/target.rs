//! How many replicas each broker should hold: a water-fill over racks, because a partition's replicas must spread
//! over them, so that a small rack caps what its brokers' plain share would be. No I/O.
//!
//! Invariant: `low <= target <= high` for every broker that stays; all three are 0 for the others.

use super::state::State;

/// The band of replica counts that counts as balanced.
pub(super) struct CountTarget {
    /// Smallest balanced count per broker.
    pub(super) low: Vec<i64>,
    /// Largest balanced count per broker.
    pub(super) high: Vec<i64>,
    /// Brokers whose common number of replicas is fixed, by number; `None` for those that leave.
    pub(super) group: Vec<Option<u32>>,
    /// Replicas that each group ends with.
    pub(super) group_total: Vec<i64>,
}

/// Distributes all wanted replicas.
///
/// Racks are filled in proportion to their weight; the set of racks that is most crowded by the rule of replicas per
/// rack is fixed first, and the rest is shared by the others. For racks in the order of falling weight the most
/// crowded set is always a prefix, so that a scan finds it.
pub(super) fn count_target(state: &State) -> CountTarget {
    let racks = state.rack_size.len();
    let mut weights = vec![0_i128; racks];
    for (broker, rack) in state.rack.iter().enumerate() {
        weights[usize::from(*rack)] += i128::from(state.weight[broker]);
    }
    let classes = classes(state);
    let mut open: Vec<usize> = (0..racks).filter(|r| weights[*r] > 0).collect();
    open.sort_by_key(|r| (std::cmp::Reverse(weights[*r]), *r));
    let mut fixed: Vec<usize> = Vec::new();
    let mut target = CountTarget {
        low: vec![0; state.brokers()],
        high: vec![0; state.brokers()],
        group: vec![None; state.brokers()],
        group_total: Vec::new(),
    };
    while !open.is_empty() {
        let base = most_replicas(state, &classes, &fixed);
        let mut best: Option<(i128, i128, usize)> = None;
        let mut trial = fixed.clone();
        let mut weight = 0;
        for (at, rack) in open.iter().enumerate() {
            trial.push(*rack);
            weight += weights[*rack];
            let room = most_replicas(state, &classes, &trial) - base;
            if best.is_none_or(|(r, w, _)| room * w <= r * weight) {
                best = Some((room, weight, at + 1));
            }
        }
        let (room, weight, taken) = best.expect("a non-empty list of racks has a first prefix");
        let members: Vec<usize> = open.drain(..taken).collect();
        fix_group(state, &members, room, weight, &mut target);
        fixed.extend(members);
    }
    target
}

/// Wanted replicas by replication factor: `classes[rf]` partitions.
fn classes(state: &State) -> Vec<i128> {
    let mut classes = vec![0; state.rack_max.len()];
    for partition in 0..state.partitions() as u32 {
        classes[state.slots(partition).len()] += 1;
    }
    classes
}

/// The most replicas that a set of racks can hold together.
fn most_replicas(state: &State, classes: &[i128], racks: &[usize]) -> i128 {
    let room = |rf: usize| {
        let limit = state.rack_max[rf];
        racks.iter().map(|r| i128::from(state.rack_size[*r].min(limit))).sum::<i128>()
    };
    classes
        .iter()
        .enumerate()
        .map(|(rf, count)| if *count == 0 { 0 } else { count * room(rf).min(rf as i128) })
        .sum()
}

/// Shares `total` replicas among the brokers of `racks` by weight; no broker gets more than there are partitions.
fn fix_group(state: &State, racks: &[usize], total: i128, weight: i128, target: &mut CountTarget) {
    let number = target.group_total.len() as u32;
    target.group_total.push(total as i64);
    let limit = state.partitions() as i128;
    let mut members: Vec<usize> = (0..state.brokers())
        .filter(|b| state.stays[*b] && racks.contains(&usize::from(state.rack[*b])))
        .collect();
    members.iter().for_each(|b| target.group[*b] = Some(number));
    let (mut total, mut weight) = (total, weight);
    loop {
        let full: Vec<usize> = members
            .iter()
            .copied()
            .filter(|b| total * i128::from(state.weight[*b]) >= limit * weight)
            .collect();
        for broker in &full {
            (target.low[*broker], target.high[*broker]) = (limit as i64, limit as i64);
            total -= limit;
            weight -= i128::from(state.weight[*broker]);
        }
        members.retain(|b| !full.contains(b));
        if full.is_empty() || members.is_empty() {
            break;
        }
    }
    for broker in members {
        let share = total * i128::from(state.weight[broker]);
        target.low[broker] = share.div_euclid(weight) as i64;
        target.high[broker] = (share + weight - 1).div_euclid(weight) as i64;
    }
}
