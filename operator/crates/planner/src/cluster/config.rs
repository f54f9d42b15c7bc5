//! Dynamic settings of all brokers together. Settings that somebody else made are left as they are.

use std::collections::BTreeSet;

use super::Input;
use crate::action::KafkaAction;

/// What is to be changed, and whether everything is as it should be.
pub(super) fn step(input: &Input<'_>) -> (Option<KafkaAction>, bool) {
    let Some(current) = input.observed.kafka().and_then(|kafka| kafka.dynamic_config.as_ref()) else {
        return (None, false);
    };
    let wanted = &input.cluster.config_dynamic;
    let set: std::collections::BTreeMap<String, String> = wanted
        .iter()
        .filter(|(name, value)| current.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mine = &input.former.managed_config;
    let delete: BTreeSet<String> = mine
        .iter()
        .filter(|name| !wanted.contains_key(*name) && current.contains_key(*name))
        .cloned()
        .collect();
    if set.is_empty() && delete.is_empty() {
        return (None, true);
    }
    (Some(KafkaAction::AlterConfig { set, delete }), false)
}

/// The settings to remember as this object's own: those asked for, and those still to be taken back.
pub(super) fn managed(input: &Input<'_>) -> Vec<String> {
    let mut names: BTreeSet<String> = input.cluster.config_dynamic.keys().cloned().collect();
    let current = input.observed.kafka().and_then(|kafka| kafka.dynamic_config.as_ref());
    let still_set = |name: &String| current.is_none_or(|current| current.contains_key(name));
    names.extend(input.former.managed_config.iter().filter(|name| still_set(name)).cloned());
    names.into_iter().collect()
}
