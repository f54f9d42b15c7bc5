//! Which shards this broker has, kept equal to the offsets partitions that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_broker_config::GroupsConfig;
use ottla_broker_coordinator::{GroupLimits, partition_for_group};
use ottla_broker_metadata::ImageChanges;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::Became;
use ottla_broker_types::{DurationMs, LeaderEpoch, PartitionIndex, TopicId};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::hosted_shard::HostedShard;
use super::load;
use crate::broker::Broker;
use crate::partitions::HostedPartition;

/// The topic of groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// An odd step, so that seeds repeat only after all others; large, so that their sequences stay apart.
const SEED_STEP: u64 = 0x5851_f42d_4c95_7f2d;

/// The groups of one broker.
pub struct Groups {
    limits: GroupLimits,
    shards: RwLock<BTreeMap<PartitionIndex, Arc<HostedShard>>>,
    changed: Notify,
    seed: AtomicU64,
}

/// The partition of a group among `count`.
pub fn partition_for(group: &str, count: usize) -> PartitionIndex {
    partition_for_group(group, u32::try_from(count).unwrap_or(u32::MAX))
}

impl Groups {
    /// No shards yet; member ids come from `seed`, which must not be guessed.
    pub fn new(config: &GroupsConfig, seed: u64) -> Groups {
        let limits = GroupLimits {
            session_timeout_min: config.session_timeout_ms_min,
            session_timeout_max: config.session_timeout_ms_max,
            initial_rebalance_delay: config.initial_rebalance_delay_ms,
            members_max: config.members_max as usize,
            offset_metadata_bytes_max: config.offset_metadata_bytes_max as usize,
            offsets_retention: config.offsets_retention_ms,
            offsets_retention_check: config.offsets_retention_check_ms,
        };
        Groups { limits, shards: RwLock::default(), changed: Notify::new(), seed: AtomicU64::new(seed) }
    }

    /// A seed that no other shard of this process gets.
    pub(super) fn draw_seed(&self) -> u64 {
        self.seed.fetch_add(SEED_STEP, Ordering::Relaxed)
    }

    /// The settings of groups.
    pub(super) fn limits(&self) -> &GroupLimits {
        &self.limits
    }

    /// Brings the shards in line with new roles, and drops what was committed for topics that are gone.
    pub fn apply(
        &self,
        broker: &Arc<Broker>,
        changes: &ImageChanges,
        became: &[(Arc<HostedPartition>, Became)],
    ) {
        for (partition, became) in
            became.iter().filter(|(partition, _)| partition.id.topic.as_str() == OFFSETS_TOPIC)
        {
            match became {
                Became::Leader { epoch, .. } => self.lead(broker, partition, *epoch),
                Became::Follower { .. } | Became::Idle { .. } => self.unload(partition.id.partition),
            }
        }
        let of_offsets = changes.partitions.iter().filter(|changed| changed.topic.as_str() == OFFSETS_TOPIC);
        for changed in of_offsets.filter(|at| broker.partitions.find(&at.topic, at.partition).is_none()) {
            self.unload(changed.partition);
        }
        for (name, id) in &changes.topics_removed {
            if name.as_str() == OFFSETS_TOPIC {
                self.unload_topic(*id);
            }
            for shard in self.shards() {
                // A shard that is loading drops them at the end of it.
                let _ = shard.decide(broker, |loaded, _| ((), loaded.shard.topic_deleted(name)));
            }
        }
    }

    fn lead(&self, broker: &Arc<Broker>, partition: &Arc<HostedPartition>, epoch: LeaderEpoch) {
        let shard = Arc::new(HostedShard::new(Arc::clone(partition), epoch));
        let former = self.shards.write().insert(partition.id.partition, Arc::clone(&shard));
        if let Some(former) = former {
            former.unload();
        }
        load::spawn(broker, &shard, DurationMs(0));
    }

    fn unload(&self, index: PartitionIndex) {
        let former = self.shards.write().remove(&index);
        if let Some(former) = former {
            former.unload();
        }
    }

    fn unload_topic(&self, id: TopicId) {
        for shard in self.shards().iter().filter(|shard| shard.partition.topic_id == id) {
            self.unload(shard.partition.id.partition);
        }
    }

    /// Every shard, in the order of partitions.
    pub(super) fn shards(&self) -> Vec<Arc<HostedShard>> {
        self.shards.read().values().cloned().collect()
    }

    /// The shard of a group, or why it is not here.
    pub(super) fn shard(&self, broker: &Broker, group: &str) -> Result<Arc<HostedShard>, ErrorCode> {
        let view = broker.view();
        let topic = view.topic(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_for(group, topic.partition_count());
        self.shards.read().get(&index).cloned().ok_or(ErrorCode::NotCoordinator)
    }

    /// Some deadline may have come nearer.
    pub(super) fn timers_changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for [`Groups::timers_changed`].
    pub(super) async fn wait_timers_changed(&self) {
        self.changed.notified().await;
    }

    /// Gives all shards up; parked requests are answered, so that connections can drain.
    pub fn stop(&self) {
        for shard in std::mem::take(&mut *self.shards.write()).into_values() {
            shard.unload();
        }
    }
}
