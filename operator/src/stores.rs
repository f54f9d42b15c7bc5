//! What the API server holds, kept up to date by watches: reading it costs no call.
//!
//! Owns one watch per kind and namespace. Objects are found by the label of their cluster.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use ottla_operator_crd::{KafkaCluster, KafkaTopic};
use ottla_operator_planner::names;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::workers::{ClusterKey, Wakers};

/// Whom a change wakes.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// The workers of clusters.
    pub clusters: Arc<Wakers>,
    /// The workers of topics, one per cluster.
    pub topics: Arc<Wakers>,
}

/// The stores of one namespace, or of all.
#[derive(Clone)]
pub struct Stores {
    /// KafkaClusters.
    pub clusters: Store<KafkaCluster>,
    /// KafkaTopics.
    pub topics: Store<KafkaTopic>,
    /// Pods of clusters.
    pub pods: Store<Pod>,
    /// StatefulSets of clusters.
    pub stateful_sets: Store<StatefulSet>,
    /// Claims of clusters.
    pub claims: Store<PersistentVolumeClaim>,
    /// ConfigMaps of clusters.
    pub config_maps: Store<ConfigMap>,
    /// Services of clusters.
    pub services: Store<Service>,
    /// ServiceAccounts of clusters.
    pub service_accounts: Store<ServiceAccount>,
    /// NetworkPolicies of clusters.
    pub network_policies: Store<NetworkPolicy>,
    /// PodDisruptionBudgets of clusters.
    pub budgets: Store<PodDisruptionBudget>,
}

/// What the watches need.
struct Watches<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    tasks: &'a mut JoinSet<()>,
}

impl Stores {
    /// Starts the watches in `tasks`; each change wakes the workers of its cluster.
    pub fn start(client: &Client, namespace: Option<&str>, jobs: &Jobs, tasks: &mut JoinSet<()>) -> Stores {
        let mut watches = Watches { client, namespace, tasks };
        let (both, clusters, topics) = (
            vec![Arc::clone(&jobs.clusters), Arc::clone(&jobs.topics)],
            || vec![Arc::clone(&jobs.clusters)],
            vec![Arc::clone(&jobs.topics)],
        );
        Stores {
            clusters: watches.start("", own_key, both),
            topics: watches.start("", topic_key, topics),
            pods: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            stateful_sets: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            claims: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            config_maps: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            services: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            service_accounts: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            network_policies: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
            budgets: watches.start(names::CLUSTER_LABEL, labelled_key, clusters()),
        }
    }

    /// Waits until every store has seen all that there is.
    pub async fn ready(&self) -> anyhow::Result<()> {
        self.clusters.wait_until_ready().await?;
        self.topics.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.stateful_sets.wait_until_ready().await?;
        self.claims.wait_until_ready().await?;
        self.config_maps.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.service_accounts.wait_until_ready().await?;
        self.network_policies.wait_until_ready().await?;
        self.budgets.wait_until_ready().await?;
        Ok(())
    }

    /// The cluster of that key.
    pub fn cluster(&self, key: &ClusterKey) -> Option<Arc<KafkaCluster>> {
        self.clusters.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// The topics that name the cluster of that key.
    pub fn topics_of(&self, key: &ClusterKey) -> Vec<Arc<KafkaTopic>> {
        self.topics
            .state()
            .into_iter()
            .filter(|topic| topic_key(topic.as_ref()).as_ref() == Some(key))
            .collect()
    }
}

impl Watches<'_> {
    fn start<K>(&mut self, label: &str, key: fn(&K) -> Option<ClusterKey>, wake: Vec<Arc<Wakers>>) -> Store<K>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
        K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
    {
        let api: Api<K> = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let config = watcher::Config::default();
        let config = if label.is_empty() { config } else { config.labels(label) };
        let (store, writer) = reflector::store();
        self.tasks.spawn(async move {
            let watch = watcher(api, config).default_backoff();
            // Nobody reads who wrote which field, and it is half of an object's size.
            let stream =
                watch.modify(|object| object.managed_fields_mut().clear()).reflect(writer).touched_objects();
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event {
                    Ok(object) => wake.iter().for_each(|job| job.wake(key(&object))),
                    Err(error) => tracing::warn!(%error, "a watch failed and starts again"),
                }
            }
        });
        store
    }
}

/// A cluster wakes its own workers.
fn own_key(cluster: &KafkaCluster) -> Option<ClusterKey> {
    Some(ClusterKey { namespace: cluster.namespace()?, name: cluster.name_any() })
}

/// A topic wakes the workers of the cluster that it names.
pub fn topic_key(topic: &KafkaTopic) -> Option<ClusterKey> {
    let namespace = topic.spec.cluster_namespace.clone().or_else(|| topic.namespace())?;
    Some(ClusterKey { namespace, name: topic.spec.cluster.clone() })
}

/// Other objects name their cluster in a label.
pub fn labelled_key<K: Resource>(object: &K) -> Option<ClusterKey> {
    let name = object.meta().labels.as_ref()?.get(names::CLUSTER_LABEL)?.clone();
    Some(ClusterKey { namespace: object.meta().namespace.clone()?, name })
}

/// Whether an object belongs to the cluster of that key.
pub fn belongs<K: Resource>(object: &K, key: &ClusterKey) -> bool {
    labelled_key(object).as_ref() == Some(key)
}
