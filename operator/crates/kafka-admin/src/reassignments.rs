//! Moving replicas (KIP-455).

use std::borrow::Cow;
use std::collections::BTreeMap;

use ottla_broker_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_broker_protocol::messages::alter_partition_reassignments_response::AlterPartitionReassignmentsResponse;
use ottla_broker_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_broker_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;
use ottla_broker_types::{NodeId, PartitionIndex};

use crate::client::AdminClient;
use crate::error::AdminError;
use crate::topics::TopicFailure;

/// The controller writes one atomic batch of at most 10,000 records; far below it, a failure costs little.
pub(crate) const PARTITIONS_PER_CALL_MAX: usize = 1_000;

/// One partition's new replicas; `None` cancels what is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The whole new list, the preferred leader first.
    pub replicas: Option<Vec<NodeId>>,
}

/// A reassignment that is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// All replicas now, those that come and those that go included.
    pub replicas: Vec<NodeId>,
    /// Those that come.
    pub adding: Vec<NodeId>,
    /// Those that go.
    pub removing: Vec<NodeId>,
}

/// What became of each partition of a call.
type PerPartition = BTreeMap<(String, PartitionIndex), Result<(), TopicFailure>>;

impl AdminClient {
    /// Starts or cancels reassignments, in requests of a bounded size.
    pub async fn alter_reassignments(&self, changes: &[Reassignment]) -> Result<PerPartition, AdminError> {
        let mut outcomes = PerPartition::new();
        for chunk in changes.chunks(PARTITIONS_PER_CALL_MAX) {
            let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
            for change in chunk {
                let replicas = change.replicas.as_ref();
                topics.entry(&change.topic).or_default().push(ReassignablePartition {
                    partition_index: change.partition.0,
                    replicas: replicas.map(|replicas| replicas.iter().map(|node| node.0).collect()),
                    ..Default::default()
                });
            }
            let topics = topics.into_iter().map(|(name, partitions)| ReassignableTopic {
                name: Cow::Borrowed(name),
                partitions,
                ..Default::default()
            });
            let request = AlterPartitionReassignmentsRequest {
                timeout_ms: self.timeout_ms(),
                topics: topics.collect(),
                ..Default::default()
            };
            let answer = self.call_any(&request, read_outcomes);
            outcomes.extend(answer.await??);
        }
        Ok(outcomes)
    }

    /// Every reassignment that is going on.
    pub async fn list_reassignments(&self) -> Result<Vec<OngoingReassignment>, AdminError> {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics: None,
            ..Default::default()
        };
        self.call_any(&request, |response: ListPartitionReassignmentsResponse<'_>| {
            AdminError::check(response.error_code, response.error_message.as_deref())?;
            let nodes = |ids: &[i32]| ids.iter().filter_map(|id| NodeId::from_wire(*id)).collect::<Vec<_>>();
            let mut ongoing = Vec::new();
            for topic in &response.topics {
                ongoing.extend(topic.partitions.iter().map(|partition| OngoingReassignment {
                    topic: topic.name.clone().into_owned(),
                    partition: PartitionIndex(partition.partition_index),
                    replicas: nodes(&partition.replicas),
                    adding: nodes(&partition.adding_replicas),
                    removing: nodes(&partition.removing_replicas),
                }));
            }
            Ok(ongoing)
        })
        .await?
    }
}

fn read_outcomes(response: AlterPartitionReassignmentsResponse<'_>) -> Result<PerPartition, AdminError> {
    AdminError::check(response.error_code, response.error_message.as_deref())?;
    let mut outcomes = PerPartition::new();
    for topic in &response.responses {
        for partition in &topic.partitions {
            let key = (topic.name.clone().into_owned(), PartitionIndex(partition.partition_index));
            let outcome = TopicFailure::check(partition.error_code, partition.error_message.as_deref());
            outcomes.insert(key, outcome);
        }
    }
    Ok(outcomes)
}
