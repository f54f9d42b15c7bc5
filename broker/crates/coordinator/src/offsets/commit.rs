//! Committed offsets: who may commit, fetch and delete them. No I/O.

use std::sync::Arc;

use ottla_broker_types::{LeaderEpoch, TimestampMs, TopicName, TopicPartition};

use crate::group::classic::group::{Group, GroupState};
use crate::group::classic::member::Caller;
use crate::group::classic::protocols::CONSUMER;
use crate::group::error::{
    CommitOffsetError, CommitOffsetsError, DeleteGroupError, MemberError, StillSubscribed,
};
use crate::group::ids::{Generation, GroupId, MemberId};
use crate::group::limits::TEXT_BYTES_MAX;
use crate::group::record::GroupRecord;
use crate::group::reply::PerPart;
use crate::offsets::store::{GroupOffsets, OffsetStore};
use crate::runtime::shard::Turn;

/// Bytes of an offset's record beside the texts: versions, lengths, numbers.
const OFFSET_RECORD_BYTES: usize = 48;

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
    /// Which comes into being with its first offset, if who commits is no member.
    pub group: GroupId,
    /// Who commits; empty for administrators and consumers without a group's membership.
    pub caller: Caller,
    /// The generation of the member; `None` for the same.
    pub generation: Option<Generation>,
    /// How long the offsets shall be kept, if the request says (versions up to 4).
    pub retention: Option<ottla_broker_types::DurationMs>,
    /// Each stands for itself.
    pub offsets: Vec<OffsetToCommit>,
}

impl CommitRequest {
    /// The records of the commit, and a result for each offset. What is too long, or more than may be held, costs only
    /// its own offset.
    pub(crate) fn records(
        &self,
        turn: &Turn,
        metadata_bytes_max: usize,
        store: &OffsetStore,
    ) -> (Vec<GroupRecord>, PerPart<CommitOffsetError>) {
        let keep = self.retention.map(|keep| i64::try_from(keep.0).unwrap_or(i64::MAX));
        let expires = keep.map(|keep| TimestampMs(turn.now.wall.0.saturating_add(keep)));
        let mut records = Vec::with_capacity(self.offsets.len());
        let mut growth = 0;
        let results = self.offsets.iter().map(|offset| {
            if offset.metadata.len() > metadata_bytes_max.min(TEXT_BYTES_MAX) {
                return Err(CommitOffsetError::MetadataTooLarge);
            }
            if self.record_bytes(offset) > turn.record_bytes_max {
                return Err(CommitOffsetError::RecordTooLarge);
            }
            let grown = growth + store.growth(&self.group, offset);
            if grown > growth && !store.has_room(grown) {
                return Err(CommitOffsetError::NoMemory);
            }
            growth = grown;
            records.push(GroupRecord::Offset {
                group: self.group.clone(),
                at: offset.at.clone(),
                value: Some(CommittedOffset {
                    offset: offset.offset,
                    leader_epoch: offset.leader_epoch,
                    metadata: offset.metadata.clone(),
                    committed_at: turn.now.wall,
                    expires,
                }),
            });
            Ok(())
        });
        let results = results.collect();
        (records, results)
    }

    fn record_bytes(&self, offset: &OffsetToCommit) -> usize {
        OFFSET_RECORD_BYTES
            + self.group.as_str().len()
            + offset.at.topic.as_str().len()
            + offset.metadata.len()
    }
}

impl Group {
    /// Whether this caller may commit now. A member may in every state but CompletingRebalance, where what it
    /// commits may already be another's; who is no member may only while there are none.
    ///
    /// Returns the member that commits, whose session begins anew.
    pub(crate) fn validate_commit(
        &self,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> Result<Option<MemberId>, CommitOffsetsError> {
        if generation.is_none() && self.state == GroupState::Empty {
            return Ok(None);
        }
        if generation.is_none() && *caller == Caller::default() {
            return Err(MemberError::Unknown.into());
        }
        let id = self.validate(caller)?;
        if generation != Some(self.generation) {
            return Err(CommitOffsetsError::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(CommitOffsetsError::Rebalancing);
        }
        Ok(Some(id))
    }

    /// Tombstones for all that the group has. That of the group itself comes last: if not all are written, it is still
    /// there to be deleted.
    pub(crate) fn tombstones(&self, offsets: &GroupOffsets) -> Vec<GroupRecord> {
        let tombstones = offsets.keys().map(|at| GroupRecord::offset_tombstone(&self.id, at));
        tombstones.chain([GroupRecord::Group { group: self.id.clone(), value: None }]).collect()
    }

    /// Whether members consume `topic`, or could.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic.as_str()),
            None => self.protocol_type.as_deref() == Some(CONSUMER) && !self.members.is_empty(),
        }
    }

    /// Deletes offsets that nobody needs; one result for each, in their order.
    pub(crate) fn delete_offsets(
        &self,
        offsets: &GroupOffsets,
        wanted: &[TopicPartition],
    ) -> Result<(Vec<GroupRecord>, PerPart<StillSubscribed>), DeleteGroupError> {
        let is_consumer = self.protocol_type.as_deref() == Some(CONSUMER);
        if self.state != GroupState::Empty && !is_consumer {
            return Err(DeleteGroupError::NotEmpty);
        }
        Ok(unneeded(&self.id, offsets, wanted, |topic| self.is_subscribed(topic)))
    }
}

/// Tombstones for those of the wanted offsets whose topics nobody subscribes to; one result for each, in their order.
pub(crate) fn unneeded(
    group: &GroupId,
    offsets: &GroupOffsets,
    wanted: &[TopicPartition],
    is_subscribed: impl Fn(&TopicName) -> bool,
) -> (Vec<GroupRecord>, PerPart<StillSubscribed>) {
    let mut records = Vec::new();
    let results = wanted.iter().map(|at| {
        if is_subscribed(&at.topic) {
            return Err(StillSubscribed);
        }
        if offsets.contains_key(at) {
            records.push(GroupRecord::offset_tombstone(group, at));
        }
        Ok(())
    });
    let results = results.collect();
    (records, results)
}
