//! One topic with its partitions. No I/O.

use std::sync::Arc;

use ottla_broker_types::{PartitionIndex, TopicId, TopicName};

use super::{ChunkMap, Partition};

/// A topic as the committed records describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Unique among the topics of an image.
    pub name: TopicName,
    /// The id of this life of it.
    pub id: TopicId,
    /// Its partitions; shared, so that a change of one copies only that one.
    pub partitions: ChunkMap<PartitionIndex, Arc<Partition>>,
}

impl Topic {
    /// One partition.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(&index).map(Arc::as_ref)
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// The replication factor of the first partition, once a running reassignment is done.
    pub fn replication_factor(&self) -> usize {
        self.partitions.values().next().map_or(0, |partition| partition.target_replicas().len())
    }

    /// Whether it is one of Kafka's own.
    pub fn is_internal(&self) -> bool {
        self.name.is_internal()
    }
}
