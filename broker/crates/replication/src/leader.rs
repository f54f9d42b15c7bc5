//! The leader's bookkeeping: followers' progress, ISR changes, and what follows for the high watermark. No I/O.
//!
//! Invariant: the high watermark never passes the log end of a replica that the controller may believe in sync.

use std::collections::BTreeMap;

use ottla_broker_types::{BrokerEpoch, LeaderEpoch, MonotonicMs, NodeId, Offset, PartitionEpoch};

use crate::assignment::Assignment;
use crate::effects::{IsrMember, IsrProposal};
use crate::errors::FetchError;
use crate::facts::{FollowerId, ReplicationConfig};
use crate::isr::Isr;
use crate::remote::RemoteReplica;

/// The state of leading one epoch.
#[derive(Clone, Debug)]
pub(crate) struct LeaderState {
    self_id: NodeId,
    pub(crate) epoch: LeaderEpoch,
    /// Log end when the epoch began: all that is committed before lies below it.
    pub(crate) epoch_start: Offset,
    partition_epoch: PartitionEpoch,
    replicas: Vec<NodeId>,
    pub(crate) isr: Isr,
    remotes: BTreeMap<NodeId, RemoteReplica>,
}

impl LeaderState {
    /// Starts leading `assignment.leader_epoch`.
    pub(crate) fn new(
        self_id: NodeId,
        assignment: &Assignment,
        epoch_start: Offset,
        now: MonotonicMs,
    ) -> LeaderState {
        let mut state = LeaderState {
            self_id,
            epoch: assignment.leader_epoch,
            epoch_start,
            partition_epoch: assignment.partition_epoch,
            replicas: Vec::new(),
            isr: Isr::committed(&assignment.isr),
            remotes: BTreeMap::new(),
        };
        state.set_replicas(assignment, now);
        state
    }

    /// Takes over a newer state of the same leader epoch; followers keep their progress.
    pub(crate) fn update(&mut self, assignment: &Assignment, now: MonotonicMs) {
        self.commit_isr(assignment.partition_epoch, &assignment.isr);
        self.set_replicas(assignment, now);
    }

    /// Takes over a newer ISR of the same leader epoch that the controller returned.
    pub(crate) fn decide(&mut self, partition_epoch: PartitionEpoch, isr: &[NodeId]) {
        self.commit_isr(partition_epoch, isr);
    }

    fn commit_isr(&mut self, partition_epoch: PartitionEpoch, isr: &[NodeId]) {
        for (node, remote) in &mut self.remotes {
            if self.isr.maximal_contains(*node) && !isr.contains(node) {
                remote.left();
            }
        }
        self.partition_epoch = partition_epoch;
        self.isr = Isr::committed(isr);
    }

    fn set_replicas(&mut self, assignment: &Assignment, now: MonotonicMs) {
        self.replicas.clone_from(&assignment.replicas);
        self.remotes.retain(|node, _| assignment.replicas.contains(node));
        for node in assignment.replicas.iter().filter(|node| **node != self.self_id) {
            let in_sync = assignment.isr.contains(node);
            self.remotes.entry(*node).or_insert_with(|| RemoteReplica::at_epoch_start(in_sync, now));
        }
    }

    /// Expects nothing more of followers whose registrations `is_eligible` denies.
    pub(crate) fn registrations_changed(
        &mut self,
        is_eligible: impl Fn(NodeId, Option<BrokerEpoch>) -> bool,
    ) {
        for (node, remote) in &mut self.remotes {
            if !is_eligible(*node, remote.broker_epoch) {
                remote.left();
            }
        }
    }

    /// Epoch of the partition state in force.
    pub(crate) fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// The followers and their progress.
    pub(crate) fn remotes(&self) -> &BTreeMap<NodeId, RemoteReplica> {
        &self.remotes
    }

    /// `min.insync.replicas`, but never more than there are replicas.
    pub(crate) fn min_isr(&self, config: &ReplicationConfig) -> usize {
        config.min_isr.min(self.replicas.len()).max(1)
    }

