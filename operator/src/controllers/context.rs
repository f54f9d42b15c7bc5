//! What every controller needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::{Resource, ResourceExt};
use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};
use ottla_operator_planner::{Defaults, Event, names};
use tokio::sync::Mutex;

use super::events::Publisher;
use crate::clock;
use crate::metrics::Metrics;
use crate::stores::Stores;
use crate::workers::ClusterKey;

/// A broker that takes longer to answer one admin call is treated as one that does not.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the zone of a node is believed: nodes hardly ever move.
const NODE_TTL_MS: i64 = 10 * 60 * 1000;
/// How long it is believed that a node has no such label, or cannot be read: status asks people to mend that, and
/// without the right to read nodes it never ends.
const NODE_MISSING_TTL_MS: i64 = 60 * 1000;

/// What every controller needs.
pub struct Context {
    /// The client of the API server.
    pub client: Client,
    /// What the API server holds.
    pub stores: Stores,
    /// What the operator was started with.
    pub defaults: Defaults,
    /// Counters.
    pub metrics: Arc<Metrics>,
    publisher: Publisher,
    admins: Mutex<Admins>,
    nodes: Mutex<BTreeMap<String, NodeLabels>>,
}

/// Admin clients by cluster and addresses.
type Admins = BTreeMap<(ClusterKey, Vec<Endpoint>), Arc<AdminClient>>;

struct NodeLabels {
    labels: Option<BTreeMap<String, String>>,
    read: TimestampMs,
}

impl Context {
    /// A context over `stores`; events are signed as `instance`.
    pub fn new(
        client: Client,
        stores: Stores,
        defaults: Defaults,
        metrics: Arc<Metrics>,
        instance: String,
    ) -> Context {
        let (admins, nodes) = (Mutex::default(), Mutex::default());
        let publisher = Publisher::new(client.clone(), instance);
        Context { client, stores, defaults, metrics, publisher, admins, nodes }
    }

    /// The admin client of a cluster; it is kept as long as the addresses stay the same.
    ///
    /// It speaks to the listener between brokers: those for clients change with the manifest, and then brokers of
    /// two kinds must be asked until all have restarted.
    pub async fn admin(&self, key: &ClusterKey, brokers: i32) -> Arc<AdminClient> {
        let endpoints: Vec<Endpoint> = (0..brokers)
            .map(|id| {
                let domain = &self.defaults.cluster_domain;
                let host = names::host(&key.name, &key.namespace, domain, NodeId(id));
                Endpoint { host, port: names::INTERNAL_PORT }
            })
            .collect();
        let mut admins = self.admins.lock().await;
        let wanted = (key.clone(), endpoints.clone());
        // Clients of the same cluster with other addresses are done with.
        admins.retain(|known, _| known.0 != *key || *known == wanted);
        let make = || Arc::new(AdminClient::new(endpoints, ADMIN_TIMEOUT));
        Arc::clone(admins.entry(wanted).or_insert_with(make))
    }

    /// A label of a node; `None` if it has none, or if nodes cannot be read.
    pub async fn node_label(&self, node: &str, label: &str) -> Option<String> {
        let mut nodes = self.nodes.lock().await;
        let now = clock::now();
        let fresh = nodes.get(node).is_some_and(|known| {
            let found = known.labels.as_ref().is_some_and(|labels| labels.contains_key(label));
            let ttl = if found { NODE_TTL_MS } else { NODE_MISSING_TTL_MS };
            now.0 - known.read.0 < ttl
        });
        if !fresh {
            let api: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(self.client.clone());
            let labels = match api.get_metadata(node).await {
                Ok(node) => Some(node.labels().clone()),
                Err(error) => {
                    tracing::debug!(node, %error, "the node cannot be read");
                    None
                }
            };
            nodes.insert(node.to_owned(), NodeLabels { labels, read: now });
        }
        nodes.get(node)?.labels.as_ref()?.get(label).cloned()
    }

    /// Publishes an event; a failure is logged, since events are a courtesy.
    pub async fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, event: &Event) {
        self.publisher.publish(&object.object_ref(&()), event).await;
    }
}
