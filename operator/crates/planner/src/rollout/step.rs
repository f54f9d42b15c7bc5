//! Which pod is next.

use ottla_broker_types::{DurationMs, NodeId, TimestampMs};

use super::gate;
use super::input::RolloutInput;
use crate::facts::PodFacts;

/// How long a pod of an older revision may be unready before it is replaced: until then it may be recovering its
/// log, which a restart would only begin anew.
pub const UNREADY_PATIENCE: DurationMs = DurationMs(10 * 60 * 1000);

/// What to do about restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod is as it should be.
    Done,
    /// Delete this pod; the StatefulSet recreates it.
    Restart {
        /// The broker.
        broker: NodeId,
        /// Its pod.
        pod: String,
        /// Why, in a sentence.
        reason: String,
    },
    /// Nothing can be done now.
    Wait {
        /// The broker that is next, if it is chosen.
        next: Option<NodeId>,
        /// What is waited for, in a sentence.
        reason: String,
        /// Whether it will wait forever unless a person changes the spec.
        stuck: bool,
    },
}

/// Chooses the next step: pods that serve nobody first, then by id, the active controller last.
pub fn next_step(input: &RolloutInput<'_>) -> Rollout {
    let stale = stale(input);
    if stale.is_empty() {
        return Rollout::Done;
    }
    if input.paused {
        return wait(None, "restarts are paused: set spec.rollout.paused to false to go on");
    }
    if let Some((broker, pod)) = stale.iter().find(|(_, pod)| !pod.terminating && !pod.ready && is_down(pod))
    {
        // It serves nobody, so replacing it can harm nobody.
        let why = pod.stuck.as_deref().unwrap_or("its container does not run");
        return restart(*broker, pod, format!("it cannot start: {why}"));
    }
    if let Some(reason) = broken_by_new_revision(input) {
        return Rollout::Wait { next: None, reason, stuck: true };
    }
    let Some((broker, pod)) = choose(input, &stale) else {
        let late = stale.iter().find(|(_, pod)| pod.overdue);
        let late = late.map(|(id, pod)| format!("broker {id} {}", gate::overdue(&pod.name)));
        return wait(None, late.unwrap_or_else(|| "a broker is stopping".to_owned()));
    };
    if !pod.ready && !patience_is_over(pod, input.now) {
        return wait(Some(broker), format!("broker {broker} is starting; it may be recovering its log"));
    }
    if !pod.ready && !input.observed.kafka().is_some_and(|kafka| kafka.serves(broker)) {
        // It serves nobody and nobody waits for it, whatever the others do.
        return restart(broker, pod, format!("it did not get ready, and {}", reason(input, pod)));
    }
    if let Err(reason) = gate::settled(input, broker) {
        return wait(Some(broker), reason);
    }
    match gate::safe(input, broker) {
        Ok(()) => restart(broker, pod, reason(input, pod)),
        Err(reason) => wait(Some(broker), reason),
    }
}

/// The broker whose restart safety decides the next step; the shell asks for exactly that.
pub fn question(input: &RolloutInput<'_>) -> Option<NodeId> {
    if input.paused {
        return None;
    }
    choose(input, &stale(input)).map(|(broker, _)| broker)
}

/// Pods that are not as they should be, by id.
fn stale<'a>(input: &RolloutInput<'a>) -> Vec<(NodeId, &'a PodFacts)> {
    let staying = input.observed.pods.iter().filter(|(id, _)| id.get() < input.replicas);
    staying
        .filter(|(_, pod)| pod.restart_asked || pod.revision.as_deref() != Some(input.revision))
        .map(|(id, pod)| (*id, pod))
        .collect()
}

/// Unready ones first, the active controller last, else by id; one that is stopping already is nobody's choice.
fn choose<'a>(input: &RolloutInput<'_>, stale: &[(NodeId, &'a PodFacts)]) -> Option<(NodeId, &'a PodFacts)> {
    let controller = input.observed.kafka().and_then(|kafka| kafka.controller);
    let rank = |id: NodeId, pod: &PodFacts| (pod.ready, Some(id) == controller, id);
    stale.iter().filter(|(_, pod)| !pod.terminating).min_by_key(|(id, pod)| rank(*id, pod)).copied()
}

/// A pod that has the new revision and cannot start: the next one would fare no better.
fn broken_by_new_revision(input: &RolloutInput<'_>) -> Option<String> {
    let staying = input.observed.pods.iter().filter(|(id, _)| id.get() < input.replicas);
    let mut new = staying.filter(|(_, pod)| pod.revision.as_deref() == Some(input.revision));
    new.find_map(|(id, pod)| {
        let stuck = pod.stuck.as_deref()?;
        Some(format!("broker {id} cannot start with the new settings ({stuck}): the others are left alone until the spec is fixed"))
    })
}

fn is_down(pod: &PodFacts) -> bool {
    pod.stuck.is_some() || pod.halted
}

fn patience_is_over(pod: &PodFacts, now: TimestampMs) -> bool {
    pod.since.is_some_and(|since| now.minus(UNREADY_PATIENCE) >= since)
}

fn reason(input: &RolloutInput<'_>, pod: &PodFacts) -> String {
    if pod.revision.as_deref() == Some(input.revision) {
        return "a person asked for it".to_owned();
    }
    match &pod.image {
        Some(image) if image != input.image => format!("the image changes from {image} to {}", input.image),
        _ => "its settings or its pod changed".to_owned(),
    }
}

fn restart(broker: NodeId, pod: &PodFacts, reason: String) -> Rollout {
    Rollout::Restart { broker, pod: pod.name.clone(), reason }
}

fn wait(next: Option<NodeId>, reason: impl Into<String>) -> Rollout {
    Rollout::Wait { next, reason: reason.into(), stuck: false }
}
