//! IncrementalAlterConfigs and AlterConfigs (KIP-339). No I/O.

use std::collections::BTreeSet;

use ottla_broker_config::{
    ConfigError, ConfigMap, Setting, TopicConfig, Update, Value, ValueType, effective_broker,
    effective_topic, known_broker, known_group, known_topic, split_list,
};
use ottla_broker_types::NodeId;

use super::batches::count_by;
use super::decision::{Context, Decision};
use crate::image::Topic;
use crate::record::{ConfigResource, PartitionChange, Record};

/// What to do with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Give it this value.
    Set,
    /// Unset it.
    Delete,
    /// Add these to its list.
    Append,
    /// Take these off its list.
    Subtract,
}

/// One setting's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// The setting.
    pub name: String,
    /// What to do.
    pub op: ConfigOp,
    /// The value; ignored by [`ConfigOp::Delete`].
    pub value: Option<String>,
}

/// Changes of one resource: all or none.
pub type IncrementalAlteration = (ConfigResource, Vec<ConfigAlteration>);
/// The settings that a resource shall have, and no others.
pub type FullAlteration = (ConfigResource, ConfigMap);

/// Why a topic cannot have its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    /// One of them cannot be.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// Records would have to be compacted before they may be.
    #[error("min.compaction.lag.ms is above max.compaction.lag.ms: lower it or raise the other")]
    CompactionLags,
}

/// Why nothing of a resource's settings is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterConfigError {
    /// Nobody can say which of the two is meant.
    #[error("the resource is named twice")]
    ResourceTwice,
    /// Nobody can say which of the two is meant.
    #[error("{name} is named twice")]
    SettingTwice {
        /// The setting.
        name: String,
    },
    /// No topic has the name.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name as asked.
        name: String,
    },
    /// No broker has the id.
    #[error("broker {broker} is not registered")]
    UnknownBroker {
        /// The id as asked.
        broker: NodeId,
    },
    /// A group needs a name.
    #[error("the resource has no name")]
    Unnamed,
    /// Ottla keeps no subscriptions to clients' metrics (KIP-714).
    #[error("client metrics are not served")]
    ClientMetrics,
    /// A setting is named without a value.
    #[error("{name} has no value: give one, or use DELETE")]
    ConfigWithoutValue {
        /// The setting.
        name: String,
    },
    /// No such setting, or it cannot be changed like this, or not to this value.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// A broker's setting, which may be changed, cannot have this value.
    #[error(transparent)]
    BrokerValue(ConfigError),
    /// The settings of a topic do not go together.
    #[error(transparent)]
    Topic(TopicConfigError),
    /// Brokers that disagreed on it would disagree on who is eligible (KIP-966).
    #[error("min.insync.replicas can only be set for all brokers or for a topic")]
    MinInsyncReplicasOfOneBroker,
}

impl From<TopicConfigError> for AlterConfigError {
    fn from(error: TopicConfigError) -> AlterConfigError {
        match error {
            TopicConfigError::Setting(error) => AlterConfigError::Setting(error),
            TopicConfigError::CompactionLags => AlterConfigError::Topic(error),
        }
    }
}

/// What came of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigResult {
    /// As asked; it may not exist.
    pub resource: ConfigResource,
    /// Done, or why nothing of it was.
    pub outcome: Result<(), AlterConfigError>,
}

/// Changes single settings; each resource stands for itself. With `validate_only` nothing is proposed.
pub fn incremental_alter_configs(
    context: Context<'_>,
    alterations: &[IncrementalAlteration],
    validate_only: bool,
) -> Decision<Vec<ConfigResult>> {
    let wanted = |(resource, changes): &IncrementalAlteration| {
        (resource.clone(), apply_changes(context, resource, changes))
    };
    decide(context, alterations.iter().map(wanted), validate_only)
}

