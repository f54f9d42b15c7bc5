//! The log's upkeep as far as it depends on what is committed, and the facts that status and metrics show.
//! The only I/O is the log's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ottla_broker_log::{
    CleanError, CleanPass, CleanResources, Cleanable, CleanedSegment, Deleted, FlushPlan, Log, LogConfig,
    LogError,
};
use ottla_broker_types::{NodeId, Now, Offset};

use crate::effects::Effects;
use crate::errors::DeleteRecordsError;
use crate::facts::ReplicationConfig;
use crate::remote::RemoteReplica;
use crate::replica::{Replica, Role};

impl Replica {
    /// Deletes what retention no longer keeps, never above the high watermark. Only leaders decide on it; others delete
    /// what lies below the log start, which a follower learns from its leader.
    /// The files of what is returned wait for their removal.
    pub fn apply_retention(&mut self, now: Now) -> Result<(Deleted, Effects), LogError> {
        if !self.is_leader() {
            return Ok((self.log.delete_below_log_start(now)?, Effects::default()));
        }
        let before = self.log.log_start();
        let deleted = self.log.apply_retention(now, self.high_watermark)?;
        let start = self.log.log_start();
        let log_start = (start != before).then_some(start);
        Ok((deleted, Effects { log_start, ..Effects::default() }))
    }

    /// Moves the log start up to `before`, or to the high watermark (DeleteRecords, KIP-107). The followers learn it by
    /// fetching; the files go with the next retention.
    pub fn delete_records(&mut self, before: Option<Offset>) -> Result<Effects, DeleteRecordsError> {
        if !self.is_leader() {
            return Err(DeleteRecordsError::NotLeaderOrFollower);
        }
        let high_watermark = self.high_watermark;
        let before = before.unwrap_or(high_watermark);
        if before > high_watermark {
            return Err(DeleteRecordsError::OffsetOutOfRange { high_watermark });
        }
        if before <= self.log.log_start() {
            return Ok(Effects::default());
        }
        self.log.advance_log_start(before);
        Ok(Effects { log_start: Some(before), ..Effects::default() })
    }

    /// The least log start of this leader and its followers on brokers that are live: what lies below is deleted
    /// everywhere. Zero while a live follower has not said where its log starts; `None` unless this replica leads.
    pub fn low_watermark(&self, is_live: impl Fn(NodeId) -> bool) -> Option<Offset> {
        let followers = self.followers()?.iter().filter(|(node, _)| is_live(**node));
        let starts = followers.map(|(_, remote)| remote.log_start.unwrap_or(Offset::ZERO));
        Some(starts.fold(self.log.log_start(), Offset::min))
    }

    /// How much of the log could be compacted: nothing that is not committed.
    pub fn cleanable(&mut self, now: Now) -> io::Result<Option<Cleanable>> {
        let stable_end = self.last_stable_offset();
        self.log.cleanable(now, stable_end)
    }

    /// Begins a pass of the cleaner over what is committed, see [`Log::begin_clean`]; the caller runs it and finishes it
    /// with the two calls below.
    pub fn begin_clean(
        &mut self,
        now: Now,
        resources: CleanResources,
        seed: u64,
    ) -> Result<Option<CleanPass>, LogError> {
        let stable_end = self.last_stable_offset();
        self.log.begin_clean(now, stable_end, resources, seed)
    }

    /// Puts a compacted segment in the place of those it was made of. The files of what is returned wait for their removal.
    pub fn finish_clean(&mut self, cleaned: CleanedSegment) -> Result<Deleted, CleanError> {
        self.log.finish_clean(cleaned)
    }

    /// Takes note of a pass after its last segment; where the compacted part of the log ends now.
    pub fn end_clean(&mut self, pass: &CleanPass) -> Offset {
        self.log.end_clean(pass)
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`; how many.
    pub fn expire_producers(&mut self, now: Now) -> usize {
        self.log.expire_producers(now)
    }

    /// Makes all records durable; returns the offset before which recovery need not look.
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        self.log.flush()
    }

    /// The first of three steps of a flush that does not hold the replica while the disk works: the plan is synced
    /// by the caller, then given to [`Replica::finish_flush`].
    pub fn begin_flush(&mut self) -> Result<FlushPlan, LogError> {
        self.log.begin_flush()
    }

    /// As [`Replica::begin_flush`], for upkeep; see [`Log::begin_upkeep`].
    pub fn begin_upkeep(&mut self) -> Result<FlushPlan, LogError> {
        self.log.begin_upkeep()
    }

    /// The last step of a flush: takes over what became of the plan, and returns the offset before which all is durable.
    /// Where records count only once they are durable, more may be committed now.
    pub fn finish_flush(
        &mut self,
        now: Now,
        plan: FlushPlan,
        synced: io::Result<()>,
    ) -> Result<(Offset, Effects), LogError> {
        let point = self.log.finish_flush(plan, synced)?;
        let mut effects = Effects::default();
        self.advance_high_watermark(now, &mut effects);
        Ok((point, effects))
    }

    /// Closes the log cleanly. The replica serves nothing afterwards.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.role = Role::Idle;
        self.log.close()
    }

    /// Bytes of the largest batch that the log takes: `max.message.bytes`, or `segment.bytes` if that is less.
    pub fn batch_bytes_max(&self) -> usize {
        let config = self.log.config();
        config.max_message_bytes.min(config.segment_bytes_max) as usize
    }

    /// Takes over changed settings of the log.
    pub fn set_log_config(&mut self, config: LogConfig) {
        self.log.set_config(config);
    }

    /// Takes over changed settings of replication. A lower `min_isr` may commit more.
    pub fn set_config(&mut self, now: Now, config: ReplicationConfig) -> Effects {
        self.config = config;
        let mut effects = Effects::default();
        self.advance_high_watermark(now, &mut effects);
        effects
    }

    /// Gives the log up, for deletion.
    pub fn into_log(self) -> Log {
        self.log
    }

    /// The committed ISR; `None` unless this replica leads.
    pub fn isr(&self) -> Option<&BTreeSet<NodeId>> {
        match &self.role {
            Role::Leader(leader) => Some(leader.isr.members()),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    /// Followers and their progress; `None` unless this replica leads.
    pub fn followers(&self) -> Option<&BTreeMap<NodeId, RemoteReplica>> {
        match &self.role {
            Role::Leader(leader) => Some(leader.remotes()),
            Role::Follower(_) | Role::Idle => None,
        }
    }

    /// Whether replicas are missing from the ISR; false unless this replica leads.
    pub fn is_under_replicated(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.isr.members().len() < leader.remotes().len() + 1,
            Role::Follower(_) | Role::Idle => false,
        }
    }

    /// Whether acks=all would be refused if one more left the ISR; false unless this replica leads.
    pub fn is_at_min_isr(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.isr.members().len() == leader.min_isr(&self.config),
            Role::Follower(_) | Role::Idle => false,
        }
    }

    /// Whether acks=all is refused for lack of in-sync replicas; false unless this replica leads.
    pub fn is_under_min_isr(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.isr.members().len() < leader.min_isr(&self.config),
            Role::Follower(_) | Role::Idle => false,
        }
    }
}
