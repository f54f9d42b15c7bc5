//! What Kubernetes says about pods that are not made or do not get ready. It changes nothing.
//!
//! Events are read only while something is awaited, for a few pods at a time: nobody watches all events of a namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_planner::facts::PodFacts;
use ottla_operator_planner::names;

use super::facts::newest_warning;
use crate::controllers::context::Context;
use crate::workers::ClusterKey;

/// A pod that gets ready within this needs no explanation.
const AWAITED_MS: i64 = 3_000;
/// Pods whose events are read in one reconcile: what ails many is the same as a rule.
const PODS_MAX: usize = 3;
/// Events of one object; the newest are kept by the API server for an hour.
const EVENTS_MAX: u32 = 100;

/// What troubles pods, and why others are not made, both by broker.
type Troubles = (BTreeMap<NodeId, String>, BTreeMap<NodeId, String>);

/// Asks for events about pods that are not ready and about those of `wanted` that are missing.
pub(super) async fn troubles(
    context: &Context,
    key: &ClusterKey,
    pods: &BTreeMap<NodeId, PodFacts>,
    wanted: i32,
    now: TimestampMs,
) -> Troubles {
    let api: Api<Event> = Api::namespaced(context.client.clone(), &key.namespace);
    let is_awaited = |pod: &&PodFacts| {
        let long = pod.since.is_some_and(|since| now.0 - since.0 > AWAITED_MS);
        !pod.ready && !pod.terminating && long && pod.stuck.is_none() && pod.trouble.is_none()
    };
    let mut troubles = BTreeMap::new();
    let awaited = pods.iter().filter(|(_, pod)| is_awaited(pod)).take(PODS_MAX);
    for (id, pod) in awaited {
        let events = warnings(&api, &format!("involvedObject.uid={}", pod.uid)).await;
        troubles.extend(newest_warning(&events, "").map(|trouble| (*id, trouble)));
    }
    let mut not_made = BTreeMap::new();
    let missing: Vec<NodeId> = (0..wanted).map(NodeId).filter(|id| !pods.contains_key(id)).collect();
    if !missing.is_empty() {
        let set = names::brokers(&key.name);
        let of_set = format!("involvedObject.kind=StatefulSet,involvedObject.name={set}");
        let events = warnings(&api, &of_set).await;
        not_made.extend(missing.into_iter().filter_map(|id| {
            Some((id, newest_warning(&events, &format!("Pod {} in StatefulSet", names::pod(&key.name, id)))?))
        }));
    }
    (troubles, not_made)
}

/// Warnings about an object; none where events cannot be read, since they are a courtesy.
async fn warnings(api: &Api<Event>, about: &str) -> Vec<Event> {
    let parameters = ListParams::default().fields(&format!("{about},type=Warning")).limit(EVENTS_MAX);
    match api.list(&parameters).await {
        Ok(list) => list.items,
        Err(error) => {
            tracing::debug!(%error, about, "events cannot be read");
            vec![]
        }
    }
}
