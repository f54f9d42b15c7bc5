//! The records of `__consumer_offsets` in Kafka's formats. No I/O; bytes from the log are not trusted.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::messages::group_metadata_key::GroupMetadataKey;
use ottla_broker_protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use ottla_broker_protocol::messages::offset_commit_key::OffsetCommitKey;
use ottla_broker_protocol::messages::offset_commit_value::OffsetCommitValue;
use ottla_broker_protocol::persisted::{decode_versioned, encode_versioned, peek_version};
use ottla_broker_protocol::{DecodeError, EncodeError};
use ottla_broker_types::{
    DurationMs, InvalidTopicName, LeaderEpoch, PartitionIndex, TimestampMs, TopicName, TopicPartition,
};

use crate::group::classic::member::{Member, Protocol};
use crate::group::consumer::record::ConsumerRecord;
use crate::group::ids::{Generation, GroupId, InstanceId, MemberId};
use crate::offsets::commit::{ClientOffset, CommittedOffset};
use crate::runtime::budget::Budget;
use crate::runtime::shard::ShardRecord;

/// The key versions that name a committed offset.
const OFFSET_KEY_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
/// The version of offset keys as Kafka writes them.
const OFFSET_KEY_VERSION: i16 = 1;
/// The key version that names a classic group.
const GROUP_KEY_VERSION: i16 = 2;
/// The version of group values that every Kafka since 2.3 reads.
const GROUP_VALUE_VERSION: i16 = 3;
/// The version of offset values with a leader epoch.
const OFFSET_VALUE_VERSION: i16 = 3;
/// The version of offset values with an expiry of their own, which later ones dropped.
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
/// The wire's "none".
const NONE: i64 = -1;

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes follow no known schema.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A member without a name.
    #[error("the record names no {0}")]
    Nameless(&'static str),
    /// The topic cannot exist.
    #[error(transparent)]
    Topic(#[from] InvalidTopicName),
    /// Partitions are counted from zero.
    #[error("the record holds a negative partition")]
    NegativePartition,
}

/// One record of the offsets topic; a value of `None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A group's generation and members.
    Group {
        /// The first part of the record's key.
        group: GroupId,
        /// What is known of it.
        value: Option<GroupValue>,
    },
    /// A record of a group of the consumer protocol.
    Consumer {
        /// The group.
        group: GroupId,
        /// What it says.
        record: ConsumerRecord,
    },
    /// A committed offset.
    Offset {
        /// The first part of the record's key.
        group: GroupId,
        /// Where.
        at: TopicPartition,
        /// How far.
        value: Option<CommittedOffset>,
    },
}

/// A group as it is persisted when a generation is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    /// What kind of group; empty for none.
    pub protocol_type: Arc<str>,
    /// Of the assignments below.
    pub generation: Generation,
    /// The protocol chosen.
    pub protocol: Option<Arc<str>>,
    /// Who assigned.
    pub leader: Option<MemberId>,
    /// When the state was entered; old records do not say.
    pub state_since: Option<TimestampMs>,
    /// The members, in the order of ids.
    pub members: Vec<MemberValue>,
}

/// A member as it is persisted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    /// Drawn by the coordinator when the member joined.
    pub id: MemberId,
    /// Its name, if it is a static one.
    pub instance: Option<InstanceId>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long it may take to rejoin.
    pub rebalance_timeout: DurationMs,
    /// How long it lives without a heartbeat.
    pub session_timeout: DurationMs,
    /// Its metadata under the chosen protocol.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

impl MemberValue {
    pub(crate) fn of(member: &Member, protocol: &str) -> MemberValue {
        MemberValue {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        }
    }

    pub(crate) fn restore(&self, protocol: Option<&Arc<str>>, memory: &Arc<Budget>) -> Member {
        let offered =
            protocol.map(|name| Protocol { name: name.clone(), metadata: self.subscription.clone() });
        let mut member = Member {
            id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            protocols: offered.into_iter().collect(),
            assignment: self.assignment.clone(),
            joining: None,
            syncing: None,
            is_new: false,
            expires: None,
            charge: Arc::new(memory.charge(0)),
        };
        member.account(memory);
        member
    }
}