    /// The high watermark that the followers' progress allows, if it is above `current`.
    pub(crate) fn high_watermark_above(
        &self,
        current: Offset,
        log_end: Offset,
        now: MonotonicMs,
        config: &ReplicationConfig,
    ) -> Option<Offset> {
        // Below min ISR nothing more commits: with KIP-966 a committed record is on that many replicas at least.
        if self.isr.members().len() < self.min_isr(config) {
            return None;
        }
        let known = |node: &NodeId| *node == self.self_id || self.remotes.contains_key(node);
        if !self.isr.members().iter().all(known) {
            return None;
        }
        let mut reached = log_end;
        for (node, remote) in &self.remotes {
            // A live follower that is just behind is waited for: else a busy partition would move its high watermark
            // on and on, and the follower would never reach it and join.
            let joining = remote.is_eligible() && remote.is_caught_up(now, log_end, config.lag_max);
            if self.isr.maximal_contains(*node) {
                reached = reached.min(remote.log_end?);
            } else if let (true, Some(end)) = (joining, remote.log_end) {
                reached = reached.min(end);
            }
        }
        (reached > current).then_some(reached)
    }

    /// Checks that `follower` is a replica of this partition, in the latest registration that was seen.
    pub(crate) fn check_follower(&self, follower: FollowerId) -> Result<(), FetchError> {
        let remote = self.remotes.get(&follower.node).ok_or(FetchError::NotAReplica)?;
        if follower.broker_epoch.is_some() && follower.broker_epoch < remote.broker_epoch {
            return Err(FetchError::StaleBrokerEpoch);
        }
        Ok(())
    }

    /// Records a fetch of a follower that passed [`LeaderState::check_follower`]; its log equals the leader's up to
    /// `fetch_offset`.
    pub(crate) fn fetched(
        &mut self,
        now: MonotonicMs,
        follower: FollowerId,
        fetch_offset: Offset,
        log_start: Option<Offset>,
        log_end: Offset,
    ) {
        if let Some(remote) = self.remotes.get_mut(&follower.node) {
            remote.fetched(now, follower, fetch_offset, log_start, log_end);
        }
    }

    /// The leader appends to its log, which ended at `former_end`.
    pub(crate) fn log_end_moved(&mut self, now: MonotonicMs, former_end: Offset) {
        self.remotes.values_mut().for_each(|remote| remote.log_end_moved(now, former_end));
    }

    /// Whether a follower outside of the ISR has to fetch before it can join, even if it has nothing to fetch: since it
    /// left the ISR or the service nothing was heard of it.
    pub(crate) fn awaits_fetches(&self) -> bool {
        let is_silent = |(node, remote): (&NodeId, &RemoteReplica)| {
            !remote.is_eligible() && !self.isr.members().contains(node)
        };
        self.remotes.iter().any(is_silent)
    }

    /// When [`LeaderState::propose_shrink`], [`LeaderState::propose_any_expansion`] or the high watermark may have
    /// something new to say, though nobody fetches, appends or decides; `None`: never. It may lie in the past.
    pub(crate) fn check_due(
        &self,
        log_end: Offset,
        high_watermark: Offset,
        config: &ReplicationConfig,
    ) -> Option<MonotonicMs> {
        let is_free = self.isr.in_flight().is_none();
        let due = |(node, remote): (&NodeId, &RemoteReplica)| {
            let lags_from = remote.lags_from(log_end, config.lag_max);
            if self.isr.members().contains(node) {
                let lags = is_free && remote.log_end != Some(log_end);
                return lags.then(|| lags_from.unwrap_or_default());
            }
            if is_free && self.may_join(*node, high_watermark) {
                // It was refused, or another one was on its way: its next fetch may be far.
                return Some(MonotonicMs::default());
            }
            // While it counts as about to join, it holds the high watermark back.
            lags_from.filter(|_| remote.is_eligible() && remote.log_end.is_some())
        };
        self.remotes.iter().filter_map(due).min()
    }

