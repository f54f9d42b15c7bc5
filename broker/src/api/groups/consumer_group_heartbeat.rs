//! ConsumerGroupHeartbeat (key 68): membership of groups whose coordinator assigns (KIP-848).

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_coordinator::{
    ConsumerHeartbeat, ConsumerHeartbeatError, ConsumerHeartbeatReply, GroupId, InstanceId, Intent,
    InvalidHeartbeat, MemberId, Partitions,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use ottla_broker_protocol::messages::consumer_group_heartbeat_response::{
    AssignedTopicPartitions, Assignment, ConsumerGroupHeartbeatResponse,
};
use ottla_broker_types::{DurationMs, PartitionIndex, TopicId};

use crate::api::call::Call;

use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;
use crate::listener::Reply;

/// From this version on clients make their own ids (KIP-1082).
const CLIENT_IDS_FROM_VERSION: i16 = 1;
/// Kafka's epochs of members that have left, for good or for a while.
const LEFT: i32 = -1;
const LEFT_FOR_A_WHILE: i32 = -2;

/// Handles a ConsumerGroupHeartbeat.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: ConsumerGroupHeartbeatRequest<'_> = call.request()?;
    let heartbeat = match read(&call, &request) {
        Ok(heartbeat) => heartbeat,
        Err(error) => {
            let error = ConsumerHeartbeatError::from(error);
            return Ok(Answer::now(refused(&call, error.code(), Some(error.to_string()))));
        }
    };
    let (intent, interval) = (heartbeat.intent, broker.config.groups.consumer_heartbeat_interval_ms);
    match broker.groups.consumer_heartbeat(broker, &heartbeat) {
        Err(error) => Ok(Answer::now(refused(&call, error.code(), Some(error.to_string())))),
        Ok(done) if done.commit.is_none() => Ok(Answer::now(answer(&call, intent, interval, &done.value))),
        Ok(done) => Ok(call.later(move |call| async move {
            match done.committed().await {
                Ok(reply) => answer(&call, intent, interval, &reply),
                Err(why) => refused(&call, why.code(), None),
            }
        })),
    }
}

/// The request in the coordinator's words.
fn read(
    call: &Call,
    request: &ConsumerGroupHeartbeatRequest<'_>,
) -> Result<ConsumerHeartbeat, InvalidHeartbeat> {
    let is_empty = |text: &Option<Cow<'_, str>>| text.as_deref().is_some_and(str::is_empty);
    let member = MemberId::new(&request.member_id);
    if member.is_none() && call.version >= CLIENT_IDS_FROM_VERSION {
        return Err(InvalidHeartbeat::NoMember);
    }
    let group = GroupId::new(&request.group_id).ok_or(InvalidHeartbeat::NoGroup)?;
    if is_empty(&request.instance_id) {
        return Err(InvalidHeartbeat::EmptyInstance);
    }
    if is_empty(&request.rack_id) {
        return Err(InvalidHeartbeat::EmptyRack);
    }
    let names = request.subscribed_topic_names.as_ref();
    Ok(ConsumerHeartbeat {
        group,
        member,
        intent: Intent::from_wire(request.member_epoch).ok_or(InvalidHeartbeat::Epoch)?,
        instance: request.instance_id.as_deref().and_then(InstanceId::new),
        rack: request.rack_id.as_deref().map(Arc::from),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms).ok().map(DurationMs),
        topics: names.map(|names| names.iter().map(|name| Arc::from(&**name)).collect()),
        pattern: request.subscribed_topic_regex.as_deref().map(Arc::from),
        assignor: request.server_assignor.as_deref().map(Arc::from),
        owned: request.topic_partitions.as_deref().map(owned),
        client_id: call.client_id.as_str().into(),
        client_host: format!("/{}", call.peer.address.ip()).into(),
    })
}

fn owned(topics: &[TopicPartitions]) -> Partitions {
    let of_topic = |topic: &TopicPartitions| {
        let id = TopicId(topic.topic_id);
        topic.partitions.iter().map(move |index| (id, PartitionIndex(*index))).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of_topic).collect()
}

fn answer(call: &Call, intent: Intent, interval: DurationMs, reply: &ConsumerHeartbeatReply) -> Reply {
    let left = if intent == Intent::LeaveForAWhile { LEFT_FOR_A_WHILE } else { LEFT };
    let assignment = reply.assignment.as_ref().map(|partitions| Assignment {
        topic_partitions: partitions
            .by_topic()
            .map(|(topic, partitions)| AssignedTopicPartitions {
                topic_id: topic.0,
                partitions: partitions.iter().map(|partition| partition.0).collect(),
            })
            .collect(),
    });
    call.reply(&ConsumerGroupHeartbeatResponse {
        member_id: Some(Cow::Borrowed(reply.member.as_str())),
        member_epoch: reply.epoch.map_or(left, |epoch| epoch.0),
        // Who has left sends no more.
        heartbeat_interval_ms: match reply.epoch {
            Some(_) => i32::try_from(interval.0).unwrap_or(i32::MAX),
            None => 0,
        },
        assignment,
        ..Default::default()
    })
}

fn refused(call: &Call, code: ErrorCode, message: Option<String>) -> Reply {
    call.reply(&ConsumerGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: message.map(Cow::Owned),
        ..Default::default()
    })
}
