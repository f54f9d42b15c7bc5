//! CreateTopics. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ottla_broker_config::{BrokerConfig, ConfigMap, EffectiveConfig, describe_topic};
use ottla_broker_types::{InvalidTopicName, NodeId, PartitionIndex, TopicId, TopicName};

use super::alter_configs::{TopicConfigError, check_topic_configs};
use super::assignment::{AssignmentError, check_manual, new_partition};
use super::batches::{count_by, split_batches, whole};
use super::decision::{Context, Decision};
use super::placement::{PlacementError, Placer};
use super::seed::{Purpose, Random, Seed};
use crate::record::{ConfigResource, Record};

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// As asked, checked by the decision.
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

/// What a client learns of a topic that it has created.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    /// Drawn from the decision's seed.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: usize,
    /// How many replicas each has.
    pub replication_factor: usize,
    /// All its settings with the values in force.
    pub configs: Vec<EffectiveConfig>,
}

/// Why a topic is not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// Nobody can say which of the two is meant.
    #[error("topic {name} is named twice")]
    NamedTwice {
        /// The name as asked.
        name: String,
    },
    /// No topic can have the name.
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
    /// There is one, or the request has created it before.
    #[error("topic {name} exists already")]
    Exists {
        /// Which stays as it is.
        name: TopicName,
    },
    /// Metrics could not tell the two apart.
    #[error("topic {name} collides with topic {other}: names must differ in more than '.' and '_'")]
    Collides {
        /// The name as asked.
        name: TopicName,
        /// The topic that there is.
        other: String,
    },
    /// The number is neither positive nor -1.
    #[error("the number of partitions must be above 0, or -1 for the default")]
    PartitionCount,
    /// The number is neither positive nor -1.
    #[error("the replication factor must be above 0, or -1 for the default")]
    ReplicationFactor,
    /// The batch would not fit the metadata log.
    #[error("one request creates at most {NEW_PARTITIONS_MAX} partitions: split it")]
    TooManyPartitions,
    /// A number is given beside assignments, which say it already.
    #[error("replicas are assigned by hand: leave the {number} at -1")]
    NumberBesideAssignments {
        /// What the number counts.
        number: &'static str,
    },
    /// The assigned partitions have gaps or repeat.
    #[error("assigned partitions must be numbered from 0 without gaps, each once")]
    AssignmentNumbers,
    /// An assignment cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The controller finds no brokers for the replicas.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A setting is named without a value.
    #[error("{name} has no value: give one or leave the setting out")]
    ConfigWithoutValue {
        /// The setting.
        name: String,
    },
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] TopicConfigError),
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopicResult {
    /// The name as asked.
    pub name: String,
    /// The topic, or why it was not created.
    pub outcome: Result<CreatedTopic, CreateTopicError>,
}

/// Kafka's limit for one request; the batch must fit the metadata log.
const NEW_PARTITIONS_MAX: usize = 10_000;

