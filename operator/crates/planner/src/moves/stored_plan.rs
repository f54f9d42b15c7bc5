//! A plan that is kept, move by move, until it is carried out.

use ottla_broker_types::{NodeId, TopicPartition};
use ottla_operator_crd::cluster::{RebalanceMode, RebalancePhase, RebalanceStatus};

use super::model::{self, Task};
use super::{Moves, MovesInput, Purpose, admit, count};
use crate::action::{Action, KafkaAction, KubernetesAction};
use crate::facts::KafkaFacts;
use crate::names;
use crate::rebalance::{self, Move};

/// A plan that is kept.
pub(super) struct StoredPlan {
    pub(super) hash: String,
    /// Its moves, or why they cannot be read.
    moves: Result<Vec<Move>, rebalance::StoredPlanError>,
}

/// The plan that status tells of, if all of it is kept and it was made for what is asked for now.
pub(super) fn find(input: &MovesInput<'_>, purpose: &Purpose) -> Option<StoredPlan> {
    let former = input.former?;
    let plan = input.observed.plan.as_ref()?;
    let is_whole = plan.count > 0 && plan.chunks.len() == plan.count;
    let is_told = former.plan_hash.as_ref() == Some(&plan.hash)
        && former.planned_for.as_ref() == Some(&purpose.planned_for);
    let chunks: Vec<&[u8]> = plan.chunks.values().map(Vec::as_slice).collect();
    (is_whole && is_told).then(|| StoredPlan { hash: plan.hash.clone(), moves: rebalance::load(&chunks) })
}

/// Lets go of the chunks from number `first` on.
pub(super) fn forget(input: &MovesInput<'_>, first: usize) -> Vec<Action> {
    let names = input.observed.plan.iter().flat_map(|plan| &plan.names);
    let outdated = names.filter(|name| names::chunk_of(name).is_none_or(|number| number >= first));
    outdated.map(|name| KubernetesAction::DeleteConfigMap { name: name.clone() }.into()).collect()
}

/// Lets go of a plan; the next reconcile makes a new one.
pub(super) fn dropped(input: &MovesInput<'_>, message: String) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    let phase = RebalancePhase::Pending;
    let status = RebalanceStatus { phase, planned_for: None, message, ..former };
    Moves { actions: forget(input, 0), status: Some(status), busy: true, ..Moves::default() }
}

/// Whether a plan that nobody has begun starts from other replicas than there are now.
pub(super) fn is_outdated(kafka: &KafkaFacts, plan: &StoredPlan) -> bool {
    plan.moves.as_ref().map_or(true, |moves| {
        let progress = classify(kafka, moves);
        progress.changed > 0 || progress.done > 0
    })
}

/// What became of the moves of a plan.
#[derive(Default)]
struct Progress {
    /// Replicas of moves that are done.
    done: usize,
    /// Partitions that move as planned.
    running: usize,
    /// Replicas that they copy.
    copied: usize,
    /// Not started yet.
    pending: Vec<Move>,
    /// Partitions that somebody else moves.
    foreign: Vec<TopicPartition>,
    /// Partitions that have changed since, or are gone.
    changed: usize,
}

