//! Manual mode: a plan is shown with its hash, kept as it was shown, and carried out once a person has approved exactly
//! that hash. An approval counts once, and none counts for another plan.

use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};
use ottla_operator_crd::validate::APPROVAL_ANNOTATION;

use super::stored_plan::{self, StoredPlan};
use super::{Kept, Moves, MovesInput, Purpose, hash_text};
use crate::facts::KafkaFacts;
use crate::rebalance::{self, Bytes, CHUNK_BYTES_MAX};

/// Shows a plan and keeps it: what is approved later is what was shown, however partitions grow meanwhile.
pub(super) fn propose(
    input: &MovesInput<'_>,
    kafka: &KafkaFacts,
    plan: &rebalance::Plan,
    purpose: Purpose,
) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    if plan.is_empty() {
        let message = "every broker holds its share".to_owned();
        let status = match former.phase {
            RebalancePhase::Done => former,
            _ => RebalanceStatus { executed_hash: former.executed_hash, percent: 100, ..Default::default() },
        };
        let (phase, balanced_for) = (RebalancePhase::Done, Some(purpose.key));
        let status = RebalanceStatus {
            phase,
            balanced_for,
            planned_for: None,
            message,
            refused_approval: None,
            ..status
        };
        return Moves { status: Some(status), actions: stored_plan::forget(input, 0), ..Moves::default() };
    }
    let known = kafka.partitions.values().any(|partition| partition.bytes.is_some());
    let hash = hash_text(plan.hash());
    let status = RebalanceStatus {
        planned_for: Some(purpose.planned_for),
        plan_hash: Some(hash.clone()),
        moves: plan.replicas_moved(),
        lower_bound_moves: plan.lower_bound_moves().min(plan.replicas_moved()),
        bytes: Some(plan.bytes_moved()).filter(|_| known),
        lower_bound_bytes: Some(plan.lower_bound_bytes().min(plan.bytes_moved())).filter(|_| known),
        leader_transfers: plan.leader_transfers(),
        balanced_for: former.balanced_for,
        executed_hash: former.executed_hash,
        ..RebalanceStatus::default()
    };
    let keep = Kept { hash: hash.clone(), chunks: rebalance::store(plan.moves(), CHUNK_BYTES_MAX) };
    let (status, busy) = shown(input, status, &hash);
    let actions = stored_plan::forget(input, keep.chunks.len());
    Moves { actions, status: Some(status), busy, keep: Some(keep), failed: None }
}

/// Goes on with a plan that was shown: shows it again, or carries it out.
pub(super) fn go_on(
    input: &MovesInput<'_>,
    kafka: &KafkaFacts,
    purpose: &Purpose,
    kept: &StoredPlan,
) -> Moves {
    let former = input.former.cloned().unwrap_or_default();
    let begun = matches!(former.phase, RebalancePhase::Executing | RebalancePhase::Paused);
    let used = former.executed_hash.as_ref() == Some(&kept.hash);
    let approved = input.cluster.rebalance.approved.as_ref() == Some(&kept.hash);
    if approved && (begun || !used) {
        return stored_plan::go_on(input, kafka, purpose, kept);
    }
    if begun {
        let message = format!(
            "the approval of plan {} was taken back: what moves arrives, and nothing more is started",
            kept.hash
        );
        return stored_plan::dropped(input, message);
    }
    if stored_plan::is_outdated(kafka, kept) {
        let message = format!("plan {} no longer fits what is there; another is made", kept.hash);
        return stored_plan::dropped(input, message);
    }
    let hash = kept.hash.clone();
    let (status, busy) = shown(input, former, &hash);
    Moves { status: Some(status), busy, ..Moves::default() }
}

/// What status says of a plan that waits, and whether it is approved.
fn shown(input: &MovesInput<'_>, status: RebalanceStatus, hash: &str) -> (RebalanceStatus, bool) {
    let given = input.cluster.rebalance.approved.as_deref();
    let executed_hash = status.executed_hash.clone().filter(|executed| Some(executed.as_str()) == given);
    // An approval that was used up is none.
    let given = given.filter(|_| executed_hash.is_none());
    let approved = given == Some(hash);
    let refused_approval = given.filter(|_| !approved).map(str::to_owned);
    let phase = RebalancePhase::ProposalReady;
    let mut status = RebalanceStatus { phase, executed_hash, refused_approval, ..status };
    status.message = message(&status, hash, approved);
    (status, approved)
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
