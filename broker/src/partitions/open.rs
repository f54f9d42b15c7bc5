//! The log directory: opens and deletes the logs of partitions, and keeps the checkpoints of all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ottla_broker_config as config;
use ottla_broker_log::{
    CleanupPolicy, Deleted, Disk, FlushPlan, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, Log, LogConfig,
    METADATA_DIR, PartitionDir, RECOVERY_POINTS_FILE, RecoveryPoint, partition_dir_name, read_clean_shutdown,
    read_offsets, remove_clean_shutdown, unhosted_logs, write_clean_shutdown, write_offsets,
};
use ottla_broker_replication::{Replica, ReplicationConfig};
use ottla_broker_types::{BrokerEpoch, Offset, TopicId, TopicPartition, Uuid};

use super::manager::Partitions;
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
    recovery_points: Offsets,
    log_starts: Offsets,
    high_watermarks: Offsets,
}

impl Opener {
    /// Reads the checkpoints and takes the clean-shutdown marker away, so that a crash is not taken for clean.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> anyhow::Result<Opener> {
        let marker = read_clean_shutdown(&*disk, dir).context("read the clean-shutdown marker")?;
        let recovery_points =
            read_offsets(&*disk, dir, RECOVERY_POINTS_FILE).context("read the recovery points")?;
        let log_starts = read_offsets(&*disk, dir, LOG_STARTS_FILE).context("read the log starts")?;
        let high_watermarks =
            read_offsets(&*disk, dir, HIGH_WATERMARKS_FILE).context("read the high watermarks")?;
        remove_clean_shutdown(&*disk, dir).context("remove the clean-shutdown marker")?;
        Ok(Opener {
            disk,
            dir: dir.to_owned(),
            clean_shutdown: marker.is_some(),
            last_epoch: marker.flatten(),
            recovery_points,
            log_starts,
            high_watermarks,
        })
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
        let free = self.disk.free_bytes(&self.dir).ok();
        let total = rustix::fs::statvfs(&self.dir).ok().map(|volume| volume.f_blocks * volume.f_frsize);
        (total, free)
    }

    /// Opens, and if need be recovers, the log of a partition.
    pub fn open(
        &self,
        broker: &Broker,
        view: &View,
        id: &TopicPartition,
        topic_id: TopicId,
    ) -> anyhow::Result<Replica> {
        let (log_config, replication) = self.configs(broker, view, id.topic.as_str());
        let recovery = RecoveryPoint {
            clean_shutdown: self.clean_shutdown,
            synced_end: self.recovery_points.get(id).copied().unwrap_or(Offset::ZERO),
            log_start: self.log_starts.get(id).copied().unwrap_or(Offset::ZERO),
        };
        let dir = self.dir.join(partition_dir_name(id));
        let now = broker.clock.now();
        let log = Log::open(Arc::clone(&self.disk), &dir, id.clone(), topic_id, log_config, recovery, now)
            .with_context(|| format!("open the log of {id}"))?;
        let high_watermark = self.high_watermarks.get(id).copied();
        Ok(Replica::new(broker.node_id, log, high_watermark, replication))
    }

    /// Deletes a partition's log. Failing leaves files behind, which the next start removes.
    pub fn delete(&self, id: &TopicPartition, replica: Replica) {
        let moved = replica.into_log().delete(Uuid(clock::entropy()));
        if let Err(error) = moved.and_then(|moved| self.disk.remove_dir_all(&moved)) {
            tracing::warn!(partition = %id, %error, "the files of a removed partition cannot be deleted");
        }
    }

    /// Syncs what a log has begun to flush.
    pub fn sync(&self, plan: &FlushPlan) -> std::io::Result<()> {
        plan.sync(&*self.disk)
    }

    /// Removes the files of segments that left a log.
    pub fn remove(&self, deleted: &Deleted) -> std::io::Result<()> {
        deleted.remove_files(&*self.disk)
    }

    /// Removes directories of partitions that this broker no longer hosts, as the metadata now says.
    pub fn remove_strays(&self, partitions: &Partitions) -> anyhow::Result<()> {
        for path in self.disk.list_dir(&self.dir).context("list the log directory")? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if is_stray(name, |id| partitions.hosts(id)) {
                tracing::info!(path = %path.display(), "removing the files of a partition that left this broker");
                self.disk.remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Writes the checkpoint `file`.
    pub fn checkpoint(&self, file: &str, offsets: &Offsets) -> anyhow::Result<()> {
        write_offsets(&*self.disk, &self.dir, file, offsets).with_context(|| format!("write {file}"))
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

    /// The settings of a topic's logs and replicas.
    pub fn configs(&self, broker: &Broker, view: &View, topic: &str) -> (LogConfig, ReplicationConfig) {
        let layers = view.broker_layers(broker.node_id, &broker.config.statics);
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
            max_message_bytes: topic.max_message_bytes,
            timestamp_type: match topic.timestamp_type {
                config::TimestampType::CreateTime => ottla_broker_protocol::batch::TimestampType::CreateTime,
                config::TimestampType::LogAppendTime => {
                    ottla_broker_protocol::batch::TimestampType::LogAppendTime
                }
            },
            timestamp_before_max_ms: topic.timestamp_before_max_ms,
            timestamp_after_max_ms: topic.timestamp_after_max_ms,
            producer_id_expiration_ms: broker.config.logs.producer_expiration_ms,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
        };
        let replication = ReplicationConfig {
            min_isr: topic.min_insync_replicas as usize,
            lag_max: broker.config.replication.lag_time_ms_max,
        };
        (log, replication)
    }
}

/// Whether a directory holds the log of a partition that is not hosted: not any more, or not opened yet. The metadata
/// log is never one.
fn is_unhosted(name: &str, is_hosted: impl Fn(&TopicPartition) -> bool) -> bool {
    matches!(PartitionDir::parse(name), Some(PartitionDir::Hosted(id)) if name != METADATA_DIR && !is_hosted(&id))
}

/// Whether a directory may go once everything that the metadata wants hosted is.
fn is_stray(name: &str, is_hosted: impl Fn(&TopicPartition) -> bool) -> bool {
    matches!(PartitionDir::parse(name), Some(PartitionDir::Deleted)) || is_unhosted(name, is_hosted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_log_is_never_a_stray() {
        assert!(!is_stray(METADATA_DIR, |_| false));
    }

    #[test]
    fn only_partitions_that_are_not_hosted_are_strays() {
        assert!(is_stray("t-0", |_| false));
        assert!(!is_stray("t-0", |_| true));
        assert!(!is_stray("meta.properties", |_| false));
    }
}
