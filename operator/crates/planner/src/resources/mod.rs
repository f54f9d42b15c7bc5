//! The Kubernetes objects of a cluster, one file per kind. Pure.

mod config_map;
mod disruption_budget;
mod network_policy;
mod plan;
mod pod;
mod scheduling;
mod service;
mod service_account;
mod stateful_set;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use ottla_broker_types::NodeId;
use ottla_operator_crd::ValidatedCluster;

use crate::{names, settings};

/// An object to be applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// The identity of the pods; it can do nothing.
    ServiceAccount(Box<ServiceAccount>),
    /// The settings.
    ConfigMap(Box<ConfigMap>),
    /// The Service of all brokers, of their names, or of one broker.
    Service(Box<Service>),
    /// Who reaches which port.
    NetworkPolicy(Box<NetworkPolicy>),
    /// How many brokers may be evicted.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// The brokers.
    StatefulSet(Box<StatefulSet>),
}

impl Resource {
    /// The kind and the name.
    pub fn label(&self) -> String {
        let (kind, metadata) = match self {
            Resource::ServiceAccount(object) => ("ServiceAccount", &object.metadata),
            Resource::ConfigMap(object) => ("ConfigMap", &object.metadata),
            Resource::Service(object) => ("Service", &object.metadata),
            Resource::NetworkPolicy(object) => ("NetworkPolicy", &object.metadata),
            Resource::PodDisruptionBudget(object) => ("PodDisruptionBudget", &object.metadata),
            Resource::StatefulSet(object) => ("StatefulSet", &object.metadata),
        };
        format!("{kind} {}", metadata.name.as_deref().unwrap_or_default())
    }
}

/// The operator's own pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorPods {
    /// Their namespace.
    pub namespace: String,
    /// Labels that they have and no other pod of the namespace.
    pub labels: BTreeMap<String, String>,
}

/// What objects are built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Build<'a> {
    /// The checked spec.
    pub cluster: &'a ValidatedCluster,
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// Whether the quorum has formed once.
    pub bootstrapped: bool,
    /// The image of the brokers.
    pub image: &'a str,
    /// `IfNotPresent`, `Always` or `Never`; `None` leaves it to Kubernetes.
    pub image_pull_policy: Option<&'a str>,
    /// The DNS domain of the Kubernetes cluster.
    pub cluster_domain: &'a str,
    /// Who besides brokers may reach the private port.
    pub operator: &'a OperatorPods,
    /// Pods wanted now; more than the spec's while brokers are drained.
    pub replicas: i32,
    /// The size in the claim template, if there is one already.
    pub claim_size: Option<&'a str>,
    /// Whether a broker may be evicted now.
    pub evictable: bool,
}

impl Build<'_> {
    /// The settings that brokers boot with and that restart them when they change.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let host = |id: NodeId| {
            let name = names::host(&self.cluster.name, &self.cluster.namespace, self.cluster_domain, id);
            (name, names::INTERNAL_PORT)
        };
        settings::fixed(self.cluster, self.cluster_id, &host)
    }

    /// The revision of the pod, which names that of the settings: whatever changes it restarts brokers.
    pub fn revision(&self) -> String {
        // How an image is pulled says nothing of the broker that runs, and it is the operator's default for all.
        let build = Build { image_pull_policy: None, ..self.clone() };
        let pod = serde_json::to_string(&pod::spec(&build)).expect("a pod's spec is JSON");
        let asked = self.cluster.rollout.restarted_at.as_deref().unwrap_or_default();
        crate::revision::revision([pod.as_str(), asked])
    }

    /// The ConfigMap that pods of this revision read.
    pub fn config_map_name(&self) -> String {
        let settings = settings::properties(&self.settings(), false);
        names::config_map(&self.cluster.name, &crate::revision::revision([settings.as_str()]))
    }

    /// Every object, in the order in which they are applied.
    pub fn objects(&self) -> Vec<Resource> {
        let mut objects = vec![
            Resource::ServiceAccount(Box::new(service_account::build(self))),
            Resource::ConfigMap(Box::new(config_map::build(self))),
            Resource::Service(Box::new(service::headless(self))),
            Resource::Service(Box::new(service::bootstrap(self))),
        ];
        let brokers = (0..self.replicas).map(NodeId);
        objects.extend(brokers.map(|id| Resource::Service(Box::new(service::broker(self, id)))));
        objects.push(Resource::NetworkPolicy(Box::new(network_policy::build(self))));
        objects.push(Resource::PodDisruptionBudget(Box::new(disruption_budget::build(self))));
        objects.push(Resource::StatefulSet(Box::new(stateful_set::build(self))));
        objects
    }

    /// The ConfigMaps that keep a plan of moves.
    pub fn kept_plan(&self, hash: &str, chunks: &[Vec<u8>]) -> Vec<Resource> {
        let maps = chunks.iter().enumerate().map(|(number, chunk)| {
            let map = plan::build(self, hash, plan::Chunk { number, count: chunks.len(), bytes: chunk });
            Resource::ConfigMap(Box::new(map))
        });
        maps.collect()
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.cluster.namespace.clone()),
            labels: Some(names::labels(&self.cluster.name)),
            owner_references: Some(vec![OwnerReference {
                api_version: "ottla.dev/v1alpha1".to_owned(),
                kind: "KafkaCluster".to_owned(),
                name: self.cluster.name.clone(),
                uid: self.cluster.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }
}

#[cfg(test)]
mod tests;
