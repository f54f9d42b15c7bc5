//! Gathers the facts: from the stores, from nodes, from brokers. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Resource, ResourceExt};
use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::{Observed, names, ownership};

use super::{events, facts};
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
    let set = stores.stateful_sets.find(|set| belongs(set, key) && is_owned(set, cluster));
    let set = set.map(|set| facts::stateful_set(&set));
    let mut pods = BTreeMap::new();
    let mut ready = vec![];
    for pod in stores.pods.state_filter(|pod| belongs(pod, key)) {
        if !ownership::is_broker(&facts::marks(pod.as_ref()), &cluster.name) {
            continue;
        }
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
    let claims = claims.iter().filter_map(|claim| {
        let id = names::broker_of(&claim.name_any())?;
        let is_ours = claim.name_any() == names::claim(&cluster.name, id) && is_marked(claim, former);
        is_ours.then(|| (id, facts::claim(claim)))
    });
    let wanted = set.as_ref().map_or(0, |set| set.replicas).min(cluster.replicas);
    let (troubles, not_made) = events::troubles(context, key, &pods, wanted, now).await;
    for (id, trouble) in troubles {
        if let Some(pod) = pods.get_mut(&id) {
            pod.trouble.get_or_insert(trouble);
        }
    }
    let config_maps = stores.config_maps.state_filter(|map| belongs(map, key) && is_owned(map, cluster));
    let settings = config_maps.iter().filter(|map| !map.labels().contains_key(names::PLAN_LABEL));
    let services =
        stores.services.state_filter(|service| belongs(service, key) && is_owned(service, cluster));
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
            not_made,
            others: BTreeMap::new(),
            growth_refused: BTreeMap::new(),
            kafka,
            safety: BTreeMap::new(),
            pods,
        },
        ready,
        admin,
    }
}

/// Whether an object goes with the cluster: what does not is not the operator's to look after.
fn is_owned<K: Resource>(object: &K, cluster: &ValidatedCluster) -> bool {
    ownership::is_owned_by(&facts::marks(object), &cluster.uid)
}

/// Whether a claim holds data of the cluster; before the cluster has its id, of any.
fn is_marked(claim: &PersistentVolumeClaim, former: &KafkaClusterStatus) -> bool {
    let id = facts::marks(claim).cluster_id;
    id.is_some() && (former.cluster_id.is_none() || id == former.cluster_id)
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
