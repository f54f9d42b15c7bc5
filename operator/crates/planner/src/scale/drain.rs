//! The steps by which brokers leave: keep new replicas off, wait until they are empty, verify that, stop, unregister.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;
use ottla_operator_crd::cluster::{DeletionPolicy, DrainStatus};

use super::{Scale, ScaleInput, VERIFY};
use crate::action::{Action, KafkaAction, KubernetesAction};
use crate::facts::KafkaFacts;
use crate::rollout::overdue;

/// Running brokers that are being removed.
pub(super) fn step(input: &ScaleInput<'_>, leaving: BTreeSet<NodeId>, running: i32) -> Scale {
    let wanted = input.cluster.replicas;
    let ids: Vec<i32> = leaving.iter().map(|id| id.get()).collect();
    let status = |remaining: usize, empty_since_ms: Option<i64>, message: String| DrainStatus {
        brokers: ids.clone(),
        remaining_replicas: i32::try_from(remaining).unwrap_or(i32::MAX),
        empty_since_ms,
        message,
        ..DrainStatus::default()
    };
    let kafka = match &input.observed.kafka {
        Ok(kafka) => kafka,
        Err(reason) => {
            let message = format!("no broker answers: {}", reason.0);
            let remaining =
                input.former.map_or(0, |former| former.remaining_replicas).unsigned_abs() as usize;
            return Scale {
                pods: running,
                status: Some(status(remaining, None, message)),
                leaving,
                ..Scale::default()
            };
        }
    };
    // One that is down cannot be told; it gets replicas only where nobody else can, and those are moved off.
    let actions: Vec<Action> = leaving
        .iter()
        .filter(|id| kafka.brokers.get(id).is_some_and(|facts| !facts.fenced && facts.cordoned != Some(true)))
        .map(|id| KafkaAction::Cordon { broker: *id, cordoned: true }.into())
        .collect();
    let remaining = kafka.replicas_on(&leaving);
    let pods = |pods: i32, status: DrainStatus| Scale {
        pods,
        leaving: leaving.clone(),
        actions: actions.clone(),
        status: Some(status),
        ..Scale::default()
    };
    if let Err(reason) = empty(kafka, &leaving) {
        return pods(running, status(remaining, None, reason));
    }
    let since = input.former.and_then(|former| former.empty_since_ms).unwrap_or(input.now.0);
    if input.now.0.saturating_sub(since) < VERIFY.0.cast_signed() || !actions.is_empty() {
        let message = "they are empty; looking once more before they stop".to_owned();
        return pods(running, status(0, Some(since), message));
    }
    pods(wanted, status(0, Some(since), "they are empty and stop now".to_owned()))
}

/// Whether nothing is left on `leaving`, and nothing is about to be.
fn empty(kafka: &KafkaFacts, leaving: &BTreeSet<NodeId>) -> Result<(), String> {
    let remaining = kafka.replicas_on(leaving);
    if remaining > 0 {
        return Err(format!("{remaining} replicas still move away"));
    }
    for id in leaving {
        let Some(facts) = kafka.brokers.get(id).filter(|facts| !facts.fenced) else { continue };
        match facts.replicas_on_disk {
            Some(0) => {}
            Some(left) => return Err(format!("broker {id} still deletes {left} replicas from its disk")),
            None => return Err(format!("broker {id} does not say what is on its disk")),
        }
    }
    Ok(())
}

/// Brokers whose pods are gone: forgotten once the controller sees that they are down, then their claims by policy.
pub(super) fn forget(input: &ScaleInput<'_>, wanted: i32) -> (Vec<Action>, Option<DrainStatus>) {
    let observed = input.observed;
    let Ok(kafka) = &observed.kafka else { return (vec![], input.former.cloned()) };
    let mut actions = vec![];
    let mut waiting = vec![];
    let beyond = |id: &NodeId| id.get() >= wanted;
    for (id, facts) in kafka.brokers.iter().filter(|(id, _)| beyond(id)) {
        waiting.push(id.get());
        if facts.fenced && !observed.pods.contains_key(id) {
            actions.push(KafkaAction::Unregister(*id).into());
        }
    }
    if input.cluster.storage.deletion_policy == DeletionPolicy::Delete {
        for (id, claim) in observed.claims.iter().filter(|(id, _)| beyond(id)) {
            let gone = !observed.pods.contains_key(id) && !kafka.brokers.contains_key(id);
            if gone && !claim.terminating {
                actions.push(KubernetesAction::DeleteClaim { claim: claim.name.clone() }.into());
            }
        }
    }
    for id in observed.pods.keys().filter(|id| beyond(id)).map(|id| id.get()) {
        if !waiting.contains(&id) {
            waiting.push(id);
        }
    }
    waiting.sort_unstable();
    let late = observed.pods.iter().find(|(id, pod)| beyond(id) && pod.overdue);
    let late = late.map(|(id, pod)| format!("they are empty; broker {id} {}", overdue(&pod.name)));
    let status = (!waiting.is_empty()).then(|| DrainStatus {
        brokers: waiting,
        message: late.unwrap_or_else(|| "they are empty and stop now".to_owned()),
        ..DrainStatus::default()
    });
    (actions, status)
}
