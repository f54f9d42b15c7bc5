//! CreateTopics. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ottla_broker_config::{BrokerConfig, ConfigMap, EffectiveConfig, describe_topic};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{
    InvalidTopicName, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicName,
};

use super::alter_configs::check_topic_configs;
use super::batches::{count_by, split_batches, whole};
use super::decision::{Context, Decision, Refused};
use super::placement::Placer;
use super::seed::{Purpose, Random, Seed};
use crate::record::{ConfigResource, LeaderRecoveryState, PartitionRecord, Record};

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` is `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas; `None` is `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// The replicas of each partition, instead of both numbers; empty leaves the choice to the controller.
    pub assignments: Vec<(PartitionIndex, Vec<NodeId>)>,
    /// Its settings; `None` as a value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic as created.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: usize,
    /// How many replicas each has.
    pub replication_factor: usize,
    /// All its settings with the values in force.
    pub configs: Vec<EffectiveConfig>,
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopicResult {
    /// The name as asked.
    pub name: String,
    /// The topic, or why it was not created.
    pub outcome: Result<CreatedTopic, Refused>,
}

/// Kafka's limit for one request; the batch must fit the metadata log.
const NEW_PARTITIONS_MAX: usize = 10_000;

/// Creates topics; each stands for itself. With `validate_only` nothing is proposed.
///
/// Errors of one topic: INVALID_REQUEST (named twice or as the metadata log, numbers beside assignments), INVALID_TOPIC_EXCEPTION,
/// TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT,
/// INVALID_CONFIG, POLICY_VIOLATION (too many partitions in one request).
pub fn create_topics(
    context: Context<'_>,
    topics: &[NewTopic],
    validate_only: bool,
    seed: Seed,
) -> Decision<Vec<CreateTopicResult>> {
    let mut creation = Creation {
        context,
        placer: Placer::new(context.image, seed),
        ids: seed.stream(Purpose::TopicIds),
        collisions: context.image.topics().map(|t| (t.name.collision_key(), t.name.to_string())).collect(),
        partitions: 0,
        records: Vec::new(),
    };
    let named = count_by(topics.iter().map(|topic| topic.name.as_str()));
    let mut answered = BTreeSet::new();
    let mut reply: Vec<CreateTopicResult> = Vec::with_capacity(topics.len());
    for topic in topics {
        let name = topic.name.clone();
        if named[topic.name.as_str()] == 1 {
            reply.push(CreateTopicResult { outcome: creation.create(topic), name });
        } else if answered.insert(topic.name.as_str()) {
            let message = format!("topic {name} is named twice");
            reply.push(CreateTopicResult {
                name,
                outcome: Err(Refused::new(ErrorCode::InvalidRequest, message)),
            });
        }
    }
    let records = if validate_only { Vec::new() } else { creation.records };
    Decision { records, reply }
}

/// Cuts a request into parts that are decided one after the other. What checks of the whole concern stays whole.
pub fn split_new_topics(
    config: &BrokerConfig,
    topics: &[NewTopic],
    validate_only: bool,
) -> Vec<Range<usize>> {
    let weight = |topic: &NewTopic| {
        let asked = topic.partitions.and_then(|count| usize::try_from(count).ok());
        let partitions = asked.unwrap_or(config.topics.partitions as usize).max(topic.assignments.len());
        partitions.saturating_add(topic.configs.len() + 1)
    };
    let partitions = topics.iter().map(weight).fold(0, usize::saturating_add);
    if validate_only || partitions > NEW_PARTITIONS_MAX {
        return whole(topics);
    }
    split_batches(topics, |topic| topic.name.clone(), weight)
}

struct Creation<'a> {
    context: Context<'a>,
    placer: Placer<'a>,
    ids: Random,
    collisions: BTreeMap<String, String>,
    partitions: usize,
    records: Vec<Record>,
}

impl Creation<'_> {
    fn create(&mut self, topic: &NewTopic) -> Result<CreatedTopic, Refused> {
        let name = self.check_name(&topic.name)?;
        let configs = check_new_configs(self.context, topic)?;
        let assignments = if topic.assignments.is_empty() { self.place(topic)? } else { self.manual(topic)? };
        if self.partitions + assignments.len() > NEW_PARTITIONS_MAX {
            let message = format!("one request creates at most {NEW_PARTITIONS_MAX} partitions: split it");
            return Err(Refused::new(ErrorCode::PolicyViolation, message));
        }
        self.partitions += assignments.len();
        self.collisions.insert(name.collision_key(), name.to_string());
        let id = self.new_id();
        let replication_factor = assignments.first().map_or(0, Vec::len);
        self.records.push(Record::Topic { name, id });
        for (config, value) in &configs {
            self.records.push(Record::Config {
                resource: ConfigResource::Topic(topic.name.clone()),
                name: config.clone(),
                value: Some(value.clone()),
            });
        }
        let partitions = assignments.len();
        for (index, replicas) in assignments.into_iter().enumerate() {
            let partition = PartitionIndex(index as i32);
            self.records.push(Record::Partition(new_partition(self.context, id, partition, replicas)));
        }
        let layers = self.context.image.cluster_layers(&self.context.config.statics);
        Ok(CreatedTopic { id, partitions, replication_factor, configs: describe_topic(&configs, layers) })
    }

    fn new_id(&mut self) -> TopicId {
        loop {
            let id = self.ids.topic_id();
            if self.context.image.topic_by_id(id).is_none() {
                return id;
            }
        }
    }

    fn check_name(&self, name: &str) -> Result<TopicName, Refused> {
        let invalid = |message: String| Refused::new(ErrorCode::InvalidTopicException, message);
        let name = TopicName::new(name).map_err(|error| match error {
            InvalidTopicName::Reserved => Refused::new(ErrorCode::InvalidRequest, error.to_string()),
            _ => invalid(error.to_string()),
        })?;
        match self.collisions.get(&name.collision_key()) {
            Some(other) if other == name.as_str() => {
                Err(Refused::new(ErrorCode::TopicAlreadyExists, format!("topic {name} exists already")))
            }
            Some(other) => Err(invalid(format!(
                "topic {name} collides with topic {other}: names must differ in more than '.' and '_'"
            ))),
            None => Ok(name),
        }
    }

    fn place(&mut self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, Refused> {
        let defaults = &self.context.config.topics;
        let partitions = topic.partitions.unwrap_or(defaults.partitions as i32);
        if partitions <= 0 {
            let message = "the number of partitions must be above 0, or -1 for the default";
            return Err(Refused::new(ErrorCode::InvalidPartitions, message));
        }
        let factor = topic.replication_factor.unwrap_or(defaults.replication_factor as i16);
        if factor <= 0 {
            let message = "the replication factor must be above 0, or -1 for the default";
            return Err(Refused::new(ErrorCode::InvalidReplicationFactor, message));
        }
        // Checked before anything is placed: the numbers come from outside and cost memory.
        if partitions as usize > NEW_PARTITIONS_MAX {
            let message = format!("one request creates at most {NEW_PARTITIONS_MAX} partitions: split it");
            return Err(Refused::new(ErrorCode::PolicyViolation, message));
        }
        self.placer.check(factor as usize)?;
        self.placer.begin_topic(None);
        Ok((0..partitions).map(|_| self.placer.place(factor as usize)).collect())
    }

    fn manual(&self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, Refused> {
        for (given, what) in [
            (topic.replication_factor.is_some(), "replication factor"),
            (topic.partitions.is_some(), "number of partitions"),
        ] {
            if given {
                let message = format!("replicas are assigned by hand: leave the {what} at -1");
                return Err(Refused::new(ErrorCode::InvalidRequest, message));
            }
        }
        let sorted: BTreeMap<PartitionIndex, &Vec<NodeId>> =
            topic.assignments.iter().map(|(index, replicas)| (*index, replicas)).collect();
        let consecutive = sorted.keys().enumerate().all(|(at, index)| index.0 as usize == at);
        if sorted.len() != topic.assignments.len() || !consecutive {
            let message = "assigned partitions must be numbered from 0 without gaps, each once";
            return Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        check_manual(self.context, sorted.values().map(|replicas| replicas.as_slice()), None)?;
        Ok(sorted.into_values().cloned().collect())
    }
}

fn check_new_configs(context: Context<'_>, topic: &NewTopic) -> Result<ConfigMap, Refused> {
    let mut configs = ConfigMap::new();
    for (name, value) in &topic.configs {
        let Some(value) = value else {
            let message = format!("{name} has no value: give one or leave the setting out");
            return Err(Refused::new(ErrorCode::InvalidConfig, message));
        };
        configs.insert(name.clone(), value.clone());
    }
    check_topic_configs(context, &configs, configs.keys())?;
    Ok(configs)
}

/// Checks assignments by hand: registered brokers, each once, all lists of one length, one of each list active.
pub(crate) fn check_manual<'r>(
    context: Context<'_>,
    assignments: impl Iterator<Item = &'r [NodeId]>,
    factor: Option<usize>,
) -> Result<(), Refused> {
    let refuse = |message| Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut factor = factor;
    for replicas in assignments {
        check_replicas(context, replicas)?;
        let wanted = *factor.get_or_insert(replicas.len());
        if replicas.len() != wanted {
            return refuse(format!("{replicas:?} has {} replicas, others have {wanted}", replicas.len()));
        }
        if !replicas.iter().any(|id| context.image.is_active(*id)) {
            return refuse(format!("all of {replicas:?} are fenced or shutting down: name a running broker"));
        }
    }
    Ok(())
}

/// Checks one list of replicas: not empty, registered brokers, each once.
pub(crate) fn check_replicas(context: Context<'_>, replicas: &[NodeId]) -> Result<(), Refused> {
    let refuse = |message| Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse("a partition needs at least one replica".to_owned());
    }
    if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
        return refuse(format!("{replicas:?} names a broker twice"));
    }
    match replicas.iter().find(|id| context.image.broker(**id).is_none()) {
        Some(id) => refuse(format!("{replicas:?} names broker {id}, which is not registered")),
        None => Ok(()),
    }
}

/// A new partition: the active replicas are in sync, since nothing has been written.
pub(crate) fn new_partition(
    context: Context<'_>,
    topic: TopicId,
    partition: PartitionIndex,
    replicas: Vec<NodeId>,
) -> PartitionRecord {
    let mut isr: Vec<NodeId> = replicas.iter().copied().filter(|id| context.image.is_active(*id)).collect();
    let leader = isr.first().copied();
    if isr.is_empty() {
        isr.extend(replicas.first());
    }
    PartitionRecord {
        topic,
        partition,
        directories: replicas.iter().map(|id| context.directory_for(*id)).collect(),
        replicas,
        isr,
        removing: Vec::new(),
        adding: Vec::new(),
        leader,
        recovery: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{decode, encode};
    use crate::testing::{Cluster, ids};

    fn new(name: &str, partitions: i32, factor: i16) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions: (partitions != -1).then_some(partitions),
            replication_factor: (factor != -1).then_some(factor),
            ..NewTopic::default()
        }
    }

    fn create(cluster: &mut Cluster, topics: &[NewTopic]) -> Vec<CreateTopicResult> {
        let decision = create_topics(cluster.context(), topics, false, Seed(1));
        cluster.take(decision)
    }

    fn code(cluster: &mut Cluster, topic: NewTopic) -> ErrorCode {
        let outcome = &create(cluster, &[topic])[0].outcome;
        outcome.as_ref().map_or_else(|refused| refused.code, |_| ErrorCode::None)
    }

    fn manual(lists: &[&[i32]]) -> NewTopic {
        let assignments = lists.iter().enumerate().map(|(at, list)| (PartitionIndex(at as i32), ids(list)));
        NewTopic { name: "t".into(), assignments: assignments.collect(), ..NewTopic::default() }
    }

    #[test]
    fn a_topic_named_as_the_metadata_log_is_refused_and_one_from_earlier_can_only_be_deleted() {
        let mut cluster = Cluster::of(1);
        assert_eq!(code(&mut cluster, new("__cluster_metadata", 1, 1)), ErrorCode::InvalidRequest);
        assert_eq!(code(&mut cluster, new("__consumer_offsets", 1, 1)), ErrorCode::None);
        let name = TopicName::stored("__cluster_metadata").expect("a name");
        let record = Record::Topic { name, id: TopicId(ottla_broker_types::Uuid([9; 16])) };
        let read = decode(&encode(&record).expect("it is encoded")).expect("it is read");
        assert_eq!(read, record);
        let end = cluster.image.applied_end();
        cluster.image.apply_batch(&[read], end).expect("it is applied");
        let selector = crate::controller::TopicSelector::Name("__cluster_metadata".into());
        let deleted = crate::controller::delete_topics(cluster.context(), &[selector]);
        assert!(deleted.reply[0].outcome.is_ok());
    }

    #[test]
    fn defaults_come_from_the_controllers_file() {
        let mut cluster = Cluster::new(&[("num.partitions", "4"), ("default.replication.factor", "2")]);
        (1..=3).for_each(|id| cluster.join(id));
        let created = create(&mut cluster, &[new("t", -1, -1)]).remove(0).outcome.expect("created");
        assert_eq!((created.partitions, created.replication_factor), (4, 2));
        let topic = cluster.image.topic("t").expect("it exists");
        assert_eq!((topic.id, topic.partition_count()), (created.id, 4));
        let fresh = |p: &crate::image::Partition| p.isr == p.replicas && p.leader == p.preferred_leader();
        assert!(topic.partitions.values().all(|p| fresh(p)));
    }

    #[test]
    fn settings_are_stored_checked_and_described() {
        let mut cluster = Cluster::of(1);
        let with = |value: Option<&str>| NewTopic {
            configs: vec![("retention.ms".into(), value.map(str::to_owned))],
            ..new("t", 1, 1)
        };
        assert_eq!(code(&mut cluster, with(None)), ErrorCode::InvalidConfig);
        assert_eq!(code(&mut cluster, with(Some("soon"))), ErrorCode::InvalidConfig);
        let created = create(&mut cluster, &[with(Some("5"))]).remove(0).outcome.expect("created");
        assert_eq!(cluster.image.topic_config("t")["retention.ms"], "5");
        let described = created.configs.iter().find(|c| c.setting.name == "retention.ms").expect("described");
        assert_eq!(described.value.as_deref(), Some("5"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_kafkas_code() {
        let mut cluster = Cluster::of(2);
        create(&mut cluster, &[new("a.b", 1, 1)]);
        for (topic, expected) in [
            (new("", 1, 1), ErrorCode::InvalidTopicException),
            (new("a b", 1, 1), ErrorCode::InvalidTopicException),
            (new("a_b", 1, 1), ErrorCode::InvalidTopicException),
            (new("a.b", 1, 1), ErrorCode::TopicAlreadyExists),
            (new("t", 0, 1), ErrorCode::InvalidPartitions),
            (new("t", -5, 1), ErrorCode::InvalidPartitions),
            (new("t", 1, 0), ErrorCode::InvalidReplicationFactor),
            (new("t", 1, 3), ErrorCode::InvalidReplicationFactor),
            (new("t", i32::MAX, 1), ErrorCode::PolicyViolation),
            (NewTopic { partitions: Some(1), ..manual(&[&[1]]) }, ErrorCode::InvalidRequest),
            (NewTopic { replication_factor: Some(1), ..manual(&[&[1]]) }, ErrorCode::InvalidRequest),
            (manual(&[&[1], &[1, 2]]), ErrorCode::InvalidReplicaAssignment),
            (manual(&[&[1, 1]]), ErrorCode::InvalidReplicaAssignment),
            (manual(&[&[7]]), ErrorCode::InvalidReplicaAssignment),
            (manual(&[&[]]), ErrorCode::InvalidReplicaAssignment),
        ] {
            let name = format!("{topic:?}");
            assert_eq!(code(&mut cluster, topic), expected, "{name}");
        }
        let mut gap = manual(&[&[1]]);
        gap.assignments[0].0 = PartitionIndex(1);
        assert_eq!(code(&mut cluster, gap), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(cluster.image.topic_count(), 1);
    }

    #[test]
    fn a_name_given_twice_is_refused_once_and_creates_nothing() {
        let mut cluster = Cluster::of(1);
        let results = create(&mut cluster, &[new("t", 1, 1), new("u", 1, 1), new("t", 2, 1)]);
        let codes: Vec<_> = results.iter().map(|r| (r.name.as_str(), r.outcome.is_ok())).collect();
        assert_eq!(codes, [("t", false), ("u", true)]);
        assert!(cluster.image.topic("t").is_none());
    }

    #[test]
    fn names_that_collide_within_one_request_are_refused() {
        let mut cluster = Cluster::of(1);
        let results = create(&mut cluster, &[new("a.b", 1, 1), new("a_b", 1, 1)]);
        assert!(results[0].outcome.is_ok() && results[1].outcome.is_err());
    }

    #[test]
    fn validation_alone_proposes_nothing() {
        let cluster = Cluster::of(1);
        let decision = create_topics(cluster.context(), &[new("t", 1, 1)], true, Seed(1));
        assert!(decision.records.is_empty());
        assert!(decision.reply[0].outcome.is_ok());
    }

    #[test]
    fn fenced_replicas_start_outside_the_isr() {
        let mut cluster = Cluster::of(2);
        cluster.fence(1);
        cluster.topic("t", &[&[1, 2]], &[]);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![2], vec![], Some(2)));
        cluster.fence(2);
        assert_eq!(
            code(&mut cluster, NewTopic { name: "u".into(), ..manual(&[&[1, 2]]) }),
            ErrorCode::InvalidReplicaAssignment
        );
    }

    #[test]
    fn a_topic_created_again_has_another_id() {
        let mut cluster = Cluster::of(1);
        let ids: Vec<TopicId> = (0..2)
            .map(|seed| {
                let decision = create_topics(cluster.context(), &[new("t", 1, 1)], false, Seed(seed));
                let id = cluster.take(decision).remove(0).outcome.expect("created").id;
                cluster.commit(&[Record::RemoveTopic { id }]);
                id
            })
            .collect();
        assert_ne!(ids[0], ids[1]);
    }
}