impl GroupRecord {
    /// What a group committed for a partition is gone.
    pub(crate) fn offset_tombstone(group: &GroupId, at: &TopicPartition) -> GroupRecord {
        GroupRecord::Offset { group: group.clone(), at: at.clone(), value: None }
    }
}

impl ShardRecord for GroupRecord {
    type Error = RecordError;

    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            GroupRecord::Group { group, value } => {
                let key = GroupMetadataKey { group: Cow::Borrowed(group.as_str()) };
                let value = value.as_ref().map(GroupValue::encode).transpose()?;
                Ok((encode_versioned(&key, GROUP_KEY_VERSION)?, value))
            }
            GroupRecord::Consumer { group, record } => record.encode(group),
            GroupRecord::Offset { group, at, value } => {
                let key = OffsetCommitKey {
                    group: Cow::Borrowed(group.as_str()),
                    topic: Cow::Borrowed(at.topic.as_str()),
                    partition: at.partition.0,
                };
                let value = value.as_ref().map(encode_offset).transpose()?;
                Ok((encode_versioned(&key, OFFSET_KEY_VERSION)?, value))
            }
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
        let version = peek_version(key)?;
        if OFFSET_KEY_VERSIONS.contains(&version) {
            let (_, key) = decode_versioned::<OffsetCommitKey<'_>>(key)?;
            let partition = PartitionIndex::from_wire(key.partition).ok_or(RecordError::NegativePartition)?;
            return Ok(Some(GroupRecord::Offset {
                group: GroupId::or_unnamed(&key.group),
                at: TopicPartition { topic: TopicName::stored(&key.topic)?, partition },
                value: value.map(decode_offset).transpose()?,
            }));
        }
        if ConsumerRecord::is_key(version) {
            let (group, record) = ConsumerRecord::decode(version, key, value)?;
            return Ok(Some(GroupRecord::Consumer { group, record }));
        }
        if version != GROUP_KEY_VERSION {
            return Ok(None);
        }
        let (_, key) = decode_versioned::<GroupMetadataKey<'_>>(key)?;
        let group = GroupId::or_unnamed(&key.group);
        Ok(Some(GroupRecord::Group { group, value: value.map(GroupValue::decode).transpose()? }))
    }
}

impl GroupValue {
    fn encode(&self) -> Result<Bytes, EncodeError> {
        let members = self.members.iter().map(|member| MemberMetadata {
            member_id: Cow::Borrowed(member.id.as_str()),
            group_instance_id: member.instance.as_ref().map(|instance| Cow::Borrowed(instance.as_str())),
            client_id: Cow::Borrowed(&member.client_id),
            client_host: Cow::Borrowed(&member.client_host),
            rebalance_timeout: to_wire(member.rebalance_timeout),
            session_timeout: to_wire(member.session_timeout),
            subscription: Cow::Borrowed(&member.subscription),
            assignment: Cow::Borrowed(&member.assignment),
        });
        let value = GroupMetadataValue {
            protocol_type: Cow::Borrowed(&self.protocol_type),
            generation: self.generation.0,
            protocol: self.protocol.as_deref().map(Cow::Borrowed),
            leader: self.leader.as_ref().map(|leader| Cow::Borrowed(leader.as_str())),
            current_state_timestamp: self.state_since.map_or(NONE, |since| since.0),
            members: members.collect(),
        };
        encode_versioned(&value, GROUP_VALUE_VERSION)
    }

    fn decode(bytes: &[u8]) -> Result<GroupValue, RecordError> {
        let (_, value) = decode_versioned::<GroupMetadataValue<'_>>(bytes)?;
        let members: Result<Vec<_>, RecordError> = value
            .members
            .iter()
            .map(|member| {
                Ok(MemberValue {
                    id: MemberId::new(&member.member_id).ok_or(RecordError::Nameless("member"))?,
                    instance: member.group_instance_id.as_deref().and_then(InstanceId::new),
                    client_id: (*member.client_id).into(),
                    client_host: (*member.client_host).into(),
                    // Old records do not say; Kafka takes the session's length then.
                    rebalance_timeout: from_wire(if member.rebalance_timeout < 0 {
                        member.session_timeout
                    } else {
                        member.rebalance_timeout
                    }),
                    session_timeout: from_wire(member.session_timeout),
                    subscription: Bytes::copy_from_slice(&member.subscription),
                    assignment: Bytes::copy_from_slice(&member.assignment),
                })
            })
            .collect();
        let since = value.current_state_timestamp;
        Ok(GroupValue {
            protocol_type: (*value.protocol_type).into(),
            generation: Generation::from_wire(value.generation).unwrap_or_default(),
            protocol: value.protocol.as_deref().map(Into::into),
            leader: value.leader.as_deref().and_then(MemberId::new),
            state_since: (since != NONE).then_some(TimestampMs(since)),
            members: members?,
        })
    }
}

