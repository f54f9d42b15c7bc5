//! What a shard decides of its groups of the consumer protocol. No I/O.

use std::sync::Arc;

use ottla_broker_types::{MonotonicMs, Now, TopicName, TopicPartition};

use crate::group::classic::group::GroupState;
use crate::group::classic::member::Caller;
use crate::group::consumer::describe::ConsumerGroupDescription;
use crate::group::consumer::error::ConsumerHeartbeatError;
use crate::group::consumer::group::ConsumerGroup;
use crate::group::consumer::heartbeat::{ConsumerHeartbeat, ConsumerHeartbeatReply, Facts, Intent};
use crate::group::consumer::record::ConsumerRecord;
use crate::group::consumer::topics::Topics;
use crate::group::describe::{GroupKind, GroupListing};
use crate::group::error::{
    CommitOffsetsError, DeleteGroupError, FetchOffsetsError, MemberError, StillSubscribed,
};
use crate::group::ids::{Generation, GroupEpoch, GroupId, MemberId};
use crate::group::limits::GROUPS_MAX;
use crate::group::record::GroupRecord;
use crate::group::reply::PerPart;
use crate::group::shard::{Change, GroupChange, GroupShard};
use crate::offsets::commit::unneeded;
use crate::offsets::expiry::is_expired;
use crate::runtime::outcome::Outcome;
use crate::runtime::shard::Turn;

/// Times of a member, which are in no record.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) group: GroupId,
    pub(crate) member: MemberId,
    pub(crate) expires: MonotonicMs,
    pub(crate) revokes_until: Option<MonotonicMs>,
    /// Whether the topics that the group wants were looked at as they are now.
    pub(crate) are_topics_known: bool,
}

impl GroupShard {
    /// A ConsumerGroupHeartbeat. The answer waits for the records.
    pub fn consumer_heartbeat(
        &self,
        turn: &Turn,
        heartbeat: &ConsumerHeartbeat,
        topics: &dyn Topics,
    ) -> Result<(ConsumerHeartbeatReply, Outcome<GroupShard>), ConsumerHeartbeatError> {
        heartbeat.validate(&self.limits)?;
        match (self.consumers.get(&heartbeat.group), heartbeat.intent) {
            (Some(group), Intent::Join | Intent::Stay(_)) => {
                self.goes_on(turn, group, heartbeat, topics, Vec::new())
            }
            (Some(group), Intent::Leave | Intent::LeaveForAWhile) => self.leaves(turn, group, heartbeat),
            (None, Intent::Join) => {
                let converted = self.convertible(&heartbeat.group)?;
                let group = ConsumerGroup::new(heartbeat.group.clone());
                self.goes_on(turn, &group, heartbeat, topics, converted)
            }
            (None, _) => Err(ConsumerHeartbeatError::UnknownGroup),
        }
    }

    fn goes_on(
        &self,
        turn: &Turn,
        group: &ConsumerGroup,
        heartbeat: &ConsumerHeartbeat,
        topics: &dyn Topics,
        before: Vec<GroupRecord>,
    ) -> Result<(ConsumerHeartbeatReply, Outcome<GroupShard>), ConsumerHeartbeatError> {
        let facts = Facts {
            turn,
            limits: &self.limits,
            memory: &self.memory.members,
            topics,
            new_id: &|| self.ids.draw_bare(),
        };
        let decided = group.heartbeat(&facts, heartbeat)?;
        let times = Times {
            group: group.id.clone(),
            member: decided.reply.member.clone(),
            expires: turn.now.mono.plus(self.limits.consumer_session_timeout),
            revokes_until: decided.revokes_until,
            are_topics_known: true,
        };
        let mut out = Outcome::of_change(GroupChange(Change::Times(times)));
        out.records = before;
        out.records.extend(decided.records);
        Ok((decided.reply, out))
    }

