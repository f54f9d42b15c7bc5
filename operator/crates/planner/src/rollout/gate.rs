//! Whether a serving broker may be restarted now; the answer is `Err` with what to wait for.

use ottla_broker_types::NodeId;

use super::input::RolloutInput;
use crate::facts::{KafkaFacts, Safety};

/// Everything but the brokers' own judgement of `broker`: nobody else is away, the last one is back in sync.
pub(super) fn settled(input: &RolloutInput<'_>, broker: NodeId) -> Result<(), String> {
    let observed = input.observed;
    for id in (0..input.replicas).map(NodeId).filter(|id| *id != broker) {
        match observed.pods.get(&id) {
            None => return Err(format!("broker {id} has no pod yet")),
            Some(pod) if pod.overdue => return Err(format!("broker {id} {}", overdue(&pod.name))),
            Some(pod) if pod.terminating => return Err(format!("broker {id} is stopping")),
            Some(pod) if !pod.ready => return Err(format!("broker {id} is not ready yet")),
            Some(_) => {}
        }
    }
    let kafka = observed.kafka.as_ref().map_err(|reason| format!("no broker answers: {}", reason.0))?;
    if let Some(id) = (0..input.replicas).map(NodeId).find(|id| *id != broker && !kafka.serves(*id)) {
        return Err(format!("broker {id} has not joined the cluster yet"));
    }
    if let Some(last) = input.last_restarted.filter(|last| *last != broker) {
        back_in_sync(kafka, last)?;
    }
    Ok(())
}

/// What to do about a pod that Kubernetes cannot end. Only a person can know that its machine is off.
pub(crate) fn overdue(pod: &str) -> String {
    format!(
        "should have stopped long ago and its node may be gone: see kubectl get nodes, and once that machine is surely off, kubectl delete pod {pod} --force"
    )
}

/// Whether the broker restarted last is in sync wherever it has a replica.
fn back_in_sync(kafka: &KafkaFacts, last: NodeId) -> Result<(), String> {
    let behind: Vec<_> = kafka
        .partitions
        .iter()
        .filter(|(_, p)| p.replicas.contains(&last) && !p.adding.contains(&last) && !p.isr.contains(&last))
        .map(|(name, _)| name)
        .collect();
    match behind.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("broker {last} still catches up in {} partitions, such as {first}", behind.len()))
        }
    }
}

/// The brokers' own judgement.
pub(super) fn safe(input: &RolloutInput<'_>, broker: NodeId) -> Result<(), String> {
    match input.observed.safety.get(&broker) {
        Some(Safety::Safe) => Ok(()),
        Some(Safety::Unsafe(reason)) => Err(format!("broker {broker} cannot be spared: {reason}")),
        Some(Safety::Unknown(reason)) => {
            Err(format!("nobody can say whether broker {broker} can be spared: {reason}"))
        }
        None => Err(format!("asking whether broker {broker} can be spared")),
    }
}
