//! The records of groups of the consumer protocol in Kafka's formats. No I/O; bytes from the log are not trusted.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::messages::consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey;
use ottla_broker_protocol::messages::consumer_group_current_member_assignment_value::{
    ConsumerGroupCurrentMemberAssignmentValue, CurrentTopicPartitions,
};
use ottla_broker_protocol::messages::consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey;
use ottla_broker_protocol::messages::consumer_group_member_metadata_value::ConsumerGroupMemberMetadataValue;
use ottla_broker_protocol::messages::consumer_group_metadata_key::ConsumerGroupMetadataKey;
use ottla_broker_protocol::messages::consumer_group_metadata_value::ConsumerGroupMetadataValue;
use ottla_broker_protocol::messages::consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey;
use ottla_broker_protocol::messages::consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue;
use ottla_broker_protocol::messages::consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey;
use ottla_broker_protocol::messages::consumer_group_target_assignment_member_value::{
    ConsumerGroupTargetAssignmentMemberValue, TargetTopicPartitions,
};
use ottla_broker_protocol::messages::consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey;
use ottla_broker_protocol::messages::consumer_group_target_assignment_metadata_value::ConsumerGroupTargetAssignmentMetadataValue;
use ottla_broker_protocol::persisted::{decode_versioned, encode_versioned};
use ottla_broker_protocol::{EncodeError, Message};
use ottla_broker_types::{DurationMs, PartitionIndex, TimestampMs, TopicId, Uuid};

use crate::group::consumer::member::{ConsumerMetadata, CurrentAssignment, MemberState};
use crate::group::consumer::partitions::Partitions;
use crate::group::ids::{GroupEpoch, GroupId, InstanceId, MemberId};
use crate::group::record::RecordError;

/// The key versions of these records, which tell their kinds apart.
const GROUP_KEY: i16 = 3;
const MEMBER_KEY: i16 = 5;
const ASSIGNMENT_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const PATTERN_KEY: i16 = 16;
/// The one version of their values.
const VALUE_VERSION: i16 = 0;
/// Kafka's epoch of a static member that is away.
const AWAY: i32 = -2;
/// Kafka's epoch before the first.
const NO_EPOCH: i32 = -1;

/// One record of a group of the consumer protocol; a value of `None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// How often the group has changed.
    Group(Option<ConsumerGroupValue>),
    /// What a member says of itself.
    Member(MemberId, Option<Arc<ConsumerMetadata>>),
    /// The group's epoch that the targets were made for. It follows them.
    Assignment(Option<GroupEpoch>),
    /// What a member shall have.
    Target(MemberId, Option<Partitions>),
    /// What a member has.
    Current(MemberId, Option<CurrentAssignment>),
    /// The topics that a pattern of members stands for.
    Pattern(Arc<str>, Option<PatternTopics>),
}

/// The group's own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    /// Its epoch.
    pub epoch: GroupEpoch,
    /// Stands for the topics that it was made for. Only compared with what this code makes of them.
    pub topics_hash: i64,
}

/// What a pattern stood for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternTopics {
    /// The topics that it matched.
    pub topics: BTreeSet<Arc<str>>,
    /// When.
    pub resolved_at: TimestampMs,
}

impl PatternTopics {
    /// Bytes that they take of memory.
    pub(crate) fn bytes(&self) -> usize {
        const NAME_BYTES: usize = 48;
        self.topics.iter().map(|topic| NAME_BYTES + topic.len()).sum()
    }
}

impl ConsumerRecord {
    /// Whether a key of this version is one of these records'.
    pub(crate) fn is_key(version: i16) -> bool {
        [GROUP_KEY, MEMBER_KEY, ASSIGNMENT_KEY, TARGET_KEY, CURRENT_KEY, PATTERN_KEY].contains(&version)
    }

