//! The log directory: opens and deletes the logs of partitions, and keeps the checkpoints of all of them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ottla_broker_config as config;
use ottla_broker_log::{
    CheckpointError, Checkpoints, CleanupPolicy, Deleted, DirtyRatio, Disk, FlushPlan, Log, LogConfig,
    OpenError, partition_dir_name, read_clean_shutdown, remove_clean_shutdown, unhosted_logs,
    write_clean_shutdown,
};
use ottla_broker_replication::{Replica, ReplicationConfig};
use ottla_broker_types::{BrokerEpoch, DurationMs, MonotonicMs, Now, Offset, TopicId, TopicPartition, Uuid};
use parking_lot::Mutex;

use super::codes::DiskError;
use super::leftovers::Leftovers;
use super::manager::Partitions;
use super::space::Space;
use crate::broker::Broker;
use crate::clock;
use crate::view::View;

type Offsets = BTreeMap<TopicPartition, Offset>;

/// The one log directory of this broker.
pub struct Opener {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clean_shutdown: bool,
    /// The registration under which the broker last stopped cleanly.
    last_epoch: Option<BrokerEpoch>,
    /// Held while a file is written.
    checkpoints: Mutex<Checkpoints>,
    leftovers: Leftovers,
    space: Arc<Space>,
}

/// Why a partition has no log to be served from.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// The disk refused before the log was looked at.
    #[error("{what} of {partition}: {source}")]
    Disk {
        /// What was being done.
        what: &'static str,
        /// Whose log was asked for.
        partition: TopicPartition,
        /// What the disk said.
        source: io::Error,
    },
    /// What was said of a former log of that name could not be taken back.
    #[error("take {partition} out of the checkpoints: {source}")]
    Checkpoints {
        /// Whose log was asked for.
        partition: TopicPartition,
        /// Why not.
        source: CheckpointError,
    },
    /// The log itself.
    #[error("open the log of {partition}: {source}")]
    Log {
        /// Whose log was asked for.
        partition: TopicPartition,
        /// What is wrong with it.
        source: OpenError,
    },
}

impl DiskError for NotOpened {
    fn disk_error(&self) -> Option<&io::Error> {
        match self {
            NotOpened::Disk { source, .. }
            | NotOpened::Checkpoints { source: CheckpointError::Io { source, .. }, .. }
            | NotOpened::Log {
                source: OpenError::Io { source, .. } | OpenError::Newer(CheckpointError::Io { source, .. }),
                ..
            } => Some(source),
            NotOpened::Checkpoints { .. } | NotOpened::Log { .. } => None,
        }
    }
}

