//! A rebalance: calling the members together, and beginning the generation of those who came. No I/O.

use ottla_broker_types::DurationMs;

use crate::group::classic::group::{Gathering, Group, GroupState, InitialDelay, Step};
use crate::group::error::SyncError;
use crate::group::ids::MemberId;
use crate::group::reply::{JoinReply, Joined, SyncReply};

/// The shortest pause before missing static members are looked for again; a client may claim to need none.
const GATHERING_MIN: DurationMs = DurationMs(100);

impl Group {
    /// Begins a rebalance, or ends the one that runs if nobody is missing any more.
    pub(crate) fn rebalance_or_complete(&mut self, step: &mut Step<'_>) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_if_all_joined(step),
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(step);
            }
            GroupState::Dead => {}
        }
    }

    /// Takes a member out and lets the others go on without it.
    pub(crate) fn expel(&mut self, step: &mut Step<'_>, id: &MemberId) {
        self.remove(id, step.out);
        if self.state != GroupState::Empty {
            self.rebalance_or_complete(step);
        }
    }

    fn prepare_rebalance(&mut self, step: &mut Step<'_>) {
        self.refuse_syncs(step);
        let timeout = self.rebalance_timeout();
        let was_empty = self.state == GroupState::Empty;
        self.enter(GroupState::PreparingRebalance, step.now);
        let delay = step.limits.initial_rebalance_delay;
        let gathering = if was_empty {
            let remaining = DurationMs(timeout.0.saturating_sub(delay.0));
            let initial = Some(InitialDelay { remaining, extended: false });
            Gathering { ends: step.now.mono.plus(delay), initial }
        } else {
            Gathering { ends: step.now.mono.plus(timeout), initial: None }
        };
        self.gathering = Some(gathering);
        if was_empty && delay.0 == 0 {
            self.complete_join(step);
        } else {
            self.complete_if_all_joined(step);
        }
    }

    /// Ends the gathering early if everybody is there. The initial delay of a new group always runs its time.
    pub(crate) fn complete_if_all_joined(&mut self, step: &mut Step<'_>) {
        let is_initial = self.gathering.is_some_and(|gathering| gathering.initial.is_some());
        let all_joined = self.pending.is_empty() && self.joining_count() == self.members.len();
        if self.state == GroupState::PreparingRebalance
            && all_joined
            && (!is_initial || self.members.is_empty())
        {
            self.complete_join(step);
        }
    }

    /// The gathering's time is over.
    pub(crate) fn gathering_ended(&mut self, step: &mut Step<'_>) {
        let delay = step.limits.initial_rebalance_delay;
        if let Some(Gathering { ends, initial: Some(initial) }) = &mut self.gathering
            && initial.extended
            && initial.remaining.0 > 0
        {
            // Somebody came meanwhile, so others may be on their way.
            let more = DurationMs(delay.0.min(initial.remaining.0));
            *ends = step.now.mono.plus(more);
            *initial = InitialDelay { remaining: DurationMs(initial.remaining.0 - more.0), extended: false };
            return;
        }
        self.complete_join(step);
    }

    /// Begins the next generation with those who joined. Static members that are missing stay until their session
    /// ends; if only such are left, they are waited for.
    fn complete_join(&mut self, step: &mut Step<'_>) {
        let missing = self.members.values().filter(|member| member.joining.is_none());
        let dynamic: Vec<MemberId> =
            missing.filter(|member| member.instance.is_none()).map(|member| member.id.clone()).collect();
        for id in dynamic {
            self.remove(&id, step.out);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            let pause = self.rebalance_timeout().max(GATHERING_MIN);
            self.gathering = Some(Gathering { ends: step.now.mono.plus(pause), initial: None });
            return;
        }
        self.generation = self.generation.next();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.enter(GroupState::Empty, step.now);
            self.subscribed = self.find_subscribed();
            step.out.records.push(self.record());
            return;
        }
        self.protocol = self.select_protocol();
        self.enter(GroupState::CompletingRebalance, step.now);
        self.subscribed = self.find_subscribed();
        self.sync_ends = Some(step.now.mono.plus(self.rebalance_timeout()));
        self.unsynced = self.members.keys().cloned().collect();
        self.answer_joins(step);
    }

    fn answer_joins(&mut self, step: &mut Step<'_>) {
        let joined: Vec<(MemberId, Joined)> =
            self.members.keys().map(|id| (id.clone(), self.joined(id))).collect();
        for (id, reply) in joined {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.touch(step.now.mono);
            if let Some(token) = member.joining.take() {
                step.out.reply_now(token, JoinReply::Ok(reply));
            }
        }
    }

    /// Keeps the leader if it joined, else takes another who did; false if nobody did.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &MemberId| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let elected = self.members.values().find(|member| member.joining.is_some());
        match elected.map(|member| member.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    fn refuse_syncs(&mut self, step: &mut Step<'_>) {
        for member in self.members.values_mut() {
            if self.state == GroupState::CompletingRebalance {
                member.assignment.clear();
            }
            if let Some(token) = member.syncing.take() {
                step.out.reply_now(token, SyncReply::Err(SyncError::Rebalancing));
                member.touch(step.now.mono);
            }
        }
    }

    fn rebalance_timeout(&self) -> DurationMs {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}
