//! What a plan wants to be done. Each action can be repeated without harm. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ottla_broker_types::{NodeId, TopicPartition};

use crate::resources::Resource;

/// New replicas of a partition, the preferred leader first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reassignment {
    /// The partition.
    pub partition: TopicPartition,
    /// Its replicas from now on.
    pub replicas: Vec<NodeId>,
}

/// An event to publish about the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether its type is Warning rather than Normal.
    pub warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// The pod that it is about, if it is about one.
    pub subject: Option<String>,
    /// A sentence.
    pub text: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// To an object of the API server; local mode does the like to processes and folders.
    Kubernetes(KubernetesAction),
    /// By a request to the brokers.
    Kafka(KafkaAction),
    /// Publish an event.
    Event(Event),
}

/// What is done to an object of the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum KubernetesAction {
    /// Make an object what it should be.
    Apply(Resource),
    /// Tell a pod its rack, by the annotation [`crate::names::RACK_ANNOTATION`].
    AnnotateRack {
        /// The pod.
        pod: String,
        /// The rack.
        rack: String,
    },
    /// Restart a broker gracefully, by deleting its pod.
    RestartBroker {
        /// The broker.
        broker: NodeId,
        /// Its pod.
        pod: String,
        /// The uid of exactly that pod; empty where there is no API server.
        uid: String,
        /// Why.
        reason: String,
    },
    /// Ask for a larger volume.
    GrowClaim {
        /// The claim.
        claim: String,
        /// The new size.
        size: String,
    },
    /// Note on a claim what outlives the KafkaCluster, and whether the claim goes with it.
    MarkClaim {
        /// The claim.
        claim: String,
        /// Whether it is deleted with the KafkaCluster.
        owned: bool,
        /// Whether the quorum has formed.
        bootstrapped: bool,
        /// Ids of the brokers that keep the metadata.
        controllers: Vec<i32>,
    },
    /// Delete the volume of a broker that is gone.
    DeleteClaim {
        /// The claim.
        claim: String,
    },
    /// Delete the StatefulSet of a cluster that has no volume yet, because what can never change in it was changed.
    DeleteStatefulSet {
        /// The StatefulSet.
        name: String,
    },
    /// Delete settings that no pod reads any more.
    DeleteConfigMap {
        /// The ConfigMap.
        name: String,
    },
    /// Delete the Service of a broker that is gone.
    DeleteService {
        /// The Service.
        name: String,
    },
}

/// What brokers are asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaAction {
    /// Change dynamic settings of all brokers together.
    AlterConfig {
        /// New values.
        set: BTreeMap<String, String>,
        /// Back to the default.
        delete: BTreeSet<String>,
    },
    /// Keep new replicas off a broker, or let them on again.
    Cordon {
        /// The broker.
        broker: NodeId,
        /// Whether they are kept off.
        cordoned: bool,
    },
    /// Start reassignments.
    Reassign(Vec<Reassignment>),
    /// Cancel reassignments that are going on; the former replicas stay.
    CancelReassignments(Vec<TopicPartition>),
    /// Give leadership back to preferred replicas.
    ElectLeaders(Vec<TopicPartition>),
    /// Forget a broker that is gone.
    Unregister(NodeId),
}

impl From<KubernetesAction> for Action {
    fn from(action: KubernetesAction) -> Action {
        Action::Kubernetes(action)
    }
}

impl From<KafkaAction> for Action {
    fn from(action: KafkaAction) -> Action {
        Action::Kafka(action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Kubernetes(action) => action.fmt(f),
            Action::Kafka(action) => action.fmt(f),
            Action::Event(event) => write!(f, "publish event {}: {}", event.reason, event.text),
        }
    }
}

impl fmt::Display for KubernetesAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KubernetesAction::Apply(resource) => write!(f, "apply {}", resource.label()),
            KubernetesAction::AnnotateRack { pod, rack } => {
                write!(f, "tell pod {pod} that its rack is {rack}")
            }
            KubernetesAction::RestartBroker { broker, reason, .. } => {
                write!(f, "restart broker {broker}: {reason}")
            }
            KubernetesAction::GrowClaim { claim, size } => write!(f, "grow claim {claim} to {size}"),
            KubernetesAction::MarkClaim { claim, owned: true, .. } => {
                write!(f, "let claim {claim} go with its cluster")
            }
            KubernetesAction::MarkClaim { claim, owned: false, .. } => {
                write!(f, "let claim {claim} outlive its cluster")
            }
            KubernetesAction::DeleteClaim { claim } => write!(f, "delete claim {claim}"),
            KubernetesAction::DeleteStatefulSet { name } => write!(f, "delete stateful set {name}"),
            KubernetesAction::DeleteConfigMap { name } => write!(f, "delete config map {name}"),
            KubernetesAction::DeleteService { name } => write!(f, "delete service {name}"),
        }
    }
}

impl fmt::Display for KafkaAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KafkaAction::AlterConfig { set, delete } => {
                f.write_str("change settings of all brokers:")?;
                for (name, value) in set {
                    write!(f, " {name}={value}")?;
                }
                delete.iter().try_for_each(|name| write!(f, " -{name}"))
            }
            KafkaAction::Cordon { broker, cordoned: true } => {
                write!(f, "keep new replicas off broker {broker}")
            }
            KafkaAction::Cordon { broker, cordoned: false } => {
                write!(f, "let new replicas on broker {broker} again")
            }
            KafkaAction::Reassign(moves) => {
                write!(f, "move {} partitions:", moves.len())?;
                for change in moves {
                    let ids: Vec<String> = change.replicas.iter().map(NodeId::to_string).collect();
                    write!(f, " {}=[{}]", change.partition, ids.join(","))?;
                }
                Ok(())
            }
            KafkaAction::CancelReassignments(partitions) => {
                write!(f, "cancel the moves of {} partitions:", partitions.len())?;
                partitions.iter().try_for_each(|partition| write!(f, " {partition}"))
            }
            KafkaAction::ElectLeaders(partitions) => {
                write!(f, "elect preferred leaders of {} partitions", partitions.len())
            }
            KafkaAction::Unregister(broker) => write!(f, "forget broker {broker}"),
        }
    }
}
