//! Which shards of a kind this broker has, kept equal to the partitions of their topic that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_coordinator::{Shard, Unanswered, partition_for_key};
use ottla_broker_metadata::ImageChanges;
use ottla_broker_replication::Became;
use ottla_broker_types::{DurationMs, LeaderEpoch, PartitionIndex, TopicId};
use parking_lot::RwLock;

use super::hosted_shard::HostedShard;
use super::run;
use crate::broker::Broker;
use crate::partitions::HostedPartition;

/// A kind of shard, and what only this broker can tell it.
pub trait Kind: Send + Sync + 'static {
    /// What one partition of the topic is replayed into.
    type Shard: Shard<Reply: Send, Change: Send> + Send + 'static;

    /// The topic on whose partitions its records lie.
    const TOPIC: &str;

    /// One without records.
    fn empty(&self) -> Self::Shard;

    /// How long an answer waits for the commit of its records.
    fn commit_timeout(&self) -> DurationMs;

    /// A shard has begun to serve.
    fn begun(&self, broker: &Arc<Broker>, hosted: &HostedShard<Self::Shard>);

    /// The metadata has changed; called for each shard.
    fn metadata_changed(&self, changes: &ImageChanges, hosted: &HostedShard<Self::Shard>);
}

/// The shards of one kind.
pub struct Coordinators<K: Kind> {
    kind: Arc<K>,
    shards: RwLock<BTreeMap<PartitionIndex, Arc<HostedShard<K::Shard>>>>,
}

/// The partition of a key among `count`.
pub fn partition_for(key: &str, count: usize) -> PartitionIndex {
    partition_for_key(key, u32::try_from(count).unwrap_or(u32::MAX))
}

impl<K: Kind> Coordinators<K> {
    /// No shards yet.
    pub(super) fn of(kind: K) -> Coordinators<K> {
        Coordinators { kind: Arc::new(kind), shards: RwLock::default() }
    }

    pub(super) fn kind(&self) -> &K {
        &self.kind
    }

    /// Brings the shards in line with new roles and with the rest of the metadata.
    pub fn apply(
        &self,
        broker: &Arc<Broker>,
        changes: &ImageChanges,
        became: &[(Arc<HostedPartition>, Became)],
    ) {
        for (partition, became) in became.iter().filter(|(at, _)| at.id.topic.as_str() == K::TOPIC) {
            match became {
                Became::Leader { epoch, .. } => self.lead(broker, partition, *epoch),
                Became::Follower { .. } | Became::Idle { .. } => self.unload(partition.id.partition),
            }
        }
        let of_topic = changes.partitions.iter().filter(|changed| changed.topic.as_str() == K::TOPIC);
        for changed in of_topic.filter(|at| broker.partitions.find(&at.topic, at.partition).is_none()) {
            self.unload(changed.partition);
        }
        for (_, id) in changes.topics_removed.iter().filter(|(name, _)| name.as_str() == K::TOPIC) {
            self.unload_topic(*id);
        }
        for shard in self.shards() {
            self.kind.metadata_changed(changes, &shard);
        }
    }

    fn lead(&self, broker: &Arc<Broker>, partition: &Arc<HostedPartition>, epoch: LeaderEpoch) {
        let shard = Arc::new(HostedShard::new(Arc::clone(partition), epoch, broker.clock));
        let former = self.shards.write().insert(partition.id.partition, Arc::clone(&shard));
        if let Some(former) = former {
            former.unload();
        }
        broker.data.spawn(run::run(Arc::clone(broker), Arc::clone(&self.kind), shard));
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
    pub(super) fn shards(&self) -> Vec<Arc<HostedShard<K::Shard>>> {
        self.shards.read().values().cloned().collect()
    }

    /// The shard of a key, or why it is not here.
    pub(super) fn shard(&self, broker: &Broker, key: &str) -> Result<Arc<HostedShard<K::Shard>>, Unanswered> {
        let view = broker.view();
        let topic = view.topic(K::TOPIC).ok_or(Unanswered::NotCoordinator)?;
        let index = partition_for(key, topic.partition_count());
        self.shards.read().get(&index).cloned().ok_or(Unanswered::NotCoordinator)
    }

    /// Gives all shards up; parked requests are answered, so that connections can drain.
    pub fn stop(&self) {
        for shard in std::mem::take(&mut *self.shards.write()).into_values() {
            shard.unload();
        }
    }
}
