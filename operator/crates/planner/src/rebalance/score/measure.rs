//! How good a placement is, whoever made it: balance by dimension beside what is possible, and what it costs to get
//! there beside the lower bounds. No I/O.

use super::values::{Dimension, DimensionScore, NewBrokers, Ratio, Score, Spread};
use crate::rebalance::bounds::{Floors, LowerBounds};
use crate::rebalance::facts::{Facts, SCALE};
use crate::rebalance::facts::{Targets, share};
use crate::rebalance::phases::leaders::TopicLeaders;
use crate::rebalance::phases::leaders::shares;
use crate::rebalance::state::Placement;

/// Loads per broker, by dimension.
pub(crate) type Loads = [Vec<i64>; 5];

/// What each broker carries with these lists.
pub(crate) fn loads(facts: &Facts, placement: Placement<'_>) -> Loads {
    let mut loads: Loads = std::array::from_fn(|_| vec![0; facts.brokers()]);
    for partition in 0..facts.partitions() {
        for (at, &broker) in placement.of(partition).iter().enumerate() {
            let broker = broker as usize;
            loads[0][broker] += 1;
            loads[1][broker] += facts.entry[partition].bytes;
            loads[2][broker] += facts.in_rate[partition];
            if at == 0 {
                loads[3][broker] += facts.out_rate[partition];
                loads[4][broker] += 1;
            }
        }
    }
    loads
}

/// Judges the lists `after` beside the lists `before`.
pub(crate) fn score(
    facts: &Facts,
    targets: &Targets,
    floors: &Floors,
    bounds: LowerBounds,
    (before, after): (Placement<'_>, Placement<'_>),
    (loads_before, loads_after): (&Loads, &Loads),
) -> Score {
    let leaders = shares(facts, after);
    let out = share(facts, |p| i128::from(facts.out_rate[p as usize]), None);
    let total_out: i128 = out.group_total.iter().map(|total| i128::from(*total)).sum();
    let per_leader = |b: usize| (i128::from(out.high[b]) * facts.out_total / total_out.max(1)) as i64;
    let raw = |load: &dyn Fn(usize) -> i64| share(facts, |p| i128::from(load(p as usize)), None).high;
    let shares_of: [Vec<i64>; 5] = [
        targets.count.high.clone(),
        raw(&|p| facts.entry[p].bytes),
        raw(&|p| facts.in_rate[p]),
        (0..facts.brokers()).map(per_leader).collect(),
        leaders.exact.clone(),
    ];
    let in_total: i128 = (0..facts.partitions())
        .map(|p| i128::from(facts.in_rate[p]) * facts.slots(p as u32).len() as i128)
        .sum();
    let unscaled = |dimension: usize, total: i128| {
        (i128::from(floors.scaled[dimension]) * total / i128::from(SCALE)) as i64
    };
    let floor_of =
        [0, unscaled(0, facts.disk_total), unscaled(1, in_total), out_floor(facts, &leaders.high), 0];
    let dimensions = std::array::from_fn(|d| {
        let most =
            |of: &[i64]| (0..facts.brokers()).filter(|b| facts.stays[*b]).map(|b| of[b]).max().unwrap_or(0);
        DimensionScore {
            dimension: Dimension::ALL[d],
            before: spread(facts, &loads_before[d], &shares_of[d]),
            after: spread(facts, &loads_after[d], &shares_of[d]),
            max_to_floor: Ratio::of(most(&loads_after[d]), floor_of[d].max(most(&shares_of[d]))),
        }
    });
    let over: i64 = (0..facts.brokers()).map(|b| (loads_before[4][b] - leaders.high[b]).max(0)).sum();
    let under: i64 = (0..facts.brokers()).map(|b| (leaders.low[b] - loads_before[4][b]).max(0)).sum();
    let mut score = Score {
        dimensions,
        moves: 0,
        moves_min: bounds.moves,
        bytes: 0,
        bytes_min: bounds.bytes,
        loads_min: (bounds.moves_of_loads, bounds.bytes_of_loads),
        leader_transfers: 0,
        leader_transfers_min: over.max(under),
        racks_crowded: (0, 0),
        racks_crowded_added: 0,
        topics_crowded: (topics_crowded(facts, before), topics_crowded(facts, after)),
        topics_led_unevenly: (
            TopicLeaders::new(facts, before).uneven(facts),
            TopicLeaders::new(facts, after).uneven(facts),
        ),
        new_brokers: new_brokers(facts, loads_after, &shares_of[1], &leaders.even),
        replication_factors_wrong: 0,
        transient_max: Ratio(10_000),
        bytes_across_racks: 0,
    };
    add_costs(facts, before, after, &mut score);
    score
}

/// What the least laden of the new brokers carries.
fn new_brokers(facts: &Facts, loads: &Loads, bytes: &[i64], leaders: &[f64]) -> Option<NewBrokers> {
    let new = || (0..facts.brokers()).filter(|b| facts.is_new[*b]);
    let led = |b: usize| match leaders[b] > 0.0 {
        true => Ratio((loads[4][b] as f64 / leaders[b] * 10_000.0).round() as i64),
        false => Ratio(10_000),
    };
    Some(NewBrokers {
        bytes: new().map(|b| Ratio::of(loads[1][b], bytes[b])).min()?,
        leaders: new().map(led).min()?,
    })
}

