//! Names, labels, ports and paths of everything that belongs to a cluster. Pure.
//!
//! Invariant: every name that must be a DNS label has at most 63 characters for cluster names of at most 40.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

/// The port between brokers.
pub const INTERNAL_PORT: u16 = 9091;
/// The port of health, metrics and restart safety.
pub const HTTP_PORT: u16 = 9404;
/// The name of the listener between brokers.
pub const INTERNAL_LISTENER: &str = "INTERNAL";
/// Where the settings and the pod's own facts are mounted.
pub const CONFIG_FOLDER: &str = "/etc/ottla";
/// Where the data is.
pub const DATA_FOLDER: &str = "/var/lib/ottla/data";
/// The file with the settings.
pub const SETTINGS_FILE: &str = "server.properties";
/// The file with the rack, below [`CONFIG_FOLDER`].
pub const RACK_FILE: &str = "pod/rack";

/// Names the cluster that an object belongs to.
pub const CLUSTER_LABEL: &str = "ottla.dev/cluster";
/// The revision of the settings that a pod runs with.
pub const REVISION_LABEL: &str = "ottla.dev/revision";
/// The rack of a pod, handed to its broker.
pub const RACK_ANNOTATION: &str = "ottla.dev/rack";
/// On a pod: asks for one restart of it.
pub const RESTART_ANNOTATION: &str = "ottla.dev/restart";
/// On a ConfigMap: the hash of the plan of moves of which it holds a chunk.
pub const PLAN_LABEL: &str = "ottla.dev/rebalance-plan";
/// In such a ConfigMap: the chunk itself.
pub const PLAN_CHUNK: &str = "chunk";
/// In such a ConfigMap: how many chunks there are.
pub const PLAN_COUNT: &str = "chunks";
/// On a claim: the id of the cluster whose data it holds.
pub const CLUSTER_ID_ANNOTATION: &str = "ottla.dev/cluster-id";
/// On a claim: the quorum of that cluster had formed, so that an empty disk never forms another.
pub const BOOTSTRAPPED_ANNOTATION: &str = "ottla.dev/bootstrapped";
/// On a claim: ids of the brokers that keep the metadata of that cluster, with commas.
pub const CONTROLLERS_ANNOTATION: &str = "ottla.dev/controllers";
/// On an object that somebody else made and a cluster needs: hands it over to the cluster of that name.
pub const ADOPT_ANNOTATION: &str = "ottla.dev/adopt";
/// On a KafkaTopic: the topic in Kafka is to be deleted before the object goes.
pub const TOPIC_FINALIZER: &str = "ottla.dev/topic";
/// By this label, which the StatefulSet's controller sets, a single pod is selected.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// The one field manager of the operator.
pub const FIELD_MANAGER: &str = "ottla-operator";

/// The StatefulSet; pods add their id.
pub fn brokers(cluster: &str) -> String {
    format!("{cluster}-broker")
}

/// The pod of a broker.
pub fn pod(cluster: &str, broker: NodeId) -> String {
    format!("{cluster}-broker-{broker}")
}

/// The broker of a pod, or of a claim, by the number at its end.
pub fn broker_of(name: &str) -> Option<NodeId> {
    let (_, ordinal) = name.rsplit_once('-')?;
    ordinal.parse().ok().and_then(NodeId::from_wire)
}

/// The claim of a broker.
pub fn claim(cluster: &str, broker: NodeId) -> String {
    format!("data-{}", pod(cluster, broker))
}

/// Kind and name of a claim, as they are told and looked up.
pub fn claim_label(claim: &str) -> String {
    format!("PersistentVolumeClaim {claim}")
}

/// The headless Service that gives pods their names.
pub fn headless(cluster: &str) -> String {
    format!("{cluster}-brokers")
}

/// The Service that clients connect to first.
pub fn bootstrap(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// The Service of one broker's own, named as its pod: clients keep its address while pods come and go.
pub fn broker_service(cluster: &str, broker: NodeId) -> String {
    pod(cluster, broker)
}

/// The ConfigMap with one revision of the settings.
///
/// Each revision has its own, so that a container that restarts by itself reads what its pod was made for.
pub fn config_map(cluster: &str, settings_revision: &str) -> String {
    format!("{cluster}-config-{settings_revision}")
}

/// The ConfigMap with one chunk of the plan of moves that was approved.
pub fn plan_chunk(cluster: &str, number: usize) -> String {
    format!("{cluster}-plan-{number}")
}

/// The number of a chunk, by the name of its ConfigMap.
pub fn chunk_of(name: &str) -> Option<usize> {
    name.rsplit_once("-plan-")?.1.parse().ok()
}

/// The host name of a broker within the Kubernetes cluster.
pub fn host(cluster: &str, namespace: &str, cluster_domain: &str, broker: NodeId) -> String {
    format!("{}.{}.{namespace}.svc.{cluster_domain}", pod(cluster, broker), headless(cluster))
}

/// The labels by which the brokers' pods are found; they never change.
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/component".to_owned(), "broker".to_owned()),
        (CLUSTER_LABEL.to_owned(), cluster.to_owned()),
    ])
}

/// The labels of every object of a cluster.
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    labels.insert("app.kubernetes.io/name".to_owned(), "ottla".to_owned());
    labels.insert("app.kubernetes.io/instance".to_owned(), cluster.to_owned());
    labels.insert("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
    labels
}

/// A selector as kubectl takes it.
pub fn selector_text(cluster: &str) -> String {
    let pairs: Vec<String> = selector(cluster).iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_are_dns_labels() {
        let cluster = "c".repeat(40);
        let revision_label = format!("{}-0123456789", brokers(&cluster));
        for name in [pod(&cluster, NodeId(999)), headless(&cluster), bootstrap(&cluster), revision_label] {
            assert!(name.len() <= 63, "{name}");
        }
    }

    #[test]
    fn pods_and_claims_tell_their_broker() {
        assert_eq!(broker_of(&pod("a-1", NodeId(12))), Some(NodeId(12)));
        assert_eq!(broker_of(&claim("a", NodeId(0))), Some(NodeId(0)));
        assert_eq!(broker_of("other"), None);
        assert_eq!(broker_of("a-x"), None);
    }
}
