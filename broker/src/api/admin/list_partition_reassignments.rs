//! ListPartitionReassignments (key 46): from this broker's own metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ottla_broker_metadata::controller::list_reassignments;
use ottla_broker_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_broker_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use ottla_broker_types::PartitionIndex;

use crate::api::call::Call;
use crate::api::{Answer, Malformed, topic_rows};
use crate::broker::Broker;

/// Handles a ListPartitionReassignments.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: ListPartitionReassignmentsRequest<'_> = call.request()?;
    let named: Option<Vec<(String, PartitionIndex)>> = request.topics.as_ref().map(|topics| {
        let mut named = Vec::new();
        for topic in topics {
            let name = topic.name.clone().into_owned();
            named.extend(topic.partition_indexes.iter().map(|index| (name.clone(), PartitionIndex(*index))));
        }
        named
    });
    let mut topics: BTreeMap<String, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    for ongoing in list_reassignments(&broker.view(), named.as_deref()) {
        topics.entry(ongoing.topic).or_default().push(OngoingPartitionReassignment {
            partition_index: ongoing.partition.0,
            replicas: topic_rows::ids(&ongoing.replicas),
            adding_replicas: topic_rows::ids(&ongoing.adding),
            removing_replicas: topic_rows::ids(&ongoing.removing),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| OngoingTopicReassignment {
        name: Cow::Owned(name),
        partitions,
        ..Default::default()
    });
    let response = ListPartitionReassignmentsResponse { topics: topics.collect(), ..Default::default() };
    Ok(Answer::now(call.reply(&response)))
}
