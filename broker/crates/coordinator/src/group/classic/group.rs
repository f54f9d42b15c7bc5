//! One group: its members, its generation, and the checks that all requests share. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker_types::{DurationMs, MonotonicMs, Now, TimestampMs};

use crate::group::classic::member::{Caller, Member};
use crate::group::error::MemberError;
use crate::group::ids::{Generation, GroupId, InstanceId, MemberId};
use crate::group::limits::GroupLimits;
use crate::group::member_ids::MemberIds;
use crate::group::record::{GroupRecord, GroupValue, MemberValue};
use crate::group::reply::{Joined, JoinedMember, SyncReply, refused};
use crate::group::shard::GroupShard;
use crate::runtime::budget::{Budget, Charge};
use crate::runtime::outcome::Outcome;

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Members are called together.
    PreparingRebalance,
    /// The generation stands; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody works.
    Stable,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// Every state, in the order of a group's life.
    pub const ALL: [GroupState; 5] = [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
    ];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// One event on a group: the facts, and where its consequences are collected.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) record_bytes_max: usize,
    pub(crate) limits: &'a GroupLimits,
    pub(crate) ids: &'a MemberIds,
    /// What members may hold.
    pub(crate) memory: &'a Arc<Budget>,
    pub(crate) out: &'a mut Outcome<GroupShard>,
}

/// The wait of a group that is calling its members together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathering {
    pub(crate) ends: MonotonicMs,
    /// Set while the first members of a group are waited for, which no join ends early.
    pub(crate) initial: Option<InitialDelay>,
}

/// The delay with which an empty group waits for more than its first member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitialDelay {
    /// How much longer it may be extended.
    pub(crate) remaining: DurationMs,
    /// Whether somebody joined since it was last set.
    pub(crate) extended: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) state: GroupState,
    pub(crate) generation: Generation,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<MemberId>,
    /// When the state was entered, on the wall clock; offsets of an empty group age from here.
    pub(crate) state_since: Option<TimestampMs>,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) instances: BTreeMap<InstanceId, MemberId>,
    /// Ids given out with MEMBER_ID_REQUIRED.
    pub(crate) pending: BTreeMap<MemberId, Pending>,
    /// Members of this generation that have not asked for their assignment.
    pub(crate) unsynced: BTreeSet<MemberId>,
    /// Set exactly in PreparingRebalance.
    pub(crate) gathering: Option<Gathering>,
    /// When `unsynced` members are given up.
    pub(crate) sync_ends: Option<MonotonicMs>,
    pub(crate) subscribed: Option<Arc<BTreeSet<Arc<str>>>>,
}

/// An id that nobody has come back with yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) lapses: MonotonicMs,
    /// What it holds of the members' budget.
    _charge: Arc<Charge>,
}

impl Pending {
    pub(crate) fn new(lapses: MonotonicMs, charge: Charge) -> Pending {
        Pending { lapses, _charge: Arc::new(charge) }
    }
}

impl Group {
    pub(crate) fn new(id: GroupId) -> Group {
        Group {
            id,
            state: GroupState::Empty,
            generation: Generation(0),
            protocol_type: None,
            protocol: None,
            leader: None,
            state_since: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            gathering: None,
            sync_ends: None,
            subscribed: None,
        }
    }

    /// The group that a persisted value describes.
    pub(crate) fn restored(id: GroupId, value: &GroupValue, memory: &Arc<Budget>) -> Group {
        let mut group = Group::new(id);
        group.generation = value.generation;
        group.protocol_type = (!value.protocol_type.is_empty()).then(|| value.protocol_type.clone());
        group.protocol = value.protocol.clone();
        group.leader = value.leader.clone();
        group.state_since = value.state_since;
        for persisted in &value.members {
            let member = persisted.restore(value.protocol.as_ref(), memory);
            if let Some(instance) = &member.instance {
                group.instances.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
            group.subscribed = group.find_subscribed();
        } else if group.protocol_type.is_some() {
            group.subscribed = group.find_subscribed();
        }
        group
    }

    /// What is persisted of it now.
    pub(crate) fn record(&self) -> GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| MemberValue::of(member, protocol)).collect();
        let value = GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members,
        };
        GroupRecord::Group { group: self.id.clone(), value: Some(value) }
    }

    /// Whether nothing of it is worth keeping or was ever persisted; its offsets are kept elsewhere.
    pub(crate) fn is_blank(&self) -> bool {
        self.members.is_empty()
            && self.pending.is_empty()
            && self.state == GroupState::Empty
            && self.generation == Generation(0)
    }

    pub(crate) fn enter(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_since = Some(now.wall);
        if state != GroupState::PreparingRebalance {
            self.gathering = None;
        }
        if state != GroupState::CompletingRebalance && state != GroupState::Stable {
            self.sync_ends = None;
            self.unsynced.clear();
        }
    }

    pub(crate) fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub(crate) fn joining_count(&self) -> usize {
        self.members.values().filter(|member| member.joining.is_some()).count()
    }

    /// Finds the caller among the members, and says why it is none: a static member whose name another id holds is
    /// fenced.
    pub(crate) fn validate(&self, caller: &Caller) -> Result<MemberId, MemberError> {
        if let Some(instance) = &caller.instance {
            let holder = self.instances.get(instance).ok_or(MemberError::Unknown)?;
            return match &caller.member {
                Some(id) if id == holder => Ok(holder.clone()),
                _ => Err(MemberError::Fenced),
            };
        }
        match &caller.member {
            Some(id) if self.members.contains_key(id) => Ok(id.clone()),
            _ => Err(MemberError::Unknown),
        }
    }

    /// Takes a member in; the first one decides what kind of group it is and leads.
    pub(crate) fn add(&mut self, member: Member, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        self.pending.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out and tells its parked requests.
    pub(crate) fn remove(&mut self, id: &MemberId, out: &mut Outcome<GroupShard>) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
        self.unsynced.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(token) = member.joining {
            out.reply_now(token, refused(MemberError::Unknown, member.id.clone()));
        }
        if let Some(token) = member.syncing {
            out.reply_now(token, SyncReply::Err(MemberError::Unknown.into()));
        }
    }

    /// Everybody, as the leader learns of them.
    pub(crate) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let joined = self.members.values().map(|member| JoinedMember {
            member: member.id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol),
        });
        joined.collect()
    }

    /// The present generation as the answer to `member`'s join.
    pub(crate) fn joined(&self, member: &MemberId) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            skip_assignment: false,
            member: member.clone(),
            members: if self.is_leader(member) { self.joined_members() } else { Vec::new() },
        }
    }

    /// When something of this group falls due.
    pub(crate) fn next_deadline(&self) -> Option<MonotonicMs> {
        let members = self.members.values().filter_map(|member| member.expires);
        let pending = self.pending.values().map(|pending| pending.lapses);
        let gathering = self.gathering.map(|gathering| gathering.ends);
        members.chain(pending).chain(gathering).chain(self.sync_ends).min()
    }
}
