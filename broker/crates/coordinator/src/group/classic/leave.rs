//! LeaveGroup, batched (version 3 on) or not. No I/O.

use crate::group::classic::group::{Group, Step};
use crate::group::classic::member::Caller;
use crate::group::error::MemberError;
use crate::group::ids::MemberId;
use crate::group::reply::PerPart;

/// One member that leaves, or is made to by an administrator who names it by instance only.
pub type Leaver = Caller;

impl Group {
    /// Takes the leavers out; one result for each, in their order.
    pub(crate) fn leave(&mut self, step: &mut Step<'_>, leavers: &[Leaver]) -> PerPart<MemberError> {
        let members_before = self.members.len();
        let pending_before = self.pending.len();
        let left = leavers.iter().map(|leaver| self.take_out(step, leaver)).collect();
        if self.members.len() < members_before {
            self.rebalance_or_complete(step);
        } else if self.pending.len() < pending_before {
            // Nobody of the generation went; but a rebalance may have waited for the one who did.
            self.complete_if_all_joined(step);
        }
        left
    }

    fn take_out(&mut self, step: &mut Step<'_>, leaver: &Leaver) -> Result<(), MemberError> {
        let id = self.find_leaver(leaver)?;
        if self.pending.remove(&id).is_none() {
            self.remove(&id, step.out);
        }
        Ok(())
    }

    fn find_leaver(&self, leaver: &Leaver) -> Result<MemberId, MemberError> {
        match (&leaver.member, &leaver.instance) {
            (None, Some(instance)) => self.instances.get(instance).cloned().ok_or(MemberError::Unknown),
            (Some(id), None) if self.pending.contains_key(id) => Ok(id.clone()),
            _ => self.validate(leaver),
        }
    }
}
