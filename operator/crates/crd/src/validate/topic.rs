//! The checked form of KafkaTopic.

use std::collections::BTreeMap;

use ottla_broker_types::TopicName;

use super::Invalid;
use super::config::topic_config;
use crate::cluster::DeletionPolicy;
use crate::topic::KafkaTopic;

/// A KafkaTopic whose every value is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedTopic {
    /// Name of the object.
    pub object_name: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Uid of the object; empty where there is no API server.
    pub uid: String,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// Namespace of the cluster.
    pub cluster_namespace: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name in Kafka.
    pub topic: TopicName,
    /// Partitions; `None` leaves it to the brokers.
    pub partitions: Option<i32>,
    /// Copies; `None` leaves it to the brokers.
    pub replication_factor: Option<i16>,
    /// Settings.
    pub config: BTreeMap<String, String>,
    /// Settings that are accepted and change nothing, a sentence each.
    pub notes: Vec<String>,
    /// What becomes of the topic; `None` leaves it to the cluster.
    pub deletion_policy: Option<DeletionPolicy>,
}

impl ValidatedTopic {
    /// Checks a KafkaTopic; on failure all problems at once.
    pub fn new(object: &KafkaTopic) -> Result<ValidatedTopic, Vec<Invalid>> {
        let spec = &object.spec;
        let mut problems = Vec::new();
        let object_name = object.metadata.name.clone().unwrap_or_default();
        let namespace = object.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = TopicName::new(spec.topic_name.as_deref().unwrap_or(&object_name))
            .map_err(|error| problems.push(Invalid::new("spec.topicName", error.to_string())))
            .ok();
        if name.as_ref().is_some_and(|name| RESERVED.contains(&name.as_str())) {
            problems
                .push(Invalid::new("spec.topicName", "this name belongs to Kafka itself: choose another"));
        }
        if spec.partitions.is_some_and(|count| !(1..=100_000).contains(&count)) {
            problems.push(Invalid::new("spec.partitions", "give a number from 1 to 100000"));
        }
        let replication_factor = spec.replication_factor.and_then(|factor| i16::try_from(factor).ok());
        if spec.replication_factor.is_some_and(|factor| !(1..=32).contains(&factor)) {
            problems.push(Invalid::new("spec.replicationFactor", "give a number from 1 to 32"));
        }
        let (config, notes) = topic_config(&spec.config, &mut problems);
        let in_sync = config.get("min.insync.replicas").and_then(|value| value.trim().parse::<i16>().ok());
        if in_sync.zip(replication_factor).is_some_and(|(in_sync, copies)| in_sync > copies) {
            let problem =
                "min.insync.replicas exceeds replicationFactor, so no acks=all write could succeed: lower it";
            problems.push(Invalid::new("spec.config", problem));
        }
        let (Some(topic), true) = (name, problems.is_empty()) else { return Err(problems) };
        Ok(ValidatedTopic {
            object_name,
            cluster_namespace: spec.cluster_namespace.clone().unwrap_or_else(|| namespace.clone()),
            namespace,
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation,
            cluster: spec.cluster.clone(),
            topic,
            partitions: spec.partitions,
            replication_factor,
            config,
            notes,
            deletion_policy: spec.deletion_policy,
        })
    }
}

const RESERVED: [&str; 4] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];
