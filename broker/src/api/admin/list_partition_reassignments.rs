//! ListPartitionReassignments (key 46): from this broker's own metadata.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker_metadata::controller::list_reassignments;
use ottla_broker_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_broker_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use ottla_broker_types::{PartitionIndex, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed, topic_rows};
use crate::broker::Broker;

/// Handles a ListPartitionReassignments.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: ListPartitionReassignmentsRequest<'_> = call.request()?;
    let named: Option<Vec<(Arc<str>, PartitionIndex)>> = request.topics.as_ref().map(|topics| {
        let mut named = BTreeSet::new();
        // A name that no topic can have may be long, and has none.
        for topic in topics.iter().filter(|topic| TopicName::new(&topic.name).is_ok()) {
            let name: Arc<str> = (*topic.name).into();
            let indexes = topic.partition_indexes.iter();
            named.extend(indexes.map(|index| (Arc::clone(&name), PartitionIndex(*index))));
        }
        named.into_iter().collect()
    });
    let mut topics: BTreeMap<Arc<str>, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
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
        name: Cow::Owned(name.as_ref().to_owned()),
        partitions,
        ..Default::default()
    });
    let response = ListPartitionReassignmentsResponse { topics: topics.collect(), ..Default::default() };
    Ok(Answer::now(call.reply(&response)))
}