    fn may_join(&self, node: NodeId, high_watermark: Offset) -> bool {
        let Some(remote) = self.remotes.get(&node).filter(|_| !self.isr.members().contains(&node)) else {
            return false;
        };
        // A new leader's high watermark may be behind what its predecessor committed, yet never behind the epoch start.
        let has_all = |end: Offset| end >= high_watermark && end >= self.epoch_start;
        remote.is_eligible() && remote.log_end.is_some_and(has_all)
    }

    /// As [`LeaderState::propose_expansion`], of any follower.
    pub(crate) fn propose_any_expansion(&mut self, high_watermark: Offset) -> Option<IsrProposal> {
        let node = self.remotes.keys().copied().find(|node| self.may_join(*node, high_watermark))?;
        self.propose_expansion(node, high_watermark)
    }

    /// Puts the addition of `node` in flight if it has everything committed and nothing else is in flight.
    pub(crate) fn propose_expansion(&mut self, node: NodeId, high_watermark: Offset) -> Option<IsrProposal> {
        if self.isr.in_flight().is_some() || !self.may_join(node, high_watermark) {
            return None;
        }
        let new_isr = self.members(|member| member == node || self.isr.members().contains(&member));
        Some(self.put_in_flight(new_isr))
    }

    /// Puts the removal of all laggards in flight, if there are any and nothing else is in flight.
    pub(crate) fn propose_shrink(
        &mut self,
        now: MonotonicMs,
        log_end: Offset,
        config: &ReplicationConfig,
    ) -> Option<IsrProposal> {
        if self.isr.in_flight().is_some() {
            return None;
        }
        let lags = |remote: &RemoteReplica| !remote.is_caught_up(now, log_end, config.lag_max);
        let laggards: Vec<NodeId> = self
            .remotes
            .iter()
            .filter(|(node, remote)| self.isr.members().contains(node) && lags(remote))
            .map(|(node, _)| *node)
            .collect();
        if laggards.is_empty() {
            return None;
        }
        let stays = |node| self.isr.members().contains(&node) && !laggards.contains(&node);
        let new_isr = self.members(stays);
        Some(self.put_in_flight(new_isr))
    }

    fn members(&self, wanted: impl Fn(NodeId) -> bool) -> Vec<IsrMember> {
        let member = |node: &NodeId| IsrMember {
            node: *node,
            broker_epoch: self.remotes.get(node).and_then(|remote| remote.broker_epoch),
        };
        self.replicas.iter().filter(|node| wanted(**node)).map(member).collect()
    }

    fn put_in_flight(&mut self, new_isr: Vec<IsrMember>) -> IsrProposal {
        let proposal =
            IsrProposal { leader_epoch: self.epoch, partition_epoch: self.partition_epoch, new_isr };
        self.isr.propose(proposal.clone());
        proposal
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::DurationMs;

    use super::*;

    const CONFIG: ReplicationConfig = ReplicationConfig { min_isr: 2, lag_max: DurationMs(100) };

    fn nodes(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn at(offset: i64) -> Offset {
        Offset::clamped(offset)
    }

    /// Node 1 leads epoch 5 of the replicas 1, 2, 3; its log ended at 10 when the epoch began.
    fn leader(isr: &[i32]) -> LeaderState {
        let assignment = Assignment {
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(5),
            partition_epoch: PartitionEpoch(9),
            replicas: nodes(&[1, 2, 3]),
            isr: nodes(isr),
            ..Assignment::default()
        };
        LeaderState::new(NodeId(1), &assignment, at(10), MonotonicMs(0))
    }

    fn fetch(state: &mut LeaderState, now: u64, node: i32, offset: i64, log_end: i64) {
        let follower = FollowerId::eligible(node, 70 + i64::from(node));
        state.fetched(MonotonicMs(now), follower, at(offset), None, at(log_end));
    }

    fn high_watermark(state: &LeaderState, now: u64, current: i64, log_end: i64) -> Option<i64> {
        let reached = state.high_watermark_above(at(current), at(log_end), MonotonicMs(now), &CONFIG);
        reached.map(Offset::get)
    }

    #[test]
    fn the_high_watermark_is_the_least_log_end_of_the_isr() {
        let mut state = leader(&[1, 2, 3]);
        fetch(&mut state, 0, 2, 14, 20);
        assert_eq!(high_watermark(&state, 0, 0, 20), None, "follower 3 has not fetched in this epoch");
        fetch(&mut state, 0, 3, 12, 20);
        assert_eq!(high_watermark(&state, 0, 0, 20), Some(12));
        assert_eq!(high_watermark(&state, 0, 12, 20), None, "only a rise counts");
    }

    #[test]
    fn the_high_watermark_stands_still_below_min_isr() {
        let state = leader(&[1]);
        assert_eq!(high_watermark(&state, 0, 0, 20), None);
    }

    #[test]
    fn an_expansion_in_flight_already_holds_the_high_watermark_back() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 2, 20, 20);
        fetch(&mut state, 0, 3, 12, 20);
        assert_eq!(high_watermark(&state, 0, 10, 20), Some(20), "follower 3 lags and is not in sync");
        assert!(state.propose_expansion(NodeId(3), at(11)).is_some());
        assert_eq!(high_watermark(&state, 0, 10, 20), Some(12));
    }