/// Replaces all settings; each resource stands for itself. With `validate_only` nothing is proposed.
pub fn alter_configs(
    context: Context<'_>,
    alterations: &[FullAlteration],
    validate_only: bool,
) -> Decision<Vec<ConfigResult>> {
    let wanted = |(resource, settings): &FullAlteration| (resource.clone(), Ok(settings.clone()));
    decide(context, alterations.iter().map(wanted), validate_only)
}

/// Checks a topic's settings: those that are `new` by themselves, all against each other. What an earlier release took
/// must not stand in the way of other changes.
pub(crate) fn check_topic_configs<'a>(
    context: Context<'_>,
    configs: &ConfigMap,
    new: impl IntoIterator<Item = &'a String>,
) -> Result<(), TopicConfigError> {
    for name in new {
        let Some(value) = configs.get(name) else { continue };
        known_topic(name).and_then(|setting| Value::parse(setting, value))?;
    }
    let layers = context.image.cluster_layers(&context.config.statics);
    let config = TopicConfig::resolve(configs, layers);
    if config.max_compaction_lag_ms.is_some_and(|max| config.min_compaction_lag_ms > max) {
        return Err(TopicConfigError::CompactionLags);
    }
    Ok(())
}

fn decide(
    context: Context<'_>,
    wanted: impl Iterator<Item = (ConfigResource, Result<ConfigMap, AlterConfigError>)>,
    validate_only: bool,
) -> Decision<Vec<ConfigResult>> {
    let wanted: Vec<_> = wanted.collect();
    let mut decision = Decision::reply(Vec::new());
    let named = count_by(wanted.iter().map(|(resource, _)| resource));
    let mut answered = BTreeSet::new();
    for (resource, target) in &wanted {
        if !answered.insert(resource) {
            continue;
        }
        let outcome = if named[resource] > 1 {
            Err(AlterConfigError::ResourceTwice)
        } else {
            target.clone().and_then(|target| replace(context, resource, &target))
        };
        let outcome = outcome.map(|records| decision.records.extend(records));
        decision.reply.push(ConfigResult { resource: resource.clone(), outcome });
    }
    if validate_only {
        decision.records.clear();
    }
    decision
}

fn known(resource: &ConfigResource, name: &str) -> Result<&'static Setting, AlterConfigError> {
    Ok(match resource {
        ConfigResource::Topic(_) => known_topic(name)?,
        ConfigResource::Broker(_) => known_broker(name)?,
        ConfigResource::Group(_) => known_group(name)?,
        ConfigResource::ClientMetrics(_) => return Err(AlterConfigError::ClientMetrics),
    })
}

/// The resource's settings after the changes, not yet checked.
fn apply_changes(
    context: Context<'_>,
    resource: &ConfigResource,
    changes: &[ConfigAlteration],
) -> Result<ConfigMap, AlterConfigError> {
    let mut target = context.image.config(resource).clone();
    let mut seen = BTreeSet::new();
    for change in changes {
        if !seen.insert(change.name.as_str()) {
            return Err(AlterConfigError::SettingTwice { name: change.name.clone() });
        }
        if change.op == ConfigOp::Delete {
            // A setting that an older release knew can still be unset.
            if !target.contains_key(&change.name) {
                known(resource, &change.name)?;
            }
            target.remove(&change.name);
            continue;
        }
        let setting = known(resource, &change.name)?;
        let Some(value) = change.value.as_deref() else {
            return Err(AlterConfigError::ConfigWithoutValue { name: change.name.clone() });
        };
        let value = match change.op {
            ConfigOp::Append | ConfigOp::Subtract => edit_list(context, resource, setting, change.op, value)?,
            ConfigOp::Set | ConfigOp::Delete => value.to_owned(),
        };
        target.insert(change.name.clone(), value);
    }
    Ok(target)
}

