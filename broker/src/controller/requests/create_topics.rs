//! CreateTopics (key 19).

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_config::EffectiveConfig;
use ottla_broker_metadata::controller::{self, Context, CreateTopicResult, CreatedTopic, NewTopic};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_broker_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use ottla_broker_types::{NodeId, PartitionIndex};

use super::{AdminApi, Deciding, parts};
use crate::controller::Active;
use crate::errors::KafkaError;

/// The wire's "as the cluster's default".
const DEFAULT: i32 = -1;

/// How the active controller decides on it.
pub struct CreateTopics;

impl AdminApi for CreateTopics {
    type Request<'a> = CreateTopicsRequest<'a>;
    type Response<'a> = CreateTopicsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let topics: Vec<NewTopic> = request.topics.iter().map(new_topic).collect();
            let decide = |context: Context<'_>, topics: &[NewTopic], seed| {
                Ok::<_, Infallible>(controller::create_topics(context, topics, request.validate_only, seed))
            };
            let row = |result: CreateTopicResult| match result.outcome {
                Ok(created) => row(result.name, &created),
                Err(error) => failed_row(result.name, error.code(), Some(error.to_string())),
            };
            let lost = |topic: &NewTopic| failed_row(topic.name.clone(), ErrorCode::NotController, None);
            let parts = controller::split_new_topics(&active.parts.config, &topics, request.validate_only);
            let Ok(topics) = parts::decide(active, &topics, parts, decide, row, lost).await?;
            Ok(CreateTopicsResponse { topics, ..Default::default() })
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        let rows = request.topics.iter().map(|topic| failed_row(topic.name.clone().into_owned(), code, None));
        CreateTopicsResponse { topics: rows.collect(), ..Default::default() }
    }
}

fn new_topic(topic: &CreatableTopic<'_>) -> NewTopic {
    let assignments = topic.assignments.iter().map(|assignment| {
        let brokers = assignment.broker_ids.iter().map(|id| NodeId(*id)).collect();
        (PartitionIndex(assignment.partition_index), brokers)
    });
    let configs = topic
        .configs
        .iter()
        .map(|config| (config.name.clone().into_owned(), config.value.as_deref().map(str::to_owned)));
    NewTopic {
        name: topic.name.clone().into_owned(),
        partitions: (topic.num_partitions != DEFAULT).then_some(topic.num_partitions),
        replication_factor: (i32::from(topic.replication_factor) != DEFAULT)
            .then_some(topic.replication_factor),
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn row(name: String, created: &CreatedTopic) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: Cow::Owned(name),
        topic_id: created.id.0,
        num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
        configs: Some(created.configs.iter().map(config_row).collect()),
        ..Default::default()
    }
}

fn config_row(config: &EffectiveConfig) -> CreatableTopicConfigs<'static> {
    CreatableTopicConfigs {
        name: Cow::Borrowed(config.setting.name),
        value: config.value.clone().map(Cow::Owned),
        read_only: false,
        config_source: config.source.code(),
        is_sensitive: config.setting.sensitive,
        ..Default::default()
    }
}

fn failed_row(name: String, code: ErrorCode, message: Option<String>) -> CreatableTopicResult<'static> {
    let message = message.unwrap_or_else(|| code.message().to_owned());
    CreatableTopicResult {
        name: Cow::Owned(name),
        error_code: code.code(),
        error_message: Some(Cow::Owned(message)),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
