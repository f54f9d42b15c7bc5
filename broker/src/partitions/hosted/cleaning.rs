//! Compaction of a hosted partition: a pass holds the replica only to begin and to put compacted segments in their places.

use std::iter;

use ottla_broker_log::{
    CLEANED_ENDS_FILE, CleanError, CleanResources, CleanStats, Cleanable, CleanedSegment, Deleted,
};
use ottla_broker_replication::Effects;
use ottla_broker_types::Now;

use super::HostedPartition;
use crate::broker::Broker;

impl HostedPartition {
    /// How much of it could be compacted; `None` if there is nothing, now or until it notes itself anew.
    pub fn cleanable(&self, now: Now) -> Option<Cleanable> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut()?;
        if !replica.log().has_dirt() {
            self.marks.is_clean();
            return None;
        }
        let found = replica.cleanable(now).ok().flatten();
        if found.is_none() {
            // What cannot be read now is noted anew with what is appended next.
            self.marks.is_clean();
        }
        found
    }

    /// Runs a pass over what is committed, at the rate of `pace`, which is told the bytes before they are read or written
    /// and ends the pass with false. `seed` is one that nobody can guess.
    pub fn compact(
        &self,
        broker: &Broker,
        resources: CleanResources,
        seed: u64,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<CleanStats, CleanError> {
        let now = broker.clock.now();
        let begun = self.maintain("begin to compact", |replica| {
            Ok((replica.begin_clean(now, resources, seed)?, Effects::default()))
        });
        // What cannot begin now rests until the next look, as a pass that was ended.
        let mut pass = begun.flatten().ok_or(CleanError::Stopped)?;
        pass.build_map(pace)?;
        while let Some(group) = pass.next_group() {
            let cleaned = pass.clean(group, pace)?;
            let deleted = self.replace(cleaned)?;
            let opener = broker.partitions.opener();
            let delay = opener.file_delete_delay(broker, &broker.view(), self.id.topic.as_str());
            opener.remove(deleted, now.mono.plus(delay));
        }
        self.end_pass(broker, &pass)?;
        Ok(pass.stats())
    }

    fn replace(&self, cleaned: CleanedSegment) -> Result<Deleted, CleanError> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut().ok_or(CleanError::Stopped)?;
        let replaced = replica.finish_clean(cleaned);
        match &replaced {
            Err(error) if replica.log().is_failed() => self.fail(&mut guard, "compact", error),
            _ => self.touched.note(&self.id, &self.marks, replica),
        }
        replaced
    }

    /// Checkpoints how far the log is compacted, once that is durable.
    fn end_pass(&self, broker: &Broker, pass: &ottla_broker_log::CleanPass) -> Result<(), CleanError> {
        let opener = broker.partitions.opener();
        opener.disk().sync_dir(&opener.dir_of(&self.id))?;
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut().ok_or(CleanError::Stopped)?;
        let before = replica.log().cleaned_end();
        replica.end_clean(pass);
        self.marks.save_cleaned_end(replica);
        let end = replica.log().cleaned_end();
        drop(guard);
        self.save_cleaned_end(broker, end);
        // One that came no further would not either if it were begun again at once.
        if end > before { Ok(()) } else { Err(CleanError::Stopped) }
    }

    /// Has the checkpoint say less, where the log was cut since: before a flush, after which nobody knows of the cut.
    pub(super) fn save_lower_cleaned_end(&self, broker: &Broker) {
        let lower = self.read(|replica| self.marks.lower_cleaned_end(replica)).flatten();
        if let Some(end) = lower {
            self.save_cleaned_end(broker, end);
        }
    }

    fn save_cleaned_end(&self, broker: &Broker, end: ottla_broker_types::Offset) {
        let is_hosted = || {
            let now = broker.partitions.find_life(&self.id, self.topic_id);
            now.is_some_and(|now| std::ptr::eq(&*now, self))
        };
        let ends = || iter::once((self.id.clone(), end)).filter(|_| is_hosted()).collect();
        if let Err(error) = broker.partitions.opener().checkpoint(CLEANED_ENDS_FILE, ends) {
            tracing::warn!(
                error = format!("{error:#}"),
                "a checkpoint is not written; more would be compacted again"
            );
        }
    }
}
