//! JoinGroup: how members come in, and how those that come again are told from new ones. No I/O.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::DurationMs;

use crate::group::classic::group::{Group, GroupState, Turn};
use crate::group::classic::member::{Caller, Member, Protocol};
use crate::group::ids::{GroupId, InstanceId, MemberId};
use crate::group::limits::{NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_MAX};
use crate::group::member_ids::MemberIds;
use crate::runtime::outcome::{JoinReply, Reply, ReplyToken, SyncReply};

/// A JoinGroup.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
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
    fn failed(&self, code: ErrorCode) -> JoinReply {
        JoinReply::failed(code, self.caller.member.clone())
    }

    fn member(&self, id: MemberId, token: ReplyToken) -> Member {
        Member {
            id,
            instance: self.caller.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            protocols: self.protocols.clone(),
            assignment: Bytes::new(),
            joining: Some(token),
            syncing: None,
            is_new: true,
            expires: None,
        }
    }
}

impl Group {
    pub(crate) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        join: &JoinRequest,
        ids: &mut MemberIds,
        token: ReplyToken,
    ) {
        let refused = if !self.has_room_for(join.caller.member.as_ref(), turn.limits.members_max) {
            Some(ErrorCode::GroupMaxSizeReached)
        } else if !self.supports(&join.protocol_type, join.protocols.iter().map(|offered| &*offered.name)) {
            Some(ErrorCode::InconsistentGroupProtocol)
        } else {
            None
        };
        if let Some(code) = refused {
            if code == ErrorCode::GroupMaxSizeReached
                && let Some(id) = &join.caller.member
            {
                self.remove(id, ErrorCode::UnknownMemberId, turn.out);
            }
            return turn.out.join_now(token, join.failed(code));
        }
        match &join.caller.member {
            None => self.join_new(turn, join, ids, token),
            Some(id) => self.join_again(turn, join, &id.clone(), token),
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

    fn join_new(&mut self, turn: &mut Turn<'_>, join: &JoinRequest, ids: &mut MemberIds, token: ReplyToken) {
        let id = ids.draw(&join.client_id, join.caller.instance.as_ref());
        if let Some(instance) = &join.caller.instance {
            if self.instances.contains_key(instance) {
                return self.replace_static(turn, join, instance, id, token);
            }
        } else if join.requires_known_member {
            if self.pending.len() >= PENDING_MEMBERS_MAX {
                return turn.out.join_now(token, join.failed(ErrorCode::GroupMaxSizeReached));
            }
            self.pending.insert(id.clone(), turn.now.mono.plus(join.session_timeout));
            return turn.out.join_now(token, JoinReply::failed(ErrorCode::MemberIdRequired, Some(id)));
        }
        self.admit(turn, join, id, token);
    }

    fn join_again(&mut self, turn: &mut Turn<'_>, join: &JoinRequest, id: &MemberId, token: ReplyToken) {
        if join.caller.instance.is_none() && self.pending.contains_key(id) {
            return self.admit(turn, join, id.clone(), token);
        }
        let id = match self.validate(&join.caller) {
            Ok(id) => id,
            Err(code) => return turn.out.join_now(token, join.failed(code)),
        };
        let unchanged = self.members[&id].protocols == join.protocols;
        match self.state {
            GroupState::Empty | GroupState::Dead => {
                turn.out.join_now(token, join.failed(ErrorCode::UnknownMemberId));
            }
            // The answer to its former join was lost: the generation still stands.
            GroupState::CompletingRebalance if unchanged => {
                turn.out.join_now(token, self.joined(&id));
            }
            // A leader that comes again wants a new assignment, for example because topics have grown.
            GroupState::Stable if unchanged && !self.is_leader(&id) => {
                turn.out.join_now(token, self.joined(&id));
            }
            GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
                self.park_join(turn, join, &id, token);
                self.rebalance_or_complete(turn);
            }
        }
    }

    /// Takes a new member in and calls the others together.
    fn admit(&mut self, turn: &mut Turn<'_>, join: &JoinRequest, id: MemberId, token: ReplyToken) {
        let mut member = join.member(id, token);
        member.expires = Some(turn.now.mono.plus(NEW_MEMBER_JOIN_TIMEOUT));
        if let Some(initial) = self.gathering.as_mut().and_then(|gathering| gathering.initial.as_mut()) {
            initial.extended = true;
        }
        self.add(member, &join.protocol_type);
        self.rebalance_or_complete(turn);
    }

    /// Parks a known member's join with what it now offers.
    fn park_join(&mut self, turn: &mut Turn<'_>, join: &JoinRequest, id: &MemberId, token: ReplyToken) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_timeout = join.session_timeout;
        if let Some(former) = member.joining.replace(token) {
            // The client asked again, so nobody waits for the former answer; it must not stay parked.
            let failed = JoinReply::failed(ErrorCode::RebalanceInProgress, Some(id.clone()));
            turn.out.join_now(former, failed);
        }
    }

    /// A static member has restarted: it takes the place of its former self, which is fenced. If the group would
    /// choose the same protocol, nobody else notices.
    fn replace_static(
        &mut self,
        turn: &mut Turn<'_>,
        join: &JoinRequest,
        instance: &InstanceId,
        id: MemberId,
        token: ReplyToken,
    ) {
        let Some(former) = self.instances.get(instance).cloned() else { return };
        let Some(mut member) = self.members.remove(&former) else { return };
        if let Some(parked) = member.joining.take() {
            turn.out.join_now(parked, JoinReply::failed(ErrorCode::FencedInstanceId, Some(former.clone())));
        }
        if let Some(parked) = member.syncing.take() {
            turn.out.sync_now(parked, SyncReply::failed(ErrorCode::FencedInstanceId));
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
        member.touch(turn.now.mono);
        self.instances.insert(instance.clone(), id.clone());
        self.members.insert(id.clone(), member);
        self.park_join(turn, join, &id, token);
        let keeps_protocol = self.state == GroupState::Stable && self.select_protocol() == self.protocol;
        if !keeps_protocol {
            return self.rebalance_or_complete(turn);
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
        turn.out.records.push(self.record());
        turn.out.replies_after_commit.push((token, Reply::Join(reply)));
    }
}
