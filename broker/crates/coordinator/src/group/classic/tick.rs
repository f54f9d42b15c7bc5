//! What falls due in a group as time passes. No I/O.

use crate::group::classic::group::{Group, GroupState, Turn};
use crate::group::ids::MemberId;

impl Group {
    /// Does everything that is due at `turn.now`.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        let pending_before = self.pending.len();
        self.pending.retain(|_, lapses| *lapses > now);
        if self.pending.len() < pending_before {
            self.complete_if_all_joined(turn);
        }
        self.end_sessions(turn);
        if self.gathering.is_some_and(|gathering| gathering.ends <= now) {
            self.gathering_ended(turn);
        }
        if self.sync_ends.is_some_and(|ends| ends <= now) {
            self.give_up_unsynced(turn);
        }
    }

    fn end_sessions(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        let due =
            self.members.values_mut().filter(|member| member.expires.is_some_and(|expires| expires <= now));
        let mut expired: Vec<MemberId> = Vec::new();
        for member in due {
            if member.is_owed() {
                member.expires = None;
            } else {
                expired.push(member.id.clone());
            }
        }
        for id in expired {
            self.expel(turn, &id);
        }
    }

    /// Members that joined but never asked for their assignment are held for dead.
    fn give_up_unsynced(&mut self, turn: &mut Turn<'_>) {
        self.sync_ends = None;
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced.is_empty() || !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable)
        {
            return;
        }
        for id in &unsynced {
            self.remove(id, ottla_broker_protocol::ErrorCode::UnknownMemberId, turn.out);
        }
        self.rebalance_or_complete(turn);
    }
}
