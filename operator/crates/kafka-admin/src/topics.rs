//! Topics: describe, create, grow, delete; elect leaders.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_broker_protocol::messages::create_partitions_response::CreatePartitionsResponse;
use ottla_broker_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_broker_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_broker_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use ottla_broker_protocol::messages::delete_topics_response::DeleteTopicsResponse;
use ottla_broker_protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use ottla_broker_protocol::messages::elect_leaders_response::ElectLeadersResponse;
use ottla_broker_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_broker_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use ottla_broker_types::{LeaderEpoch, NodeId, PartitionIndex, TopicId};

use crate::client::AdminClient;
use crate::error::AdminError;

/// The election of preferred leaders, in ElectLeaders.
const ELECTION_PREFERRED: i8 = 0;

/// One partition as Metadata tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index.
    pub index: PartitionIndex,
    /// Its leader; `None` while it is offline.
    pub leader: Option<NodeId>,
    /// Its leader epoch.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
    /// Those on brokers that are down.
    pub offline: Vec<NodeId>,
}

/// One topic as Metadata tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<TopicId>,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions in the order of their indexes.
    pub partitions: Vec<PartitionDescription>,
}

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the cluster's default.
    pub partitions: Option<i32>,
    /// How many replicas each; `None` for the cluster's default.
    pub replication_factor: Option<i16>,
    /// Its own configuration.
    pub config: BTreeMap<String, String>,
}

/// Why one topic of a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct TopicFailure {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The broker's words.
    pub message: String,
}

impl TopicFailure {
    pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), TopicFailure> {
        match ErrorCode::from_wire(code) {
            ErrorCode::None => Ok(()),
            code => Err(TopicFailure { code, message: message.unwrap_or_else(|| code.message()).to_owned() }),
        }
    }
}

/// What became of each topic of a call.
type PerTopic = BTreeMap<String, Result<(), TopicFailure>>;

impl AdminClient {
    /// The topics named, or all; one that does not exist is missing from the answer.
    pub async fn describe_topics(
        &self,
        names: Option<&[String]>,
    ) -> Result<Vec<TopicDescription>, AdminError> {
        let topics = names.map(|names| {
            let asked = names.iter().map(|name| MetadataRequestTopic {
                name: Some(Cow::Borrowed(name.as_str())),
                ..Default::default()
            });
            asked.collect()
        });
        let request =
            MetadataRequest { topics, allow_auto_topic_creation: false, ..MetadataRequest::default() };
        let described = self.call_any(&request, |response: MetadataResponse<'_>| {
            let known = response.topics.iter().filter(|topic| topic.error_code == 0);
            known.filter_map(description).collect::<Vec<_>>()
        });
        let mut described = described.await?;
        described.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(described)
    }

    /// Creates topics in one request; `validate_only` creates none.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<PerTopic, AdminError> {
        let creatable = topics.iter().map(|topic| CreatableTopic {
            name: Cow::Borrowed(&topic.name),
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: topic.replication_factor.unwrap_or(-1),
            configs: configs(&topic.config),
            ..Default::default()
        });
        let request = CreateTopicsRequest {
            topics: creatable.collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..Default::default()
        };
        let answer = self.call_any(&request, |response: CreateTopicsResponse<'_>| {
            let topics = response.topics.iter();
            topics
                .map(|topic| {
                    let outcome = TopicFailure::check(topic.error_code, topic.error_message.as_deref());
                    (topic.name.clone().into_owned(), outcome)
                })
                .collect()
        });
        Ok(answer.await?)
    }

    /// Raises the number of partitions, by topic.
    pub async fn create_partitions(&self, counts: &BTreeMap<String, i32>) -> Result<PerTopic, AdminError> {
        let topics = counts.iter().map(|(name, count)| CreatePartitionsTopic {
            name: Cow::Borrowed(name),
            count: *count,
            assignments: None,
            ..Default::default()
        });
        let request = CreatePartitionsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        let answer = self.call_any(&request, |response: CreatePartitionsResponse<'_>| {
            let results = response.results.iter();
            results
                .map(|topic| {
                    let outcome = TopicFailure::check(topic.error_code, topic.error_message.as_deref());
                    (topic.name.clone().into_owned(), outcome)
                })
                .collect()
        });
        Ok(answer.await?)
    }

    /// Deletes topics by name, with all their records.
    pub async fn delete_topics(&self, names: &[String]) -> Result<PerTopic, AdminError> {
        let topics = names
            .iter()
            .map(|name| DeleteTopicState { name: Some(Cow::Borrowed(name.as_str())), ..Default::default() });
        let request = DeleteTopicsRequest {
            topics: topics.collect(),
            topic_names: names.iter().map(|name| Cow::Borrowed(name.as_str())).collect(),
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        let answer = self.call_any(&request, |response: DeleteTopicsResponse<'_>| {
            let responses = response.responses.iter();
            responses
                .filter_map(|topic| {
                    let outcome = TopicFailure::check(topic.error_code, topic.error_message.as_deref());
                    Some((topic.name.as_deref()?.to_owned(), outcome))
                })
                .collect()
        });
        Ok(answer.await?)
    }

    /// Moves leadership to the preferred replicas of the partitions named, or of all.
    pub async fn elect_preferred_leaders(
        &self,
        partitions: Option<&BTreeMap<String, Vec<PartitionIndex>>>,
    ) -> Result<(), AdminError> {
        let topic_partitions = partitions.map(|partitions| {
            let topics = partitions.iter().map(|(topic, indexes)| TopicPartitions {
                topic: Cow::Borrowed(topic.as_str()),
                partitions: indexes.iter().map(|index| index.0).collect(),
                ..Default::default()
            });
            topics.collect()
        });
        let request = ElectLeadersRequest {
            election_type: ELECTION_PREFERRED,
            topic_partitions,
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        self.call_any(&request, |response: ElectLeadersResponse<'_>| {
            AdminError::check(response.error_code, None)
        })
        .await?
    }

    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX)
    }
}

fn configs(config: &BTreeMap<String, String>) -> Vec<CreatableTopicConfig<'_>> {
    let entries = config.iter().map(|(name, value)| CreatableTopicConfig {
        name: Cow::Borrowed(name.as_str()),
        value: Some(Cow::Borrowed(value.as_str())),
        ..Default::default()
    });
    entries.collect()
}

fn description(topic: &MetadataResponseTopic<'_>) -> Option<TopicDescription> {
    let nodes = |ids: &[i32]| ids.iter().filter_map(|id| NodeId::from_wire(*id)).collect::<Vec<_>>();
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions
        .iter()
        .map(|partition| PartitionDescription {
            index: PartitionIndex(partition.partition_index),
            leader: NodeId::from_wire(partition.leader_id),
            leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
            replicas: nodes(&partition.replica_nodes),
            isr: nodes(&partition.isr_nodes),
            offline: nodes(&partition.offline_replicas),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    Some(TopicDescription {
        name: topic.name.as_deref()?.to_owned(),
        id: TopicId::from_wire(topic.topic_id.0),
        internal: topic.is_internal,
        partitions,
    })
}
