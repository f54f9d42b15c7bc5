//! Which replicas move now: a plan of `rebalance`, made once, kept, and admitted a little at a time. Pure.
//!
//! A plan is made for what is asked for (brokers, racks, removals) with the sizes that partitions have then, and kept until
//! it is carried out: sizes grow all the time, and a plan made anew in each reconcile would move replicas to and fro. Whoever
//! restarts the operator, or moves replicas by hand meanwhile, changes nothing about where it ends. In Manual mode the plan
//! waits for a person's approval of exactly its hash; drains need none, they were asked for.

mod admit;
mod approval;
mod model;
mod stored_plan;

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TopicPartition};
use ottla_operator_crd::ValidatedCluster;
use ottla_operator_crd::cluster::{RebalanceMode, RebalancePhase, RebalanceStatus};

use crate::action::Action;
use crate::facts::{KafkaFacts, Observed};
use crate::rebalance::{self, CHUNK_BYTES_MAX};

/// Elections asked for at once; the rest follows with the next reconcile.
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
    /// A plan to keep until it is carried out.
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
    decide(input, kafka)
}

fn decide(input: &MovesInput<'_>, kafka: &KafkaFacts) -> Moves {
    let former = input.former.cloned();
    let key = membership(input.observed, input.staying);
    let running = kafka.partitions.values().filter(|partition| partition.moves()).count();
    let draining = !input.leaving.is_empty();
    let balanced = former.as_ref().is_some_and(|status| status.balanced_for.as_deref() == Some(&key));
    let off = input.cluster.rebalance.mode == RebalanceMode::Off;
    let manual = input.cluster.rebalance.mode == RebalanceMode::Manual && !draining;
    let purpose = Purpose { planned_for: planned_for(&key, input), key };
    let kept = stored_plan::find(input, &purpose);
    if let Some(kept) = kept.as_ref().filter(|_| manual) {
        return approval::go_on(input, kafka, &purpose, kept);
    }
    if !draining && (balanced || off) {
        let actions = stored_plan::forget(input, 0);
        return Moves { status: settled(former, running), busy: running > 0, actions, ..Moves::default() };
    }
    if !input.returning.is_empty() {
        // Whatever is planned now would count moves as done that are being cancelled.
        let ids: Vec<String> = input.returning.iter().map(NodeId::to_string).collect();
        let message = format!("waiting until moves off brokers {} are cancelled", ids.join(", "));
        let status =
            RebalanceStatus { message, balanced_for: None, planned_for: None, ..former.unwrap_or_default() };
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
    if let Some(kept) = &kept {
        return stored_plan::go_on(input, kafka, &purpose, kept);
    }
    let model = model::model(input.observed, kafka, input.leaving, input.staying);
    let moves_max = input.cluster.rebalance.moves_max.filter(|_| !draining);
    let options = rebalance::Options {
        moves_max: moves_max.map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
        only_onto: newcomers(input).filter(|_| !draining),
        ..rebalance::Options::default()
    };
    match rebalance::plan(&model, &options) {
        Ok(plan) if manual => approval::propose(input, kafka, &plan, purpose),
        Ok(plan) => begin(input, kafka, &plan, purpose),
        Err(infeasible) => failed(former, infeasible.to_string()),
    }
}

/// What a plan is made for.
struct Purpose {
    /// The brokers that stay and their racks.
    key: String,
    /// The same with those that leave.
    planned_for: String,
}

fn planned_for(key: &str, input: &MovesInput<'_>) -> String {
    if input.leaving.is_empty() {
        return key.to_owned();
    }
    let leaving: Vec<String> = input.leaving.iter().map(NodeId::to_string).collect();
    format!("{key} without {}", leaving.join(","))
}

/// Brokers that have come since replicas were evened out last: only they get copies then, since whatever is uneven among
/// the others was so before. `None` if that is not known, or if none has come.
fn newcomers(input: &MovesInput<'_>) -> Option<BTreeSet<NodeId>> {
    let former = input.former?.balanced_for.as_deref()?;
    let ids = former.split(',').filter_map(|pair| pair.split('=').next()?.parse().ok().map(NodeId));
    let known: BTreeSet<NodeId> = ids.collect();
    let new: BTreeSet<NodeId> = (0..input.staying).map(NodeId).filter(|id| !known.contains(id)).collect();
    (!new.is_empty()).then_some(new)
}

/// A broker whose rack is not known while others' are: evened out now, replicas would have to move again.
fn unplaced(input: &MovesInput<'_>) -> Option<NodeId> {
    input.cluster.rack_topology_key.as_ref()?;
    let mut ids = (0..input.staying).map(NodeId);
    let some_known = ids.clone().any(|id| input.observed.rack(id).is_some());
    ids.find(|id| some_known && input.observed.rack(*id).is_none())
}

/// Keeps a plan, so that the next reconcile carries it out; without anything to do, says so.
fn begin(input: &MovesInput<'_>, kafka: &KafkaFacts, plan: &rebalance::Plan, purpose: Purpose) -> Moves {
    let draining = !input.leaving.is_empty();
    let former = input.former.cloned().unwrap_or_default();
    // Should the brokers stay after all, they are owed what has left them.
    let balanced_for = former.balanced_for.clone().filter(|_| !draining);
    let mut steps = plan.moves().to_vec();
    if input.cluster.rebalance.mode != RebalanceMode::Auto {
        // Asked for was that brokers leave, not that others are evened out.
        steps.retain(|step| step.removing().any(|id| input.leaving.contains(&id)));
    }
    let running = kafka.partitions.values().filter(|partition| partition.moves()).count();
    let arriving: usize = kafka.partitions.values().map(|partition| partition.adding.len()).sum();
    let left = steps.iter().map(|step| step.adding().count()).sum::<usize>() + arriving;
    let moves_running = count(running);
    if steps.is_empty() && running > 0 {
        let message = format!("{left} replicas still move");
        let phase = RebalancePhase::Executing;
        let status = RebalanceStatus { phase, moves_running, balanced_for, message, ..former };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    if steps.is_empty() {
        let moves = former.moves.min(former.moves_done);
        let message = match moves {
            0 => "every broker holds its share".to_owned(),
            moves => format!("every broker holds its share after {moves} moves"),
        };
        let balanced_for = Some(purpose.key).filter(|_| !draining);
        let (phase, percent) = (RebalancePhase::Done, 100);
        let status = RebalanceStatus {
            phase,
            percent,
            balanced_for,
            planned_for: None,
            message,
            moves_running,
            ..former
        };
        return Moves { status: Some(status), actions: stored_plan::forget(input, 0), ..Moves::default() };
    }
    let all = steps.len() == plan.moves().len();
    let moves = count(steps.iter().map(|step| step.adding().count()).sum());
    let known = kafka.partitions.values().any(|partition| partition.bytes.is_some());
    let hash = hash_text(rebalance::hash(&steps));
    let status = RebalanceStatus {
        phase: RebalancePhase::Executing,
        balanced_for,
        planned_for: Some(purpose.planned_for),
        plan_hash: Some(hash.clone()),
        moves,
        lower_bound_moves: plan.lower_bound_moves().min(moves),
        bytes: Some(plan.bytes_moved()).filter(|_| known && all),
        lower_bound_bytes: Some(plan.lower_bound_bytes().min(plan.bytes_moved())).filter(|_| known && all),
        leader_transfers: plan.leader_transfers(),
        executed_hash: former.executed_hash,
        moves_running,
        message: format!("{left} replicas still move"),
        ..RebalanceStatus::default()
    };
    if input.cluster.rollout.paused {
        let message = format!("{left} replicas wait: spec.rollout.paused is true");
        let status = RebalanceStatus { phase: RebalancePhase::Paused, message, ..status };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    let keep = Kept { hash, chunks: rebalance::store(&steps, CHUNK_BYTES_MAX) };
    let actions = stored_plan::forget(input, keep.chunks.len());
    Moves { actions, status: Some(status), busy: true, keep: Some(keep), failed: None }
}

/// What identifies a plan, as a person sees it.
fn hash_text(hash: u64) -> String {
    format!("{hash:016x}")
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
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
