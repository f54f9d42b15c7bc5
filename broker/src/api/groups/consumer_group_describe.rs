//! ConsumerGroupDescribe (key 69): groups whose coordinator assigns (KIP-848).

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_coordinator::{ConsumerDescription, ConsumerGroupDescription, Partitions};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use ottla_broker_protocol::messages::consumer_group_describe_response::{
    ConsumerGroupDescribeResponse, DescribedAssignment, DescribedConsumer, DescribedConsumerGroup,
    DescribedTopicPartitions,
};

use super::parts;
use crate::api::call::Call;
use crate::api::distinct::distinct;

use crate::api::{Answer, Malformed, authorized_operations};
use crate::broker::Broker;
use crate::errors::KafkaError;
use crate::view::View;

/// What Kafka calls a member that uses the consumer protocol itself.
const CONSUMER_MEMBER: i8 = 1;

/// Handles a ConsumerGroupDescribe.
pub fn handle(broker: &Arc<Broker>, call: &Call) -> Result<Answer, Malformed> {
    let request: ConsumerGroupDescribeRequest<'_> = call.request()?;
    let view = broker.view();
    let mut room = call.key.rules().answer_bytes_max;
    let mut response = ConsumerGroupDescribeResponse::default();
    for name in distinct(&request.group_ids, |name| &**name) {
        let row = match room {
            0 => refused(
                name,
                ErrorCode::InvalidRequest,
                "the answer would be too large: describe fewer groups in one request",
            ),
            _ => describe(broker, &view, name),
        };
        room = room.saturating_sub(size_of_row(&row));
        let asked = request.include_authorized_operations && row.error_code == ErrorCode::None.code();
        let authorized_operations = authorized_operations::of_group(asked);
        response.groups.push(DescribedConsumerGroup { authorized_operations, ..row });
    }
    Ok(Answer::now(call.reply(&response)))
}

/// About what a row takes in the answer.
fn size_of_row(row: &DescribedConsumerGroup<'_>) -> usize {
    const FIXED_BYTES: usize = 64;
    let assignment = |assignment: &DescribedAssignment<'_>| {
        let topics = assignment.topic_partitions.iter();
        topics.map(|topic| FIXED_BYTES + topic.topic_name.len() + 4 * topic.partitions.len()).sum::<usize>()
    };
    let member = |member: &DescribedConsumer<'_>| {
        let names = member.subscribed_topic_names.iter().map(|name| FIXED_BYTES + name.len());
        let texts = member.member_id.len() + member.client_id.len() + member.client_host.len();
        let assignments = assignment(&member.assignment) + assignment(&member.target_assignment);
        FIXED_BYTES + texts + names.sum::<usize>() + assignments
    };
    FIXED_BYTES + row.group_id.len() + row.members.iter().map(member).sum::<usize>()
}

fn describe(broker: &Broker, view: &View, name: &str) -> DescribedConsumerGroup<'static> {
    match broker.groups.describe_consumers(broker, &parts::any_group(name)) {
        Ok(Some(group)) => row(view, name, &group),
        Ok(None) => {
            refused(name, ErrorCode::GroupIdNotFound, &format!("Group {name} is not a consumer group."))
        }
        Err(why) => refused(name, why.code(), &why.to_string()),
    }
}

fn refused(name: &str, code: ErrorCode, message: &str) -> DescribedConsumerGroup<'static> {
    DescribedConsumerGroup {
        error_code: code.code(),
        error_message: Some(Cow::Owned(message.to_owned())),
        group_id: Cow::Owned(name.to_owned()),
        ..Default::default()
    }
}

fn row(view: &View, name: &str, group: &ConsumerGroupDescription) -> DescribedConsumerGroup<'static> {
    DescribedConsumerGroup {
        group_id: Cow::Owned(name.to_owned()),
        group_state: Cow::Borrowed(group.state.name()),
        group_epoch: group.epoch.0,
        assignment_epoch: group.assignment_epoch.0,
        assignor_name: Cow::Borrowed(group.assignor),
        members: group.members.iter().map(|consumer| member(view, consumer)).collect(),
        ..Default::default()
    }
}

fn member(view: &View, consumer: &ConsumerDescription) -> DescribedConsumer<'static> {
    /// Kafka's epoch of a static member that is away.
    const AWAY: i32 = -2;
    let text = |text: &str| Cow::Owned(text.to_owned());
    let metadata = &consumer.metadata;
    DescribedConsumer {
        member_id: text(consumer.member.as_str()),
        instance_id: metadata.instance.as_ref().map(|instance| text(instance.as_str())),
        rack_id: metadata.rack.as_deref().map(text),
        member_epoch: consumer.current.epoch.map_or(AWAY, |epoch| epoch.0),
        client_id: text(&metadata.client_id),
        client_host: text(&metadata.client_host),
        subscribed_topic_names: metadata.topics.iter().map(|topic| text(topic)).collect(),
        subscribed_topic_regex: metadata.pattern.as_deref().map(text),
        assignment: assignment(view, &consumer.current.assigned),
        target_assignment: assignment(view, &consumer.target),
        member_type: CONSUMER_MEMBER,
    }
}

/// Partitions with their topics' names; those of topics that are gone are left out, as Kafka does.
fn assignment(view: &View, partitions: &Partitions) -> DescribedAssignment<'static> {
    let topics = partitions.by_topic().filter_map(|(id, partitions)| {
        Some(DescribedTopicPartitions {
            topic_id: id.0,
            topic_name: Cow::Owned(view.topic_name(id)?.as_str().to_owned()),
            partitions: partitions.iter().map(|partition| partition.0).collect(),
        })
    });
    DescribedAssignment { topic_partitions: topics.collect() }
}
