//! JoinGroup: how members come in, and how those that come again are told from new ones. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_types::DurationMs;

use crate::group::classic::group::{Group, GroupState, Pending, Step};
use crate::group::classic::member::{
    Caller, MEMBER_BYTES, MEMBER_RECORD_BYTES, Member, Protocol, held_by, longest,
};
use crate::group::error::{JoinError, MemberError};
use crate::group::ids::{GroupId, InstanceId, MemberId};
use crate::group::limits::{
    NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_MAX, PROTOCOLS_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::group::member_ids::MEMBER_ID_BYTES_DRAWN;
use crate::group::reply::{JoinRefused, JoinReply, SyncReply, refused};
use crate::runtime::budget::Budget;
use crate::runtime::outcome::Token;

/// A JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Which comes into being with its first member.
    pub group: GroupId,
    /// Who joins; without a member id it is new.
    pub caller: Caller,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long it lives without a heartbeat.
    pub session_timeout: DurationMs,
    /// How long it may take to rejoin.
    pub rebalance_timeout: DurationMs,
    /// What kind of group it expects.
    pub protocol_type: Arc<str>,
    /// What it offers, its favourite first.
    pub protocols: Vec<Protocol>,
    /// Whether a new dynamic member has to come back with an id first (version 4 on, KIP-394).
    pub requires_known_member: bool,
    /// Whether the client understands `skip_assignment` (version 9 on, KIP-814).
    pub can_skip_assignment: bool,
}

impl JoinRequest {
    fn failed(&self, error: impl Into<JoinError>) -> JoinReply {
        Err(JoinRefused { error: error.into(), member: self.caller.member.clone() })
    }

    fn member(&self, id: MemberId, token: Token<JoinReply>, memory: &Arc<Budget>) -> Member {
        let mut member = Member {
            id,
            instance: self.caller.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            protocols: self.protocols.as_slice().into(),
            assignment: Bytes::new(),
            joining: Some(token),
            syncing: None,
            is_new: true,
            expires: None,
            charge: Arc::new(memory.charge(0)),
        };
        member.account(memory);
        member
    }

    /// Bytes that the member holds at most beside its assignment.
    fn held_bytes(&self) -> usize {
        MEMBER_BYTES + self.name_bytes() + held_by(&self.protocols)
    }

    /// Bytes that the member takes of its group's record at most, beside its assignment.
    fn record_bytes(&self) -> usize {
        MEMBER_RECORD_BYTES + self.name_bytes() + longest(&self.protocols)
    }

    fn name_bytes(&self) -> usize {
        let instance = self.caller.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        let id = MEMBER_ID_BYTES_DRAWN + instance.max(self.client_id.len());
        id + instance + self.client_id.len() + self.client_host.len()
    }

    /// Whether a record or the memory for one member could never hold this one.
    pub(crate) fn is_too_large(&self, record_bytes_max: usize) -> bool {
        let id_bytes = MEMBER_ID_BYTES_DRAWN + self.client_id.len();
        let instance_bytes = self.caller.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        id_bytes.max(MEMBER_ID_BYTES_DRAWN + instance_bytes) > TEXT_BYTES_MAX
            || self.record_bytes() > record_bytes_max
            || held_by(&self.protocols) > PROTOCOLS_BYTES_MAX
    }
}

impl Group {
    pub(crate) fn join(&mut self, step: &mut Step<'_>, join: &JoinRequest, token: Token<JoinReply>) {
        if !self.has_room_for(join.caller.member.as_ref(), step.limits.members_max) {
            if let Some(id) = &join.caller.member {
                self.remove(id, step.out);
            }
            return step.out.reply_now(token, join.failed(JoinError::GroupFull));
        }
        let refused =
            if !self.supports(&join.protocol_type, join.protocols.iter().map(|offered| &*offered.name)) {
                Some(JoinError::Protocols)
            } else {
                self.lacks_memory_for(step, join)
            };
        if let Some(error) = refused {
            return step.out.reply_now(token, join.failed(error));
        }
        match &join.caller.member {
            None => self.join_new(step, join, token),
            Some(id) => self.join_again(step, join, &id.clone(), token),
        }
    }

