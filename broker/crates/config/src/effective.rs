//! Which value is in force, where it comes from, and what stands behind it. No I/O.
//!
//! Order of strength: dynamic topic > dynamic broker > dynamic default > static > default. Among the names of
//! one level the setting's own comes before its synonyms, in the table's order; a unit in a synonym's name
//! (`.hours`, `.minutes`) is converted for the value, not in the list of synonyms.

use std::collections::BTreeMap;

use crate::setting::{Setting, ValueType};
use crate::table::{broker_setting, broker_settings, topic_settings};

/// Settings by name, as texts.
pub type ConfigMap = BTreeMap<String, String>;

/// Where a value comes from, as DescribeConfigs counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on this broker while it ran.
    DynamicBroker,
    /// Set on all brokers while they ran.
    DynamicDefaultBroker,
    /// In the broker's file.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// Set on the group.
    Group,
}

impl ConfigSource {
    /// The code on the wire.
    pub const fn code(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
            ConfigSource::Group => 8,
        }
    }
}

/// What a broker knows besides the resource's own settings.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    /// Set on this broker while it ran.
    pub dynamic: &'a ConfigMap,
    /// Set on all brokers while they ran.
    pub dynamic_default: &'a ConfigMap,
    /// The broker's file and command line.
    pub statics: &'a ConfigMap,
}

/// One value behind a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The name under which it is set.
    pub name: &'static str,
    /// The value as set; `None` is null or hidden.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// A setting with the value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveConfig {
    /// The table's row.
    pub setting: &'static Setting,
    /// The value in force, in the setting's own unit; `None` is null or hidden.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// All values that are set, strongest first.
    pub synonyms: Vec<Synonym>,
}

/// One topic setting: `topic` holds what is set on the topic itself.
pub fn effective_topic(
    setting: &'static Setting,
    topic: &ConfigMap,
    broker: BrokerLayers<'_>,
) -> EffectiveConfig {
    let mut synonyms = Vec::new();
    push(&mut synonyms, setting.name, topic, ConfigSource::DynamicTopic);
    push_broker_levels(&mut synonyms, setting.synonyms, broker);
    effective(setting, synonyms)
}

/// One broker setting.
pub fn effective_broker(setting: &'static Setting, broker: BrokerLayers<'_>) -> EffectiveConfig {
    let mut names = vec![setting.name];
    names.extend(setting.synonyms);
    let mut synonyms = Vec::new();
    push_broker_levels(&mut synonyms, &names, broker);
    effective(setting, synonyms)
}

/// One group setting: `group` holds what is set on the group itself.
pub fn effective_group(
    setting: &'static Setting,
    group: &ConfigMap,
    broker: BrokerLayers<'_>,
) -> EffectiveConfig {
    let mut synonyms = Vec::new();
    push(&mut synonyms, setting.name, group, ConfigSource::Group);
    push_broker_levels(&mut synonyms, setting.synonyms, broker);
    effective(setting, synonyms)
}

/// Every topic setting that DescribeConfigs shows, by name.
pub fn describe_topic(topic: &ConfigMap, broker: BrokerLayers<'_>) -> Vec<EffectiveConfig> {
    let shown = topic_settings().filter(|setting| !setting.internal || topic.contains_key(setting.name));
    shown.map(|setting| effective_topic(setting, topic, broker)).collect()
}

/// Every broker setting that DescribeConfigs shows, by name.
pub fn describe_broker(broker: BrokerLayers<'_>) -> Vec<EffectiveConfig> {
    let shown = broker_settings().filter(|setting| !setting.internal);
    shown.map(|setting| effective_broker(setting, broker)).collect()
}

/// Every setting that can be set for all brokers and is: what DescribeConfigs shows for the empty broker name.
pub fn describe_broker_defaults(dynamic_default: &ConfigMap) -> Vec<EffectiveConfig> {
    let set = broker_settings().filter(|setting| dynamic_default.contains_key(setting.name));
    set.map(|setting| {
        let mut synonyms = Vec::new();
        push(&mut synonyms, setting.name, dynamic_default, ConfigSource::DynamicDefaultBroker);
        effective(setting, synonyms)
    })
    .collect()
}

fn push(synonyms: &mut Vec<Synonym>, name: &'static str, level: &ConfigMap, source: ConfigSource) {
    if let Some(value) = level.get(name) {
        synonyms.push(Synonym { name, value: Some(value.clone()), source });
    }
}

