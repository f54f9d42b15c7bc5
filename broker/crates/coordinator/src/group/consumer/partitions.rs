//! Sets of partitions, by topic id. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{PartitionIndex, TopicId};

/// Partitions of some topics; a topic without partitions is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<TopicId, BTreeSet<PartitionIndex>>);

impl Partitions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Adds one; false if it was there.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Whether one is there.
    pub fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// The partitions of each topic, in the order of topic ids.
    pub fn by_topic(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<PartitionIndex>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// Each partition, in the order of topic ids and indexes.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(|index| (*topic, *index)))
    }

    /// Whether all of these are in `other`.
    pub(crate) fn is_within(&self, other: &Partitions) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }

    /// Whether one of these is in `other`.
    pub(crate) fn meets(&self, other: &Partitions) -> bool {
        self.iter().any(|(topic, partition)| other.contains(topic, partition))
    }
}

impl FromIterator<(TopicId, PartitionIndex)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex)>>(all: I) -> Partitions {
        let mut partitions = Partitions::default();
        for (topic, partition) in all {
            partitions.insert(topic, partition);
        }
        partitions
    }
}
