//! SyncGroup and Heartbeat. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::group::classic::group::{Group, GroupState, Step};
use crate::group::classic::member::Caller;
use crate::group::error::{HeartbeatError, MemberError, SyncError};
use crate::group::ids::{Generation, GroupId, MemberId};
use crate::group::reply::{SyncReply, Synced};
use crate::runtime::outcome::Token;

/// A SyncGroup.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Which must exist.
    pub group: GroupId,
    /// Who asks.
    pub caller: Caller,
    /// The generation that its join led into; `None` if it names none.
    pub generation: Option<Generation>,
    /// What kind of group it believes in; `None` if it does not say.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it believes in; `None` if it does not say.
    pub protocol: Option<Arc<str>>,
    /// What each member gets; only the leader's counts.
    pub assignments: BTreeMap<MemberId, Bytes>,
}

impl Group {
    pub(crate) fn sync(&mut self, step: &mut Step<'_>, sync: SyncRequest, token: Token<SyncReply>) {
        let id = match self.validate_sync(&sync) {
            Ok(id) => id,
            Err(error) => return step.out.reply_now(token, SyncReply::Err(error)),
        };
        match self.state {
            GroupState::Empty | GroupState::Dead => {
                step.out.reply_now(token, SyncReply::Err(MemberError::Unknown.into()));
            }
            GroupState::PreparingRebalance => {
                step.out.reply_now(token, SyncReply::Err(SyncError::Rebalancing));
            }
            GroupState::CompletingRebalance => {
                if self.is_leader(&id) && !self.has_room_to_assign(step, &sync.assignments) {
                    return step.out.reply_now(token, SyncReply::Err(SyncError::NoMemory));
                }
                self.unsynced.remove(&id);
                if let Some(member) = self.members.get_mut(&id)
                    && let Some(former) = member.syncing.replace(token)
                {
                    // The client asked again, so nobody waits for the former answer; it must not stay parked.
                    step.out.reply_now(former, SyncReply::Err(SyncError::AskedAgain));
                }
                if self.is_leader(&id) {
                    self.assign(step, sync.assignments);
                }
            }
            GroupState::Stable => {
                self.unsynced.remove(&id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.touch(step.now.mono);
                }
                // The assignment may not be committed yet.
                let reply = self.synced(&id);
                step.out.reply_after_commit(token, SyncReply::Ok(reply));
            }
        }
        if self.unsynced.is_empty() {
            self.sync_ends = None;
        }
    }

    fn validate_sync(&self, sync: &SyncRequest) -> Result<MemberId, SyncError> {
        let id = self.validate(&sync.caller)?;
        if sync.generation != Some(self.generation) {
            return Err(SyncError::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, held: &Option<Arc<str>>| said.is_some() && said != held;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(SyncError::Protocol);
        }
        Ok(id)
    }

    /// The leader's assignment: everybody who waits gets its part once it is committed; who was left out gets an
    /// empty one.
    fn assign(&mut self, step: &mut Step<'_>, mut assignments: BTreeMap<MemberId, Bytes>) {
        let mut waiting = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            member.account(step.memory);
            if let Some(token) = member.syncing.take() {
                member.touch(step.now.mono);
                waiting.push((token, id.clone()));
            }
        }
        let (sync_ends, unsynced) = (self.sync_ends, std::mem::take(&mut self.unsynced));
        self.enter(GroupState::Stable, step.now);
        (self.sync_ends, self.unsynced) = (sync_ends, unsynced);
        step.out.records.push(self.record());
        for (token, id) in waiting {
            let reply = self.synced(&id);
            step.out.reply_after_commit(token, SyncReply::Ok(reply));
        }
    }

    /// Whether the members may hold what they are assigned.
    fn has_room_to_assign(&self, step: &Step<'_>, assignments: &BTreeMap<MemberId, Bytes>) -> bool {
        let held: usize = self.members.values().map(|member| member.assignment.len()).sum();
        let wanted = self.members.keys().filter_map(|id| assignments.get(id)).map(Bytes::len).sum::<usize>();
        step.memory.has_room(wanted.saturating_sub(held))
    }

    fn synced(&self, id: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    /// A Heartbeat: who sent it, whose session begins anew, and what it is told.
    pub(crate) fn heartbeat(
        &self,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> Result<(MemberId, Result<(), HeartbeatError>), HeartbeatError> {
        let id = self.validate(caller)?;
        if generation != Some(self.generation) {
            return Err(HeartbeatError::IllegalGeneration);
        }
        let told = match self.state {
            GroupState::Empty | GroupState::Dead => Err(MemberError::Unknown.into()),
            GroupState::PreparingRebalance => Err(HeartbeatError::Rebalancing),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        };
        Ok((id, told))
    }
}