/// The least that the broker sends which leads the heaviest partition: it also leads what the others may not.
fn out_floor(facts: &Facts, leaders_max: &[i64]) -> i64 {
    let most = (0..facts.brokers()).filter(|b| facts.stays[*b]).map(|b| leaders_max[b]);
    let others = most.clone().sum::<i64>() - most.min().unwrap_or(0);
    let more = (facts.partitions() as i64 - others - 1).max(0) as usize;
    let heaviest = facts.out_rate.iter().copied().max().unwrap_or(0);
    if more == 0 {
        return heaviest;
    }
    let mut rates = facts.out_rate.clone();
    rates.select_nth_unstable(more);
    heaviest + rates[..more].iter().sum::<i64>()
}

fn add_costs(facts: &Facts, before: Placement<'_>, after: Placement<'_>, score: &mut Score) {
    let mut arriving = vec![0_i64; facts.brokers()];
    for partition in 0..facts.partitions() {
        let (old, new) = (before.of(partition), after.of(partition));
        let wanted = facts.slots(partition as u32).len();
        let crowded = (crowded(facts, old, wanted), crowded(facts, new, wanted));
        score.racks_crowded.0 += crowded.0;
        score.racks_crowded.1 += crowded.1;
        score.racks_crowded_added += i64::from(crowded.1 > crowded.0);
        score.replication_factors_wrong += i64::from(new.len() != wanted);
        score.leader_transfers += i64::from(old.first() != new.first());
        if old == new {
            continue;
        }
        let source = old.iter().find(|b| facts.serves[**b as usize]);
        for &broker in new.iter().filter(|b| !old.contains(b)) {
            score.moves += 1;
            score.bytes += facts.entry[partition].bytes;
            arriving[broker as usize] += facts.entry[partition].bytes;
            if source.is_some_and(|s| facts.rack[*s as usize] != facts.rack[broker as usize]) {
                score.bytes_across_racks += facts.entry[partition].bytes;
            }
        }
    }
    let transient = (0..facts.brokers())
        .filter(|b| arriving[*b] > 0 && facts.disk_before[*b] > 0)
        .map(|b| Ratio::of(facts.disk_before[b] + arriving[b], facts.disk_before[b]));
    score.transient_max = transient.max().unwrap_or(Ratio(10_000));
}

/// Replicas above what their rack may hold of `wanted`.
fn crowded(facts: &Facts, list: &[u32], wanted: usize) -> i64 {
    let limit = facts.rack_max.get(wanted).copied().unwrap_or(u32::MAX) as usize;
    let mut racks: [u16; 16] = [0; 16];
    if list.len() > racks.len() {
        return 0;
    }
    list.iter().zip(&mut racks).for_each(|(broker, rack)| *rack = facts.rack[*broker as usize]);
    let racks = &racks[..list.len()];
    let above = |at: &usize| racks[..*at].iter().filter(|r| **r == racks[*at]).count() >= limit;
    (0..racks.len()).filter(above).count() as i64
}

/// Topics worth copies of which some broker that stays holds more or less than its band.
fn topics_crowded(facts: &Facts, placement: Placement<'_>) -> i64 {
    let mut held = vec![0_u32; facts.brokers()];
    let mut crowded = 0;
    for &topic in facts.topics.by_weight() {
        let range = facts.topics.partitions(topic);
        let lists =
            placement.start[range.start as usize] as usize..placement.start[range.end as usize] as usize;
        placement.list[lists].iter().for_each(|broker| held[*broker as usize] += 1);
        let outside = |b: &usize| facts.topics.limits(topic, *b as u32).outside(held[*b]) > 0;
        crowded += i64::from((0..facts.brokers()).filter(|b| facts.stays[*b]).any(|b| outside(&b)));
        held.fill(0);
    }
    crowded
}

/// Loads relative to shares. The largest load counts as even when it is the share rounded up.
fn spread(facts: &Facts, load: &[i64], share: &[i64]) -> Spread {
    let ratios: Vec<i64> = (0..facts.brokers())
        .filter(|b| facts.stays[*b] && share[*b] > 0)
        .map(|b| Ratio::of(load[b], share[b]).0)
        .collect();
    let (Some(max), Some(min)) = (ratios.iter().max(), ratios.iter().min()) else {
        return Spread { max_to_share: Ratio(10_000), ..Spread::default() };
    };
    let count = ratios.len() as i128;
    let mean = ratios.iter().map(|r| i128::from(*r)).sum::<i128>() / count;
    let squares: i128 = ratios.iter().map(|r| (i128::from(*r) - mean) * (i128::from(*r) - mean)).sum();
    Spread {
        max_to_share: Ratio(*max),
        deviation: Ratio((squares / count).isqrt() as i64),
        range: Ratio(max - min),
    }
}