impl Opener {
    /// Reads the checkpoints and takes the clean-shutdown marker away, so that a crash is not taken for clean.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> anyhow::Result<Opener> {
        let space = Arc::new(Space::new(disk, dir, total_bytes(dir)));
        let disk = space.disk();
        let marker = read_clean_shutdown(&*disk, dir).context("read the clean-shutdown marker")?;
        let checkpoints = Checkpoints::read(Arc::clone(&disk), dir).context("read the checkpoints")?;
        let leftovers = Leftovers::find(Arc::clone(&disk), dir)?;
        remove_clean_shutdown(&*disk, dir).context("remove the clean-shutdown marker")?;
        Ok(Opener {
            space,
            disk,
            dir: dir.to_owned(),
            clean_shutdown: marker.is_some(),
            last_epoch: marker.flatten(),
            checkpoints: Mutex::new(checkpoints),
            leftovers,
        })
    }

    /// The disk, on which space is set aside for what must be written to the end.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The registration under which the broker last stopped cleanly (KIP-966).
    pub fn last_epoch(&self) -> Option<BrokerEpoch> {
        self.last_epoch
    }

    /// Total and free bytes of the volume, as far as the system tells.
    pub fn volume_bytes(&self) -> (Option<u64>, Option<u64>) {
        (total_bytes(&self.dir), self.space.usable_bytes())
    }

    /// The space that is left on it.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Opens, and if need be recovers, the log of a partition.
    pub fn open(
        &self,
        broker: &Broker,
        view: &View,
        id: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<Replica, NotOpened> {
        let (log_config, replication) = self.configs(broker, view, id.topic.as_str());
        let dir = self.dir_of(id);
        let now = broker.clock.now();
        let disk_fails =
            |what: &'static str| move |source| NotOpened::Disk { what, partition: id.clone(), source };
        if !self.disk.exists(&dir).map_err(disk_fails("look for the log"))? {
            self.forget(id)?;
        }
        let mut log = self.open_log(id, topic_id, log_config.clone(), now);
        if let Err(OpenError::TopicIdMismatch { .. }) = log {
            // The topic was deleted, and another one made under its name, while this broker was away.
            let aside = self.leftovers.set_aside(&dir, id, now.mono);
            aside.map_err(disk_fails("set the former log aside"))?;
            self.forget(id)?;
            log = self.open_log(id, topic_id, log_config, now);
        }
        let mut log = log.map_err(|source| NotOpened::Log { partition: id.clone(), source })?;
        let checkpoints = self.checkpoints.lock();
        log.restore_cleaned_end(checkpoints.cleaned_end(id));
        let high_watermark = checkpoints.high_watermark(id);
        drop(checkpoints);
        Ok(Replica::new(broker.node_id, log, high_watermark, replication))
    }

    fn open_log(
        &self,
        id: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Now,
    ) -> Result<Log, OpenError> {
        let recovery = self.checkpoints.lock().recovery_point(id, self.clean_shutdown);
        Log::open(Arc::clone(&self.disk), &self.dir_of(id), id.clone(), topic_id, config, recovery, now)
    }

    /// The directory of a partition's log.
    pub fn dir_of(&self, id: &TopicPartition) -> PathBuf {
        self.dir.join(partition_dir_name(id))
    }

    /// Moves a deleted partition's log out of the way; its files are removed when `due`. Failing leaves them behind, and
    /// the next start sets them aside.
    pub fn delete(&self, id: &TopicPartition, replica: Replica, due: MonotonicMs) {
        match replica.into_log().delete(Uuid(clock::entropy())) {
            Ok(moved) => {
                self.leftovers.remove_later(moved, due);
                self.forget_gone(id);
            }
            Err(error) => {
                tracing::warn!(partition = %id, %error, "the files of a removed partition cannot be moved away");
            }
        }
    }

    /// Syncs what a log has begun to flush.
    pub fn sync(&self, plan: &FlushPlan) -> std::io::Result<()> {
        plan.sync(&*self.disk)
    }

    /// Removes the files of segments that left a log, when `due`.
    pub fn remove(&self, deleted: Deleted, due: MonotonicMs) {
        self.leftovers.remove_files_later(deleted.files, due);
    }

    /// The directories that wait for their removal.
    pub fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Writes the checkpoint `file`. The offsets are asked for while nobody is forgotten: those of a partition that is not
    /// hosted any more must not be among them.
    pub fn checkpoint(&self, file: &'static str, offsets: impl FnOnce() -> Offsets) -> anyhow::Result<()> {
        let mut checkpoints = self.checkpoints.lock();
        checkpoints.write(file, offsets()).with_context(|| format!("write {file}"))
    }

    /// Takes a partition out of the checkpoints whose log is gone. One that is left in them is taken out when its next log
    /// begins.
    pub fn forget_gone(&self, id: &TopicPartition) {
        if let Err(error) = self.forget(id) {
            tracing::warn!(%error, "the checkpoints still name a removed partition");
        }
    }

    /// Takes a partition out of the checkpoints whose log is about to begin anew.
    fn forget(&self, id: &TopicPartition) -> Result<(), NotOpened> {
        let forgotten = self.checkpoints.lock().forget(id);
        forgotten.map_err(|source| NotOpened::Checkpoints { partition: id.clone(), source })
    }

    /// Whether every log in the directory is sound once those of `partitions` are closed. After a crash that takes
    /// opening each of them: one that was never opened may still end in what the crash left.
    pub fn is_recovered(&self, partitions: &Partitions) -> anyhow::Result<bool> {
        if self.clean_shutdown {
            return Ok(true);
        }
        let unopened = unhosted_logs(&*self.disk, &self.dir, |id| partitions.hosts(id));
        Ok(unopened.context("list the log directory")?.is_empty())
    }

    /// Marks the directory as cleanly closed; call it only when [`Opener::is_recovered`] holds.
    pub fn mark_clean(&self, epoch: BrokerEpoch) -> anyhow::Result<()> {
        write_clean_shutdown(&*self.disk, &self.dir, epoch).context("write the clean-shutdown marker")
    }

    /// How long the files of a topic's deleted partitions and segments stay.
    pub fn file_delete_delay(&self, broker: &Broker, view: &View, topic: &str) -> DurationMs {
        let layers = view.broker_layers(broker.node_id, &broker.config.statics);
        config::TopicConfig::resolve(view.topic_config(topic), layers).file_delete_delay_ms
    }

    /// The settings of a topic's logs and replicas.
    pub fn configs(&self, broker: &Broker, view: &View, topic: &str) -> (LogConfig, ReplicationConfig) {
        let layers = view.broker_layers(broker.node_id, &broker.config.statics);
        let node = config::DynamicBrokerConfig::resolve(layers);
        let topic = config::TopicConfig::resolve(view.topic_config(topic), layers);
        let log = LogConfig {
            segment_bytes_max: topic.segment_bytes,
            segment_ms: topic.segment_ms,
            segment_index_bytes_max: topic.segment_index_bytes,
            index_interval_bytes: topic.index_interval_bytes,
            retention_bytes: topic.retention_bytes,
            retention_ms: topic.retention_ms,
            cleanup_policy: CleanupPolicy {
                delete: topic.cleanup_policy.delete,
                compact: topic.cleanup_policy.compact,
            },
            dirty_ratio_min: DirtyRatio::of(topic.min_cleanable_dirty_ratio),
            compaction_lag_ms_min: topic.min_compaction_lag_ms,
            compaction_lag_ms_max: topic.max_compaction_lag_ms,
            delete_retention_ms: topic.delete_retention_ms,
            max_message_bytes: topic.max_message_bytes,
            timestamp_type: match topic.timestamp_type {
                config::TimestampType::CreateTime => ottla_broker_protocol::batch::TimestampType::CreateTime,
                config::TimestampType::LogAppendTime => {
                    ottla_broker_protocol::batch::TimestampType::LogAppendTime
                }
            },
            timestamp_before_max_ms: topic.timestamp_before_max_ms,
            timestamp_after_max_ms: topic.timestamp_after_max_ms,
            producer_id_expiration_ms: node.producer_expiration_ms,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
            flush_before_ack: broker.config.logs.flush_before_ack,
            preallocate: topic.preallocate,
            segment_jitter_ms: topic.segment_jitter_ms,
        };
        let replication = ReplicationConfig {
            min_isr: topic.min_insync_replicas as usize,
            lag_max: broker.config.replication.lag_time_ms_max,
        };
        (log, replication)
    }
}

