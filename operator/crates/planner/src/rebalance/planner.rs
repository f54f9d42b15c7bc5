//! The entry points: plan a model, or judge an assignment that someone else made. No I/O.
//!
//! A plan is made in passes. Each pass plans from where the one before ended, exactly as a later call would plan from
//! the applied plan, until a pass finds nothing to do: so the plan of an applied plan is empty.

use super::facts::Facts;
use super::options::Options;
use super::rng::mix;
use crate::rebalance::bounds::{Floors, LowerBounds, lower_bounds};
use crate::rebalance::facts::Targets;
use crate::rebalance::model::{Infeasible, Problem, check, name};
use crate::rebalance::model::{Model, Partition};
use crate::rebalance::phases::counts::balance_counts;
use crate::rebalance::phases::forced::{lift_forced, place};
use crate::rebalance::phases::leaders::balance_leaders;
use crate::rebalance::phases::refine::{rate, refine};
use crate::rebalance::phases::topic_repair::{Spending, mend_topics, unevenness};
use crate::rebalance::phases::trim::trim;
use crate::rebalance::plan::Finish;
use crate::rebalance::plan::Plan;
use crate::rebalance::state::Placement;
use crate::rebalance::state::State;
use crate::rebalance::state::lists;

/// Seeds tried for one pass of a small cluster.
const TRIES_MAX: usize = 16;
/// Tries in a row that bring nothing better before no more are made.
const TRIES_VAIN_MAX: usize = 5;
/// Replicas that all tries of a pass place together, which bounds its time.
const REPLICAS_PER_PASS: usize = 50_000;
/// Replicas up to which copies are exchanged for smaller ones at the end.
const REPLICAS_TRIMMED: usize = 40_000;
/// Excess of so many bits, a few thousandths of all load, is not felt.
const EXCESS_SHIFT: u32 = 21;
/// Passes until nothing is left to do; two are usual, more where loads cannot come into the band.
const PASSES_MAX: usize = 24;

/// Plans the moves that bring the cluster from `model` into balance.
///
/// # Errors
/// Names every entry of the model that is wrong, or that no placement can satisfy.
pub fn plan(model: &Model, options: &Options) -> Result<Plan, Infeasible> {
    let order = model.order();
    check(model, &order)?;
    let mut facts = Facts::new(model, &order, options);
    let targets = Targets::new(&facts);
    let floors = Floors::new(&facts, &targets.count);
    let mut bounds = None;
    let mut original = None;
    let passes = if options.is_limited() { 1 } else { PASSES_MAX };
    let mut planned = Vec::new();
    for _ in 0..passes {
        let pass = pass(&facts, &targets, &floors, options, bounds.is_none())
            .map_err(|homeless| too_small(model, &order, &facts, &homeless))?;
        bounds = bounds.or(pass.bounds);
        let done = facts.orig == pass.lists && facts.orig_start == facts.start;
        planned = pass.lists;
        if done {
            break;
        }
        let before = facts.rebase(&planned);
        original.get_or_insert(before);
    }
    if let Some(original) = original {
        facts.restore(original);
    }
    let finish = Finish { model, order: &order, facts: &facts, targets: &targets, floors: &floors };
    let placement = Placement { start: &facts.start, list: &planned };
    Ok(finish.plan(placement, bounds.unwrap_or_default(), options.seed))
}

/// Judges the replica lists of `after` as a plan from `before`; both must have the same partitions.
///
/// # Errors
/// Names what is wrong with `before`, the partitions that only one of the two has, and brokers that `before` lacks.
pub fn judge(before: &Model, after: &Model, options: &Options) -> Result<Plan, Infeasible> {
    let (order, order_after) = (before.order(), after.order());
    check(before, &order)?;
    let facts = Facts::new(before, &order, options);
    let (start, list) = read_lists(before, &order, after, &order_after, &facts)?;
    let targets = Targets::new(&facts);
    let floors = Floors::new(&facts, &targets.count);
    let bounds = lower_bounds(&facts, &targets, &floors, options.load_permille_max);
    let finish = Finish { model: before, order: &order, facts: &facts, targets: &targets, floors: &floors };
    Ok(finish.plan(Placement { start: &start, list: &list }, bounds, options.seed))
}