    /// Whether one more may take part; those who are in already may.
    fn has_room_for(&self, member: Option<&MemberId>, members_max: usize) -> bool {
        let known = member.and_then(|id| self.members.get(id));
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining_count() < members_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.members.len() < members_max
            }
        }
    }

    /// Why what the member has to say cannot be kept. Who is in already and says no more than before is never refused.
    fn lacks_memory_for(&self, step: &Step<'_>, join: &JoinRequest) -> Option<JoinError> {
        let replaced = join.caller.instance.as_ref().and_then(|instance| self.instances.get(instance));
        let known = join.caller.member.as_ref().or(replaced).and_then(|id| self.members.get(id));
        let (held_growth, record_growth) = match known {
            Some(known) => (
                held_by(&join.protocols).saturating_sub(held_by(&known.protocols)),
                longest(&join.protocols).saturating_sub(longest(&known.protocols)),
            ),
            None => (join.held_bytes(), join.record_bytes()),
        };
        let record: usize = self.members.values().map(Member::record_bytes).sum();
        if record_growth > 0 && record + record_growth > step.record_bytes_max {
            // The group could never be written, to the harm of all its members.
            return Some(JoinError::GroupFull);
        }
        (!step.memory.has_room(held_growth)).then_some(JoinError::NoMemory)
    }

    fn join_new(&mut self, step: &mut Step<'_>, join: &JoinRequest, token: Token<JoinReply>) {
        let id = step.ids.draw(&join.client_id, join.caller.instance.as_ref());
        if let Some(instance) = &join.caller.instance {
            if self.instances.contains_key(instance) {
                return self.replace_static(step, join, instance, id, token);
            }
        } else if join.requires_known_member {
            if self.pending.len() >= PENDING_MEMBERS_MAX {
                return step.out.reply_now(token, join.failed(JoinError::GroupFull));
            }
            let charge = step.memory.charge(MEMBER_BYTES + id.as_str().len());
            self.pending.insert(id.clone(), Pending::new(step.now.mono.plus(join.session_timeout), charge));
            return step.out.reply_now(token, refused(JoinError::MemberIdRequired, id));
        }
        self.admit(step, join, id, token);
    }

    fn join_again(
        &mut self,
        step: &mut Step<'_>,
        join: &JoinRequest,
        id: &MemberId,
        token: Token<JoinReply>,
    ) {
        if join.caller.instance.is_none() && self.pending.contains_key(id) {
            return self.admit(step, join, id.clone(), token);
        }
        let id = match self.validate(&join.caller) {
            Ok(id) => id,
            Err(error) => return step.out.reply_now(token, join.failed(error)),
        };
        let unchanged = *self.members[&id].protocols == *join.protocols;
        match self.state {
            GroupState::Empty | GroupState::Dead => {
                step.out.reply_now(token, join.failed(MemberError::Unknown));
            }
            // The answer to its former join was lost: the generation still stands.
            GroupState::CompletingRebalance if unchanged => {
                step.out.reply_now(token, JoinReply::Ok(self.joined(&id)));
            }
            // A leader that comes again wants a new assignment, for example because topics have grown.
            GroupState::Stable if unchanged && !self.is_leader(&id) => {
                step.out.reply_now(token, JoinReply::Ok(self.joined(&id)));
            }
            GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
                self.park_join(step, join, &id, token);
                self.rebalance_or_complete(step);
            }
        }
    }

    /// Takes a new member in and calls the others together.
    fn admit(&mut self, step: &mut Step<'_>, join: &JoinRequest, id: MemberId, token: Token<JoinReply>) {
        let mut member = join.member(id, token, step.memory);
        member.expires = Some(step.now.mono.plus(NEW_MEMBER_JOIN_TIMEOUT));
        if let Some(initial) = self.gathering.as_mut().and_then(|gathering| gathering.initial.as_mut()) {
            initial.extended = true;
        }
        self.add(member, &join.protocol_type);
        self.rebalance_or_complete(step);
    }

    /// Parks a known member's join with what it now offers.
    fn park_join(&mut self, step: &mut Step<'_>, join: &JoinRequest, id: &MemberId, token: Token<JoinReply>) {
        let Some(member) = self.members.get_mut(id) else { return };
        if *member.protocols != *join.protocols {
            member.protocols = join.protocols.as_slice().into();
        }
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_timeout = join.session_timeout;
        member.account(step.memory);
        if let Some(former) = member.joining.replace(token) {
            // The client asked again, so nobody waits for the former answer; it must not stay parked.
            let failed = refused(JoinError::AskedAgain, id.clone());
            step.out.reply_now(former, failed);
        }
    }

    /// A static member has restarted: it takes the place of its former self, which is fenced. If the group would
    /// choose the same protocol, nobody else notices.
    fn replace_static(
        &mut self,
        step: &mut Step<'_>,
        join: &JoinRequest,
        instance: &InstanceId,
        id: MemberId,
        token: Token<JoinReply>,
    ) {
        let Some(former) = self.instances.get(instance).cloned() else { return };
        let Some(mut member) = self.members.remove(&former) else { return };
        if let Some(parked) = member.joining.take() {
            step.out.reply_now(parked, refused(MemberError::Fenced, former.clone()));
        }
        if let Some(parked) = member.syncing.take() {
            step.out.reply_now(parked, SyncReply::Err(MemberError::Fenced.into()));
        }
        let former_leader = self.leader.clone();
        if self.is_leader(&former) {
            self.leader = Some(id.clone());
        }
        if self.unsynced.remove(&former) {
            self.unsynced.insert(id.clone());
        }
        member.id = id.clone();
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        member.touch(step.now.mono);
        self.instances.insert(instance.clone(), id.clone());
        self.members.insert(id.clone(), member);
        self.park_join(step, join, &id, token);
        let keeps_protocol = self.state == GroupState::Stable && self.select_protocol() == self.protocol;
        if !keeps_protocol {
            return self.rebalance_or_complete(step);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = None;
        }
        let mut reply = self.joined(&id);
        if join.can_skip_assignment {
            reply.skip_assignment = self.is_leader(&id);
        } else {
            // A client that cannot skip the assignment must not learn that it leads, or it would assign.
            reply.leader = former_leader;
            reply.members.clear();
        }
        step.out.records.push(self.record());
        step.out.reply_after_commit(token, JoinReply::Ok(reply));
    }
}
