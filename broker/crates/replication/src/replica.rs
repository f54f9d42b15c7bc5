//! One hosted replica: its role, and how assignments, time and the controller's answers change it.
//! The only I/O is the log's. Invariant: `log_start <= high_watermark <= log_end`.

use ottla_broker_log::Log;
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, MonotonicMs, NodeId, Now, Offset, PartitionEpoch};

use crate::assignment::Assignment;
use crate::effects::{Became, Effects, IsrProposal};
use crate::errors::LeadershipError;
use crate::facts::ReplicationConfig;
use crate::follower::FollowerState;
use crate::isr::{IsrDecided, IsrUnchanged};
use crate::leader::LeaderState;

/// A partition replica on this node. Owns its log.
///
/// Inputs are `apply_assignment`, `append`, `handle_fetch`, `handle_fetch_response`, `leader_offsets`,
/// `alter_partition_result` and `tick`; each says in [`Effects`] what it changed.
#[derive(Debug)]
pub struct Replica {
    pub(crate) self_id: NodeId,
    pub(crate) log: Log,
    pub(crate) config: ReplicationConfig,
    pub(crate) high_watermark: Offset,
    pub(crate) role: Role,
    applied: Option<Epochs>,
}

/// The latest partition state that was applied.
#[derive(Clone, Copy, Debug)]
struct Epochs {
    leader: LeaderEpoch,
    partition: PartitionEpoch,
}

#[derive(Debug)]
pub(crate) enum Role {
    Idle,
    Leader(LeaderState),
    Follower(FollowerState),
}

impl Replica {
    /// A replica that awaits its first assignment. `high_watermark` is the checkpointed one; without it nothing in
    /// the log is known to be committed.
    pub fn new(
        self_id: NodeId,
        log: Log,
        high_watermark: Option<Offset>,
        config: ReplicationConfig,
    ) -> Replica {
        let start = log.log_start();
        let high_watermark = high_watermark.unwrap_or(start).max(start).min(log.log_end());
        Replica { self_id, log, config, high_watermark, role: Role::Idle, applied: None }
    }

    /// Takes over a partition state. States that are not newer than the applied one change nothing.
    ///
    /// The shell passes no state from before this run of the broker registered: such a state speaks of a former run,
    /// and may name as leader, or as in sync, a replica that lost records in a crash (KIP-966).
    pub fn apply_assignment(&mut self, now: Now, assignment: &Assignment) -> Effects {
        let same_leader = match self.applied {
            Some(applied)
                if assignment.leader_epoch < applied.leader
                    || assignment.partition_epoch <= applied.partition =>
            {
                return Effects::default();
            }
            Some(applied) => applied.leader == assignment.leader_epoch,
            None => false,
        };
        self.applied =
            Some(Epochs { leader: assignment.leader_epoch, partition: assignment.partition_epoch });
        let hosted = assignment.replicas.contains(&self.self_id);
        let mut effects = Effects::default();
        match (&mut self.role, assignment.leader) {
            (Role::Leader(leader), Some(_)) if same_leader && hosted => leader.update(assignment, now.mono),
            (Role::Follower(_), Some(_)) if same_leader && hosted => {}
            (_, Some(leader)) if leader == self.self_id && hosted => {
                effects.became = Some(self.lead(now, assignment));
            }
            (_, Some(leader)) if hosted => {
                let epoch = assignment.leader_epoch;
                self.role = Role::Follower(FollowerState { leader, epoch });
                effects.became = Some(Became::Follower { leader, epoch });
            }
            _ => {
                self.role = Role::Idle;
                effects.became = Some(Became::Idle { epoch: assignment.leader_epoch });
            }
        }
        self.advance_high_watermark(now, &mut effects);
        // What an earlier run left counts once it is durable.
        effects.sync_to = self.uncounted_end().filter(|_| self.is_leader());
        effects
    }

    fn lead(&mut self, now: Now, assignment: &Assignment) -> Became {
        let epoch_start = self.log.log_end();
        let leader = LeaderState::new(self.self_id, assignment, epoch_start, now.mono);
        self.role = Role::Leader(leader);
        Became::Leader { epoch: assignment.leader_epoch, epoch_start }
    }

    /// Brokers were fenced, registered anew, or are gone: `is_eligible` says of a registration whether the controller
    /// would take it into an ISR. Call it with what the metadata says whenever that changes.
    pub fn registrations_changed(
        &mut self,
        now: Now,
        is_eligible: impl Fn(NodeId, Option<BrokerEpoch>) -> bool,
    ) -> Effects {
        let mut effects = Effects::default();
        if let Role::Leader(leader) = &mut self.role {
            leader.registrations_changed(is_eligible);
        }
        self.advance_high_watermark(now, &mut effects);
        effects
    }

