//! SyncGroup and Heartbeat. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ErrorCode;

use crate::group::classic::group::{Group, GroupState, Turn};
use crate::group::classic::member::Caller;
use crate::group::ids::{Generation, GroupId, MemberId};
use crate::runtime::outcome::{Reply, ReplyToken, SyncReply};

/// A SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub caller: Caller,
    /// The generation it is in.
    pub generation: Option<Generation>,
    /// What kind of group it believes in; `None` if it does not say.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it believes in; `None` if it does not say.
    pub protocol: Option<Arc<str>>,
    /// What each member gets; only the leader's counts.
    pub assignments: BTreeMap<MemberId, Bytes>,
}

impl Group {
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, sync: SyncRequest, token: ReplyToken) {
        let id = match self.validate_sync(&sync) {
            Ok(id) => id,
            Err(code) => return turn.out.sync_now(token, SyncReply::failed(code)),
        };
        match self.state {
            GroupState::Empty | GroupState::Dead => {
                turn.out.sync_now(token, SyncReply::failed(ErrorCode::UnknownMemberId));
            }
            GroupState::PreparingRebalance => {
                turn.out.sync_now(token, SyncReply::failed(ErrorCode::RebalanceInProgress));
            }
            GroupState::CompletingRebalance => {
                self.unsynced.remove(&id);
                if let Some(member) = self.members.get_mut(&id)
                    && let Some(former) = member.syncing.replace(token)
                {
                    // The client asked again, so nobody waits for the former answer; it must not stay parked.
                    turn.out.sync_now(former, SyncReply::failed(ErrorCode::RebalanceInProgress));
                }
                if self.is_leader(&id) {
                    self.assign(turn, sync.assignments);
                }
            }
            GroupState::Stable => {
                self.unsynced.remove(&id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.touch(turn.now.mono);
                }
                // The assignment may not be committed yet.
                let reply = self.synced(&id);
                turn.out.replies_after_commit.push((token, Reply::Sync(reply)));
            }
        }
        if self.unsynced.is_empty() {
            self.sync_ends = None;
        }
    }

    fn validate_sync(&self, sync: &SyncRequest) -> Result<MemberId, ErrorCode> {
        let id = self.validate(&sync.caller)?;
        if sync.generation != Some(self.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, held: &Option<Arc<str>>| said.is_some() && said != held;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(id)
    }

    /// The leader's assignment: everybody who waits gets its part once it is committed; who was left out gets an
    /// empty one.
    fn assign(&mut self, turn: &mut Turn<'_>, mut assignments: BTreeMap<MemberId, Bytes>) {
        let mut waiting = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(token) = member.syncing.take() {
                member.touch(turn.now.mono);
                waiting.push((token, id.clone()));
            }
        }
        let (sync_ends, unsynced) = (self.sync_ends, std::mem::take(&mut self.unsynced));
        self.enter(GroupState::Stable, turn.now);
        (self.sync_ends, self.unsynced) = (sync_ends, unsynced);
        turn.out.records.push(self.record());
        for (token, id) in waiting {
            let reply = self.synced(&id);
            turn.out.replies_after_commit.push((token, Reply::Sync(reply)));
        }
    }

    fn synced(&self, id: &MemberId) -> SyncReply {
        SyncReply {
            code: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> ErrorCode {
        let id = match self.validate(caller) {
            Ok(id) => id,
            Err(code) => return code,
        };
        if generation != Some(self.generation) {
            return ErrorCode::IllegalGeneration;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.touch(turn.now.mono);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => ErrorCode::UnknownMemberId,
            GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
            GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::None,
        }
    }
}