    /// Who leaves for good is gone at once; a static member that leaves for a while has one session to come back in.
    fn leaves(
        &self,
        turn: &Turn,
        group: &ConsumerGroup,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<(ConsumerHeartbeatReply, Outcome<GroupShard>), ConsumerHeartbeatError> {
        let member = heartbeat.member.as_ref().ok_or(ConsumerHeartbeatError::UnknownMember)?;
        let id = group.holder(member, heartbeat.instance.as_ref())?;
        let out = match heartbeat.intent {
            Intent::LeaveForAWhile => {
                let times = Times {
                    group: group.id.clone(),
                    member: id.clone(),
                    expires: turn.now.mono.plus(self.limits.consumer_session_timeout),
                    revokes_until: None,
                    are_topics_known: false,
                };
                let records = group.away(&id).into_iter().collect();
                Outcome { records, ..Outcome::of_change(GroupChange(Change::Times(times))) }
            }
            _ => Outcome::of_records(group.without(std::slice::from_ref(&id))),
        };
        Ok((ConsumerHeartbeatReply { member: id, epoch: None, assignment: None }, out))
    }

    /// What makes room for a group of the consumer protocol under a name: a classic one without members ends, and its
    /// offsets stay.
    fn convertible(&self, id: &GroupId) -> Result<Vec<GroupRecord>, ConsumerHeartbeatError> {
        match self.groups.get(id) {
            None if self.groups.len() + self.consumers.len() >= GROUPS_MAX => {
                Err(ConsumerHeartbeatError::TooManyGroups)
            }
            None => Ok(Vec::new()),
            Some(classic) if classic.state != GroupState::Empty || !classic.pending.is_empty() => {
                Err(ConsumerHeartbeatError::ClassicGroup)
            }
            Some(_) => Ok(vec![GroupRecord::Group { group: id.clone(), value: None }]),
        }
    }

    /// What makes room for a classic group under a name: one of the consumer protocol without members ends, and its
    /// offsets stay. `None` if it has members.
    pub(crate) fn convertible_to_classic(&self, id: &GroupId) -> Option<Vec<GroupRecord>> {
        match self.consumers.get(id) {
            None => Some(Vec::new()),
            Some(group) if group.members.is_empty() => Some(group.tombstones()),
            Some(_) => None,
        }
    }

    /// Topics may have been made, deleted, or have more partitions: the next heartbeat of each group looks at those that
    /// its members want.
    pub fn topics_changed(&self) -> Outcome<GroupShard> {
        match self.consumers.is_empty() {
            true => Outcome::default(),
            false => Outcome::of_change(GroupChange(Change::Stale)),
        }
    }

    /// Gives up the members of a group whose time is over.
    pub(crate) fn tick_consumers(&self, turn: &Turn, id: &GroupId) -> Outcome<GroupShard> {
        let Some(group) = self.consumers.get(id) else { return Outcome::default() };
        let records = group.without(&group.expired(turn.now.mono));
        Outcome { records, ..Outcome::of_change(GroupChange(Change::Rearm(id.clone()))) }
    }

    pub(crate) fn replay_consumer(&mut self, id: &GroupId, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Group(None) => {
                if self.consumers.remove(id).is_some() {
                    self.ensure_listed(id);
                }
                self.arm(id);
            }
            ConsumerRecord::Member(_, None)
            | ConsumerRecord::Assignment(None)
            | ConsumerRecord::Target(_, None)
            | ConsumerRecord::Current(_, None)
            | ConsumerRecord::Pattern(_, None) => {
                if let Some(group) = self.consumers.get_mut(id) {
                    group.replay(record, &self.memory.members);
                }
            }
            _ => {
                // Offsets that stood before this record made a classic group for themselves.
                self.groups.remove(id);
                let group =
                    self.consumers.entry(id.clone()).or_insert_with(|| ConsumerGroup::new(id.clone()));
                group.replay(record, &self.memory.members);
                // An earlier timer serves as well, and finds out what is next.
                if !self.timers.is_armed(id) {
                    self.arm(id);
                }
            }
        }
    }

    pub(crate) fn apply_times(&mut self, times: &Times) {
        let Some(group) = self.consumers.get_mut(&times.group) else { return };
        group.is_stale &= !times.are_topics_known;
        let Some(member) = group.members.get_mut(&times.member) else { return };
        let is_sooner = times.revokes_until.is_some() && member.revokes_until != times.revokes_until;
        (member.expires, member.revokes_until) = (Some(times.expires), times.revokes_until);
        if is_sooner || !self.timers.is_armed(&times.group) {
            self.arm(&times.group);
        }
    }