    /// What only the passing of time brings: laggards leave the ISR, and a follower whose addition was refused is proposed
    /// again. Call it once [`Replica::check_due`] has come.
    pub fn tick(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        let (log_end, high_watermark) = (self.log.log_end(), self.high_watermark);
        if let Role::Leader(leader) = &mut self.role {
            let shrink = leader.propose_shrink(now.mono, log_end, &self.config);
            effects.isr_change = shrink.or_else(|| leader.propose_any_expansion(high_watermark));
        }
        self.advance_high_watermark(now, &mut effects);
        effects
    }

    /// When [`Replica::tick`] may bring something about; `None` while nothing but a further input can. Ask after each
    /// input. It may lie in the past: call `tick` a few times per second at most.
    pub fn check_due(&self) -> Option<MonotonicMs> {
        match &self.role {
            Role::Leader(leader) => leader.check_due(self.log.log_end(), self.high_watermark, &self.config),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    /// Whether a follower outside of the ISR must fetch before this leader knows whether it may join, even if there is
    /// nothing to fetch.
    pub fn awaits_fetches(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.awaits_fetches(),
            Role::Follower(_) | Role::Idle => false,
        }
    }

    /// The controller's answer to `proposal`; answers to anything but the proposal in flight change nothing. One whose
    /// outcome is not known is returned for another attempt.
    pub fn alter_partition_result(
        &mut self,
        now: Now,
        proposal: &IsrProposal,
        result: Result<IsrDecided, IsrUnchanged>,
    ) -> Effects {
        let mut effects = Effects::default();
        let Role::Leader(leader) = &mut self.role else { return effects };
        if leader.isr.in_flight() != Some(proposal) {
            return effects;
        }
        match result {
            Ok(decided) => {
                // An older state than the one applied cannot occur: applying a newer one ends the flight.
                if decided.leader_epoch == leader.epoch && decided.partition_epoch >= leader.partition_epoch()
                {
                    leader.decide(decided.partition_epoch, &decided.isr);
                    self.applied =
                        Some(Epochs { leader: decided.leader_epoch, partition: decided.partition_epoch });
                }
            }
            Err(IsrUnchanged::NotTaken) => leader.isr.withdraw(),
            Err(IsrUnchanged::Overtaken) => {}
            Err(IsrUnchanged::Unknown) => effects.isr_change = Some(proposal.clone()),
        }
        self.advance_high_watermark(now, &mut effects);
        effects
    }

    /// Moves the high watermark up as far as the followers' progress allows.
    pub(crate) fn advance_high_watermark(&mut self, now: Now, effects: &mut Effects) {
        let Role::Leader(leader) = &self.role else { return };
        let log_end = self.log.log_end();
        let reached = leader.high_watermark_above(self.high_watermark, log_end, now.mono, &self.config);
        // The leader's own records may have to be durable first.
        let reached = reached.map(|reached| reached.min(self.log.countable_end()));
        let reached = reached.filter(|reached| *reached > self.high_watermark);
        if let Some(reached) = reached {
            self.high_watermark = reached;
            self.log.note_committed(reached);
            effects.high_watermark = Some(reached);
        }
    }

    /// The log end, while some of what lies below does not count because it is not durable.
    pub(crate) fn uncounted_end(&self) -> Option<Offset> {
        let log_end = self.log.log_end();
        (self.log.countable_end() < log_end).then_some(log_end)
    }

    /// Compares the epoch that an asker knows with this replica's (KIP-320), and demands leadership.
    pub(crate) fn leader_for(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<&LeaderState, LeadershipError> {
        if let (Some(theirs), Some(ours)) = (current_leader_epoch, self.leader_epoch()) {
            if theirs < ours {
                return Err(LeadershipError::FencedLeaderEpoch);
            }
            if theirs > ours {
                return Err(LeadershipError::UnknownLeaderEpoch);
            }
        }
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) | Role::Idle => Err(LeadershipError::NotLeaderOrFollower),
        }
    }

    /// The broker that hosts this replica.
    pub fn self_id(&self) -> NodeId {
        self.self_id
    }

    /// The log, for reading its facts.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// First offset that is not known to be committed; the shell checkpoints it.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// First offset that a read_committed consumer may not see: that of the oldest transaction that is open, or whose
    /// marker is not committed; else the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        self.log.last_stable_offset(self.high_watermark)
    }

    /// Epoch of the applied state; `None` before the first one.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.applied.map(|epochs| epochs.leader)
    }

    /// Partition epoch of the applied state; `None` before the first one.
    pub fn partition_epoch(&self) -> Option<PartitionEpoch> {
        self.applied.map(|epochs| epochs.partition)
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }
}