/// Adds to or takes from the list that is in force.
fn edit_list(
    context: Context<'_>,
    resource: &ConfigResource,
    setting: &'static Setting,
    op: ConfigOp,
    value: &str,
) -> Result<String, AlterConfigError> {
    if setting.value_type != ValueType::List {
        return Err(ConfigError::NotAList { name: setting.name }.into());
    }
    let layers = context.image.cluster_layers(&context.config.statics);
    let own = context.image.config(resource);
    let present = match resource {
        ConfigResource::Topic(_) | ConfigResource::Group(_) => effective_topic(setting, own, layers).value,
        _ => own.get(setting.name).cloned().or_else(|| effective_broker(setting, layers).value),
    };
    let mut parts = split_list(&present.unwrap_or_default());
    let named = split_list(value);
    if op == ConfigOp::Subtract {
        let named: BTreeSet<_> = named.into_iter().collect();
        parts.retain(|part| !named.contains(part));
    } else {
        let mut held: BTreeSet<_> = parts.iter().cloned().collect();
        parts.extend(named.into_iter().filter(|part| held.insert(part.clone())));
    }
    Ok(parts.join(","))
}

/// Records that bring a resource to `target`.
fn replace(
    context: Context<'_>,
    resource: &ConfigResource,
    target: &ConfigMap,
) -> Result<Vec<Record>, AlterConfigError> {
    check_exists(context, resource)?;
    let present = context.image.config(resource);
    let changed = |name: &&String| present.get(*name) != target.get(*name);
    let names: BTreeSet<&String> = present.keys().chain(target.keys()).filter(changed).collect();
    match resource {
        ConfigResource::Topic(_) => check_topic_configs(context, target, names.iter().copied())?,
        ConfigResource::Broker(id) => {
            for name in &names {
                check_broker_change(context, id.is_none(), name, target.get(*name))?;
            }
        }
        ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => {
            for (name, value) in names.iter().filter_map(|name| Some((name, target.get(*name)?))) {
                Value::parse(known(resource, name)?, value)?;
            }
        }
    }
    let record = |name: &&String| Record::Config {
        resource: resource.clone(),
        name: (*name).clone(),
        value: target.get(*name).cloned(),
    };
    let mut records: Vec<Record> = names.iter().map(record).collect();
    if names.iter().any(|name| *name == "min.insync.replicas") {
        records.extend(forget_elr(context, resource));
    }
    Ok(records)
}

fn check_exists(context: Context<'_>, resource: &ConfigResource) -> Result<(), AlterConfigError> {
    match resource {
        ConfigResource::Topic(name) if context.image.topic(name).is_none() => {
            Err(AlterConfigError::UnknownTopic { name: name.clone() })
        }
        ConfigResource::Broker(Some(id)) if context.image.broker(*id).is_none() => {
            Err(AlterConfigError::UnknownBroker { broker: *id })
        }
        ConfigResource::Group(name) | ConfigResource::ClientMetrics(name) if name.is_empty() => {
            Err(AlterConfigError::Unnamed)
        }
        _ => Ok(()),
    }
}

fn check_broker_change(
    context: Context<'_>,
    for_all: bool,
    name: &str,
    value: Option<&String>,
) -> Result<(), AlterConfigError> {
    let Some(value) = value else { return Ok(()) };
    let setting = known_broker(name)?;
    match setting.update {
        Update::ClusterWide => {}
        Update::PerBroker if for_all => {
            return Err(ConfigError::PerBrokerOnly { name: setting.name }.into());
        }
        Update::PerBroker => {}
        _ => return Err(ConfigError::Static { name: setting.name }.into()),
    }
    if name == "min.insync.replicas" && !for_all && context.elr_enabled() {
        return Err(AlterConfigError::MinInsyncReplicasOfOneBroker);
    }
    Value::parse(setting, value).map(|_| ()).map_err(AlterConfigError::BrokerValue)
}

