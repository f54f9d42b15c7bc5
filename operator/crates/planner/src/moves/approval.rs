//! Manual mode: a plan is shown with its hash, kept once a person has approved exactly that hash, and carried out as it
//! was approved. An approval counts once, and none counts for another plan.

use ottla_broker_types::TopicPartition;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};
use ottla_operator_crd::validate::APPROVAL_ANNOTATION;

use super::model::{self, Task};
use super::{Kept, Moves, MovesInput, admit, hash_text};
use crate::action::Action;
use crate::facts::{KafkaFacts, KeptPlan};
use crate::names;
use crate::rebalance::{self, Bytes, CHUNK_BYTES_MAX, Model, Move, Plan};

/// The plan that was approved, if all of it is kept.
pub(super) fn kept<'a>(input: &MovesInput<'a>) -> Option<&'a KeptPlan> {
    input.observed.plan.as_ref().filter(|plan| plan.count > 0 && plan.chunks.len() == plan.count)
}

/// Lets go of the chunks from number `first` on.
pub(super) fn forget(input: &MovesInput<'_>, first: usize) -> Vec<Action> {
    let names = input.observed.plan.iter().flat_map(|plan| &plan.names);
    let outdated = names.filter(|name| names::chunk_of(name).is_none_or(|number| number >= first));
    outdated.map(|name| Action::DeleteConfigMap { name: name.clone() }).collect()
}

/// Shows a plan; one that is approved is kept, and carried out once it is seen to be.
pub(super) fn propose(
    input: &MovesInput<'_>,
    kafka: &KafkaFacts,
    model: &Model,
    plan: &Plan,
    key: String,
) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    if plan.is_empty() {
        let message = "every broker holds its share".to_owned();
        let status = match former.phase {
            RebalancePhase::Done => former,
            _ => RebalanceStatus { executed_hash: former.executed_hash, percent: 100, ..Default::default() },
        };
        let (phase, balanced_for) = (RebalancePhase::Done, Some(key));
        let status = RebalanceStatus { phase, balanced_for, message, refused_approval: None, ..status };
        return Moves { status: Some(status), actions: forget(input, 0), ..Moves::default() };
    }
    let hash = hash_text(plan);
    let given = input.cluster.rebalance.approved.as_deref();
    let executed_hash = former.executed_hash.clone().filter(|executed| Some(executed.as_str()) == given);
    // An approval that was used up is none.
    let given = given.filter(|_| executed_hash.is_none());
    let (bytes, lower_bound_bytes) = match &former.plan_hash {
        Some(known) if *known == hash && former.bytes.is_some() => (former.bytes, former.lower_bound_bytes),
        _ => sizes(kafka, model, plan),
    };
    let approved = given == Some(hash.as_str());
    let refused_approval = given.filter(|_| !approved).map(str::to_owned);
    let mut status = RebalanceStatus {
        phase: RebalancePhase::ProposalReady,
        moves: plan.replicas_moved(),
        lower_bound_moves: plan.lower_bound_moves(),
        bytes,
        lower_bound_bytes,
        leader_transfers: plan.leader_transfers(),
        balanced_for: former.balanced_for,
        executed_hash,
        refused_approval,
        ..RebalanceStatus::default()
    };
    status.message = message(&status, &hash, approved);
    status.plan_hash = Some(hash.clone());
    let keep = approved.then(|| Kept { hash, chunks: rebalance::store(plan.moves(), CHUNK_BYTES_MAX) });
    let actions = forget(input, keep.as_ref().map_or(0, |keep| keep.chunks.len()));
    Moves { actions, status: Some(status), busy: approved, keep, failed: None }
}

fn message(status: &RebalanceStatus, hash: &str, approved: bool) -> String {
    if approved {
        return format!("plan {hash} is approved and begins");
    }
    let sizes = |bytes: Option<i64>| bytes.map(|bytes| format!(" of {}", Bytes(bytes))).unwrap_or_default();
    let what = format!(
        "plan {hash} would move {} replicas{} and change {} preferred leaders; the fewest replicas are {}{}",
        status.moves,
        sizes(status.bytes),
        status.leader_transfers,
        status.lower_bound_moves,
        sizes(status.lower_bound_bytes),
    );
    if let Some(other) = &status.refused_approval {
        return format!(
            "the approval of {other} is refused, the plan is another one now: {what}; to start it, set the annotation {APPROVAL_ANNOTATION} to its hash"
        );
    }
    match status.executed_hash.as_deref() == Some(hash) {
        true => format!(
            "{what}; its approval has been used: to start it again, remove the annotation {APPROVAL_ANNOTATION} and then set it once more"
        ),
        false => format!("{what}; to start it, set the annotation {APPROVAL_ANNOTATION} to its hash"),
    }
}

/// How far above its share of bytes a broker may stand, in per mille, when plans are made by numbers of replicas: as far
/// as it likes.
const ANY_LOAD_PERMILLE: i64 = 1_000_000;