    #[test]
    fn a_shrink_moves_the_high_watermark_only_once_it_is_committed() {
        let mut state = leader(&[1, 2, 3]);
        fetch(&mut state, 0, 3, 12, 20);
        fetch(&mut state, 200, 2, 20, 20);
        let proposal = state.propose_shrink(MonotonicMs(200), at(20), &CONFIG).expect("3 lags");
        assert_eq!(proposal.nodes().collect::<Vec<_>>(), nodes(&[1, 2]));
        assert_eq!(high_watermark(&state, 200, 0, 20), Some(12));
        state.decide(PartitionEpoch(10), &nodes(&[1, 2]));
        assert_eq!(high_watermark(&state, 200, 0, 20), Some(20));
    }

    #[test]
    fn a_follower_that_left_the_isr_is_not_waited_for_until_it_fetches_again() {
        let mut state = leader(&[1, 2, 3]);
        fetch(&mut state, 0, 2, 20, 20);
        fetch(&mut state, 0, 3, 20, 20);
        let fenced = Assignment {
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(5),
            partition_epoch: PartitionEpoch(10),
            replicas: nodes(&[1, 2, 3]),
            isr: nodes(&[1, 2]),
            ..Assignment::default()
        };
        state.update(&fenced, MonotonicMs(1));
        fetch(&mut state, 2, 2, 25, 25);
        assert_eq!(high_watermark(&state, 2, 20, 25), Some(25), "3 may be dead");
        fetch(&mut state, 3, 3, 24, 25);
        assert_eq!(high_watermark(&state, 3, 20, 25), Some(24), "3 is alive and about to join");
    }

