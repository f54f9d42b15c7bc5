//! The groups of one partition of the offsets topic. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{MonotonicMs, Now, TopicName, TopicPartition};

use crate::group::classic::group::{Group, GroupState, Turn};
use crate::group::classic::join::JoinRequest;
use crate::group::classic::leave::Leaver;
use crate::group::classic::member::Caller;
use crate::group::classic::sync::SyncRequest;
use crate::group::describe::{GroupDescription, GroupListing};
use crate::group::ids::{Generation, GroupId};
use crate::group::limits::{GROUPS_MAX, GroupLimits, PROTOCOLS_MAX, TICK_RECORDS_MAX};
use crate::group::member_ids::MemberIds;
use crate::group::record::GroupRecord;
use crate::offsets::commit::{CommitRequest, CommittedOffset};
use crate::runtime::outcome::{JoinReply, Outcome, ReplyToken, SyncReply};

/// The groups of one partition. Every method is one event: it decides at once, and what it decided takes effect in
/// the order of the calls.
#[derive(Debug)]
pub struct GroupShard {
    limits: GroupLimits,
    groups: BTreeMap<GroupId, Group>,
    ids: MemberIds,
    /// When each group needs a tick. An entry may be early, since heartbeats do not move it; it is never late.
    deadlines: BTreeSet<(MonotonicMs, GroupId)>,
    armed: BTreeMap<GroupId, MonotonicMs>,
    next_expiry: MonotonicMs,
}

impl GroupShard {
    /// A shard without groups; `seed` must differ between any two shards, or members could be confused.
    pub fn new(limits: GroupLimits, seed: u64) -> GroupShard {
        GroupShard {
            limits,
            groups: BTreeMap::new(),
            ids: MemberIds::new(seed),
            deadlines: BTreeSet::new(),
            armed: BTreeMap::new(),
            next_expiry: MonotonicMs(u64::MAX),
        }
    }