fn encode_offset(offset: &CommittedOffset) -> Result<Bytes, EncodeError> {
    let version = match offset.expires {
        Some(_) => OFFSET_VALUE_VERSION_WITH_EXPIRY,
        None => OFFSET_VALUE_VERSION,
    };
    let value = OffsetCommitValue {
        offset: offset.offset.0,
        // The version with an expiry has no leader epoch.
        leader_epoch: match (offset.expires, offset.leader_epoch) {
            (None, Some(epoch)) => epoch.0,
            _ => -1,
        },
        metadata: Cow::Borrowed(&offset.metadata),
        commit_timestamp: offset.committed_at.0,
        expire_timestamp: offset.expires.map_or(NONE, |expires| expires.0),
        ..OffsetCommitValue::default()
    };
    encode_versioned(&value, version)
}

fn decode_offset(bytes: &[u8]) -> Result<CommittedOffset, RecordError> {
    let (_, value) = decode_versioned::<OffsetCommitValue<'_>>(bytes)?;
    Ok(CommittedOffset {
        offset: ClientOffset(value.offset),
        leader_epoch: LeaderEpoch::from_wire(value.leader_epoch),
        metadata: (*value.metadata).into(),
        committed_at: TimestampMs(value.commit_timestamp),
        expires: (value.expire_timestamp >= 0).then_some(TimestampMs(value.expire_timestamp)),
    })
}

fn to_wire(duration: DurationMs) -> i32 {
    i32::try_from(duration.0).unwrap_or(i32::MAX)
}

fn from_wire(milliseconds: i32) -> DurationMs {
    DurationMs(u64::try_from(milliseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionIndex(partition) }
    }

    #[test]
    fn an_offset_record_has_kafkas_bytes() {
        let record = GroupRecord::Offset {
            group: GroupId::new("g").unwrap(),
            at: at("t", 3),
            value: Some(CommittedOffset {
                offset: ClientOffset(5),
                leader_epoch: Some(LeaderEpoch(2)),
                metadata: "m".into(),
                committed_at: TimestampMs(9),
                expires: None,
            }),
        };
        let (key, value) = record.encode().unwrap();
        assert_eq!(key, b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03"[..]);
        let expected = b"\x00\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\x00\x01m\0\0\0\0\0\0\0\x09";
        assert_eq!(value.as_deref(), Some(&expected[..]));
        assert_eq!(GroupRecord::decode(&key, value.as_deref()).unwrap(), Some(record));
    }

    #[test]
    fn an_expiry_of_its_own_and_a_negative_offset_are_kept() {
        let record = GroupRecord::Offset {
            group: GroupId::new("g").unwrap(),
            at: at("t", 0),
            value: Some(CommittedOffset {
                offset: ClientOffset(-2),
                leader_epoch: None,
                metadata: "".into(),
                committed_at: TimestampMs(1),
                expires: Some(TimestampMs(77)),
            }),
        };
        let (key, value) = record.encode().unwrap();
        assert_eq!(GroupRecord::decode(&key, value.as_deref()).unwrap(), Some(record));
    }

    #[test]
    fn records_of_other_kinds_of_groups_are_left_alone() {
        assert!(matches!(GroupRecord::decode(b"\x00\x0b\x00\x01g", None), Ok(None)));
    }

    #[test]
    fn broken_records_are_errors_and_never_panics() {
        assert!(GroupRecord::decode(b"", None).is_err());
        assert!(GroupRecord::decode(b"\x00\x02\x00\x01g", Some(b"\x00\x03\xff")).is_err());
        assert!(GroupRecord::decode(b"\x00\x01\x00\x01g\x00\x02a/\x00\x00\x00\x00", None).is_err());
    }
}
