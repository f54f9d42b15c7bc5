//! The spec of KafkaCluster.

#![expect(unreachable_pub, reason = "the derive of schemas with rules repeats the types in a private module")]

use std::collections::BTreeMap;

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rebalance_mode::RebalanceMode;
use super::rules;
use super::status::KafkaClusterStatus;
use super::template::{ResourcesSpec, TemplateSpec};
use crate::text::ScalarText;

/// A Kafka cluster: how many brokers, on what disks, with which settings.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "ottla.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    plural = "kafkaclusters",
    shortname = "kc",
    namespaced,
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Kafka cluster run by Ottla: its brokers, their disks and settings, and what is going on with them.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Brokers",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "Brokers asked for"
    ),
    printcolumn(
        name = "Serving",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Brokers that serve clients"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the cluster is as asked for"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "What is going on"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What it does or waits for"
    ),
    printcolumn(
        name = "Bootstrap",
        type_ = "string",
        json_path = ".status.bootstrapServers",
        description = "Where clients connect",
        priority = 1
    ),
    validation = rules::NAME_SHORT,
    validation = rules::NAME_LABEL,
    validation = rules::REPLICAS_KEEP_CONTROLLERS,
    validation = rules::CONTROLLERS_FIXED,
    validation = rules::CLASS_FIXED,
    validation = rules::SIZE_KEPT
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::CONTROLLERS_FIT)]
pub struct KafkaClusterSpec {
    /// Number of brokers. Raising it moves replicas onto the new brokers; lowering it moves them off first.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 999))]
    pub replicas: i32,
    /// How many of the brokers, those with the lowest ids, keep the metadata as controllers: 1, 3 or 5.
    /// If not given: 3, or 1 below three brokers. Fixed once the cluster runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [1, 3, 5]))]
    pub controllers: Option<i32>,
    /// Feature level of the cluster; the newest of the image if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = rules::VERSION_WRITTEN)]
    pub version: Option<String>,
    /// Image of the brokers. If not given: the operator's default, kept from when the cluster first serves, so that an
    /// upgrade of the operator restarts no broker. A change restarts them one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = rules::IMAGE_WRITTEN)]
    pub image: Option<String>,
    /// The disk of each broker.
    pub storage: StorageSpec,
    /// CPU and memory of each broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// Broker settings by Kafka's own names. Dynamic ones are applied at once, others restart brokers one by one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    #[x_kube(
        validation = rules::CONFIG_LISTENERS,
        validation = rules::CONFIG_IDENTITY,
        validation = rules::CONFIG_QUORUM,
        validation = rules::CONFIG_FOLDERS,
        validation = rules::CONFIG_SECURITY,
        validation = rules::CONFIG_OTTLA
    )]
    pub config: BTreeMap<String, ScalarText>,
    /// Where clients connect; one listener named plaintext on port 9092 if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    #[x_kube(validation = rules::PORTS_UNIQUE)]
    pub listeners: Vec<ListenerSpec>,
    /// Spreads the replicas of each partition over zones or whatever the nodes' label names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackSpec>,
    /// How replicas move when brokers come and go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceSpec>,
    /// How restarts are carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
    /// Which KafkaTopics this cluster takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<ClusterTopicsSpec>,
    /// Settings of the brokers' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateSpec>,
}

fn default_replicas() -> i32 {
    3
}

/// The disk of each broker.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::SIZE_USABLE)]
pub struct StorageSpec {
    /// Size of each broker's volume, such as 100Gi. It can be raised while brokers run, and lowered to
    /// what the volumes have.
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(validation = rules::SIZE_WRITTEN)]
    pub size: String,
    /// StorageClass of the volumes; the cluster's default class if not given. Fixed once brokers hold data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rules::CLASS_WRITTEN)]
    pub class: Option<String>,
    /// What becomes of a volume when its broker or the cluster is removed; Retain if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Whether data outlives the object that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Data is kept.
    Retain,
    /// Data is deleted along.
    Delete,
}

/// A listener for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::PORT_FREE, validation = rules::LISTENER_NAME_FREE)]
pub struct ListenerSpec {
    /// Name of the listener; in upper case it is the name that Kafka's settings use.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = rules::LISTENER_NAME_WRITTEN)]
    pub name: String,
    /// Port of the brokers and of the bootstrap service.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
}

/// Where a broker stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RackSpec {
    /// Label of the nodes that names the rack, as a rule topology.kubernetes.io/zone.
    #[schemars(length(min = 1, max = 316))]
    #[x_kube(validation = rules::TOPOLOGY_KEY_WRITTEN)]
    pub topology_key: String,
}

/// How replicas move when brokers come and go.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceSpec {
    /// Auto (if not given): at once. Manual: a plan is made and shown, and carried out once the annotation
    /// ottla.dev/approve-rebalance has its hash (status.rebalance.planHash). Off: no plan. Drains always run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RebalanceMode>,
    /// Bytes per second that each broker may copy, such as 50Mi, or auto (if not given). Not in effect yet: five
    /// copies run at once per broker, at full speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = rules::THROTTLE)]
    pub throttle: Option<ScalarText>,
    /// Limits on what a plan may move; drains ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
}

/// Limits on what a plan may move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// Replicas that one plan may move at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub moves: Option<i64>,
}

/// How restarts are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// While true, no broker is restarted and no replica is moved; topics and status go on.
    #[serde(default)]
    pub paused: bool,
    /// Any text; a new one restarts all brokers one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub restarted_at: Option<String>,
}

/// Which KafkaTopics a cluster takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTopicsSpec {
    /// Namespaces beside the cluster's own whose KafkaTopics are taken; "*" stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = rules::NAMESPACES_WRITTEN)]
    pub allowed_namespaces: Vec<String>,
    /// What becomes of a topic when its KafkaTopic is deleted and does not say itself; Delete if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}