/// Starts what may start of a plan and counts what is left.
pub(super) fn go_on(
    input: &MovesInput<'_>,
    kafka: &KafkaFacts,
    purpose: &Purpose,
    plan: &StoredPlan,
) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    let hash = &plan.hash;
    let moves = match &plan.moves {
        Ok(moves) => moves,
        Err(error) => return dropped(input, format!("plan {hash} cannot be read and is dropped: {error}")),
    };
    let progress = classify(kafka, moves);
    let tasks = model::tasks(kafka, &progress.pending, input.leaving);
    let copies = |tasks: &[Task]| tasks.iter().map(|task| task.arriving.len()).sum::<usize>();
    let left = copies(&tasks) + progress.copied;
    let total: usize = moves.iter().map(|step| step.adding().count()).sum();
    let status = RebalanceStatus {
        moves: count(total),
        moves_done: count(progress.done),
        moves_running: count(progress.running),
        percent: i32::try_from((progress.done * 100).checked_div(total).unwrap_or(100)).unwrap_or(100),
        refused_approval: None,
        ..former
    };
    let is_over = tasks.is_empty() && progress.running == 0 && progress.foreign.is_empty();
    if is_over {
        return over(input, kafka, RebalanceStatus { percent: 100, ..status }, &progress, purpose);
    }
    if input.cluster.rollout.paused {
        let message = format!("{left} replicas wait: spec.rollout.paused is true");
        let status = RebalanceStatus { phase: RebalancePhase::Paused, message, ..status };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    let admitted = admit::admit(kafka, &tasks);
    let foreign = progress.foreign.first().map(|name| format!("{name} is moved by somebody else"));
    let waits = admitted.waits.or(foreign).filter(|_| progress.running == 0 && admitted.start.is_empty());
    let message = waits.unwrap_or_else(|| format!("{left} replicas still move"));
    let moves_running = count(progress.running + admitted.start.len());
    let status = RebalanceStatus { phase: RebalancePhase::Executing, moves_running, message, ..status };
    let actions =
        if admitted.start.is_empty() { vec![] } else { vec![KafkaAction::Reassign(admitted.start).into()] };
    Moves { actions, status: Some(status), busy: true, ..Moves::default() }
}

/// Sorts the moves of a plan by what is seen of them.
fn classify(kafka: &KafkaFacts, moves: &[Move]) -> Progress {
    let mut progress = Progress::default();
    for step in moves {
        let name = TopicPartition { topic: step.topic.clone(), partition: step.partition };
        match kafka.partitions.get(&name) {
            Some(facts) if facts.moves() && facts.target() == step.target => {
                progress.running += 1;
                progress.copied += facts.adding.len();
            }
            Some(facts) if facts.moves() => progress.foreign.push(name),
            Some(facts) if facts.replicas == step.target => progress.done += step.adding().count(),
            Some(facts) if facts.replicas == step.original => progress.pending.push(step.clone()),
            _ => progress.changed += 1,
        }
    }
    progress
}

fn over(
    input: &MovesInput<'_>,
    kafka: &KafkaFacts,
    status: RebalanceStatus,
    progress: &Progress,
    purpose: &Purpose,
) -> Moves {
    let draining = !input.leaving.is_empty();
    let manual = input.cluster.rebalance.mode == RebalanceMode::Manual && !draining;
    let limited = input.cluster.rebalance.moves_max.is_some() && !draining;
    let moved = progress.done;
    let mut message = match (manual, limited, moved) {
        (true, ..) => {
            format!(
                "plan {} is carried out: {moved} replicas moved",
                status.plan_hash.as_deref().unwrap_or_default()
            )
        }
        (false, true, _) => format!("{moved} replicas moved, at most as many as the budget of moves allows"),
        (false, false, 0) => "every broker holds its share".to_owned(),
        (false, false, _) => format!("every broker holds its share after {moved} moves"),
    };
    if progress.changed > 0 {
        message += &format!("; {} partitions had changed meanwhile and were left alone", progress.changed);
    }
    // Something may have come to a broker that leaves, or may be left to be evened out: another plan tells.
    let left_behind =
        kafka.partitions.values().flat_map(|p| p.target()).any(|id: NodeId| input.leaving.contains(&id));
    let whole = progress.changed == 0 && !left_behind && !(manual && limited);
    // What brokers were evened out for before tells which have come since.
    let balanced_for =
        if whole && !draining { Some(purpose.key.clone()) } else { status.balanced_for.clone() };
    let executed_hash = if manual { status.plan_hash.clone() } else { status.executed_hash.clone() };
    let status = RebalanceStatus {
        phase: RebalancePhase::Done,
        executed_hash,
        balanced_for,
        planned_for: None,
        message,
        ..status
    };
    Moves { actions: forget(input, 0), status: Some(status), busy: !whole, ..Moves::default() }
}
