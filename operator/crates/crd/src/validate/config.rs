//! Checks of broker and topic settings against the broker's own table.

use std::collections::BTreeMap;

use ottla_broker_config::{
    ConfigError, Update, Value, broker_setting, known_broker, known_topic, owned_by_operator, topic_setting,
    topic_settings, validate_broker,
};

use super::Invalid;
use crate::text::ScalarText;

/// Feature levels that this operator can run, oldest first; the last is the default.
pub const SUPPORTED_VERSIONS: &[&str] = &["0.1"];

/// A cluster's settings, split by how a change reaches the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SplitConfig {
    /// Read at boot: a change restarts brokers.
    pub(super) fixed: BTreeMap<String, String>,
    /// Changed through the admin API.
    pub(super) dynamic: BTreeMap<String, String>,
    /// What is accepted and changes nothing, a sentence each.
    pub(super) notes: Vec<String>,
}

const FIELD: &str = "spec.config";

/// Checks broker settings.
pub(super) fn broker_config(
    config: &BTreeMap<String, ScalarText>,
    problems: &mut Vec<Invalid>,
) -> SplitConfig {
    let mut split = SplitConfig::default();
    for (name, value) in config {
        if owned_by_operator(name) {
            problems.push(Invalid::new(FIELD, format!("{name} is set by the operator: drop it")));
            continue;
        }
        let checked = match validate_broker(name, value.as_str()) {
            Ok(checked) => checked,
            Err(error) => {
                problems.push(misplaced_broker(name, &error).unwrap_or_else(|| refused(&error)));
                continue;
            }
        };
        let setting = known_broker(name).ok();
        split.notes.extend(setting.and_then(|setting| checked.note(setting)));
        let dynamic = setting.is_some_and(|setting| setting.update == Update::ClusterWide);
        let layer = if dynamic { &mut split.dynamic } else { &mut split.fixed };
        layer.insert(name.clone(), written(&checked));
    }
    split
}

/// Checks topic settings; the second is what is accepted and changes nothing, a sentence each.
pub(super) fn topic_config(
    config: &BTreeMap<String, ScalarText>,
    problems: &mut Vec<Invalid>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut checked, mut notes) = (BTreeMap::new(), Vec::new());
    for (name, value) in config {
        let setting = known_topic(name);
        match setting.and_then(|setting| Ok((setting, Value::parse(setting, value.as_str())?))) {
            Ok((setting, value)) => {
                notes.extend(value.note(setting));
                checked.insert(name.clone(), written(&value));
            }
            Err(error) => {
                problems.push(misplaced_topic(name, &error).unwrap_or_else(|| refused(&error)));
            }
        }
    }
    (checked, notes)
}

/// The value as brokers tell it: `TRUE` and `true` are one, and neither restarts a broker that has the other.
fn written(value: &Value) -> String {
    match value {
        Value::Secret(text) => text.clone(),
        value => value.to_string(),
    }
}

fn refused(error: &ConfigError) -> Invalid {
    Invalid::new(FIELD, error.to_string())
}

/// Where a key belongs that is no setting of brokers; `None` if nobody knows it.
fn misplaced_broker(name: &str, error: &ConfigError) -> Option<Invalid> {
    if name.starts_with("zookeeper.") {
        let problem = format!(
            "{name} is of no use, there is no ZooKeeper: drop it; brokers that keep the metadata are chosen by spec.controllers"
        );
        return Some(Invalid::new(FIELD, problem));
    }
    if !matches!(error, ConfigError::Unknown { .. }) {
        return None;
    }
    if let Some(topic) = topic_setting(name) {
        let default =
            topic.synonyms.first().map(|all| format!(", or as a default of all topics as {all} here"));
        let problem = format!(
            "{name} is a setting of topics: give it in spec.config of a KafkaTopic{}",
            default.unwrap_or_default()
        );
        return Some(Invalid::new(FIELD, problem));
    }
    misplaced(name).map(|problem| Invalid::new(FIELD, problem))
}

/// Where a key belongs that is no setting of topics; `None` if nobody knows it.
fn misplaced_topic(name: &str, error: &ConfigError) -> Option<Invalid> {
    if !matches!(error, ConfigError::Unknown { .. }) {
        return None;
    }
    let of_topics = topic_settings().find(|topic| topic.synonyms.contains(&name));
    let problem = match of_topics {
        Some(topic) if topic.synonyms.first() == Some(&name) => {
            format!("{name} is a setting of brokers: of a topic it is {}", topic.name)
        }
        Some(topic) => {
            format!("{name} is a setting of brokers: of a topic it is {}, in another unit", topic.name)
        }
        None if broker_setting(name).is_some() && owned_by_operator(name) => {
            format!("{name} is a setting of brokers, which the operator sets: drop it")
        }
        None if broker_setting(name).is_some() => {
            format!("{name} is a setting of brokers: give it in spec.config of the KafkaCluster")
        }
        None => misplaced(name)?,
    };
    Some(Invalid::new(FIELD, problem))
}

/// Keys that people bring along from clients, other products and container images.
fn misplaced(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("KAFKA_") {
        let key = rest.to_ascii_lowercase().replace('_', ".");
        return Some(format!("{name} is the name of an environment variable: write {key}"));
    }
    if CLIENT_KEYS.contains(&name) {
        return Some(format!("{name} is a setting of clients: give it to the producer or the consumer"));
    }
    let (_, product) = PRODUCTS.into_iter().find(|(prefix, _)| name.starts_with(prefix))?;
    Some(format!("{name} is a setting of {product}, not of Kafka: drop it"))
}

/// Settings of Kafka's clients that are none of brokers or topics.
const CLIENT_KEYS: [&str; 20] = [
    "acks",
    "auto.offset.reset",
    "batch.size",
    "bootstrap.servers",
    "buffer.memory",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.idempotence",
    "group.id",
    "group.protocol",
    "key.deserializer",
    "key.serializer",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "max.poll.records",
    "partition.assignment.strategy",
    "value.deserializer",
    "value.serializer",
];

/// How keys of other products begin.
const PRODUCTS: [(&str, &str); 6] = [
    ("confluent.", "Confluent's platform"),
    ("cruise.control.", "Cruise Control"),
    ("redpanda.", "Redpanda"),
    ("strimzi.", "Strimzi"),
    ("kafka.rest.", "the REST proxy"),
    ("schema.registry.", "the schema registry"),
];
