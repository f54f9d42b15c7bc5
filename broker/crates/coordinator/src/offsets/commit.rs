//! Committed offsets: who may commit, fetch and delete them. No I/O.

use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{LeaderEpoch, Now, TimestampMs, TopicName, TopicPartition};

use crate::group::classic::group::{Group, GroupState, Turn};
use crate::group::classic::member::Caller;
use crate::group::classic::protocols::CONSUMER;
use crate::group::ids::{Generation, GroupId};
use crate::group::record::GroupRecord;

/// The offset that a client commits: any number, kept and given back as it came. Negative ones are the client's own
/// marks ("earliest" -2, "latest" -1 of kafkajs's reset), which consumers take for "nothing committed".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOffset(pub i64);

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to consume.
    pub offset: ClientOffset,
    /// The epoch of the last record consumed, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's own note.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it expires, if the commit itself said (versions up to 4).
    pub expires: Option<TimestampMs>,
}

/// One offset of an OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Where.
    pub at: TopicPartition,
    /// The next offset to consume.
    pub offset: ClientOffset,
    /// The epoch of the last record consumed, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's own note.
    pub metadata: Arc<str>,
}

/// An OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The group.
    pub group: GroupId,
    /// Who commits; empty for administrators and consumers without a group's membership.
    pub caller: Caller,
    /// The generation of the member; `None` for the same.
    pub generation: Option<Generation>,
    /// How long the offsets shall be kept, if the request says (versions up to 4).
    pub retention: Option<ottla_broker_types::DurationMs>,
    /// Whether the client knows GROUP_ID_NOT_FOUND (version 9 on).
    pub knows_group_id_not_found: bool,
    /// What to commit.
    pub offsets: Vec<OffsetToCommit>,
}

impl CommitRequest {
    /// The records of the commit, and one code for each offset.
    pub(crate) fn records(&self, now: Now, metadata_bytes_max: usize) -> (Vec<GroupRecord>, Vec<ErrorCode>) {
        let keep = self.retention.map(|keep| i64::try_from(keep.0).unwrap_or(i64::MAX));
        let expires = keep.map(|keep| TimestampMs(now.wall.0.saturating_add(keep)));
        let mut records = Vec::with_capacity(self.offsets.len());
        let mut codes = Vec::with_capacity(self.offsets.len());
        for offset in &self.offsets {
            if offset.metadata.len() > metadata_bytes_max {
                codes.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            codes.push(ErrorCode::None);
            records.push(GroupRecord::Offset {
                group: self.group.clone(),
                at: offset.at.clone(),
                value: Some(CommittedOffset {
                    offset: offset.offset,
                    leader_epoch: offset.leader_epoch,
                    metadata: offset.metadata.clone(),
                    committed_at: now.wall,
                    expires,
                }),
            });
        }
        (records, codes)
    }
}

impl Group {
    /// Whether this caller may commit now. A member may in every state but CompletingRebalance, where what it
    /// commits may already be another's; who is no member may only while there are none.
    pub(crate) fn validate_commit(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> Result<(), ErrorCode> {
        if generation.is_none() && self.state == GroupState::Empty {
            return Ok(());
        }
        if generation.is_none() && *caller == Caller::default() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let id = self.validate(caller)?;
        if generation != Some(self.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.touch(turn.now.mono);
        }
        Ok(())
    }

    /// Tombstones for all that the group has.
    pub(crate) fn tombstones(&self) -> Vec<GroupRecord> {
        let offsets = self.offsets.keys().map(|at| self.offset_tombstone(at));
        offsets.chain([GroupRecord::Group { group: self.id.clone(), value: None }]).collect()
    }

    pub(crate) fn offset_tombstone(&self, at: &TopicPartition) -> GroupRecord {
        GroupRecord::Offset { group: self.id.clone(), at: at.clone(), value: None }
    }

    /// Whether members consume `topic`, or could.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic.as_str()),
            None => self.protocol_type.as_deref() == Some(CONSUMER) && !self.members.is_empty(),
        }
    }

    /// Deletes offsets that nobody needs; one code for each, in their order.
    pub(crate) fn delete_offsets(
        &self,
        wanted: &[TopicPartition],
    ) -> Result<(Vec<GroupRecord>, Vec<ErrorCode>), ErrorCode> {
        let is_consumer = self.protocol_type.as_deref() == Some(CONSUMER);
        if self.state != GroupState::Empty && !is_consumer {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let mut records = Vec::new();
        let codes = wanted.iter().map(|at| {
            if self.is_subscribed(&at.topic) {
                return ErrorCode::GroupSubscribedToTopic;
            }
            if self.offsets.contains_key(at) {
                records.push(self.offset_tombstone(at));
            }
            ErrorCode::None
        });
        let codes = codes.collect();
        Ok((records, codes))
    }
}