    /// Key and value as Kafka writes them.
    pub(crate) fn encode(&self, group: &GroupId) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let group = || Cow::Borrowed(group.as_str());
        match self {
            ConsumerRecord::Group(value) => {
                let key = encode_versioned(&ConsumerGroupMetadataKey { group: group() }, GROUP_KEY)?;
                let value = value.map(|value| ConsumerGroupMetadataValue {
                    epoch: value.epoch.0,
                    metadata_hash: value.topics_hash,
                });
                Ok((key, encode_value(value.as_ref())?))
            }
            ConsumerRecord::Member(member, value) => {
                let key = ConsumerGroupMemberMetadataKey { group: group(), member: text(member.as_str()) };
                let value = value.as_deref().map(metadata_to_wire);
                Ok((encode_versioned(&key, MEMBER_KEY)?, encode_value(value.as_ref())?))
            }
            ConsumerRecord::Assignment(epoch) => {
                let key = ConsumerGroupTargetAssignmentMetadataKey { group: group() };
                let value = epoch.map(|epoch| ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: epoch.0,
                    ..Default::default()
                });
                Ok((encode_versioned(&key, ASSIGNMENT_KEY)?, encode_value(value.as_ref())?))
            }
            ConsumerRecord::Target(member, partitions) => {
                let key =
                    ConsumerGroupTargetAssignmentMemberKey { group: group(), member: text(member.as_str()) };
                let value = partitions.as_ref().map(target_to_wire);
                Ok((encode_versioned(&key, TARGET_KEY)?, encode_value(value.as_ref())?))
            }
            ConsumerRecord::Current(member, current) => {
                let key =
                    ConsumerGroupCurrentMemberAssignmentKey { group: group(), member: text(member.as_str()) };
                let value = current.as_ref().map(current_to_wire);
                Ok((encode_versioned(&key, CURRENT_KEY)?, encode_value(value.as_ref())?))
            }
            ConsumerRecord::Pattern(pattern, topics) => {
                let key =
                    ConsumerGroupRegularExpressionKey { group: group(), regular_expression: text(pattern) };
                let value = topics.as_ref().map(|value| ConsumerGroupRegularExpressionValue {
                    topics: value.topics.iter().map(|topic| text(topic)).collect(),
                    timestamp: value.resolved_at.0,
                    ..Default::default()
                });
                Ok((encode_versioned(&key, PATTERN_KEY)?, encode_value(value.as_ref())?))
            }
        }
    }

    /// Reads a record whose key has `version`, which is one of these records'.
    pub(crate) fn decode(
        version: i16,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(GroupId, ConsumerRecord), RecordError> {
        match version {
            MEMBER_KEY => {
                let (_, key) = decode_versioned::<ConsumerGroupMemberMetadataKey<'_>>(key)?;
                let value = value.map(decode_metadata).transpose()?.map(Arc::new);
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Member(member(&key.member)?, value)))
            }
            ASSIGNMENT_KEY => {
                let (_, key) = decode_versioned::<ConsumerGroupTargetAssignmentMetadataKey<'_>>(key)?;
                let epoch =
                    value.map(decode_versioned::<ConsumerGroupTargetAssignmentMetadataValue>).transpose()?;
                let epoch =
                    epoch.map(|(_, value)| GroupEpoch::from_wire(value.assignment_epoch).unwrap_or_default());
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Assignment(epoch)))
            }
            TARGET_KEY => {
                let (_, key) = decode_versioned::<ConsumerGroupTargetAssignmentMemberKey<'_>>(key)?;
                let value = value.map(decode_target).transpose()?;
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Target(member(&key.member)?, value)))
            }
            CURRENT_KEY => {
                let (_, key) = decode_versioned::<ConsumerGroupCurrentMemberAssignmentKey<'_>>(key)?;
                let value = value.map(decode_current).transpose()?;
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Current(member(&key.member)?, value)))
            }
            PATTERN_KEY => {
                let (_, key) = decode_versioned::<ConsumerGroupRegularExpressionKey<'_>>(key)?;
                let value = value.map(decode_pattern).transpose()?;
                let pattern = Arc::from(&*key.regular_expression);
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Pattern(pattern, value)))
            }
            _ => {
                let (_, key) = decode_versioned::<ConsumerGroupMetadataKey<'_>>(key)?;
                let value = value.map(decode_versioned::<ConsumerGroupMetadataValue>).transpose()?;
                let value = value.map(|(_, value)| ConsumerGroupValue {
                    epoch: GroupEpoch::from_wire(value.epoch).unwrap_or_default(),
                    topics_hash: value.metadata_hash,
                });
                Ok((GroupId::or_unnamed(&key.group), ConsumerRecord::Group(value)))
            }
        }
    }
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn member(id: &str) -> Result<MemberId, RecordError> {
    MemberId::new(id).ok_or(RecordError::Nameless("member"))
}

