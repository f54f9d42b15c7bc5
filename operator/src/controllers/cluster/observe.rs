//! Gathers the facts: from the stores, from nodes, from brokers. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::{Observed, names};

use super::facts;
use crate::brokers;
use crate::controllers::context::Context;
use crate::stores::belongs;
use crate::workers::ClusterKey;

/// What one reconcile has observed, and whom it may ask more.
pub struct Observation {
    /// The facts.
    pub observed: Observed,
    /// Ready brokers and where they serve HTTP.
    pub ready: Vec<(NodeId, SocketAddr)>,
    /// The admin client.
    pub admin: Arc<AdminClient>,
}

/// Observes a cluster. `deleted` are uids of pods that this process has deleted: the stores may not know yet.
pub async fn observe(
    context: &Context,
    key: &ClusterKey,
    cluster: &ValidatedCluster,
    former: &KafkaClusterStatus,
    deleted: &BTreeSet<String>,
    now: TimestampMs,
) -> Observation {
    let stores = &context.stores;
    let set = stores.stateful_sets.find(|set| belongs(set, key)).map(|set| facts::stateful_set(&set));
    let mut pods = BTreeMap::new();
    let mut ready = vec![];
    for pod in stores.pods.state_filter(|pod| belongs(pod, key)) {
        let Some(id) = names::broker_of(&pod.name_any()) else { continue };
        let mut seen = facts::pod(&pod, rack(context, cluster, &pod).await, now);
        seen.terminating |= deleted.contains(&seen.uid);
        if seen.ready
            && !seen.terminating
            && let Some(address) = address(&pod)
        {
            ready.push((id, SocketAddr::new(address, names::HTTP_PORT)));
        }
        pods.insert(id, seen);
    }
    let claims = stores.claims.state_filter(|claim| belongs(claim, key));
    let claims =
        claims.iter().filter_map(|claim| Some((names::broker_of(&claim.name_any())?, facts::claim(claim))));
    let config_maps = stores.config_maps.state_filter(|map| belongs(map, key));
    let settings = config_maps.iter().filter(|map| !map.labels().contains_key(names::PLAN_LABEL));
    let services = stores.services.state_filter(|service| belongs(service, key));
    let running = set.as_ref().map_or(cluster.replicas, |set| set.replicas).max(cluster.replicas);
    let admin = context.admin(key, running).await;
    let kafka = brokers::observe::observe(&admin, cluster, former, &pods, running).await;
    Observation {
        observed: Observed {
            stateful_set: set,
            claims: claims.collect(),
            config_maps: settings.map(|map| map.name_any()).collect(),
            plan: facts::kept_plan(config_maps.iter().map(AsRef::as_ref)),
            services: services.iter().map(|service| service.name_any()).collect(),
            kafka,
            safety: BTreeMap::new(),
            pods,
        },
        ready,
        admin,
    }
}

/// The rack of a pod: its node's label, or the copy that Kubernetes puts on the pod by itself.
async fn rack(context: &Context, cluster: &ValidatedCluster, pod: &Pod) -> Option<String> {
    let label = cluster.rack_topology_key.as_deref()?;
    let copied = pod.labels().get(label).cloned();
    if copied.is_some() {
        return copied;
    }
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    context.node_label(node, label).await
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}
