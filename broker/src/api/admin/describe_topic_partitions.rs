//! DescribeTopicPartitions (key 75): topics page by page, with eligible leader replicas (KIP-966).

use std::borrow::Cow;
use std::collections::BTreeSet;

use ottla_broker_metadata::Topic;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use ottla_broker_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed, authorized_operations, topic_rows};
use crate::broker::Broker;
use crate::view::View;

/// Handles a DescribeTopicPartitions.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeTopicPartitionsRequest<'_> = call.request()?;
    let (view, suspects) = (broker.view(), broker.peers.suspects());
    let asked_max = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut room = asked_max.min(broker.config.fetch.described_partitions_max as usize).max(1);
    let from = request.cursor.as_ref().map(|cursor| (cursor.topic_name.as_ref(), cursor.partition_index));
    let names: BTreeSet<&str> = if request.topics.is_empty() {
        view.topics().map(|topic| topic.name.as_str()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_ref()).collect()
    };
    let mut response = DescribeTopicPartitionsResponse::default();
    if from.is_some_and(|(topic, index)| index < 0 || !(request.topics.is_empty() || names.contains(topic))) {
        response.topics = names.iter().map(|name| failed(name, ErrorCode::InvalidRequest)).collect();
        return Ok(Answer::now(call.reply(&response)));
    }
    for name in names {
        let start = match from {
            Some((cursor, _)) if name < cursor => continue,
            Some((cursor, index)) if name == cursor => index.max(0),
            _ => 0,
        };
        if room == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: Cow::Owned(name.to_owned()),
                partition_index: start,
                ..Default::default()
            });
            break;
        }
        let Some(topic) = view.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let (row, next) = page(&view, &suspects, topic, start, &call.peer.session.listener, room);
        room -= row.partitions.len();
        response.topics.push(row);
        if let Some(index) = next {
            response.next_cursor = Some(Cursor {
                topic_name: Cow::Owned(name.to_owned()),
                partition_index: index.0,
                ..Default::default()
            });
            break;
        }
    }
    Ok(Answer::now(call.reply(&response)))
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic<'static> {
    let code = match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    let asked = authorized_operations::of_topic(true);
    DescribeTopicPartitionsResponseTopic { topic_authorized_operations: asked, ..failed(name, code) }
}

fn failed(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'static> {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(Cow::Owned(name.to_owned())),
        topic_authorized_operations: authorized_operations::of_topic(false),
        ..Default::default()
    }
}

/// As many partitions of a topic as there is room for, and where to go on.
fn page(
    view: &View,
    suspects: &[NodeId],
    topic: &Topic,
    start: i32,
    listener: &str,
    room: usize,
) -> (DescribeTopicPartitionsResponseTopic<'static>, Option<PartitionIndex>) {
    let start = PartitionIndex(start);
    let mut rest = topic.partitions.range_from(&start);
    let partitions = rest.by_ref().take(room).map(|(index, partition)| {
        let (leader_id, code) = topic_rows::leader(view, partition, listener, suspects);
        DescribeTopicPartitionsResponsePartition {
            error_code: code.code(),
            partition_index: index.0,
            leader_id,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: topic_rows::ids(&partition.replicas),
            isr_nodes: topic_rows::ids(&partition.isr),
            eligible_leader_replicas: Some(topic_rows::ids(&partition.elr)),
            last_known_elr: Some(topic_rows::ids(&partition.last_known_elr)),
            offline_replicas: topic_rows::offline(view, partition),
            ..Default::default()
        }
    });
    let row = DescribeTopicPartitionsResponseTopic {
        name: Some(Cow::Owned(topic.name.as_str().to_owned())),
        topic_id: topic.id.0,
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: authorized_operations::of_topic(true),
        ..Default::default()
    };
    (row, rest.next().map(|(index, _)| *index))
}