fn encode_value(value: Option<&impl Message>) -> Result<Option<Bytes>, EncodeError> {
    value.map(|value| encode_versioned(value, VALUE_VERSION)).transpose()
}

fn metadata_to_wire(metadata: &ConsumerMetadata) -> ConsumerGroupMemberMetadataValue<'_> {
    ConsumerGroupMemberMetadataValue {
        instance_id: metadata.instance.as_ref().map(|instance| text(instance.as_str())),
        rack_id: metadata.rack.as_deref().map(text),
        client_id: text(&metadata.client_id),
        client_host: text(&metadata.client_host),
        subscribed_topic_names: metadata.topics.iter().map(|topic| text(topic)).collect(),
        subscribed_topic_regex: metadata.pattern.as_deref().map(text),
        rebalance_timeout_ms: i32::try_from(metadata.rebalance_timeout.0).unwrap_or(i32::MAX),
        server_assignor: metadata.assignor.as_deref().map(text),
    }
}

fn decode_metadata(bytes: &[u8]) -> Result<ConsumerMetadata, RecordError> {
    let (_, value) = decode_versioned::<ConsumerGroupMemberMetadataValue<'_>>(bytes)?;
    Ok(ConsumerMetadata {
        instance: value.instance_id.as_deref().and_then(InstanceId::new),
        rack: value.rack_id.as_deref().map(Into::into),
        client_id: (*value.client_id).into(),
        client_host: (*value.client_host).into(),
        topics: value.subscribed_topic_names.iter().map(|topic| Arc::from(&**topic)).collect(),
        pattern: value
            .subscribed_topic_regex
            .as_deref()
            .filter(|pattern| !pattern.is_empty())
            .map(Into::into),
        rebalance_timeout: DurationMs(u64::try_from(value.rebalance_timeout_ms).unwrap_or(0)),
        assignor: value.server_assignor.as_deref().map(Into::into),
    })
}

fn indexes(partitions: &BTreeSet<PartitionIndex>) -> Vec<i32> {
    partitions.iter().map(|partition| partition.0).collect()
}

fn add(to: &mut Partitions, topic: Uuid, indexes: &[i32]) -> Result<(), RecordError> {
    for index in indexes {
        let index = PartitionIndex::from_wire(*index).ok_or(RecordError::NegativePartition)?;
        to.insert(TopicId(topic), index);
    }
    Ok(())
}

fn target_to_wire(partitions: &Partitions) -> ConsumerGroupTargetAssignmentMemberValue {
    let topics = partitions.by_topic().map(|(topic, partitions)| TargetTopicPartitions {
        topic_id: topic.0,
        partitions: indexes(partitions),
    });
    ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topics.collect() }
}

fn decode_target(bytes: &[u8]) -> Result<Partitions, RecordError> {
    let (_, value) = decode_versioned::<ConsumerGroupTargetAssignmentMemberValue>(bytes)?;
    let mut partitions = Partitions::default();
    for topic in &value.topic_partitions {
        add(&mut partitions, topic.topic_id, &topic.partitions)?;
    }
    Ok(partitions)
}

fn current_to_wire(current: &CurrentAssignment) -> ConsumerGroupCurrentMemberAssignmentValue {
    let to_wire = |partitions: &Partitions| {
        let topics = partitions.by_topic().map(|(topic, partitions)| CurrentTopicPartitions {
            topic_id: topic.0,
            partitions: indexes(partitions),
            ..Default::default()
        });
        topics.collect()
    };
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: current.epoch.map_or(AWAY, |epoch| epoch.0),
        previous_member_epoch: current.previous_epoch.map_or(NO_EPOCH, |epoch| epoch.0),
        state: match current.state {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
        },
        assigned_partitions: to_wire(&current.assigned),
        partitions_pending_revocation: to_wire(&current.revoking),
    }
}

fn decode_current(bytes: &[u8]) -> Result<CurrentAssignment, RecordError> {
    let (_, value) = decode_versioned::<ConsumerGroupCurrentMemberAssignmentValue>(bytes)?;
    let from_wire = |topics: &[CurrentTopicPartitions]| {
        let mut partitions = Partitions::default();
        for topic in topics {
            add(&mut partitions, topic.topic_id, &topic.partitions)?;
        }
        Ok::<_, RecordError>(partitions)
    };
    Ok(CurrentAssignment {
        epoch: GroupEpoch::from_wire(value.member_epoch),
        previous_epoch: GroupEpoch::from_wire(value.previous_member_epoch),
        state: match value.state {
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Stable,
        },
        assigned: from_wire(&value.assigned_partitions)?,
        revoking: from_wire(&value.partitions_pending_revocation)?,
    })
}

