//! The groups of one partition of the offsets topic: what is decided on each request. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ottla_broker_types::{MonotonicMs, Now, TopicName, TopicPartition};

use crate::group::classic::group::{Group, GroupState, Step};
use crate::group::classic::join::JoinRequest;
use crate::group::classic::leave::Leaver;
use crate::group::classic::member::Caller;
use crate::group::classic::sync::SyncRequest;
use crate::group::consumer::group::ConsumerGroup;
use crate::group::consumer::shard::Times;
use crate::group::describe::{GroupDescription, GroupListing};
use crate::group::error::{
    CommitOffsetError, CommitOffsetsError, DeleteGroupError, HeartbeatError, JoinError, MemberError,
    StillSubscribed,
};
use crate::group::ids::{Generation, GroupId, MemberId};
use crate::group::limits::{EXPIRY_GROUPS_MAX, EXPIRY_RECORDS_MAX, GROUPS_MAX, GroupLimits, PROTOCOLS_MAX};
use crate::group::member_ids::MemberIds;
use crate::group::record::GroupRecord;
use crate::group::reply::{JoinRefused, JoinReply, PerPart, Reply, SyncReply};
use crate::offsets::commit::{CommitRequest, CommittedOffset};
use crate::offsets::store::{GroupOffsets, OffsetStore};
use crate::runtime::budget::Budget;
use crate::runtime::outcome::{Outcome, Token};
use crate::runtime::shard::{Shard, Turn};
use crate::runtime::timers::Timers;

/// What the groups of all shards of a broker may hold.
#[derive(Clone, Debug)]
pub struct GroupMemory {
    /// What members say of themselves and what they are assigned. Full, it refuses new members and more metadata, and
    /// clients try again.
    pub members: Arc<Budget>,
    /// Committed offsets. Full, it refuses those of partitions of which the group has none yet.
    pub offsets: Arc<Budget>,
}

/// What of a decision is in no record: sessions, who waits, a generation in the making.
#[derive(Debug)]
pub struct GroupChange(pub(crate) Change);

#[derive(Debug)]
pub(crate) enum Change {
    Group(Box<Group>),
    Session(GroupId, MemberId, MonotonicMs),
    /// Of a member of the consumer protocol.
    Times(Times),
    /// Topics that groups of the consumer protocol want may have changed.
    Stale,
    /// What was due of a group is done.
    Rearm(GroupId),
    Expired(Expiry),
}

/// How far the search for expired offsets has come.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    /// The last group that was looked at; `None` before the first.
    after: Option<GroupId>,
    due: MonotonicMs,
}

/// What falls due in a shard of groups.
#[derive(Clone, Debug)]
pub struct GroupDue(Due);

#[derive(Clone, Debug)]
enum Due {
    Group(GroupId),
    Expiry,
}

/// The groups of one partition.
#[derive(Debug)]
pub struct GroupShard {
    pub(crate) limits: GroupLimits,
    pub(crate) memory: GroupMemory,
    /// Classic groups, and those that are nothing but offsets. No name is in both.
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) consumers: BTreeMap<GroupId, ConsumerGroup>,
    offsets: OffsetStore,
    pub(crate) ids: MemberIds,
    pub(crate) timers: Timers<GroupId>,
    expiry: Expiry,
}

impl Shard for GroupShard {
    type Record = GroupRecord;
    type Change = GroupChange;
    type Reply = Reply;
    type Due = GroupDue;

    fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { group, at, value: Some(offset) } => {
                self.offsets.insert(group, at, offset.clone());
                self.ensure_listed(group);
            }
            GroupRecord::Consumer { group, record } => self.replay_consumer(group, record),
            GroupRecord::Offset { group, at, value: None } => self.offsets.remove(group, at),
            GroupRecord::Group { group, value: Some(value) } => {
                let restored = Group::restored(group.clone(), value, &self.memory.members);
                self.groups.insert(group.clone(), restored);
            }
            GroupRecord::Group { group, value: None } => {
                self.groups.remove(group);
                self.ensure_listed(group);
                self.arm(group);
            }
        }
    }

    fn apply(&mut self, change: GroupChange) {
        match change.0 {
            Change::Group(group) => {
                let id = group.id.clone();
                // One that nothing has come of was never written, so no tombstone is needed.
                if group.is_blank() && self.offsets.of(&id).is_none() {
                    self.groups.remove(&id);
                } else {
                    self.groups.insert(id.clone(), *group);
                }
                self.arm(&id);
            }
            Change::Session(group, member, expires) => {
                let found = self.groups.get_mut(&group);
                if let Some(member) = found.and_then(|found| found.members.get_mut(&member)) {
                    member.expires = Some(expires);
                }
                if !self.timers.is_armed(&group) {
                    self.arm(&group);
                }
            }
            Change::Times(times) => self.apply_times(&times),
            Change::Stale => self.consumers.values_mut().for_each(|group| group.is_stale = true),
            Change::Rearm(group) => self.arm(&group),
            Change::Expired(expiry) => self.expiry = expiry,
        }
    }

    fn loaded(&mut self, now: Now) {
        self.expiry.due = now.mono.plus(self.limits.offsets_retention_check);
        for group in self.groups.values_mut() {
            group.members.values_mut().for_each(|member| member.touch(now.mono));
        }
        for group in self.consumers.values_mut() {
            group.loaded(now, self.limits.consumer_session_timeout);
        }
        for id in self.groups.keys().chain(self.consumers.keys()).cloned().collect::<Vec<_>>() {
            self.arm(&id);
        }
    }

    fn due(&self, now: MonotonicMs) -> Option<GroupDue> {
        let group = self.timers.first().filter(|(due, _)| *due <= now);
        let group = group.map(|(_, id)| GroupDue(Due::Group(id.clone())));
        group.or_else(|| (self.expiry.due <= now).then_some(GroupDue(Due::Expiry)))
    }

    fn decide_due(&self, turn: &Turn, due: &GroupDue) -> Outcome<GroupShard> {
        match &due.0 {
            Due::Group(id) => match self.groups.get(id) {
                Some(group) => self.change(turn, group, |group, step| group.tick(step)).1,
                None => self.tick_consumers(turn, id),
            },
            Due::Expiry => self.expire(turn),
        }
    }

    fn put_off(&mut self, due: GroupDue, until: MonotonicMs) {
        match due.0 {
            Due::Group(id) => self.timers.arm(&id, Some(until)),
            Due::Expiry => self.expiry.due = until,
        }
    }

    fn next_deadline(&self) -> MonotonicMs {
        self.timers.first().map_or(self.expiry.due, |(due, _)| due.min(self.expiry.due))
    }
}

impl GroupShard {
    /// The topic on whose partitions groups and their offsets lie.
    pub const TOPIC: &str = "__consumer_offsets";

    /// A shard without groups; `seed` must differ between any two shards, or members could be confused.
    pub fn new(limits: GroupLimits, memory: GroupMemory, seed: u64) -> GroupShard {
        GroupShard {
            limits,
            offsets: OffsetStore::new(&memory.offsets),
            memory,
            groups: BTreeMap::new(),
            consumers: BTreeMap::new(),
            ids: MemberIds::new(seed),
            timers: Timers::default(),
            expiry: Expiry { after: None, due: MonotonicMs(u64::MAX) },
        }
    }

    /// A JoinGroup, answered under `token`.
    pub fn join(&self, turn: &Turn, join: &JoinRequest, token: Token<JoinReply>) -> Outcome<GroupShard> {
        let sessions = self.limits.session_timeout_min..=self.limits.session_timeout_max;
        let known = self.groups.get(&join.group);
        let converted = self.convertible_to_classic(&join.group);
        let refused = if !sessions.contains(&join.session_timeout) {
            Some(JoinError::SessionTimeout)
        } else if join.protocols.is_empty() || join.protocols.len() > PROTOCOLS_MAX {
            Some(JoinError::Protocols)
        } else if join.is_too_large(turn.record_bytes_max) {
            Some(JoinError::TooLarge)
        } else if known.is_none() && join.caller.member.is_some() {
            Some(MemberError::Unknown.into())
        } else if known.is_none() && self.groups.len() >= GROUPS_MAX {
            Some(JoinError::TooManyGroups)
        } else if converted.is_none() {
            Some(JoinError::Protocols)
        } else {
            None
        };
        if let Some(error) = refused {
            let mut out = Outcome::default();
            out.reply_now(token, JoinReply::Err(JoinRefused { error, member: join.caller.member.clone() }));
            return out;
        }
        let new = known.is_none().then(|| Group::new(join.group.clone()));
        let Some(group) = known.or(new.as_ref()) else { return Outcome::default() };
        let mut out = self.change(turn, group, |group, step| group.join(step, join, token)).1;
        out.records.splice(0..0, converted.unwrap_or_default());
        out
    }

    /// A SyncGroup, answered under `token`.
    pub fn sync(&self, turn: &Turn, sync: SyncRequest, token: Token<SyncReply>) -> Outcome<GroupShard> {
        let Some(group) = self.groups.get(&sync.group) else {
            let mut out = Outcome::default();
            out.reply_now(token, SyncReply::Err(MemberError::Unknown.into()));
            return out;
        };
        self.change(turn, group, |group, step| group.sync(step, sync, token)).1
    }

