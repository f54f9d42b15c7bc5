//! What the group APIs share: reading who asks, and for what.

use ottla_broker_coordinator::{Caller, GroupId, InstanceId, MemberId};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{PartitionIndex, TopicId, TopicName, TopicPartition, Uuid};

use crate::view::View;

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

/// The code of a result on the wire.
pub(super) fn code(result: Result<(), ErrorCode>) -> ErrorCode {
    result.err().unwrap_or(ErrorCode::None)
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