/// Bytes that a plan copies, and the fewest that any would; nothing if no broker told sizes.
pub(super) fn sizes(kafka: &KafkaFacts, model: &Model, plan: &Plan) -> (Option<i64>, Option<i64>) {
    if kafka.partitions.values().all(|partition| partition.bytes.is_none()) {
        return (None, None);
    }
    let sized = model::with_sizes(kafka, model);
    let options =
        rebalance::Options { load_permille_max: ANY_LOAD_PERMILLE, ..rebalance::Options::default() };
    let judged = rebalance::judge(&sized, &rebalance::apply(&sized, plan), &options);
    match judged {
        Ok(judged) => {
            let bytes = judged.bytes_moved();
            let least = judged.lower_bound_bytes().max(smallest(&sized, plan.lower_bound_moves()));
            (Some(bytes), Some(least.min(bytes)))
        }
        Err(_) => (None, None),
    }
}

/// Bytes of the `copies` smallest replicas: no plan with as many copies has fewer.
fn smallest(sized: &Model, copies: i64) -> i64 {
    let mut partitions: Vec<(i64, i64)> =
        sized.partitions.iter().map(|each| (each.bytes, count(each.replicas.len()))).collect();
    partitions.sort_unstable();
    let mut left = copies;
    let bytes = partitions.into_iter().map(|(bytes, replicas)| {
        let taken = replicas.min(left);
        left -= taken;
        bytes.saturating_mul(taken)
    });
    bytes.fold(0, i64::saturating_add)
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

/// Goes on with a plan that was approved.
pub(super) fn carry_out(input: &MovesInput<'_>, kafka: &KafkaFacts, key: String, kept: &KeptPlan) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    let hash = &kept.hash;
    let chunks: Vec<&[u8]> = kept.chunks.values().map(Vec::as_slice).collect();
    let moves = match rebalance::load(&chunks) {
        Ok(moves) => moves,
        Err(error) => return dropped(input, format!("plan {hash} cannot be read and is dropped: {error}")),
    };
    if input.cluster.rebalance.approved.as_ref() != Some(hash) {
        let message = format!(
            "the approval of plan {hash} was taken back: what moves arrives, and nothing more is started"
        );
        return dropped(input, message);
    }
    let progress = classify(kafka, &moves);
    let tasks = model::tasks(kafka, &progress.pending, input.leaving);
    let copies = |tasks: &[Task]| tasks.iter().map(|task| task.arriving.len()).sum::<usize>();
    let left = copies(&tasks) + progress.copied;
    let total: usize = moves.iter().map(|step| step.adding().count()).sum();
    let status = RebalanceStatus {
        plan_hash: Some(hash.clone()),
        moves: count(total),
        moves_done: count(progress.done),
        moves_running: count(progress.running),
        percent: i32::try_from((progress.done * 100).checked_div(total).unwrap_or(100)).unwrap_or(100),
        refused_approval: None,
        ..former
    };
    let is_over = tasks.is_empty() && progress.running == 0 && progress.foreign.is_empty();
    if is_over {
        return over(input, RebalanceStatus { percent: 100, ..status }, &progress, key);
    }
    if input.cluster.rollout.paused {
        let message = format!("{left} replicas of plan {hash} wait: spec.rollout.paused is true");
        let status = RebalanceStatus { phase: RebalancePhase::Paused, message, ..status };
        return Moves { status: Some(status), busy: true, ..Moves::default() };
    }
    let admitted = admit::admit(kafka, &tasks, None);
    let foreign = progress.foreign.first().map(|name| format!("{name} is moved by somebody else"));
    let waits = admitted.waits.or(foreign).filter(|_| progress.running == 0 && admitted.start.is_empty());
    let message = match waits {
        Some(reason) => format!("plan {hash} waits: {reason}"),
        None => format!("{left} replicas of plan {hash} still move"),
    };
    let moves_running = count(progress.running + admitted.start.len());
    let status = RebalanceStatus { phase: RebalancePhase::Executing, moves_running, message, ..status };
    let actions = if admitted.start.is_empty() { vec![] } else { vec![Action::Reassign(admitted.start)] };
    Moves { actions, status: Some(status), busy: true, ..Moves::default() }
}

/// Sorts the moves of a plan by what is seen of them. Whoever restarts the operator meanwhile changes nothing.
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

fn over(input: &MovesInput<'_>, status: RebalanceStatus, progress: &Progress, key: String) -> Moves {
    let hash = status.plan_hash.clone();
    let mut message = format!(
        "plan {} is carried out: {} replicas moved",
        hash.as_deref().unwrap_or_default(),
        progress.done
    );
    if progress.changed > 0 {
        message += &format!("; {} partitions had changed meanwhile and were left alone", progress.changed);
    }
    // A plan with a limit, or one of which something was left alone, may leave something to be evened out.
    let whole = progress.changed == 0 && input.cluster.rebalance.moves_max.is_none();
    let status = RebalanceStatus {
        phase: RebalancePhase::Done,
        executed_hash: hash,
        balanced_for: Some(key).filter(|_| whole),
        message,
        ..status
    };
    Moves { actions: forget(input, 0), status: Some(status), busy: !whole, ..Moves::default() }
}

/// Lets go of a plan; the next look shows a new one.
fn dropped(input: &MovesInput<'_>, message: String) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    let status = RebalanceStatus { phase: RebalancePhase::Pending, message, ..former };
    Moves { actions: forget(input, 0), status: Some(status), busy: true, ..Moves::default() }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