/// Creates topics; each stands for itself. With `validate_only` nothing is proposed.
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
            let outcome = Err(CreateTopicError::NamedTwice { name: name.clone() });
            reply.push(CreateTopicResult { name, outcome });
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
    fn create(&mut self, topic: &NewTopic) -> Result<CreatedTopic, CreateTopicError> {
        let name = self.check_name(&topic.name)?;
        let configs = check_new_configs(self.context, topic)?;
        let assignments = if topic.assignments.is_empty() { self.place(topic)? } else { self.manual(topic)? };
        if self.partitions + assignments.len() > NEW_PARTITIONS_MAX {
            return Err(CreateTopicError::TooManyPartitions);
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

    fn check_name(&self, name: &str) -> Result<TopicName, CreateTopicError> {
        let name = TopicName::new(name)?;
        match self.collisions.get(&name.collision_key()) {
            Some(other) if other == name.as_str() => Err(CreateTopicError::Exists { name }),
            Some(other) => Err(CreateTopicError::Collides { name, other: other.clone() }),
            None => Ok(name),
        }
    }

    fn place(&mut self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, CreateTopicError> {
        let defaults = &self.context.config.topics;
        let partitions = topic.partitions.unwrap_or(defaults.partitions as i32);
        if partitions <= 0 {
            return Err(CreateTopicError::PartitionCount);
        }
        let factor = topic.replication_factor.unwrap_or(defaults.replication_factor as i16);
        if factor <= 0 {
            return Err(CreateTopicError::ReplicationFactor);
        }
        // Checked before anything is placed: the numbers come from outside and cost memory.
        if partitions as usize > NEW_PARTITIONS_MAX {
            return Err(CreateTopicError::TooManyPartitions);
        }
        self.placer.check(factor as usize)?;
        self.placer.begin_topic(None);
        Ok((0..partitions).map(|_| self.placer.place(factor as usize)).collect())
    }

    fn manual(&self, topic: &NewTopic) -> Result<Vec<Vec<NodeId>>, CreateTopicError> {
        for (given, number) in [
            (topic.replication_factor.is_some(), "replication factor"),
            (topic.partitions.is_some(), "number of partitions"),
        ] {
            if given {
                return Err(CreateTopicError::NumberBesideAssignments { number });
            }
        }
        let sorted: BTreeMap<PartitionIndex, &Vec<NodeId>> =
            topic.assignments.iter().map(|(index, replicas)| (*index, replicas)).collect();
        let consecutive = sorted.keys().enumerate().all(|(at, index)| index.0 as usize == at);
        if sorted.len() != topic.assignments.len() || !consecutive {
            return Err(CreateTopicError::AssignmentNumbers);
        }
        check_manual(self.context, sorted.values().map(|replicas| replicas.as_slice()), None)?;
        Ok(sorted.into_values().cloned().collect())
    }
}

fn check_new_configs(context: Context<'_>, topic: &NewTopic) -> Result<ConfigMap, CreateTopicError> {
    let mut configs = ConfigMap::new();
    for (name, value) in &topic.configs {
        let Some(value) = value else {
            return Err(CreateTopicError::ConfigWithoutValue { name: name.clone() });
        };
        configs.insert(name.clone(), value.clone());
    }
    check_topic_configs(context, &configs, configs.keys())?;
    Ok(configs)
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

    fn refusal(cluster: &mut Cluster, topic: NewTopic) -> Option<CreateTopicError> {
        create(cluster, &[topic]).remove(0).outcome.err()
    }

    fn manual(lists: &[&[i32]]) -> NewTopic {
        let assignments = lists.iter().enumerate().map(|(at, list)| (PartitionIndex(at as i32), ids(list)));
        NewTopic { name: "t".into(), assignments: assignments.collect(), ..NewTopic::default() }
    }

    #[test]
    fn a_topic_named_as_the_metadata_log_is_refused_and_one_from_earlier_can_only_be_deleted() {
        let mut cluster = Cluster::of(1);
        let reserved = refusal(&mut cluster, new("__cluster_metadata", 1, 1));
        assert_eq!(reserved, Some(CreateTopicError::Name(InvalidTopicName::Reserved)));
        assert_eq!(refusal(&mut cluster, new("__consumer_offsets", 1, 1)), None);
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
        let refused = refusal(&mut cluster, with(None));
        assert_eq!(refused, Some(CreateTopicError::ConfigWithoutValue { name: "retention.ms".into() }));
        let refused = refusal(&mut cluster, with(Some("soon")));
        assert!(
            matches!(refused, Some(CreateTopicError::Config(TopicConfigError::Setting(_)))),
            "{refused:?}"
        );
        let created = create(&mut cluster, &[with(Some("5"))]).remove(0).outcome.expect("created");
        assert_eq!(cluster.image.topic_config("t")["retention.ms"], "5");
        let described = created.configs.iter().find(|c| c.setting.name == "retention.ms").expect("described");
        assert_eq!(described.value.as_deref(), Some("5"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let mut cluster = Cluster::of(2);
        create(&mut cluster, &[new("a.b", 1, 1)]);
        let existing = TopicName::new("a.b").expect("a name");
        let collides =
            CreateTopicError::Collides { name: TopicName::new("a_b").expect("a name"), other: "a.b".into() };
        let invalid = |name: &str| TopicName::new(name).expect_err("no name").into();
        let too_few = PlacementError::TooFewBrokers { factor: 3, registered: 2, cordoned: 0 };
        let beside = |number| CreateTopicError::NumberBesideAssignments { number };
        let unequal = AssignmentError::UnequalLength { replicas: ids(&[1, 2]), expected: 1 };
        let unknown = AssignmentError::UnknownBroker { replicas: ids(&[7]), broker: NodeId(7) };
        for (topic, expected) in [
            (new("", 1, 1), invalid("")),
            (new("a b", 1, 1), invalid("a b")),
            (new("a_b", 1, 1), collides),
            (new("a.b", 1, 1), CreateTopicError::Exists { name: existing }),
            (new("t", 0, 1), CreateTopicError::PartitionCount),
            (new("t", -5, 1), CreateTopicError::PartitionCount),
            (new("t", 1, 0), CreateTopicError::ReplicationFactor),
            (new("t", 1, 3), too_few.into()),
            (new("t", i32::MAX, 1), CreateTopicError::TooManyPartitions),
            (NewTopic { partitions: Some(1), ..manual(&[&[1]]) }, beside("number of partitions")),
            (NewTopic { replication_factor: Some(1), ..manual(&[&[1]]) }, beside("replication factor")),
            (manual(&[&[1], &[1, 2]]), unequal.into()),
            (manual(&[&[1, 1]]), AssignmentError::BrokerTwice { replicas: ids(&[1, 1]) }.into()),
            (manual(&[&[7]]), unknown.into()),
            (manual(&[&[]]), AssignmentError::NoReplicas.into()),
        ] {
            let name = format!("{topic:?}");
            assert_eq!(refusal(&mut cluster, topic), Some(expected), "{name}");
        }
        let mut gap = manual(&[&[1]]);
        gap.assignments[0].0 = PartitionIndex(1);
        assert_eq!(refusal(&mut cluster, gap), Some(CreateTopicError::AssignmentNumbers));
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
            refusal(&mut cluster, NewTopic { name: "u".into(), ..manual(&[&[1, 2]]) }),
            Some(AssignmentError::NoneActive { replicas: ids(&[1, 2]) }.into())
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