    /// A group of the consumer protocol as administrators see it; `None` if there is no such group.
    pub fn describe_consumers(&self, id: &GroupId) -> Option<ConsumerGroupDescription> {
        let group = self.consumers.get(id)?;
        Some(group.description(self.limits.default_assignor()))
    }

    pub(crate) fn list_consumers(&self) -> impl Iterator<Item = GroupListing> {
        let kind: Arc<str> = GroupKind::Consumer.name().into();
        self.consumers.values().map(move |group| GroupListing {
            group: group.id.clone(),
            kind: GroupKind::Consumer,
            protocol_type: kind.clone(),
            state: group.state().name(),
        })
    }

    /// Whether a member of this epoch may be told what its group committed. Groups that have no epochs tell everybody.
    pub fn check_fetch(
        &self,
        id: &GroupId,
        member: &MemberId,
        epoch: GroupEpoch,
    ) -> Result<(), FetchOffsetsError> {
        let Some(group) = self.consumers.get(id) else { return Ok(()) };
        let known = group.members.get(member).ok_or(MemberError::Unknown)?;
        match known.current.epoch == Some(epoch) {
            true => Ok(()),
            false => Err(FetchOffsetsError::StaleEpoch),
        }
    }

    pub(crate) fn delete_consumers(
        &self,
        group: &ConsumerGroup,
    ) -> Result<Outcome<GroupShard>, DeleteGroupError> {
        if !group.members.is_empty() {
            return Err(DeleteGroupError::NotEmpty);
        }
        let offsets =
            self.offsets_of(&group.id).keys().map(|at| GroupRecord::offset_tombstone(&group.id, at));
        Ok(Outcome::of_records(offsets.chain(group.tombstones()).collect()))
    }

    pub(crate) fn delete_consumers_offsets(
        &self,
        group: &ConsumerGroup,
        wanted: &[TopicPartition],
    ) -> (PerPart<StillSubscribed>, Outcome<GroupShard>) {
        let is_subscribed = |topic: &TopicName| group.is_subscribed(topic.as_str());
        let (records, results) = unneeded(&group.id, self.offsets_of(&group.id), wanted, is_subscribed);
        (results, Outcome::of_records(records))
    }

    /// Tombstones for offsets of topics that nobody subscribes to any more, and for the group itself when it has neither
    /// members nor offsets.
    pub(crate) fn expired_of_consumers(
        &self,
        group: &ConsumerGroup,
        now: Now,
        records_max: usize,
    ) -> Vec<GroupRecord> {
        let offsets = self.offsets_of(&group.id);
        let expired = offsets.iter().filter(|(at, offset)| {
            !group.is_subscribed(at.topic.as_str())
                && is_expired(offset, offset.committed_at, now.wall, self.limits.offsets_retention)
        });
        let mut records: Vec<_> =
            expired.take(records_max).map(|(at, _)| GroupRecord::offset_tombstone(&group.id, at)).collect();
        if group.members.is_empty() && records.len() == offsets.len() {
            records.extend(group.tombstones());
        }
        records
    }
}

impl ConsumerGroup {
    /// Whether this caller may commit now: a member in its epoch, or anybody while there are no members.
    pub(crate) fn validate_commit(
        &self,
        caller: &Caller,
        epoch: Option<Generation>,
    ) -> Result<(), CommitOffsetsError> {
        let Some(epoch) = epoch else {
            return match self.members.is_empty() {
                true => Ok(()),
                false => Err(MemberError::Unknown.into()),
            };
        };
        let member =
            caller.member.as_ref().and_then(|id| self.members.get(id)).ok_or(MemberError::Unknown)?;
        match member.current.epoch == Some(GroupEpoch(epoch.0)) {
            true => Ok(()),
            false => Err(CommitOffsetsError::StaleEpoch),
        }
    }
}
