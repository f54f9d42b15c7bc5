//! The spec of KafkaTopic.

#![expect(unreachable_pub, reason = "the derive of schemas with rules repeats the types in a private module")]

use std::collections::BTreeMap;

use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::rules;
use super::status::KafkaTopicStatus;
use crate::cluster::DeletionPolicy;
use crate::text::ScalarText;

/// A topic of a Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "ottla.dev",
    version = "v1alpha1",
    kind = "KafkaTopic",
    plural = "kafkatopics",
    shortname = "kt",
    namespaced,
    status = "KafkaTopicStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A topic of a Kafka cluster: its partitions, copies and settings, and how it does.",
    selectable = ".spec.cluster",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.cluster",
        description = "Cluster of the topic"
    ),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions",
        description = "Partitions that exist"
    ),
    printcolumn(
        name = "Copies",
        type_ = "integer",
        json_path = ".status.replicationFactor",
        description = "Copies of each partition"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the topic is as asked for"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "What is going on"
    ),
    printcolumn(
        name = "Underreplicated",
        type_ = "integer",
        json_path = ".status.underReplicatedPartitions",
        description = "Partitions that miss a copy",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What it does or waits for"
    ),
    validation = rules::NAME_SHORT,
    validation = rules::NAME_FIXED
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::CLUSTER_NAMESPACE_FIXED)]
pub struct KafkaTopicSpec {
    /// Name of the KafkaCluster.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::CLUSTER_WRITTEN, validation = rules::CLUSTER_FIXED)]
    pub cluster: String,
    /// Namespace of the KafkaCluster; the topic's own if not given. The cluster must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::CLUSTER_NAMESPACE_WRITTEN)]
    pub cluster_namespace: Option<String>,
    /// Name of the topic in Kafka; the object's name if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    #[x_kube(validation = rules::NAME_WRITTEN, validation = rules::NAME_FREE)]
    pub topic_name: Option<String>,
    /// Number of partitions; the brokers' num.partitions if not given. It can only be raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    #[x_kube(validation = rules::PARTITIONS_GROW)]
    pub partitions: Option<i32>,
    /// Copies of each partition; the brokers' default.replication.factor if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub replication_factor: Option<i32>,
    /// Topic settings by Kafka's own names. Settings that are not named here are left as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub config: BTreeMap<String, ScalarText>,
    /// What becomes of the topic when this object is deleted; the cluster's topics.deletionPolicy if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}
