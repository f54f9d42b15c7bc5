//! Finding a setting by its name. No I/O; the maps are built once and never change.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{groups, log, node, replication, security, topic};
use crate::setting::Setting;

type ByName = BTreeMap<&'static str, &'static Setting>;

const BROKER_PARTS: &[&[Setting]] = &[
    node::NODE,
    node::QUORUM,
    node::OTTLA,
    log::LOG,
    log::REMOTE,
    replication::REPLICATION,
    groups::GROUPS,
    groups::SHARE,
    groups::TRANSACTIONS,
    security::SASL,
    security::SSL,
    security::AUTHORIZATION,
];

static TOPIC: LazyLock<ByName> = LazyLock::new(|| by_name(&[topic::TOPIC]));
static GROUP: LazyLock<ByName> = LazyLock::new(|| by_name(&[topic::GROUP]));
static QUOTA: LazyLock<ByName> = LazyLock::new(|| by_name(&[topic::QUOTA]));
static BROKER: LazyLock<ByName> = LazyLock::new(|| by_name(BROKER_PARTS));

fn by_name(parts: &[&'static [Setting]]) -> ByName {
    parts.iter().flat_map(|part| part.iter()).map(|setting| (setting.name, setting)).collect()
}

/// The topic setting of that name.
pub fn topic_setting(name: &str) -> Option<&'static Setting> {
    TOPIC.get(name).copied()
}

/// Every topic setting, by name.
pub fn topic_settings() -> impl Iterator<Item = &'static Setting> {
    TOPIC.values().copied()
}

/// The broker setting of that name.
pub fn broker_setting(name: &str) -> Option<&'static Setting> {
    BROKER.get(name).copied()
}

/// Every broker setting, by name.
pub fn broker_settings() -> impl Iterator<Item = &'static Setting> {
    BROKER.values().copied()
}

/// The group setting of that name (KIP-848, KIP-932, KIP-1071).
pub fn group_setting(name: &str) -> Option<&'static Setting> {
    GROUP.get(name).copied()
}

/// Every group setting, by name.
pub fn group_settings() -> impl Iterator<Item = &'static Setting> {
    GROUP.values().copied()
}

/// Every client quota, by name.
pub fn quota_settings() -> impl Iterator<Item = &'static Setting> {
    QUOTA.values().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::{Effect, Update};
    use crate::value::Value;

    fn everything() -> Vec<&'static Setting> {
        let topics = topic_settings().chain(group_settings()).chain(quota_settings());
        topics.chain(broker_settings()).collect()
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for setting in everything() {
            if let Some(default) = setting.default {
                assert_eq!(Value::parse(setting, default).err(), None, "{}", setting.name);
            }
        }
    }

    #[test]
    fn no_broker_setting_is_listed_twice() {
        let rows: usize = BROKER_PARTS.iter().map(|part| part.len()).sum();
        assert_eq!(rows, broker_settings().count());
        assert_eq!(topic::TOPIC.len(), topic_settings().count());
    }

    #[test]
    fn every_synonym_is_a_broker_setting() {
        for setting in everything() {
            for synonym in setting.synonyms {
                assert!(broker_setting(synonym).is_some(), "{} names {synonym}", setting.name);
            }
        }
    }

    #[test]
    fn every_sentence_is_one() {
        for setting in everything() {
            assert!(setting.about.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn every_setting_that_does_not_work_says_what_happens_instead() {
        for setting in everything() {
            let (text, advice) = match setting.effect {
                Effect::Works => continue,
                Effect::Inert { instead } => (instead, false),
                Effect::Refused { advice } => (advice, true),
            };
            assert!(!text.is_empty() && !text.ends_with('.'), "{}: {text:?}", setting.name);
            assert_eq!(text.contains(": drop it"), advice, "{}: {text}", setting.name);
        }
    }

    #[test]
    fn topic_defaults_equal_those_of_their_first_set_synonym() {
        for setting in topic_settings() {
            let synonym = setting.synonyms.iter().find_map(|name| broker_setting(name)?.default);
            let hours = setting.synonyms.iter().any(|name| name.ends_with(".hours"));
            if let (Some(synonym), false) = (synonym, hours) {
                assert_eq!(setting.default, Some(synonym), "{}", setting.name);
            }
        }
    }

    #[test]
    fn topic_and_broker_tables_do_not_mix_update_modes() {
        assert!(topic_settings().all(|setting| setting.update == Update::Topic));
        assert!(group_settings().all(|setting| setting.update == Update::Group));
        let broker = |update| matches!(update, Update::Static | Update::PerBroker | Update::ClusterWide);
        assert!(broker_settings().all(|setting| broker(setting.update)));
    }

    #[test]
    fn the_names_that_every_kafka_file_carries_are_known() {
        for name in [
            "process.roles",
            "node.id",
            "controller.quorum.bootstrap.servers",
            "listeners",
            "inter.broker.listener.name",
            "advertised.listeners",
            "controller.listener.names",
            "listener.security.protocol.map",
            "num.network.threads",
            "num.io.threads",
            "socket.send.buffer.bytes",
            "socket.receive.buffer.bytes",
            "socket.request.max.bytes",
            "log.dirs",
            "num.partitions",
            "num.recovery.threads.per.data.dir",
            "offsets.topic.replication.factor",
            "share.coordinator.state.topic.replication.factor",
            "share.coordinator.state.topic.min.isr",
            "transaction.state.log.replication.factor",
            "transaction.state.log.min.isr",
            "log.retention.hours",
            "log.segment.bytes",
            "log.retention.check.interval.ms",
        ] {
            assert!(broker_setting(name).is_some(), "{name}");
        }
    }
}