    #[test]
    fn a_follower_that_goes_out_of_service_before_it_joins_is_not_waited_for() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 2, 20, 20);
        fetch(&mut state, 0, 3, 20, 20);
        fetch(&mut state, 1, 2, 25, 25);
        assert_eq!(high_watermark(&state, 1, 20, 25), None, "3 is alive and about to join");
        state.registrations_changed(|node, epoch| (node, epoch) != (NodeId(3), Some(BrokerEpoch(73))));
        assert_eq!(high_watermark(&state, 1, 20, 25), Some(25));
        state.registrations_changed(|_, _| false);
        assert_eq!(
            high_watermark(&state, 1, 20, 30),
            Some(25),
            "a member of the ISR is waited for all the same"
        );
    }

    #[test]
    fn a_follower_joins_only_past_the_epoch_start_and_the_high_watermark() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 3, 9, 20);
        assert_eq!(state.propose_expansion(NodeId(3), at(5)), None, "below the epoch start");
        fetch(&mut state, 0, 3, 10, 20);
        assert_eq!(state.propose_expansion(NodeId(3), at(11)), None, "below the high watermark");
        fetch(&mut state, 0, 3, 11, 20);
        let proposal = state.propose_expansion(NodeId(3), at(11)).expect("caught up");
        let epochs: Vec<_> = proposal.new_isr.iter().map(|m| m.broker_epoch.map(|e| e.get())).collect();
        assert_eq!(
            epochs,
            [None, None, Some(73)],
            "the leader's and that of a follower not heard of are left out"
        );
        assert_eq!(state.propose_expansion(NodeId(3), at(11)), None, "one at a time");
    }

    #[test]
    fn a_leader_whose_followers_hold_all_has_nothing_to_check() {
        let mut state = leader(&[1, 2, 3]);
        let due = |state: &LeaderState, end| state.check_due(at(end), at(10), &CONFIG).map(|due| due.0);
        assert_eq!(due(&state, 10), Some(101), "nobody has fetched in this epoch");
        fetch(&mut state, 20, 2, 10, 10);
        fetch(&mut state, 30, 3, 10, 10);
        assert_eq!(due(&state, 10), None);
        state.log_end_moved(MonotonicMs(5_000), at(10));
        assert_eq!(due(&state, 11), Some(5_101));
        assert_eq!(state.propose_shrink(MonotonicMs(5_100), at(11), &CONFIG), None);
        assert!(state.propose_shrink(MonotonicMs(5_101), at(11), &CONFIG).is_some());
        assert_eq!(due(&state, 11), None, "one change at a time");
    }

    #[test]
    fn a_refused_addition_is_due_again_without_a_fetch() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 2, 10, 10);
        fetch(&mut state, 0, 3, 10, 10);
        assert!(state.propose_expansion(NodeId(3), at(10)).is_some());
        assert_eq!(state.check_due(at(10), at(10), &CONFIG), None);
        state.isr.withdraw();
        assert_eq!(state.check_due(at(10), at(10), &CONFIG), Some(MonotonicMs(0)));
        assert!(state.propose_any_expansion(at(10)).is_some());
    }

    #[test]
    fn a_follower_that_left_must_be_heard_again() {
        let mut state = leader(&[1, 2]);
        assert!(state.awaits_fetches(), "3 has not fetched yet");
        fetch(&mut state, 0, 3, 10, 10);
        assert!(!state.awaits_fetches());
        state.registrations_changed(|_, _| false);
        assert!(state.awaits_fetches());
        assert_eq!(state.check_due(at(10), at(10), &CONFIG), Some(MonotonicMs(101)), "2 has not fetched yet");
        assert_eq!(state.propose_any_expansion(at(10)), None);
    }

    #[test]
    fn a_fenced_broker_does_not_join() {
        let mut state = leader(&[1, 2]);
        let fenced = FollowerId { isr_eligible: false, ..FollowerId::eligible(3, 73) };
        state.fetched(MonotonicMs(0), fenced, at(20), None, at(20));
        assert_eq!(state.propose_expansion(NodeId(3), at(11)), None);
    }

    #[test]
    fn a_fetch_of_an_older_registration_is_refused() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 3, 20, 20);
        assert!(matches!(
            state.check_follower(FollowerId::eligible(3, 72)),
            Err(FetchError::StaleBrokerEpoch)
        ));
        assert!(state.check_follower(FollowerId::eligible(3, 74)).is_ok());
        assert!(matches!(state.check_follower(FollowerId::eligible(4, 1)), Err(FetchError::NotAReplica)));
    }

    #[test]
    fn followers_keep_their_progress_when_only_the_isr_changes() {
        let mut state = leader(&[1, 2]);
        fetch(&mut state, 0, 2, 15, 20);
        fetch(&mut state, 0, 3, 20, 20);
        let newer = Assignment {
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(5),
            partition_epoch: PartitionEpoch(10),
            replicas: nodes(&[1, 2, 3]),
            isr: nodes(&[1, 2, 3]),
            ..Assignment::default()
        };
        state.update(&newer, MonotonicMs(1));
        assert_eq!(high_watermark(&state, 1, 0, 20), Some(15));
    }
}