fn push_broker_levels(synonyms: &mut Vec<Synonym>, names: &[&'static str], broker: BrokerLayers<'_>) {
    let levels = [
        (broker.dynamic, ConfigSource::DynamicBroker),
        (broker.dynamic_default, ConfigSource::DynamicDefaultBroker),
        (broker.statics, ConfigSource::StaticBroker),
    ];
    for (level, source) in levels {
        for name in names {
            push(synonyms, name, level, source);
        }
    }
    for &name in names {
        if let Some(default) = broker_setting(name).and_then(|setting| setting.default) {
            synonyms.push(Synonym { name, value: Some(default.to_owned()), source: ConfigSource::Default });
        }
    }
}

fn effective(setting: &'static Setting, mut synonyms: Vec<Synonym>) -> EffectiveConfig {
    let (mut value, source) = match synonyms.first() {
        Some(first) => {
            let raw = first.value.as_deref().unwrap_or_default();
            (Some(in_own_unit(setting, first.name, raw)), first.source)
        }
        None => (setting.default.map(str::to_owned), ConfigSource::Default),
    };
    if setting.sensitive {
        value = None;
        synonyms.iter_mut().for_each(|synonym| synonym.value = None);
    }
    EffectiveConfig { setting, value, source, synonyms }
}

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 3_600_000;

/// Converts `raw`, set under `name`, to the unit of `setting`; negative markers stay -1.
fn in_own_unit(setting: &Setting, name: &str, raw: &str) -> String {
    let factor = |name: &str| match name.rsplit('.').next() {
        Some("hours") => MS_PER_HOUR,
        Some("minutes") => MS_PER_MINUTE,
        _ => 1,
    };
    let (from, to) = (factor(name), factor(setting.name));
    if from == to || !matches!(setting.value_type, ValueType::Long | ValueType::Int) {
        return raw.to_owned();
    }
    match raw.trim().parse::<i64>() {
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => (number.saturating_mul(from) / to).to_string(),
        Err(_) => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::topic_setting;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn retention(
        topic: &[(&str, &str)],
        dynamic: &[(&str, &str)],
        default: &[(&str, &str)],
        statics: &[(&str, &str)],
    ) -> EffectiveConfig {
        let (dynamic, dynamic_default, statics) = (map(dynamic), map(default), map(statics));
        let layers = BrokerLayers { dynamic: &dynamic, dynamic_default: &dynamic_default, statics: &statics };
        effective_topic(topic_setting("retention.ms").expect("a row"), &map(topic), layers)
    }

    #[test]
    fn levels_win_in_kafkas_order() {
        let (t, d, g, s) = (
            [("retention.ms", "1")],
            [("log.retention.ms", "2")],
            [("log.retention.ms", "3")],
            [("log.retention.ms", "4")],
        );
        let value = |e: EffectiveConfig| (e.value.expect("a value"), e.source);
        assert_eq!(value(retention(&t, &d, &g, &s)), ("1".into(), ConfigSource::DynamicTopic));
        assert_eq!(value(retention(&[], &d, &g, &s)), ("2".into(), ConfigSource::DynamicBroker));
        assert_eq!(value(retention(&[], &[], &g, &s)), ("3".into(), ConfigSource::DynamicDefaultBroker));
        assert_eq!(value(retention(&[], &[], &[], &s)), ("4".into(), ConfigSource::StaticBroker));
        assert_eq!(value(retention(&[], &[], &[], &[])), ("604800000".into(), ConfigSource::Default));
    }

    #[test]
    fn ms_wins_over_minutes_over_hours_and_units_are_converted() {
        let all = [("log.retention.ms", "5"), ("log.retention.minutes", "2"), ("log.retention.hours", "1")];
        let value = |statics: &[(&str, &str)]| retention(&[], &[], &[], statics).value.expect("a value");
        assert_eq!(value(&all), "5");
        assert_eq!(value(&all[1..]), "120000");
        assert_eq!(value(&all[2..]), "3600000");
        assert_eq!(value(&[("log.retention.hours", "-1")]), "-1");
    }

    #[test]
    fn synonyms_list_every_level_strongest_first() {
        let found = retention(&[("retention.ms", "1")], &[], &[], &[("log.retention.hours", "24")]);
        let listed: Vec<_> = found.synonyms.iter().map(|s| (s.name, s.value.as_deref(), s.source)).collect();
        assert_eq!(
            listed,
            [
                ("retention.ms", Some("1"), ConfigSource::DynamicTopic),
                ("log.retention.hours", Some("24"), ConfigSource::StaticBroker),
                ("log.retention.hours", Some("168"), ConfigSource::Default),
            ]
        );
    }

    #[test]
    fn secrets_are_described_without_their_value() {
        let statics = map(&[("ssl.key.password", "hunter2")]);
        let none = ConfigMap::new();
        let layers = BrokerLayers { dynamic: &none, dynamic_default: &none, statics: &statics };
        let all = describe_broker(layers);
        assert!(!format!("{all:?}").contains("hunter2"));
        let entry = all.iter().find(|e| e.setting.name == "ssl.key.password").expect("described");
        assert_eq!((entry.value.as_deref(), entry.source), (None, ConfigSource::StaticBroker));
    }

    #[test]
    fn internal_settings_are_described_only_where_set() {
        let none = ConfigMap::new();
        let layers = BrokerLayers { dynamic: &none, dynamic_default: &none, statics: &none };
        let has = |topic: &ConfigMap| {
            describe_topic(topic, layers).iter().any(|e| e.setting.name == "internal.segment.bytes")
        };
        assert!(!has(&none));
        assert!(has(&map(&[("internal.segment.bytes", "1024")])));
    }
}
