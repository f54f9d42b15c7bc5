//! Which replicas move now: the plan of `rebalance` admitted a little at a time. Pure.
//!
//! The plan is made anew from what is seen, with everything that is under way counted as done: whoever restarts
//! the operator, or moves replicas by hand meanwhile, changes nothing about where this ends. In Manual mode the plan that
//! a person has approved is kept instead, and nothing else is carried out; drains need no approval, they were asked for.

mod admit;
mod approval;
mod model;

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TopicPartition};
use ottla_operator_crd::ValidatedCluster;
use ottla_operator_crd::cluster::{RebalanceMode, RebalancePhase, RebalanceStatus};

use crate::action::Action;
use crate::facts::{KafkaFacts, Observed};
use crate::rebalance;

/// Elections asked for at once; the rest follows with the next look.
const ELECTIONS_MAX: usize = 1000;

/// What moves are decided from.
#[derive(Clone, Copy, Debug)]
pub struct MovesInput<'a> {
    /// What is asked for.
    pub cluster: &'a ValidatedCluster,
    /// What is seen.
    pub observed: &'a Observed,
    /// Brokers that leave.
    pub leaving: &'a BTreeSet<NodeId>,
    /// Brokers that stay after all, and moves off which are being cancelled.
    pub returning: &'a BTreeSet<NodeId>,
    /// Brokers that stay: ids below this.
    pub staying: i32,
    /// What status said of moves.
    pub former: Option<&'a RebalanceStatus>,
}

/// What moves come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// What status says.
    pub status: Option<RebalanceStatus>,
    /// Whether replicas move or are about to.
    pub busy: bool,
    /// A plan to keep, since it was approved.
    pub keep: Option<Kept>,
    /// Why there is no plan that could work.
    pub failed: Option<String>,
}

/// A plan to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its hash.
    pub hash: String,
    /// Its moves, stored.
    pub chunks: Vec<Vec<u8>>,
}

/// Decides which moves to start.
pub fn moves(input: &MovesInput<'_>) -> Moves {
    let Some(kafka) = input.observed.kafka() else {
        return Moves { status: input.former.cloned(), ..Moves::default() };
    };
    let mut moves = decide(input, kafka);
    if input.cluster.rebalance.mode != RebalanceMode::Manual || !input.leaving.is_empty() {
        moves.actions.extend(approval::forget(input, 0));
    }
    moves
}