    /// A Heartbeat. Also one that is told of a rebalance shows that the member lives.
    pub fn heartbeat(
        &self,
        turn: &Turn,
        id: &GroupId,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> (Result<(), HeartbeatError>, Outcome<GroupShard>) {
        let Some(group) = self.groups.get(id) else {
            return (Err(MemberError::Unknown.into()), Outcome::default());
        };
        match group.heartbeat(caller, generation) {
            Ok((member, told)) => (told, self.touch(turn, group, member)),
            Err(refused) => (Err(refused), Outcome::default()),
        }
    }

    /// A LeaveGroup: a result for each leaver. The answer waits for the records.
    pub fn leave(
        &self,
        turn: &Turn,
        id: &GroupId,
        leavers: &[Leaver],
    ) -> (PerPart<MemberError>, Outcome<GroupShard>) {
        match self.groups.get(id) {
            Some(group) => self.change(turn, group, |group, step| group.leave(step, leavers)),
            None => (vec![Err(MemberError::Unknown); leavers.len()], Outcome::default()),
        }
    }

    /// An OffsetCommit: a result for each offset, or an error for all. The answer waits for the records.
    pub fn commit_offsets(
        &self,
        turn: &Turn,
        commit: &CommitRequest,
    ) -> Result<(PerPart<CommitOffsetError>, Outcome<GroupShard>), CommitOffsetsError> {
        if let Some(group) = self.consumers.get(&commit.group) {
            group.validate_commit(&commit.caller, commit.generation)?;
            return Ok(self.commit(turn, commit, Outcome::default()));
        }
        let touched = match self.groups.get(&commit.group) {
            Some(group) => {
                let member = group.validate_commit(&commit.caller, commit.generation)?;
                member.map(|member| self.touch(turn, group, member))
            }
            None if commit.generation.is_some() => return Err(CommitOffsetsError::UnknownGroup),
            None if self.groups.len() >= GROUPS_MAX => return Err(CommitOffsetsError::TooManyGroups),
            None => None,
        };
        Ok(self.commit(turn, commit, touched.unwrap_or_default()))
    }

    fn commit(
        &self,
        turn: &Turn,
        commit: &CommitRequest,
        touched: Outcome<GroupShard>,
    ) -> (PerPart<CommitOffsetError>, Outcome<GroupShard>) {
        let (records, results) = commit.records(turn, self.limits.offset_metadata_bytes_max, &self.offsets);
        (results, Outcome { records, ..touched })
    }

    /// How far a group has come in a partition, whether or not that is committed yet.
    pub fn committed(&self, id: &GroupId, at: &TopicPartition) -> Option<&CommittedOffset> {
        self.offsets.of(id)?.get(at)
    }

    /// Everything that a group committed, in the order of partitions.
    pub fn all_committed(&self, id: &GroupId) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        self.offsets.of(id).into_iter().flatten()
    }

    /// Everything that all groups committed, in the order of groups and partitions.
    pub fn every_committed(&self) -> impl Iterator<Item = (&GroupId, &TopicPartition, &CommittedOffset)> {
        self.offsets.iter().flat_map(|(id, offsets)| offsets.iter().map(move |(at, offset)| (id, at, offset)))
    }

    /// The topics for which something is committed.
    pub fn topics(&self) -> BTreeSet<TopicName> {
        self.every_committed().map(|(_, at, _)| at.topic.clone()).collect()
    }

    /// A classic group as administrators see it; `None` if there is no such group.
    pub fn describe(&self, id: &GroupId) -> Option<GroupDescription> {
        self.groups.get(id).map(Group::description)
    }

    /// Every group: the classic ones, then those of the consumer protocol.
    pub fn list(&self) -> impl Iterator<Item = GroupListing> {
        self.groups.values().map(Group::listing).chain(self.list_consumers())
    }

    /// A DeleteGroups for one group. The answer waits for the records.
    pub fn delete_group(&self, id: &GroupId) -> Result<Outcome<GroupShard>, DeleteGroupError> {
        if let Some(group) = self.consumers.get(id) {
            return self.delete_consumers(group);
        }
        let group = self.groups.get(id).ok_or(DeleteGroupError::Unknown)?;
        if group.state != GroupState::Empty {
            return Err(DeleteGroupError::NotEmpty);
        }
        Ok(Outcome::of_records(group.tombstones(self.offsets_of(id))))
    }

