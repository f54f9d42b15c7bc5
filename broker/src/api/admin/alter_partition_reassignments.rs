//! AlterPartitionReassignments (key 45, KIP-455): replicas move; null cancels.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, ReassignmentItem, ReassignmentResult};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use ottla_broker_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ottla_broker_types::{NodeId, PartitionIndex};

use super::parts;
use crate::broker::Broker;
use crate::controller::NotActive;

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &AlterPartitionReassignmentsRequest<'_>,
) -> Result<AlterPartitionReassignmentsResponse<'static>, NotActive> {
    let mut items = Vec::new();
    for topic in &request.topics {
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
    let lost = |item: &ReassignmentItem, refused| ReassignmentResult {
        topic: item.topic.clone(),
        partition: item.partition,
        outcome: Err(refused),
    };
    let parts = controller::split_reassignments(&items);
    let response = match parts::decide(broker, &items, parts, decide, lost).await? {
        Ok(results) => {
            let rows = results.into_iter().map(|result| {
                let (code, message) = match result.outcome {
                    Ok(()) => (ErrorCode::None, None),
                    Err(refused) => (refused.code, Some(refused.message)),
                };
                (result.topic, result.partition, code, message)
            });
            response(rows)
        }
        Err(refused) => AlterPartitionReassignmentsResponse {
            error_code: refused.code.code(),
            error_message: Some(Cow::Owned(refused.message)),
            ..Default::default()
        },
    };
    Ok(AlterPartitionReassignmentsResponse { allow_replication_factor_change: factor_may_change, ..response })
}

/// Every partition named failed.
pub fn failed(
    request: &AlterPartitionReassignmentsRequest<'_>,
    code: ErrorCode,
) -> AlterPartitionReassignmentsResponse<'static> {
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
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