/// With another `min.insync.replicas` the ELR no longer says who holds all that is committed.
fn forget_elr(context: Context<'_>, resource: &ConfigResource) -> Vec<Record> {
    let inherits =
        |topic: &&Topic| !context.image.topic_config(topic.name.as_str()).contains_key("min.insync.replicas");
    let concerned: Vec<&Topic> = match resource {
        ConfigResource::Topic(name) => context.image.topic(name).into_iter().collect(),
        ConfigResource::Broker(None) => context.image.topics().filter(inherits).collect(),
        _ => Vec::new(),
    };
    let mut records = Vec::new();
    for topic in concerned {
        for (index, partition) in &topic.partitions {
            let mut change = PartitionChange::none(topic.id, *index);
            change.elr = (!partition.elr.is_empty()).then(Vec::new);
            change.last_known_elr = (!partition.last_known_elr.is_empty()).then(Vec::new);
            if !change.is_none() {
                records.push(Record::PartitionChange(change));
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    fn topic() -> ConfigResource {
        ConfigResource::Topic("t".to_owned())
    }

    fn change(name: &str, op: ConfigOp, value: &str) -> ConfigAlteration {
        let value = (op != ConfigOp::Delete).then(|| value.to_owned());
        ConfigAlteration { name: name.to_owned(), op, value }
    }

    fn cluster() -> Cluster {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster
    }

    fn alter(
        cluster: &mut Cluster,
        resource: ConfigResource,
        changes: &[ConfigAlteration],
    ) -> Result<(), AlterConfigError> {
        let decision = incremental_alter_configs(cluster.context(), &[(resource, changes.to_vec())], false);
        cluster.take(decision).remove(0).outcome
    }

    /// What is refused of a setting, without the words.
    fn setting(outcome: Result<(), AlterConfigError>) -> ConfigError {
        match outcome {
            Err(AlterConfigError::Setting(error)) => error,
            other => panic!("not refused for a setting: {other:?}"),
        }
    }

    #[test]
    fn set_and_delete_change_one_setting() {
        let mut cluster = cluster();
        assert_eq!(alter(&mut cluster, topic(), &[change("retention.ms", ConfigOp::Set, "5")]), Ok(()));
        assert_eq!(cluster.image.topic_config("t")["retention.ms"], "5");
        assert_eq!(alter(&mut cluster, topic(), &[change("retention.ms", ConfigOp::Delete, "")]), Ok(()));
        assert!(cluster.image.topic_config("t").is_empty());
    }

    #[test]
    fn append_and_subtract_work_on_the_list_in_force() {
        let mut cluster = cluster();
        let policy = |cluster: &Cluster| cluster.image.topic_config("t")["cleanup.policy"].clone();
        for (op, value, expected) in [
            (ConfigOp::Append, "compact", "delete,compact"),
            (ConfigOp::Append, "compact", "delete,compact"),
            (ConfigOp::Subtract, "delete", "compact"),
        ] {
            assert_eq!(alter(&mut cluster, topic(), &[change("cleanup.policy", op, value)]), Ok(()));
            assert_eq!(policy(&cluster), expected);
        }
        let no_list = change("retention.ms", ConfigOp::Append, "1");
        let refused = setting(alter(&mut cluster, topic(), &[no_list]));
        assert_eq!(refused, ConfigError::NotAList { name: "retention.ms" });
    }

    #[test]
    fn throttled_replicas_are_appended_without_losing_others() {
        let mut cluster = cluster();
        let name = "leader.replication.throttled.replicas";
        for (op, value, expected) in [
            (ConfigOp::Set, "0:1", "0:1"),
            (ConfigOp::Append, "0:2", "0:1,0:2"),
            (ConfigOp::Subtract, "0:1", "0:2"),
        ] {
            assert_eq!(alter(&mut cluster, topic(), &[change(name, op, value)]), Ok(()));
            assert_eq!(cluster.image.topic_config("t")[name], expected);
        }
    }

    /// Work by the square of these sizes would take minutes.
    #[test]
    fn hundreds_of_thousands_of_entries_and_resources_are_taken_in_one_go() {
        let mut cluster = cluster();
        let name = "leader.replication.throttled.replicas";
        let entries = |from: usize| (from..from + 200_000).map(|at| format!("{at}:1"));
        let list = |from| entries(from).collect::<Vec<_>>().join(",");
        for (op, value, len) in [
            (ConfigOp::Append, list(0), 200_000),
            (ConfigOp::Append, list(100_000), 300_000),
            (ConfigOp::Subtract, list(0), 100_000),
        ] {
            assert_eq!(alter(&mut cluster, topic(), &[change(name, op, &value)]), Ok(()));
            assert_eq!(cluster.image.topic_config("t")[name].split(',').count(), len);
        }
        let unknown = |at: usize| (ConfigResource::Topic(at.to_string()), Vec::new());
        let resources: Vec<_> = (0..100_000).map(unknown).collect();
        let decision = incremental_alter_configs(cluster.context(), &resources, false);
        assert_eq!(decision.reply.len(), resources.len());
    }

    #[test]
    fn a_resource_changes_as_a_whole_or_not_at_all() {
        let mut cluster = cluster();
        let changes =
            [change("retention.ms", ConfigOp::Set, "5"), change("segment.bytes", ConfigOp::Set, "1")];
        let refused = setting(alter(&mut cluster, topic(), &changes));
        assert!(matches!(refused, ConfigError::Invalid { name: "segment.bytes", .. }), "{refused}");
        assert!(cluster.image.topic_config("t").is_empty());
        let twice =
            [change("retention.ms", ConfigOp::Set, "5"), change("retention.ms", ConfigOp::Delete, "")];
        let refused = AlterConfigError::SettingTwice { name: "retention.ms".into() };
        assert_eq!(alter(&mut cluster, topic(), &twice), Err(refused));
        let lags = [
            change("min.compaction.lag.ms", ConfigOp::Set, "9"),
            change("max.compaction.lag.ms", ConfigOp::Set, "8"),
        ];
        let refused = AlterConfigError::Topic(TopicConfigError::CompactionLags);
        assert_eq!(alter(&mut cluster, topic(), &lags), Err(refused));
    }

    #[test]
    fn what_an_earlier_release_took_stands_in_nobodys_way() {
        let mut cluster = cluster();
        cluster.set(topic(), "remote.storage.enable", "true");
        cluster.set(topic(), "forgotten.setting", "x");
        let set = |name, value| [change(name, ConfigOp::Set, value)];
        assert_eq!(alter(&mut cluster, topic(), &set("retention.ms", "5")), Ok(()));
        let refused = setting(alter(&mut cluster, topic(), &set("retention.ms", "-2")));
        assert!(matches!(refused, ConfigError::Invalid { name: "retention.ms", .. }), "{refused}");
        let unset = [change("remote.storage.enable", ConfigOp::Delete, "")];
        assert_eq!(alter(&mut cluster, topic(), &unset), Ok(()));
        let refused = setting(alter(&mut cluster, topic(), &set("remote.storage.enable", "true")));
        assert!(matches!(refused, ConfigError::Refused { .. }), "{refused}");
    }

    #[test]
    fn resources_and_settings_that_do_not_exist_are_told_apart() {
        let mut cluster = cluster();
        let set = [change("retention.ms", ConfigOp::Set, "5")];
        let unknown = ConfigResource::Topic("x".to_owned());
        let refused = AlterConfigError::UnknownTopic { name: "x".into() };
        assert_eq!(alter(&mut cluster, unknown, &set), Err(refused));
        let unknown = ConfigResource::Broker(Some(NodeId(9)));
        let refused = AlterConfigError::UnknownBroker { broker: NodeId(9) };
        assert_eq!(alter(&mut cluster, unknown, &[]), Err(refused));
        let misspelt = [change("retention.sm", ConfigOp::Set, "5")];
        let refused = setting(alter(&mut cluster, topic(), &misspelt));
        assert!(matches!(refused, ConfigError::Unknown { .. }), "{refused}");
        let metrics = ConfigResource::ClientMetrics("m".to_owned());
        assert_eq!(alter(&mut cluster, metrics, &set), Err(AlterConfigError::ClientMetrics));
        let unnamed = ConfigResource::Group(String::new());
        assert_eq!(alter(&mut cluster, unnamed, &[]), Err(AlterConfigError::Unnamed));
    }

    #[test]
    fn brokers_change_only_what_can_be_changed_while_they_run() {
        let mut cluster = cluster();
        let (all, one) = (ConfigResource::Broker(None), ConfigResource::Broker(Some(NodeId(1))));
        for (resource, name, value, outcome) in [
            (&all, "log.retention.ms", "5", Ok(())),
            (&one, "log.retention.ms", "6", Ok(())),
            (&one, "cordoned.log.dirs", "*", Ok(())),
            (
                &all,
                "cordoned.log.dirs",
                "*",
                Err(ConfigError::PerBrokerOnly { name: "cordoned.log.dirs" }.into()),
            ),
            (&one, "node.id", "6", Err(ConfigError::Static { name: "node.id" }.into())),
            (&all, "min.insync.replicas", "2", Ok(())),
            (&one, "min.insync.replicas", "2", Err(AlterConfigError::MinInsyncReplicasOfOneBroker)),
        ] {
            let set = [change(name, ConfigOp::Set, value)];
            assert_eq!(alter(&mut cluster, resource.clone(), &set), outcome, "{name} on {resource:?}");
        }
        let set = [change("log.retention.ms", ConfigOp::Set, "soon")];
        let refused = alter(&mut cluster, one, &set);
        assert!(matches!(refused, Err(AlterConfigError::BrokerValue(_))), "{refused:?}");
        assert!(cluster.image.is_cordoned(NodeId(1)));
        assert!(!cluster.image.is_cordoned(NodeId(2)));
    }

    #[test]
    fn a_full_change_drops_what_it_does_not_name() {
        let mut cluster = cluster();
        cluster.set(topic(), "retention.ms", "5");
        let settings = [("segment.ms".to_owned(), "7".to_owned())];
        let decision = alter_configs(cluster.context(), &[(topic(), settings.into())], false);
        cluster.take(decision);
        let left: Vec<_> = cluster.image.topic_config("t").keys().cloned().collect();
        assert_eq!(left, ["segment.ms"]);
    }

    #[test]
    fn validation_alone_proposes_nothing_and_equal_values_neither() {
        let mut cluster = cluster();
        let set = vec![change("retention.ms", ConfigOp::Set, "5")];
        let decision = incremental_alter_configs(cluster.context(), &[(topic(), set.clone())], true);
        assert!(decision.records.is_empty() && decision.reply[0].outcome.is_ok());
        assert_eq!(alter(&mut cluster, topic(), &set), Ok(()));
        let again = incremental_alter_configs(cluster.context(), &[(topic(), set)], false);
        assert!(again.records.is_empty());
    }

    #[test]
    fn another_min_isr_forgets_who_was_eligible() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[("min.insync.replicas", "2")]);
        cluster.fence(3);
        cluster.fence(2);
        assert_eq!(cluster.state("t", 0).2, [2]);
        let set = [change("min.insync.replicas", ConfigOp::Set, "3")];
        assert_eq!(alter(&mut cluster, topic(), &set), Ok(()));
        assert!(cluster.state("t", 0).2.is_empty());
    }

    #[test]
    fn a_resource_named_twice_is_refused() {
        let cluster = cluster();
        let set = vec![change("retention.ms", ConfigOp::Set, "5")];
        let twice = [(topic(), set.clone()), (topic(), set)];
        let decision = incremental_alter_configs(cluster.context(), &twice, false);
        let outcomes: Vec<_> = decision.reply.into_iter().map(|result| result.outcome).collect();
        assert_eq!(outcomes, [Err(AlterConfigError::ResourceTwice)]);
        assert!(decision.records.is_empty());
    }
}