    /// An OffsetDelete: a result for each offset, or an error for all. The answer waits for the records.
    pub fn delete_offsets(
        &self,
        id: &GroupId,
        wanted: &[TopicPartition],
    ) -> Result<(PerPart<StillSubscribed>, Outcome<GroupShard>), DeleteGroupError> {
        if let Some(group) = self.consumers.get(id) {
            return Ok(self.delete_consumers_offsets(group, wanted));
        }
        let group = self.groups.get(id).ok_or(DeleteGroupError::Unknown)?;
        let (records, results) = group.delete_offsets(self.offsets_of(id), wanted)?;
        Ok((results, Outcome::of_records(records)))
    }

    /// A topic is gone, and what was committed for it goes, too.
    pub fn topic_deleted(&self, topic: &TopicName) -> Outcome<GroupShard> {
        let of_topic = self.every_committed().filter(|(_, at, _)| at.topic == *topic);
        let records = of_topic.map(|(group, at, _)| GroupRecord::offset_tombstone(group, at));
        Outcome::of_records(records.collect())
    }

    /// Tombstones for what has expired, in the next groups in turn.
    fn expire(&self, turn: &Turn) -> Outcome<GroupShard> {
        let mut records = Vec::new();
        let from = self.expiry.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut after = None;
        let range = (from, Bound::Unbounded);
        let classic = self.groups.range::<GroupId, _>(range).map(|(id, _)| id).take(EXPIRY_GROUPS_MAX);
        let consumers = self.consumers.range::<GroupId, _>(range).map(|(id, _)| id).take(EXPIRY_GROUPS_MAX);
        let next: BTreeSet<&GroupId> = classic.chain(consumers).collect();
        for id in next.into_iter().take(EXPIRY_GROUPS_MAX) {
            let room = EXPIRY_RECORDS_MAX.saturating_sub(records.len());
            if room == 0 {
                break;
            }
            let expired = self.expired_of(id, turn.now, room);
            let is_cut = expired.len() >= room;
            records.extend(expired);
            if is_cut {
                // What is left of this group comes first in the next turn.
                break;
            }
            after = Some(id.clone());
        }
        let after = after.or_else(|| self.expiry.after.clone());
        let last = self.groups.keys().next_back().max(self.consumers.keys().next_back());
        let is_over = last.is_none_or(|last| Some(last) <= after.as_ref());
        let expiry = match is_over {
            true => Expiry { after: None, due: turn.now.mono.plus(self.limits.offsets_retention_check) },
            false => Expiry { after, due: turn.now.mono },
        };
        Outcome { records, ..Outcome::of_change(GroupChange(Change::Expired(expiry))) }
    }

    fn expired_of(&self, id: &GroupId, now: Now, records_max: usize) -> Vec<GroupRecord> {
        if let Some(group) = self.consumers.get(id) {
            return self.expired_of_consumers(group, now, records_max);
        }
        let group = self.groups.get(id);
        let retention = self.limits.offsets_retention;
        group.map(|group| group.expired(self.offsets_of(id), now, retention, records_max)).unwrap_or_default()
    }

    /// Offsets that belong to no group that is known otherwise are one themselves.
    pub(crate) fn ensure_listed(&mut self, id: &GroupId) {
        if self.offsets.of(id).is_some() && !self.consumers.contains_key(id) {
            self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone()));
        }
    }

    /// Decides on a copy of a group, which takes its place once the records are written.
    fn change<T>(
        &self,
        turn: &Turn,
        group: &Group,
        decide: impl FnOnce(&mut Group, &mut Step<'_>) -> T,
    ) -> (T, Outcome<GroupShard>) {
        let (mut next, mut out) = (Box::new(group.clone()), Outcome::default());
        let mut step = Step {
            now: turn.now,
            record_bytes_max: turn.record_bytes_max,
            limits: &self.limits,
            ids: &self.ids,
            memory: &self.memory.members,
            out: &mut out,
        };
        let value = decide(&mut next, &mut step);
        out.changes.push(GroupChange(Change::Group(next)));
        (value, out)
    }

    /// The session of a member of `group` begins anew.
    fn touch(&self, turn: &Turn, group: &Group, member: MemberId) -> Outcome<GroupShard> {
        let Some(found) = group.members.get(&member) else { return Outcome::default() };
        let expires = turn.now.mono.plus(found.session_timeout);
        Outcome::of_change(GroupChange(Change::Session(group.id.clone(), member, expires)))
    }

    pub(crate) fn offsets_of(&self, id: &GroupId) -> &GroupOffsets {
        const NONE: &GroupOffsets = &GroupOffsets::new();
        self.offsets.of(id).unwrap_or(NONE)
    }

    pub(crate) fn arm(&mut self, id: &GroupId) {
        let classic = self.groups.get(id).and_then(Group::next_deadline);
        let due = classic.or_else(|| self.consumers.get(id)?.next_deadline());
        self.timers.arm(id, due);
    }
}