fn total_bytes(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|volume| volume.f_blocks.saturating_mul(volume.f_frsize))
}

#[cfg(test)]
mod tests {
    use ottla_broker_metadata::Record;
    use ottla_broker_protocol::batch::Compression;

    use super::*;
    use crate::partitions::{HostedPartition, RequiredAcks, close};
    use crate::testing::{Rig, batch};

    const OLD: TopicId = TopicId(Uuid([1; 16]));
    const NEW: TopicId = TopicId(Uuid([2; 16]));

    /// A closed broker whose topic `t` holds the records 2 and 3.
    fn closed_with_a_log() -> Rig {
        let mut rig = Rig::new();
        let hosted = rig.life("t", OLD, &[1]);
        for _ in 0..4 {
            let mut batch = batch(Compression::None);
            hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::All).unwrap();
        }
        let deleted = hosted.maintain("test", |replica| {
            Ok(((), replica.delete_records(Offset::new(2)).expect("it leads and has them")))
        });
        deleted.unwrap();
        close(&rig.broker);
        rig
    }

    fn range(hosted: &HostedPartition) -> Option<(i64, i64)> {
        hosted.read(|replica| (replica.log().log_start().get(), replica.log().log_end().get()))
    }

    fn dirs(rig: &Rig, suffix: &str) -> Vec<PathBuf> {
        let paths = ottla_broker_log::RealDisk.list_dir(rig.dir()).unwrap();
        paths.into_iter().filter(|path| path.to_str().unwrap().ends_with(suffix)).collect()
    }

    #[test]
    fn a_topic_made_anew_while_the_broker_was_away_begins_anew_beside_the_old_log() {
        let mut rig = closed_with_a_log().restart();
        assert_eq!(range(&rig.life("t", NEW, &[1])), Some((0, 0)));
        let strays = dirs(&rig, "-stray");
        assert_eq!(strays.len(), 1);
        assert!(strays[0].join("00000000000000000000.log").metadata().unwrap().len() > 0);
    }

    #[test]
    fn a_topic_made_anew_in_one_run_begins_anew_and_so_it_stays_after_a_crash() {
        let mut rig = closed_with_a_log().restart();
        assert_eq!(range(&rig.life("t", OLD, &[1])), Some((2, 4)));
        rig.commit(&[Record::RemoveTopic { id: OLD }]);
        assert_eq!(range(&rig.life("t", NEW, &[1])), Some((0, 0)));
        let mut rig = rig.restart();
        assert_eq!(range(&rig.life("t", NEW, &[1])), Some((0, 0)));
    }

    #[test]
    fn checkpoints_that_are_written_before_a_log_is_open_take_nothing_from_it() {
        let rig = closed_with_a_log().restart();
        close(&rig.broker);
        let mut rig = rig.restart();
        assert_eq!(range(&rig.life("t", OLD, &[1])), Some((2, 4)));
    }

    #[test]
    fn a_deleted_partition_stays_on_disk_for_as_long_as_its_topic_says() {
        let mut rig = Rig::new();
        rig.life("t", OLD, &[1]);
        rig.set("t", "file.delete.delay.ms", "3600000");
        rig.commit(&[Record::RemoveTopic { id: OLD }]);
        assert_eq!((dirs(&rig, "t-0").len(), dirs(&rig, "-delete").len()), (0, 1));
        let at = |ms| rig.broker.clock.now().mono.plus(DurationMs(ms));
        rig.broker.partitions.opener().leftovers().remove_due(at(3_590_000), false, || false);
        assert_eq!(dirs(&rig, "-delete").len(), 1);
        rig.broker.partitions.opener().leftovers().remove_due(at(3_600_000), false, || false);
        assert_eq!(dirs(&rig, "-delete").len(), 0);
    }
}