fn decide(input: &MovesInput<'_>, kafka: &KafkaFacts) -> Moves {
    let former = input.former.cloned();
    let key = membership(input.observed, input.staying);
    let running = kafka.partitions.values().filter(|partition| partition.moves()).count();
    let draining = !input.leaving.is_empty();
    let balanced = former.as_ref().is_some_and(|status| status.balanced_for.as_deref() == Some(&key));
    let off = input.cluster.rebalance.mode == RebalanceMode::Off;
    let manual = input.cluster.rebalance.mode == RebalanceMode::Manual && !draining;
    if let Some(kept) = approval::kept(input).filter(|_| manual) {
        return approval::carry_out(input, kafka, key, kept);
    }
    if !draining && (balanced || off) {
        return Moves { status: settled(former, running), busy: running > 0, ..Moves::default() };
    }
    if !input.returning.is_empty() {
        // Whatever is planned now would count moves as done that are being cancelled.
        let ids: Vec<String> = input.returning.iter().map(NodeId::to_string).collect();
        let message = format!("waiting until moves off brokers {} are cancelled", ids.join(", "));
        let status = RebalanceStatus { message, balanced_for: None, ..former.unwrap_or_default() };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    if let Some(missing) = (0..input.staying).map(NodeId).find(|id| !kafka.serves(*id)) {
        let message = format!("waiting for broker {missing} before replicas move");
        let status = former.map(|former| RebalanceStatus { message: message.clone(), ..former });
        let status =
            status.or_else(|| draining.then(|| RebalanceStatus { message, ..RebalanceStatus::default() }));
        return Moves { status, busy: draining || running > 0, ..Moves::default() };
    }
    if let Some(unplaced) = unplaced(input).filter(|_| !draining) {
        let message = format!("waiting for the rack of broker {unplaced} before replicas move");
        let phase = RebalancePhase::Pending;
        let status = RebalanceStatus { phase, message, ..former.unwrap_or_default() };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    let model = model::model(input.observed, kafka, input.leaving, input.staying);
    let limit = input.cluster.rebalance.moves_max.filter(|_| manual);
    let moves_max = limit.map(|max| i64::try_from(max).unwrap_or(i64::MAX));
    match rebalance::plan(&model, &rebalance::Options { moves_max, ..rebalance::Options::default() }) {
        Ok(plan) if manual => approval::propose(input, kafka, &model, &plan, key),
        Ok(plan) => carry_out(input, kafka, &Planned { model, plan }, key),
        Err(infeasible) => failed(former, infeasible.to_string()),
    }
}

/// A broker whose rack is not known while others' are: evened out now, replicas would have to move again.
fn unplaced(input: &MovesInput<'_>) -> Option<NodeId> {
    input.cluster.rack_topology_key.as_ref()?;
    let mut ids = (0..input.staying).map(NodeId);
    let some_known = ids.clone().any(|id| input.observed.rack(id).is_some());
    ids.find(|id| some_known && input.observed.rack(*id).is_none())
}

/// A plan and what it was made from.
struct Planned {
    model: rebalance::Model,
    plan: rebalance::Plan,
}

/// Starts what may start and counts what is left.
fn carry_out(input: &MovesInput<'_>, kafka: &KafkaFacts, planned: &Planned, key: String) -> Moves {
    let draining = !input.leaving.is_empty();
    let mut former = input.former.cloned().unwrap_or_default();
    if draining {
        // Should the brokers stay after all, they are owed what has left them.
        former.balanced_for = None;
    }
    let mut tasks = model::tasks(kafka, planned.plan.moves(), input.leaving);
    if input.cluster.rebalance.mode != RebalanceMode::Auto {
        // Asked for was that brokers leave, not that others are evened out.
        tasks.retain(|task| task.drains);
    }
    let running = kafka.partitions.values().filter(|partition| partition.moves()).count();
    let arriving: usize = kafka.partitions.values().map(|partition| partition.adding.len()).sum();
    let left = tasks.iter().map(|task| task.arriving.len()).sum::<usize>() + arriving;
    let progress = progress(&former, kafka, planned, left);
    if tasks.is_empty() && running == 0 {
        let message = match progress.moves {
            0 => "every broker holds its share".to_owned(),
            moves => format!("every broker holds its share after {moves} moves"),
        };
        let balanced_for = Some(key).filter(|_| !draining);
        let status = RebalanceStatus { phase: RebalancePhase::Done, balanced_for, message, ..progress };
        return Moves { status: Some(status), ..Moves::default() };
    }
    if input.cluster.rollout.paused {
        let message = format!("{left} replicas wait: spec.rollout.paused is true");
        let status = RebalanceStatus { phase: RebalancePhase::Paused, message, ..progress };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    let budget = input.cluster.rebalance.moves_max.filter(|_| !draining);
    let admitted = admit::admit(kafka, &tasks, budget.map(|max| remaining_budget(max, &progress)));
    let message = match admitted.waits.as_deref() {
        Some(reason) if running == 0 && admitted.start.is_empty() => reason.to_owned(),
        _ => format!("{left} replicas still move"),
    };
    if budget.is_some() && admitted.exhausted && running == 0 {
        let message = format!("stopped at the budget of moves with {left} replicas to go");
        let status =
            RebalanceStatus { phase: RebalancePhase::Done, balanced_for: Some(key), message, ..progress };
        return Moves { status: Some(status), ..Moves::default() };
    }
    let moves_running = i64::try_from(running + admitted.start.len()).unwrap_or(i64::MAX);
    let status = RebalanceStatus { phase: RebalancePhase::Executing, moves_running, message, ..progress };
    let actions = if admitted.start.is_empty() { vec![] } else { vec![Action::Reassign(admitted.start)] };
    Moves { actions, status: Some(status), busy: true, ..Moves::default() }
}

fn remaining_budget(max: u64, progress: &RebalanceStatus) -> usize {
    let done = u64::try_from(progress.moves_done + progress.moves_running).unwrap_or(0);
    usize::try_from(max.saturating_sub(done)).unwrap_or(usize::MAX)
}

/// Counts: the first plan of a run says how many moves there are, later ones what is left of them.
fn progress(former: &RebalanceStatus, kafka: &KafkaFacts, planned: &Planned, left: usize) -> RebalanceStatus {
    let plan = &planned.plan;
    let left = i64::try_from(left).unwrap_or(i64::MAX);
    let goes_on =
        matches!(former.phase, RebalancePhase::Executing | RebalancePhase::Paused) && former.moves >= left;
    let (moves, lower_bound_moves, plan_hash) = if goes_on {
        (former.moves, former.lower_bound_moves, former.plan_hash.clone())
    } else {
        // Less is carried out than was planned where only a drain was asked for.
        (left, plan.lower_bound_moves().min(left), Some(hash_text(plan)))
    };
    let leader_transfers = if goes_on { former.leader_transfers } else { plan.leader_transfers() };
    let (bytes, lower_bound_bytes) = match goes_on {
        true => (former.bytes, former.lower_bound_bytes),
        false if left == plan.replicas_moved() => approval::sizes(kafka, &planned.model, plan),
        false => (None, None),
    };
    let moves_done = moves - left;
    let percent = if moves == 0 { 100 } else { i32::try_from(moves_done * 100 / moves).unwrap_or(0) };
    RebalanceStatus {
        moves,
        lower_bound_moves,
        bytes,
        lower_bound_bytes,
        leader_transfers,
        executed_hash: former.executed_hash.clone(),
        plan_hash,
        moves_done,
        moves_running: 0,
        percent,
        balanced_for: former.balanced_for.clone(),
        ..RebalanceStatus::default()
    }
}

/// What identifies a plan, as a person sees it.
fn hash_text(plan: &rebalance::Plan) -> String {
    format!("{:016x}", plan.hash())
}

fn settled(former: Option<RebalanceStatus>, running: usize) -> Option<RebalanceStatus> {
    former
        .map(|former| RebalanceStatus { moves_running: i64::try_from(running).unwrap_or(i64::MAX), ..former })
}

fn failed(former: Option<RebalanceStatus>, problem: String) -> Moves {
    let former = former.unwrap_or_default();
    let status = RebalanceStatus { phase: RebalancePhase::Failed, message: problem.clone(), ..former };
    Moves { status: Some(status), failed: Some(problem), ..Moves::default() }
}

/// The brokers that stay and their racks, as one text.
fn membership(observed: &Observed, staying: i32) -> String {
    let pairs = (0..staying).map(|id| format!("{id}={}", observed.rack(NodeId(id)).unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

/// Partitions that their preferred replica could lead and does not.
pub fn misled(kafka: &KafkaFacts) -> Vec<TopicPartition> {
    let wrong = kafka.partitions.iter().filter(|(_, partition)| {
        let preferred = partition.replicas.first();
        preferred.is_some_and(|id| {
            partition.leader.is_some()
                && partition.leader != Some(*id)
                && partition.isr.contains(id)
                && kafka.serves(*id)
        }) && !partition.moves()
    });
    wrong.map(|(name, _)| name.clone()).take(ELECTIONS_MAX).collect()
}

#[cfg(test)]
mod tests;