fn decode_pattern(bytes: &[u8]) -> Result<PatternTopics, RecordError> {
    let (_, value) = decode_versioned::<ConsumerGroupRegularExpressionValue<'_>>(bytes)?;
    Ok(PatternTopics {
        topics: value.topics.iter().map(|topic| Arc::from(&**topic)).collect(),
        resolved_at: TimestampMs(value.timestamp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Partitions {
        [(TopicId(Uuid([1; 16])), PartitionIndex(2)), (TopicId(Uuid([3; 16])), PartitionIndex(0))]
            .into_iter()
            .collect()
    }

    fn all() -> Vec<ConsumerRecord> {
        let member = MemberId::new("m").unwrap();
        let metadata = ConsumerMetadata {
            instance: InstanceId::new("i"),
            rack: Some("r".into()),
            client_id: "c".into(),
            client_host: "/1.2.3.4".into(),
            topics: ["a".into(), "b".into()].into(),
            pattern: Some("x.*".into()),
            rebalance_timeout: DurationMs(7),
            assignor: Some("range".into()),
        };
        let current = CurrentAssignment {
            epoch: Some(GroupEpoch(4)),
            previous_epoch: Some(GroupEpoch(3)),
            state: MemberState::UnrevokedPartitions,
            assigned: some(),
            revoking: some(),
        };
        let away = CurrentAssignment { epoch: None, previous_epoch: None, ..current.clone() };
        let topics = PatternTopics { topics: ["xy".into()].into(), resolved_at: TimestampMs(9) };
        vec![
            ConsumerRecord::Group(Some(ConsumerGroupValue { epoch: GroupEpoch(5), topics_hash: -77 })),
            ConsumerRecord::Member(member.clone(), Some(Arc::new(metadata))),
            ConsumerRecord::Assignment(Some(GroupEpoch(5))),
            ConsumerRecord::Target(member.clone(), Some(some())),
            ConsumerRecord::Current(member.clone(), Some(current)),
            ConsumerRecord::Current(member.clone(), Some(away)),
            ConsumerRecord::Pattern("x.*".into(), Some(topics)),
            ConsumerRecord::Group(None),
            ConsumerRecord::Member(member.clone(), None),
            ConsumerRecord::Assignment(None),
            ConsumerRecord::Target(member.clone(), None),
            ConsumerRecord::Current(member, None),
            ConsumerRecord::Pattern("x.*".into(), None),
        ]
    }

    #[test]
    fn every_record_comes_back_as_it_was_written() {
        let group = GroupId::new("g").unwrap();
        for record in all() {
            let (key, value) = record.encode(&group).unwrap();
            let version = i16::from_be_bytes([key[0], key[1]]);
            assert!(ConsumerRecord::is_key(version));
            assert_eq!(
                ConsumerRecord::decode(version, &key, value.as_deref()).unwrap(),
                (group.clone(), record)
            );
        }
    }

    #[test]
    fn a_groups_record_has_kafkas_bytes() {
        let value = ConsumerGroupValue { epoch: GroupEpoch(5), topics_hash: 0 };
        let (key, value) = ConsumerRecord::Group(Some(value)).encode(&GroupId::new("g").unwrap()).unwrap();
        assert_eq!(key, b"\x00\x03\x00\x01g"[..]);
        assert_eq!(value.as_deref(), Some(&b"\x00\x00\x00\x00\x00\x05\x00"[..]));
    }

    #[test]
    fn cut_records_are_errors_and_never_panics() {
        let group = GroupId::new("g").unwrap();
        for record in all() {
            let (key, value) = record.encode(&group).unwrap();
            let version = i16::from_be_bytes([key[0], key[1]]);
            let Some(value) = value else { continue };
            for end in 0..value.len() {
                assert!(
                    ConsumerRecord::decode(version, &key, Some(&value[..end])).is_err(),
                    "{record:?} {end}"
                );
            }
        }
    }
}
