//! AlterPartitionReassignments (key 45, KIP-455): replicas move; null cancels.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, ReassignmentItem, ReassignmentResult};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignableTopic,
};
use ottla_broker_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::{AdminApi, Deciding, parts};
use crate::controller::Active;
use crate::errors::KafkaError;

/// How the active controller decides on it.
pub struct AlterPartitionReassignments;

impl AdminApi for AlterPartitionReassignments {
    type Request<'a> = AlterPartitionReassignmentsRequest<'a>;
    type Response<'a> = AlterPartitionReassignmentsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            // Names that no topic can have may be long: they are told apart once, not for each of their partitions.
            let (topics, unnamable): (Vec<_>, Vec<_>) =
                request.topics.iter().partition(|topic| TopicName::new(&topic.name).is_ok());
            let mut items = Vec::new();
            for topic in topics {
                // Shared: a long name must not be copied for each partition.
                let name: Arc<str> = (*topic.name).into();
                items.extend(topic.partitions.iter().map(|partition| ReassignmentItem {
                    topic: Arc::clone(&name),
                    partition: PartitionIndex(partition.partition_index),
                    target: partition.replicas.as_ref().map(|ids| ids.iter().map(|id| NodeId(*id)).collect()),
                }));
            }
            let factor_may_change = request.allow_replication_factor_change;
            let decide = |context: Context<'_>, items: &[ReassignmentItem], _| {
                controller::alter_partition_reassignments(context, items, factor_may_change)
            };
            let row = |result: ReassignmentResult| -> Row {
                let (code, message) = match result.outcome {
                    Ok(()) => (ErrorCode::None, None),
                    Err(error) => (error.code(), Some(error.to_string())),
                };
                (result.topic, result.partition, code, message)
            };
            let lost = |item: &ReassignmentItem| -> Row {
                let code = ErrorCode::NotController;
                (item.topic.clone(), item.partition, code, Some(code.message().to_owned()))
            };
            let parts = controller::split_reassignments(&items);
            let mut response = match parts::decide(active, &items, parts, decide, row, lost).await? {
                Ok(rows) => response(rows.into_iter()),
                Err(error) => AlterPartitionReassignmentsResponse {
                    error_code: error.code().code(),
                    error_message: Some(Cow::Owned(error.to_string())),
                    ..Default::default()
                },
            };
            if response.error_code == ErrorCode::None.code() {
                response.responses.extend(unnamable.into_iter().map(unknown));
            }
            Ok(AlterPartitionReassignmentsResponse {
                allow_replication_factor_change: factor_may_change,
                ..response
            })
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: request.allow_replication_factor_change,
            error_code: code.code(),
            error_message: Some(Cow::Borrowed(code.message())),
            ..Default::default()
        }
    }
}

fn unknown(topic: &ReassignableTopic<'_>) -> ReassignableTopicResponse<'static> {
    let code = ErrorCode::UnknownTopicOrPartition;
    let partitions = topic.partitions.iter().map(|partition| ReassignablePartitionResponse {
        partition_index: partition.partition_index,
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
        ..Default::default()
    });
    ReassignableTopicResponse {
        name: Cow::Owned(topic.name.clone().into_owned()),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

type Row = (Arc<str>, PartitionIndex, ErrorCode, Option<String>);

fn response(rows: impl Iterator<Item = Row>) -> AlterPartitionReassignmentsResponse<'static> {
    let mut topics: BTreeMap<Arc<str>, Vec<ReassignablePartitionResponse<'static>>> = BTreeMap::new();
    for (topic, index, code, message) in rows {
        topics.entry(topic).or_default().push(ReassignablePartitionResponse {
            partition_index: index.0,
            error_code: code.code(),
            error_message: message.map(Cow::Owned),
            ..Default::default()
        });
    }
    let responses = topics.into_iter().map(|(name, partitions)| ReassignableTopicResponse {
        name: Cow::Owned(name.as_ref().to_owned()),
        partitions,
        ..Default::default()
    });
    AlterPartitionReassignmentsResponse { responses: responses.collect(), ..Default::default() }
}
