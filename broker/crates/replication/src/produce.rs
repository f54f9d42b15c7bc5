//! The leader's side of Produce: append, and what acks=all waits for. The only I/O is the log's.

use ottla_broker_log::{AppendError, Appended, BatchRules, CheckedBatch, EndTransaction};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{LeaderEpoch, Now, Offset};

use crate::effects::Effects;
use crate::errors::ProduceError;
use crate::facts::Acks;
use crate::replica::{Replica, Role};

/// An append that succeeded, or a duplicate of an earlier one.
#[derive(Debug)]
pub struct Produced {
    /// Where the records are.
    pub appended: Appended,
    /// What acks=all waits for.
    pub wait: AckWait,
    /// What changed.
    pub effects: Effects,
}

/// The condition under which an acks=all produce is answered; see [`Replica::acks_satisfied`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWait {
    /// The high watermark must reach this offset.
    pub end: Offset,
    /// The epoch in which the records were appended.
    pub leader_epoch: LeaderEpoch,
}

/// How an acks=all produce stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckState {
    /// The high watermark has not passed the records yet.
    Pending,
    /// Committed: answer without error.
    Committed,
    /// Committed, but fewer replicas than `min.insync.replicas` are in sync by now:
    /// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    NotEnoughReplicas,
    /// Another epoch has begun, so the records may be gone: NOT_LEADER_OR_FOLLOWER.
    NotLeaderOrFollower,
}

impl Replica {
    /// What a producer's batch must obey, if one may be appended now at all: with [`Acks::All`] none may while fewer
    /// replicas than `min.insync.replicas` are in sync.
    pub fn batch_rules(&self, acks: Acks) -> Result<BatchRules, ProduceError> {
        self.may_append(acks)?;
        Ok(self.log.config().batch_rules())
    }

    /// Checks and appends one batch as the leader and stamps it in place; see [`Replica::append_checked`].
    pub fn append(&mut self, now: Now, batch: &mut [u8], acks: Acks) -> Result<Produced, ProduceError> {
        let epoch = self.may_append(acks)?;
        let appended = self.log.append_as_leader(batch, epoch, now)?;
        Ok(self.appended(now, appended, epoch))
    }

    /// Appends one batch as the leader and stamps it in place; `checked` is what the rules said of it.
    ///
    /// With [`Acks::All`] the append is refused while fewer replicas than `min.insync.replicas` are in sync.
    pub fn append_checked(
        &mut self,
        now: Now,
        batch: &mut [u8],
        checked: &CheckedBatch,
        acks: Acks,
    ) -> Result<Produced, ProduceError> {
        let epoch = self.may_append(acks)?;
        let appended = self.log.append_checked(batch, checked, epoch, now)?;
        Ok(self.appended(now, appended, epoch))
    }

    /// Appends a batch that was sent behind one that was refused with `code` on the same connection
    /// ([`Refusals`](crate::Refusals)): only if the log shows that nothing is missing before it. Else it is refused
    /// alike. What is not `checked` is checked here.
    pub fn append_after_refused(
        &mut self,
        now: Now,
        batch: &mut [u8],
        checked: Option<&CheckedBatch>,
        acks: Acks,
        code: ErrorCode,
    ) -> Result<Produced, ProduceError> {
        self.may_append(acks)?;
        // Of an unknown producer the log would take any sequence.
        if BatchHeader::parse(batch).is_ok_and(|header| !self.log.has_predecessor_of(&header)) {
            return Err(ProduceError::AfterRefused { code });
        }
        let appended = match checked {
            Some(checked) => self.append_checked(now, batch, checked, acks),
            None => self.append(now, batch, acks),
        };
        appended.map_err(|error| match error {
            ProduceError::Append(AppendError::OutOfOrderSequence { .. }) => {
                ProduceError::AfterRefused { code }
            }
            other => other,
        })
    }

    /// Appends a batch of the broker's own that was decided in `epoch`, if this replica still leads in that one.
    pub fn append_in(
        &mut self,
        now: Now,
        batch: &mut [u8],
        epoch: LeaderEpoch,
    ) -> Result<Produced, ProduceError> {
        if self.may_append(Acks::All)? != epoch {
            return Err(ProduceError::NotLeaderOrFollower);
        }
        self.append(now, batch, Acks::All)
    }

    /// Appends the marker that ends a producer's transaction here, as a transaction coordinator decided it. The marker
    /// counts once it is committed, as [`Produced::wait`] tells; until then the last stable offset stays.
    pub fn append_marker(&mut self, now: Now, end: &EndTransaction) -> Result<Produced, ProduceError> {
        let epoch = self.may_append(Acks::All)?;
        let appended = self.log.append_marker(end, epoch, now)?;
        Ok(self.appended(now, appended, epoch))
    }

    /// The offset below which everything is committed; `None` unless this replica leads in `epoch`: another leader's
    /// high watermark says nothing of what was appended in this one.
    pub fn committed_end_in(&self, epoch: LeaderEpoch) -> Option<Offset> {
        match &self.role {
            Role::Leader(leader) if leader.epoch == epoch => Some(self.high_watermark),
            Role::Leader(_) | Role::Follower(_) | Role::Idle => None,
        }
    }

    fn may_append(&self, acks: Acks) -> Result<LeaderEpoch, ProduceError> {
        let Role::Leader(leader) = &self.role else { return Err(ProduceError::NotLeaderOrFollower) };
        let (in_sync, required) = (leader.isr.members().len(), leader.min_isr(&self.config));
        if acks == Acks::All && in_sync < required {
            return Err(ProduceError::NotEnoughReplicas { in_sync, required });
        }
        Ok(leader.epoch)
    }

    fn appended(&mut self, now: Now, appended: Appended, leader_epoch: LeaderEpoch) -> Produced {
        let mut effects = Effects::default();
        if !appended.duplicate {
            effects.log_end = Some(self.log.log_end());
            if let Role::Leader(leader) = &mut self.role {
                leader.log_end_moved(now.mono, appended.base_offset);
            }
            self.advance_high_watermark(now, &mut effects);
        }
        // Also after a duplicate: its first copy may still be waiting for a sync that failed.
        effects.sync_to = self.uncounted_end();
        let wait = AckWait { end: appended.last_offset.next(), leader_epoch };
        Produced { appended, wait, effects }
    }

    /// Whether an acks=all produce can be answered. Ask again when the high watermark moves or the role changes.
    pub fn acks_satisfied(&self, wait: AckWait) -> AckState {
        let Role::Leader(leader) = &self.role else { return AckState::NotLeaderOrFollower };
        if leader.epoch != wait.leader_epoch {
            return AckState::NotLeaderOrFollower;
        }
        if self.high_watermark < wait.end {
            return AckState::Pending;
        }
        if self.lacks_replicas_after_commit() {
            return AckState::NotEnoughReplicas;
        }
        AckState::Committed
    }

    /// Whether a producer is told that its committed records have fewer replicas than `min.insync.replicas` by now. One
    /// that is about to join the ISR counts; false unless this replica leads.
    pub fn lacks_replicas_after_commit(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.isr.maximal_len() < leader.min_isr(&self.config),
            Role::Follower(_) | Role::Idle => false,
        }
    }
}
