//! The one entry point: runs the phases in order and turns the outcome into a plan. No I/O.

use ottla_broker_types::NodeId;

use super::check::{Infeasible, check};
use super::counts::balance_counts;
use super::forced::place_forced;
use super::leaders::{Firsts, balance_leaders, present_leaders};
use super::model::Model;
use super::options::Options;
use super::plan::{BrokerLoad, Move, Note, Plan};
use super::state::State;
use super::target::{CountTarget, count_target};

/// Plans the moves that bring the cluster from `model` into balance.
///
/// # Errors
/// Names every entry of the model that is wrong, or that no placement can satisfy.
pub fn plan(model: &Model, options: &Options) -> Result<Plan, Infeasible> {
    let order = model.order();
    check(model, &order)?;
    let mut state = State::new(model, &order);
    let target = count_target(&state);
    let lower = lower_bounds(&State::new(model, &order), &target);
    let before = loads_before(&state);
    place_forced(&mut state, &target);
    balance_counts(&mut state, &target);
    let mut firsts = present_leaders(&state);
    if options.leaders {
        balance_leaders(&state, &mut firsts);
    }
    let moves = moves(model, &order, &state, &firsts);
    let brokers = broker_loads(&state, &before, &firsts);
    Ok(Plan::new(options.seed, moves, brokers, lower, notes(model, &order)))
}

/// Replicas that must be copied, and their bytes, whatever the plan.
fn lower_bounds(state: &State, target: &CountTarget) -> (i64, i64) {
    let (mut copies, mut bytes) = (0, 0);
    for partition in 0..state.partitions() as u32 {
        if !state.pinned[partition as usize] {
            let missing = must_arrive(state, partition);
            copies += missing;
            bytes += missing * state.bytes[partition as usize];
        }
    }
    let groups = target.group_total.len();
    let (mut over, mut under, mut held) = (vec![0; groups], vec![0; groups], vec![0; groups]);
    for broker in 0..state.brokers() {
        if let Some(group) = target.group[broker] {
            let count = state.count(broker);
            over[group as usize] += (count - target.high[broker]).max(0);
            under[group as usize] += (target.low[broker] - count).max(0);
            held[group as usize] += count;
        }
    }
    let by_count: i64 =
        (0..groups).map(|g| under[g].max(over[g] + target.group_total[g] - held[g]).max(0)).sum();
    (copies.max(by_count), bytes)
}

/// Replicas of a partition that must be copied: what is wanted less what may stay.
fn must_arrive(state: &State, partition: u32) -> i64 {
    let limit = state.rack_limit(partition);
    let slots = state.slots(partition);
    let wanted = slots.len() as i64;
    let mut kept: Vec<u16> = Vec::new();
    for slot in slots {
        let broker = state.cur[slot];
        if broker != super::state::NOWHERE && state.stays[broker as usize] {
            let rack = state.rack[broker as usize];
            if (kept.iter().filter(|r| **r == rack).count() as u32) < limit {
                kept.push(rack);
            }
        }
    }
    wanted - kept.len() as i64
}

/// Replicas, bytes and preferred leaders per broker, by the original lists.
fn loads_before(state: &State) -> Vec<[i64; 3]> {
    let mut loads = vec![[0; 3]; state.brokers()];
    for partition in 0..state.partitions() as u32 {
        for (at, broker) in state.original(partition).iter().enumerate() {
            let load = &mut loads[*broker as usize];
            load[0] += 1;
            load[1] += state.bytes[partition as usize];
            load[2] += i64::from(at == 0);
        }
    }
    loads
}

fn broker_loads(state: &State, before: &[[i64; 3]], firsts: &Firsts) -> Vec<BrokerLoad> {
    let mut after = vec![[0; 3]; state.brokers()];
    for (slot, broker) in state.cur.iter().enumerate() {
        let partition = state.part[slot] as usize;
        let load = &mut after[*broker as usize];
        load[0] += 1;
        load[1] += state.bytes[partition];
        load[2] += i64::from(firsts[partition] == slot as u32);
    }
    (0..state.brokers())
        .map(|b| BrokerLoad {
            broker: NodeId(state.ids[b]),
            replicas: (before[b][0], after[b][0]),
            bytes: (before[b][1], after[b][1]),
            leaders: (before[b][2], after[b][2]),
        })
        .collect()
}

/// The partitions whose list changes. Replicas that stay keep their order, behind the preferred leader.
fn moves(model: &Model, order: &[u32], state: &State, firsts: &Firsts) -> Vec<Move> {
    let mut moves = Vec::new();
    for (partition, &at) in order.iter().enumerate() {
        let original = state.original(partition as u32);
        let leader = state.cur[firsts[partition] as usize];
        let slots = state.slots(partition as u32);
        let mut target = vec![leader];
        target.extend(original.iter().filter(|b| **b != leader && state.cur[slots.clone()].contains(b)));
        target.extend(state.cur[slots].iter().filter(|b| **b != leader && !original.contains(b)));
        if target != original {
            let entry = &model.partitions[at as usize];
            moves.push(Move {
                topic: entry.topic.clone(),
                partition: entry.index,
                original: entry.replicas.clone(),
                target: target.iter().map(|b| NodeId(state.ids[*b as usize])).collect(),
                bytes: entry.bytes,
            });
        }
    }
    moves
}

fn notes(model: &Model, order: &[u32]) -> Vec<Note> {
    let entries = order.iter().map(|at| &model.partitions[*at as usize]);
    entries
        .filter(|p| p.reassigning)
        .map(|p| Note::Reassigning { topic: p.topic.clone(), partition: p.index })
        .collect()
}