    /// Takes a record of the log over, in the log's order, before [`GroupShard::loaded`].
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Group { group, value: Some(value) } => {
                let former = self.groups.remove(group);
                self.groups.insert(group.clone(), Group::restored(group.clone(), value, former));
            }
            tombstone_or_offset => self.take_effect(tombstone_or_offset),
        }
    }

    /// The whole log is replayed: sessions begin anew at `now`.
    pub fn loaded(&mut self, now: Now) {
        self.next_expiry = now.mono.plus(self.limits.offsets_retention_check);
        for group in self.groups.values_mut() {
            for member in group.members.values_mut() {
                member.touch(now.mono);
            }
        }
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.arm(&id);
        }
    }

    /// The records of an outcome are in the log: offsets and deletions take effect.
    pub fn appended(&mut self, records: &[GroupRecord]) {
        for record in records {
            self.take_effect(record);
        }
    }

    fn take_effect(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { group, at, value: Some(offset) } => {
                let found = self.groups.entry(group.clone()).or_insert_with(|| Group::new(group.clone()));
                found.offsets.insert(at.clone(), offset.clone());
            }
            GroupRecord::Offset { group, at, value: None } => {
                if let Some(found) = self.groups.get_mut(group) {
                    found.offsets.remove(at);
                }
            }
            GroupRecord::Group { group, value: None } => {
                if let Some(former) = self.groups.remove(group)
                    && !former.offsets.is_empty()
                {
                    let mut simple = Group::new(group.clone());
                    simple.offsets = former.offsets;
                    self.groups.insert(group.clone(), simple);
                }
                self.arm(group);
            }
            // The decision that wrote it has changed the group already.
            GroupRecord::Group { value: Some(_), .. } => {}
        }
    }

    /// A JoinGroup, answered under `token`.
    pub fn join(&mut self, now: Now, join: &JoinRequest, token: ReplyToken) -> Outcome {
        let mut out = Outcome::default();
        let sessions = self.limits.session_timeout_min..=self.limits.session_timeout_max;
        let is_known = self.groups.contains_key(&join.group);
        let refused = if !sessions.contains(&join.session_timeout) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if join.protocols.is_empty() || join.protocols.len() > PROTOCOLS_MAX {
            Some(ErrorCode::InconsistentGroupProtocol)
        } else if !is_known && join.caller.member.is_some() {
            Some(ErrorCode::UnknownMemberId)
        } else if !is_known && self.groups.len() >= GROUPS_MAX {
            Some(ErrorCode::CoordinatorNotAvailable)
        } else {
            None
        };
        if let Some(code) = refused {
            out.join_now(token, JoinReply::failed(code, join.caller.member.clone()));
            return out;
        }
        let group = self.groups.entry(join.group.clone()).or_insert_with(|| Group::new(join.group.clone()));
        let mut turn = Turn { now, limits: &self.limits, out: &mut out };
        group.join(&mut turn, join, &mut self.ids, token);
        self.drop_blank(&join.group);
        self.arm(&join.group);
        out
    }

    /// A SyncGroup, answered under `token`.
    pub fn sync(&mut self, now: Now, sync: SyncRequest, token: ReplyToken) -> Outcome {
        let mut out = Outcome::default();
        let id = sync.group.clone();
        let Some(group) = self.groups.get_mut(&id) else {
            out.sync_now(token, SyncReply::failed(ErrorCode::UnknownMemberId));
            return out;
        };
        group.sync(&mut Turn { now, limits: &self.limits, out: &mut out }, sync, token);
        self.arm(&id);
        out
    }

    /// A Heartbeat.
    pub fn heartbeat(
        &mut self,
        now: Now,
        id: &GroupId,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> ErrorCode {
        let Some(group) = self.groups.get_mut(id) else { return ErrorCode::UnknownMemberId };
        let mut out = Outcome::default();
        let code =
            group.heartbeat(&mut Turn { now, limits: &self.limits, out: &mut out }, caller, generation);
        if !self.armed.contains_key(id) {
            self.arm(id);
        }
        code
    }

    /// A LeaveGroup: one code for each leaver. The answer waits for the records.
    pub fn leave(&mut self, now: Now, id: &GroupId, leavers: &[Leaver]) -> (Vec<ErrorCode>, Outcome) {
        let mut out = Outcome::default();
        let Some(group) = self.groups.get_mut(id) else {
            return (vec![ErrorCode::UnknownMemberId; leavers.len()], out);
        };
        let codes = group.leave(&mut Turn { now, limits: &self.limits, out: &mut out }, leavers);
        self.arm(id);
        (codes, out)
    }

    /// An OffsetCommit: one code for each offset, or one for all. The answer waits for the records.
    pub fn commit_offsets(
        &mut self,
        now: Now,
        commit: &CommitRequest,
    ) -> Result<(Vec<ErrorCode>, Outcome), ErrorCode> {
        let mut out = Outcome::default();
        let is_full = self.groups.len() >= GROUPS_MAX;
        match self.groups.get_mut(&commit.group) {
            Some(group) => {
                let mut turn = Turn { now, limits: &self.limits, out: &mut out };
                group.validate_commit(&mut turn, &commit.caller, commit.generation)?;
            }
            None if commit.generation.is_some() && commit.knows_group_id_not_found => {
                return Err(ErrorCode::GroupIdNotFound);
            }
            None if commit.generation.is_some() => return Err(ErrorCode::IllegalGeneration),
            None if is_full => return Err(ErrorCode::CoordinatorNotAvailable),
            None => {}
        }
        let (records, codes) = commit.records(now, self.limits.offset_metadata_bytes_max);
        out.records = records;
        Ok((codes, out))
    }

    /// What a group committed for a partition.
    pub fn committed(&self, id: &GroupId, at: &TopicPartition) -> Option<&CommittedOffset> {
        self.groups.get(id)?.offsets.get(at)
    }

    /// Everything that a group committed, in the order of partitions.
    pub fn all_committed(&self, id: &GroupId) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        self.groups.get(id).into_iter().flat_map(|group| &group.offsets)
    }

    /// Everything that all groups committed, in the order of groups and partitions.
    pub fn every_committed(&self) -> impl Iterator<Item = (&GroupId, &TopicPartition, &CommittedOffset)> {
        self.groups
            .values()
            .flat_map(|group| group.offsets.iter().map(|(at, offset)| (&group.id, at, offset)))
    }

    /// The topics for which something is committed.
    pub fn topics(&self) -> BTreeSet<TopicName> {
        self.every_committed().map(|(_, at, _)| at.topic.clone()).collect()
    }

    /// A group as administrators see it; `None` if there is no such group.
    pub fn describe(&self, id: &GroupId) -> Option<GroupDescription> {
        self.groups.get(id).map(Group::description)
    }

    /// Every group, in the order of names.
    pub fn list(&self) -> impl Iterator<Item = GroupListing> {
        self.groups.values().map(Group::listing)
    }

    /// A DeleteGroups for one group. The answer waits for the records.
    pub fn delete_group(&mut self, id: &GroupId) -> Result<Outcome, ErrorCode> {
        let group = self.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        if group.state != GroupState::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        Ok(Outcome { records: group.tombstones(), ..Outcome::default() })
    }

    /// An OffsetDelete: one code for each offset, or one for all. The answer waits for the records.
    pub fn delete_offsets(
        &mut self,
        id: &GroupId,
        wanted: &[TopicPartition],
    ) -> Result<(Vec<ErrorCode>, Outcome), ErrorCode> {
        let group = self.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        let (records, codes) = group.delete_offsets(wanted)?;
        Ok((codes, Outcome { records, ..Outcome::default() }))
    }

    /// A topic is gone, and what was committed for it goes, too.
    pub fn topic_deleted(&mut self, topic: &TopicName) -> Outcome {
        let records = self.groups.values().flat_map(|group| {
            let of_topic = group.offsets.keys().filter(|at| at.topic == *topic);
            of_topic.map(|at| group.offset_tombstone(at))
        });
        Outcome { records: records.collect(), ..Outcome::default() }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Now) -> Outcome {
        let mut out = Outcome::default();
        let due = self.deadlines.iter().take_while(|(due, _)| *due <= now.mono).take(TICK_RECORDS_MAX);
        let due: Vec<GroupId> = due.map(|(_, id)| id.clone()).collect();
        for id in due {
            if let Some(group) = self.groups.get_mut(&id) {
                group.tick(&mut Turn { now, limits: &self.limits, out: &mut out });
            }
            self.drop_blank(&id);
            self.arm(&id);
        }
        if self.next_expiry <= now.mono {
            self.expire(now, &mut out);
        }
        out
    }

    /// Adds tombstones for what has expired. What does not fit follows right after, once these have taken effect.
    fn expire(&mut self, now: Now, out: &mut Outcome) {
        let retention = self.limits.offsets_retention;
        for group in self.groups.values() {
            let room = TICK_RECORDS_MAX.saturating_sub(out.records.len());
            if room == 0 {
                return;
            }
            out.records.extend(group.expired(now, retention, room));
        }
        self.next_expiry = now.mono.plus(self.limits.offsets_retention_check);
    }

    /// When [`GroupShard::tick`] has something to do at the latest.
    pub fn next_deadline(&self) -> MonotonicMs {
        self.deadlines.first().map_or(self.next_expiry, |(due, _)| (*due).min(self.next_expiry))
    }

    /// Forgets a group that nothing has come of: it was never written, so no tombstone is needed.
    fn drop_blank(&mut self, id: &GroupId) {
        if self.groups.get(id).is_some_and(Group::is_blank) {
            self.groups.remove(id);
        }
    }

    fn arm(&mut self, id: &GroupId) {
        let due = self.groups.get(id).and_then(Group::next_deadline);
        let former = match due {
            Some(due) => self.armed.insert(id.clone(), due),
            None => self.armed.remove(id),
        };
        if former == due {
            return;
        }
        if let Some(former) = former {
            self.deadlines.remove(&(former, id.clone()));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, id.clone()));
        }
    }
}
