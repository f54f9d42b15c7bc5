//! Chains of handovers: leaderships carried from brokers that lead too many partitions to brokers that lead too few,
//! along paths over the brokers, as few handovers as possible for each.
//!
//! All shortest chains are carried out before longer ones are looked for (Dinic's way), so that the time grows with the
//! number of partitions and not with the number of chains. No I/O.

use super::leadership::Leaders;

/// A broker that no chain reaches.
const UNREACHED: u32 = u32::MAX;

/// Hands leaderships over until `surplus` is nowhere above zero, or `lack` is nowhere above zero where a chain leads.
pub(crate) fn hand_over(
    leaders: &mut Leaders<'_>,
    surplus: impl Fn(&Leaders<'_>, usize) -> i64,
    lack: impl Fn(&Leaders<'_>, usize) -> i64,
) {
    let brokers = leaders.facts.brokers();
    while (0..brokers).any(|b| lack(leaders, b) > 0) {
        let sources: Vec<usize> = (0..brokers).filter(|b| surplus(leaders, *b) > 0).collect();
        let Some(level) = levels(leaders, &sources, &lack) else { return };
        let mut next = vec![0; brokers];
        for source in sources {
            while surplus(leaders, source) > 0 {
                let Some(chain) = chain(leaders, source, &level, &mut next, &lack) else { break };
                chain.into_iter().rev().for_each(|(partition, to)| leaders.set(partition, to));
            }
        }
    }
}

/// How many handovers away from a source each broker is, up to the nearest that lack leaderships; `None` when no chain
/// leads to one.
fn levels(
    leaders: &Leaders<'_>,
    sources: &[usize],
    lack: &impl Fn(&Leaders<'_>, usize) -> i64,
) -> Option<Vec<u32>> {
    let mut level = vec![UNREACHED; leaders.facts.brokers()];
    sources.iter().for_each(|source| level[*source] = 0);
    let mut missing = level.len() - sources.len();
    let mut frontier = sources.to_vec();
    for depth in 1.. {
        let mut reached = Vec::new();
        for &broker in &frontier {
            for &partition in leaders.led[broker].iter().filter(|p| !leaders.facts.entry[**p as usize].pinned)
            {
                for &to in &leaders.list(partition)[1..] {
                    let is_new = level[to as usize] == UNREACHED;
                    if is_new && leaders.spares_topic(partition, broker, to as usize) {
                        level[to as usize] = depth;
                        reached.push(to as usize);
                    }
                }
            }
            if reached.len() == missing {
                break;
            }
        }
        if reached.iter().any(|b| lack(leaders, *b) > 0) {
            return Some(level);
        }
        if reached.is_empty() {
            return None;
        }
        missing -= reached.len();
        frontier = reached;
    }
    None
}

/// A chain from `source` in which every handover leads one level further, to a broker that lacks leaderships. `next`
/// says which leaderships of each broker led nowhere before and need not be tried again.
fn chain(
    leaders: &Leaders<'_>,
    source: usize,
    level: &[u32],
    next: &mut [usize],
    lack: &impl Fn(&Leaders<'_>, usize) -> i64,
) -> Option<Vec<(u32, usize)>> {
    let mut chain: Vec<(u32, usize)> = Vec::new();
    let mut at = source;
    loop {
        if level[at] > 0 && lack(leaders, at) > 0 {
            return Some(chain);
        }
        let step = leaders.led[at].get(next[at]).map(|partition| {
            let leads_on = |to: &&u32| {
                level[**to as usize] == level[at] + 1
                    && !is_spent(leaders, next, **to, lack)
                    && leaders.spares_topic(*partition, at, **to as usize)
            };
            let movable = !leaders.facts.entry[*partition as usize].pinned;
            (*partition, leaders.list(*partition)[1..].iter().find(leads_on).filter(|_| movable))
        });
        match step {
            Some((partition, Some(to))) => {
                at = *to as usize;
                chain.push((partition, at));
            }
            Some((_, None)) => next[at] += 1,
            None => {
                // Nothing leads on from here; whoever led here tries its other partitions.
                chain.pop()?;
                at = chain.last().map_or(source, |(_, broker)| *broker);
            }
        }
    }
}

/// Whether a broker lacks nothing and has no leadership left to try.
fn is_spent(
    leaders: &Leaders<'_>,
    next: &[usize],
    broker: u32,
    lack: &impl Fn(&Leaders<'_>, usize) -> i64,
) -> bool {
    let at = broker as usize;
    next[at] >= leaders.led[at].len() && lack(leaders, at) <= 0
}
