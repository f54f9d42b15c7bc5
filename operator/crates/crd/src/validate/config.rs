//! Checks of broker and topic settings against the broker's own table.

use std::collections::BTreeMap;

use ottla_broker_config::{
    ConfigError, Update, Value, known_broker, known_topic, owned_by_operator, validate_broker,
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
                problems.push(refused(&error));
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
            Err(error) => problems.push(refused(&error)),
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
