//! What falls due in a group as time passes. No I/O.

use crate::group::classic::group::{Group, GroupState, Step};
use crate::group::ids::MemberId;

impl Group {
    /// Does everything that is due at `step.now`.
    pub(crate) fn tick(&mut self, step: &mut Step<'_>) {
        let now = step.now.mono;
        let pending_before = self.pending.len();
        self.pending.retain(|_, pending| pending.lapses > now);
        if self.pending.len() < pending_before {
            self.complete_if_all_joined(step);
        }
        self.end_sessions(step);
        if self.gathering.is_some_and(|gathering| gathering.ends <= now) {
            self.gathering_ended(step);
        }
        if self.sync_ends.is_some_and(|ends| ends <= now) {
            self.give_up_unsynced(step);
        }
    }

    fn end_sessions(&mut self, step: &mut Step<'_>) {
        let now = step.now.mono;
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
            self.expel(step, &id);
        }
    }

    /// Members that joined but never asked for their assignment are held for dead.
    fn give_up_unsynced(&mut self, step: &mut Step<'_>) {
        self.sync_ends = None;
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced.is_empty() || !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable)
        {
            return;
        }
        for id in &unsynced {
            self.remove(id, step.out);
        }
        self.rebalance_or_complete(step);
    }
}