/// The lists of `after` in the order of `before`'s partitions.
fn read_lists(
    before: &Model,
    order: &[u32],
    after: &Model,
    order_after: &[u32],
    facts: &Facts,
) -> Result<(Vec<u32>, Vec<u32>), Infeasible> {
    let index = facts.index();
    let (mut start, mut list, mut problems) = (vec![0], Vec::new(), Vec::new());
    let mut others = order_after.iter().map(|at| &after.partitions[*at as usize]).peekable();
    for old in order.iter().map(|at| &before.partitions[*at as usize]) {
        let key = |p: &Partition| (p.topic.clone(), p.index);
        while let Some(extra) = others.next_if(|new| key(new) < key(old)) {
            problems.push(Problem::Unmatched(name(extra)));
        }
        let Some(new) = others.next_if(|new| key(new) == key(old)) else {
            problems.push(Problem::Unmatched(name(old)));
            continue;
        };
        for id in &new.replicas {
            match index.get(*id) {
                Some(broker) => list.push(broker),
                None => problems.push(Problem::UnknownBroker { partition: name(new), broker: *id }),
            }
        }
        start.push(list.len() as u32);
    }
    problems.extend(others.map(|extra| Problem::Unmatched(name(extra))));
    if problems.is_empty() { Ok((start, list)) } else { Err(Infeasible { problems }) }
}

/// The outcome of one pass.
struct Pass {
    lists: Vec<u32>,
    /// Only when asked for.
    bounds: Option<LowerBounds>,
}

/// Runs all phases once, for small clusters from several seeds, of which the best counts.
fn pass(
    facts: &Facts,
    targets: &Targets,
    floors: &Floors,
    options: &Options,
    with_bounds: bool,
) -> Result<Pass, Vec<u32>> {
    let tries = (REPLICAS_PER_PASS / facts.part.len().max(1)).clamp(1, TRIES_MAX) as u64;
    let mut best: Option<Try> = None;
    let mut vain = 0;
    for at in 0..tries {
        let options = Options { seed: mix(options.seed.wrapping_add(at)), ..options.clone() };
        let next = attempt(facts, targets, floors, &options)?;
        let settled = next.is_quiet;
        if best.as_ref().is_none_or(|best| next.rating < best.rating) {
            best = Some(next);
            vain = 0;
        } else {
            vain += 1;
        }
        if settled || vain == TRIES_VAIN_MAX {
            break;
        }
    }
    let best = best.expect("there is at least one try");
    // Loads between the band and the trigger are left alone on purpose, so no bound counts them.
    let permille = if best.copies > 0 { options.load_permille_max } else { options.load_permille_trigger };
    let bounds = with_bounds.then(|| lower_bounds(facts, targets, floors, permille));
    Ok(Pass { lists: best.lists, bounds })
}

/// The outcome of all phases from one seed.
struct Try {
    lists: Vec<u32>,
    copies: i64,
    /// Nothing had to move, so that other seeds would find the same.
    is_quiet: bool,
    /// Excess over the band as far as it is felt, replicas outside of their topics' bands, the exact excess, then cost;
    /// less is better.
    rating: (i64, i64, i64, i64),
}

/// Runs all phases from one seed. The error lists slots for which no disk has room.
fn attempt(facts: &Facts, targets: &Targets, floors: &Floors, options: &Options) -> Result<Try, Vec<u32>> {
    let mut state = State::new(facts);
    let lifted = lift_forced(&mut state, targets);
    let homeless = place(&mut state, targets, &lifted, options.seed);
    if !homeless.is_empty() {
        return Err(homeless);
    }
    balance_counts(&mut state, targets, options);
    let copies_base = state.copies;
    let quiet = lifted.is_empty() && state.copies == 0 && facts.orig.len() == facts.part.len();
    refine(&mut state, targets, floors, options, quiet);
    let still_quiet = quiet && state.copies == 0;
    let spending = Spending { quiet: still_quiet, copies_base };
    mend_topics(&mut state, targets, floors, options, spending);
    if state.copies > 0 && facts.part.len() <= REPLICAS_TRIMMED && !options.is_limited() {
        trim(&mut state, targets, floors, options);
    }
    let mut lists = lists(&state);
    let (copies, (mut excess, cost)) = (state.copies, rate(&state, targets, floors, options, quiet));
    let unevenness = unevenness(&state);
    drop(state);
    if options.leaders {
        excess += balance_leaders(facts, &mut lists, options, quiet && copies == 0);
    }
    Ok(Try {
        lists,
        copies,
        is_quiet: quiet && copies == 0,
        rating: (excess >> EXCESS_SHIFT, unevenness, excess, cost),
    })
}

fn too_small(model: &Model, order: &[u32], facts: &Facts, homeless: &[u32]) -> Infeasible {
    let problem = |slot: &u32| {
        let partition = &model.partitions[order[facts.part[*slot as usize] as usize] as usize];
        Problem::DiskTooSmall { partition: name(partition), bytes: partition.bytes }
    };
    let mut problems: Vec<Problem> = homeless.iter().map(problem).collect();
    problems.sort();
    problems.dedup();
    Infeasible { problems }
}
