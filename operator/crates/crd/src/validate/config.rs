//! Checks of broker and topic settings against the broker's own table.

use std::collections::BTreeMap;

use ottla_broker_config::{
    ConfigError, Update, Value, known_broker, known_topic, owned_by_operator, validate_broker, validate_topic,
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
                problems.push(refused(&error));
                continue;
            }
        };
        let dynamic = known_broker(name).is_ok_and(|setting| setting.update == Update::ClusterWide);
        let layer = if dynamic { &mut split.dynamic } else { &mut split.fixed };
        layer.insert(name.clone(), written(&checked));
    }
    split
}

/// Checks topic settings.
pub(super) fn topic_config(
    config: &BTreeMap<String, ScalarText>,
    problems: &mut Vec<Invalid>,
) -> BTreeMap<String, String> {
    let mut checked = BTreeMap::new();
    for (name, value) in config {
        match known_topic(name).and_then(|_| validate_topic(name, value.as_str())) {
            Ok(value) => {
                checked.insert(name.clone(), written(&value));
            }
            Err(error) => problems.push(refused(&error)),
        }
    }
    checked
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
