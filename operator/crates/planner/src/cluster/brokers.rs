//! Each broker: its rack, and what status says of it.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;
use ottla_operator_crd::cluster::{BrokerState, BrokerStatus};

use super::Input;
use crate::action::{Action, KubernetesAction};
use crate::facts::PodFacts;
use crate::names;

/// Tells pods the rack of their nodes.
pub(super) fn racks(input: &Input<'_>) -> Vec<Action> {
    if input.cluster.rack_topology_key.is_none() {
        return vec![];
    }
    let unaware =
        input.observed.pods.values().filter(|pod| pod.node_rack.is_some() && pod.rack != pod.node_rack);
    unaware
        .filter_map(|pod| {
            let (pod, rack) = (pod.name.clone(), pod.node_rack.clone()?);
            Some(KubernetesAction::AnnotateRack { pod, rack }.into())
        })
        .collect()
}

/// One line per broker that exists or should.
pub(super) fn statuses(input: &Input<'_>, pods: i32, leaving: &BTreeSet<NodeId>) -> Vec<BrokerStatus> {
    let mut ids: BTreeSet<NodeId> = (0..pods).map(NodeId).collect();
    ids.extend(input.observed.pods.keys().copied());
    ids.into_iter().map(|id| status_of(input, id, leaving)).collect()
}

fn status_of(input: &Input<'_>, id: NodeId, leaving: &BTreeSet<NodeId>) -> BrokerStatus {
    let pod = input.observed.pods.get(&id);
    let kafka = input.observed.kafka();
    let facts = kafka.and_then(|kafka| kafka.brokers.get(&id));
    let count = |holds: &dyn Fn(&crate::facts::PartitionFacts) -> bool| {
        let kafka = kafka.filter(|_| facts.is_some())?;
        i32::try_from(kafka.partitions.values().filter(|partition| holds(partition)).count()).ok()
    };
    BrokerStatus {
        id: id.get(),
        pod: names::pod(&input.cluster.name, id),
        state: state(input, pod, id, leaving),
        rack: facts.and_then(|facts| facts.rack.clone()).or_else(|| pod.and_then(|pod| pod.rack.clone())),
        leaders: count(&|partition| partition.leader == Some(id)),
        replicas: count(&|partition| partition.replicas.contains(&id)),
        bytes: bytes(input, id, facts.and_then(|facts| facts.bytes)),
        revision: pod.and_then(|pod| pod.revision.clone()),
        problem: problem(input, pod, id),
    }
}

/// Whether a broker had no pod the last time either: one that has just gone may be coming back.
pub(super) fn is_awaited(input: &Input<'_>, id: NodeId) -> bool {
    id.get() < input.cluster.replicas
        && !input.observed.pods.contains_key(&id)
        && input
            .former
            .brokers
            .iter()
            .any(|broker| broker.id == id.get() && broker.state == BrokerState::Pending)
}

/// What keeps a broker from serving, Kubernetes' word first. A restart that was asked for is none.
fn problem(input: &Input<'_>, pod: Option<&PodFacts>, id: NodeId) -> Option<String> {
    let Some(pod) = pod else {
        return input.observed.not_made.get(&id).filter(|_| is_awaited(input, id)).cloned();
    };
    if pod.terminating {
        return None;
    }
    let silent = is_silent(input, pod, id).then(|| {
        let node = pod.node.as_deref().map(|node| format!(" on node {node}")).unwrap_or_default();
        format!(
            "NotAnswering: pod {}{node} is said to run, and the other brokers hear nothing of it",
            pod.name
        )
    });
    pod.stuck.clone().or_else(|| pod.trouble.clone().filter(|_| !pod.ready)).or(silent)
}

/// Whether a broker was heard of, and is no more: its pod got ready only when it served, and its lease has run out.
fn is_silent(input: &Input<'_>, pod: &PodFacts, id: NodeId) -> bool {
    let facts = input.observed.kafka().and_then(|kafka| kafka.brokers.get(&id));
    pod.ready && !pod.terminating && facts.is_some_and(|facts| facts.fenced)
}

/// A broker's size in status may be off by this part of it, so that a little growth alone writes no status.
const BYTES_BAND: i64 = 100;

/// The size of a broker's data; the former figure as long as it is within the hundredth part of it.
fn bytes(input: &Input<'_>, id: NodeId, bytes: Option<u64>) -> Option<i64> {
    let bytes = bytes.and_then(|bytes| i64::try_from(bytes).ok())?;
    let former =
        input.former.brokers.iter().find(|former| former.id == id.get()).and_then(|former| former.bytes);
    Some(former.filter(|former| (bytes - former).abs() <= former / BYTES_BAND).unwrap_or(bytes))
}

fn state(input: &Input<'_>, pod: Option<&PodFacts>, id: NodeId, leaving: &BTreeSet<NodeId>) -> BrokerState {
    let serves = input.observed.kafka().is_none_or(|kafka| kafka.serves(id));
    match pod {
        None => BrokerState::Pending,
        Some(pod) if pod.terminating => BrokerState::Stopping,
        Some(pod) if pod.stuck.is_some() => BrokerState::Failing,
        Some(pod) if is_silent(input, pod, id) => BrokerState::Silent,
        Some(pod) if !pod.ready || !serves => BrokerState::Starting,
        Some(_) if leaving.contains(&id) => BrokerState::Draining,
        Some(_) => BrokerState::Serving,
    }
}
