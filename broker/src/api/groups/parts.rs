//! What the group APIs share: the way to each file, and reading who asks.

use std::sync::Arc;

use ottla_broker_coordinator::{Caller, GroupId, InstanceId, MemberId};
use ottla_broker_protocol::{ApiKey, ErrorCode};
use ottla_broker_types::{PartitionIndex, TopicId, TopicName, TopicPartition, Uuid};

use super::{
    delete_groups, describe_groups, heartbeat, join_group, leave_group, list_groups, offset_commit,
    offset_delete, offset_fetch, sync_group,
};
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::view::View;

/// Hands a call to its file.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    match call.key {
        ApiKey::OffsetCommit => offset_commit::handle(broker, call),
        ApiKey::OffsetFetch => offset_fetch::handle(broker, call),
        ApiKey::JoinGroup => join_group::handle(broker, call),
        ApiKey::Heartbeat => heartbeat::handle(broker, &call),
        ApiKey::LeaveGroup => leave_group::handle(broker, call),
        ApiKey::SyncGroup => sync_group::handle(broker, call),
        ApiKey::DescribeGroups => describe_groups::handle(broker, &call),
        ApiKey::ListGroups => list_groups::handle(broker, &call),
        ApiKey::DeleteGroups => delete_groups::handle(broker, call),
        ApiKey::OffsetDelete => offset_delete::handle(broker, call),
        _ => Ok(Answer::close("the API is none of groups")),
    }
}

/// Who asks, as the request says it.
pub(super) fn caller(member: &str, instance: Option<&str>) -> Caller {
    Caller { member: MemberId::new(member), instance: instance.and_then(InstanceId::new) }
}

/// The group named, where it may have no name: offsets can be kept without a group's membership.
pub(super) fn any_group(name: &str) -> GroupId {
    GroupId::or_unnamed(name)
}

/// The group named, which has members or could.
pub(super) fn group(name: &str) -> Result<GroupId, ErrorCode> {
    GroupId::new(name).ok_or(ErrorCode::InvalidGroupId)
}

/// The topic that a request names by id (`by_id`) or by name, if it exists.
pub(super) fn topic(view: &View, by_id: bool, name: &str, id: Uuid) -> Result<TopicName, ErrorCode> {
    if by_id {
        return TopicId::from_wire(id.0).and_then(|id| view.topic_name(id)).ok_or(ErrorCode::UnknownTopicId);
    }
    view.topic(name).map(|topic| topic.name.clone()).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// A partition that exists.
pub(super) fn partition(view: &View, topic: &TopicName, index: i32) -> Result<TopicPartition, ErrorCode> {
    let at = TopicPartition { topic: topic.clone(), partition: PartitionIndex(index) };
    if view.partition(&at).is_none() { Err(ErrorCode::UnknownTopicOrPartition) } else { Ok(at) }
}
