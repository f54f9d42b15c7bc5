//! A second look at a plan before it is executed, by rules of its own rather than the planner's: what one mistake in a
//! plan could cost is a replica or a quorum. It runs in every reconcile, on Kubernetes and in local mode alike. Pure.

use ottla_broker_types::NodeId;

use super::{Input, Plan, scale_step, staying};
use crate::action::{Action, KafkaAction, KubernetesAction, Reassignment};
use crate::facts::{KafkaFacts, Safety};
use crate::names;
use crate::rebalance::{self, Broker, BrokerState, Model, Move, Partition};
use crate::resources::Resource;

/// What speaks against executing a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More than one broker would be away at a time.
    #[error("it restarts {0} brokers at once")]
    Restarts(usize),
    /// The pod that was judged is not the one that would be deleted.
    #[error("it restarts broker {0} by another pod than the one that was seen")]
    OtherPod(NodeId),
    /// A broker that serves would be restarted although another one is away, or nobody said that it can be spared.
    #[error("it restarts broker {0}, which nobody said can be spared")]
    Unspared(NodeId),
    /// Fewer brokers would run although one of those that stop holds replicas, or nobody can say.
    #[error("it leaves {left} brokers, of which none may be taken: {why}")]
    Shrinks {
        /// Brokers that would be left.
        left: i32,
        /// What a broker that stops still holds.
        why: String,
    },
    /// A broker would be unregistered, or its volume deleted, that is still in use.
    #[error("it gives up broker {0}, which has a pod or holds replicas")]
    InUse(NodeId),
    /// The StatefulSet would go although a claim has a volume, or the cluster has formed.
    #[error("it deletes StatefulSet {0}, whose brokers may hold data")]
    HoldsData(String),
    /// A reassignment that must not be started.
    #[error(transparent)]
    Move(#[from] rebalance::Fault),
}

/// Everything that speaks against executing `plan`, which was made from `input`. Nothing of a plan with a fault is done:
/// what one mistake says of the rest nobody knows.
pub fn lint(input: &Input<'_>, plan: &Plan) -> Vec<Fault> {
    let mut faults = vec![];
    let restarts = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Kubernetes(KubernetesAction::RestartBroker { .. })));
    let restarts = restarts.count();
    if restarts > 1 {
        faults.push(Fault::Restarts(restarts));
    }
    for action in &plan.actions {
        match action {
            Action::Kubernetes(action) => faults.extend(lint_kubernetes(input, action)),
            Action::Kafka(KafkaAction::Unregister(broker)) => faults.extend(given_up(input, *broker)),
            Action::Kafka(KafkaAction::Reassign(changes)) => {
                faults.extend(lint_reassignments(input, changes).into_iter().map(Fault::Move));
            }
            Action::Kafka(_) | Action::Event(_) => {}
        }
    }
    faults
}

fn lint_kubernetes(input: &Input<'_>, action: &KubernetesAction) -> Option<Fault> {
    match action {
        KubernetesAction::RestartBroker { broker, pod, uid, .. } => restart(input, *broker, pod, uid),
        KubernetesAction::Apply(Resource::StatefulSet(set)) => shrinks(input, set.spec.replicas.unwrap_or(1)),
        KubernetesAction::DeleteClaim { claim } if is_unused(input, claim) => None,
        KubernetesAction::DeleteClaim { claim } => {
            names::broker_of(claim).and_then(|broker| given_up(input, broker))
        }
        KubernetesAction::DeleteStatefulSet { name } => {
            let unused = input.observed.claims.values().all(|claim| claim.unused);
            (input.former.bootstrapped || !unused).then(|| Fault::HoldsData(name.clone()))
        }
        _ => None,
    }
}

fn restart(input: &Input<'_>, broker: NodeId, pod: &str, uid: &str) -> Option<Fault> {
    let pods = &input.observed.pods;
    let Some(seen) = pods.get(&broker).filter(|seen| seen.name == pod && seen.uid == uid) else {
        return Some(Fault::OtherPod(broker));
    };
    let stays = |id: NodeId| id.get() < input.cluster.replicas;
    let another_stops = pods.iter().any(|(id, pod)| *id != broker && stays(*id) && pod.terminating);
    let spared = input.observed.safety.get(&broker) == Some(&Safety::Safe) && !another_stops;
    (seen.ready && !spared).then_some(Fault::Unspared(broker))
}

fn shrinks(input: &Input<'_>, left: i32) -> Option<Fault> {
    let now = input.observed.stateful_set.as_ref().map_or(0, |set| set.replicas);
    if left >= now {
        return None;
    }
    let why = match &input.observed.kafka {
        Err(reason) => format!("no broker answers: {}", reason.0),
        Ok(kafka) => {
            let broker = (left..now).map(NodeId).find(|id| holds_replicas(kafka, *id))?;
            format!("broker {broker} holds replicas")
        }
    };
    Some(Fault::Shrinks { left, why })
}

/// Whether a claim never had a volume, and so holds nothing.
fn is_unused(input: &Input<'_>, claim: &str) -> bool {
    input.observed.claims.values().any(|seen| seen.name == claim && seen.unused)
}

fn given_up(input: &Input<'_>, broker: NodeId) -> Option<Fault> {
    let in_use = input.observed.pods.contains_key(&broker)
        || input.observed.kafka().is_none_or(|kafka| holds_replicas(kafka, broker));
    in_use.then_some(Fault::InUse(broker))
}

fn holds_replicas(kafka: &KafkaFacts, broker: NodeId) -> bool {
    kafka.partitions.values().any(|partition| partition.replicas.contains(&broker))
}

fn lint_reassignments(input: &Input<'_>, changes: &[Reassignment]) -> Vec<rebalance::Fault> {
    let observed = input.observed;
    let Some(kafka) = observed.kafka() else { return vec![] };
    let staying = staying(input, &scale_step(input));
    let brokers = kafka.brokers.iter().map(|(id, facts)| {
        let mut broker = Broker::new(*id, observed.rack(*id).map(str::to_owned));
        broker.state = match (facts.fenced, id.get() >= staying) {
            (true, _) => BrokerState::Dead,
            (false, true) => BrokerState::Draining,
            (false, false) => BrokerState::Alive,
        };
        broker
    });
    let mut model = Model { brokers: brokers.collect(), partitions: vec![] };
    let mut moves = vec![];
    for change in changes {
        let name = &change.partition;
        let facts = kafka.partitions.get(name);
        model.partitions.extend(facts.map(|facts| {
            let mut partition = Partition::new(name.topic.clone(), name.partition, facts.target());
            partition.reassigning = facts.moves();
            partition
        }));
        let original = facts.map(|facts| facts.replicas.clone()).unwrap_or_default();
        let (topic, partition, target) = (name.topic.clone(), name.partition, change.replicas.clone());
        moves.push(Move { topic, partition, original, target, bytes: 0 });
    }
    moves.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    rebalance::lint_moves(&model, &moves)
}

#[cfg(test)]
mod tests;
