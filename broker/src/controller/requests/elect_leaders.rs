//! ElectLeaders (key 43): preferred replicas, or any live replica where nothing better is left.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, ElectionError, ElectionResult, ElectionType};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use ottla_broker_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use ottla_broker_types::{PartitionIndex, TopicName};

use super::{AdminApi, Deciding, parts};
use crate::controller::Active;
use crate::errors::KafkaError;

/// From this version on an answer can say that the whole request failed; before, only its partitions can.
const WHOLE_ERROR_FROM_VERSION: i16 = 1;

/// How the active controller decides on it.
pub struct ElectLeaders;

impl AdminApi for ElectLeaders {
    type Request<'a> = ElectLeadersRequest<'a>;
    type Response<'a> = ElectLeadersResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let kind = match request.election_type {
                0 => ElectionType::Preferred,
                1 => ElectionType::Unclean,
                _ => return Ok(Self::failed(request, ErrorCode::InvalidRequest, version)),
            };
            // Names that no topic can have may be long: they are told apart once, not for each of their partitions.
            let (topics, unnamable): (Vec<_>, Vec<_>) = request
                .topic_partitions
                .iter()
                .flatten()
                .partition(|topic| TopicName::new(&topic.topic).is_ok());
            let named: Option<Vec<(Arc<str>, PartitionIndex)>> =
                request.topic_partitions.as_ref().map(|_| topics.into_iter().flat_map(partitions).collect());
            let decide = |context: Context<'_>, named: &[(Arc<str>, PartitionIndex)], _| {
                Ok::<_, Infallible>(controller::elect_leaders(context, kind, Some(named)))
            };
            let all = named.is_none();
            let row = |result: ElectionResult| -> Option<Row> {
                let (code, message) = match result.outcome {
                    Ok(()) => (ErrorCode::None, None),
                    Err(ElectionError::NotNeeded) if all => return None,
                    Err(error) => (error.code(), Some(error.to_string())),
                };
                Some((result.topic, result.partition, code, message))
            };
            let lost = |(topic, partition): &(Arc<str>, PartitionIndex)| -> Option<Row> {
                let code = ErrorCode::NotController;
                Some((topic.clone(), *partition, code, Some(code.message().to_owned())))
            };
            let named = named.unwrap_or_else(|| controller::electable(&active.view(), kind));
            let parts = controller::split_batches(&named, Clone::clone, |_| 1);
            let Ok(rows) = parts::decide(active, &named, parts, decide, row, lost).await?;
            let mut response = response(rows.into_iter().flatten());
            let unknown = ErrorCode::UnknownTopicOrPartition;
            response
                .replica_election_results
                .extend(unnamable.into_iter().map(|topic| all_failed(topic, unknown)));
            Ok(response)
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, version: i16) -> Self::Response<'static> {
        let results = request.topic_partitions.iter().flatten().map(|topic| all_failed(topic, code));
        let whole = if version >= WHOLE_ERROR_FROM_VERSION { code } else { ErrorCode::None };
        ElectLeadersResponse {
            error_code: whole.code(),
            replica_election_results: results.collect(),
            ..Default::default()
        }
    }
}

fn all_failed(topic: &TopicPartitions<'_>, code: ErrorCode) -> ReplicaElectionResult<'static> {
    let partitions = topic.partitions.iter().map(|index| PartitionResult {
        partition_id: *index,
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
        ..Default::default()
    });
    ReplicaElectionResult {
        topic: Cow::Owned(topic.topic.clone().into_owned()),
        partition_result: partitions.collect(),
        ..Default::default()
    }
}

/// The partitions of a topic, which share its name.
fn partitions(topic: &TopicPartitions<'_>) -> impl Iterator<Item = (Arc<str>, PartitionIndex)> {
    let name: Arc<str> = (*topic.topic).into();
    topic.partitions.iter().map(move |index| (Arc::clone(&name), PartitionIndex(*index)))
}

type Row = (Arc<str>, PartitionIndex, ErrorCode, Option<String>);

fn response(rows: impl Iterator<Item = Row>) -> ElectLeadersResponse<'static> {
    let mut topics: BTreeMap<Arc<str>, Vec<PartitionResult<'static>>> = BTreeMap::new();
    for (topic, index, code, message) in rows {
        topics.entry(topic).or_default().push(PartitionResult {
            partition_id: index.0,
            error_code: code.code(),
            error_message: message.map(Cow::Owned),
            ..Default::default()
        });
    }
    let results = topics.into_iter().map(|(topic, partition_result)| ReplicaElectionResult {
        topic: Cow::Owned(topic.as_ref().to_owned()),
        partition_result,
        ..Default::default()
    });
    ElectLeadersResponse { replica_election_results: results.collect(), ..Default::default() }
}
