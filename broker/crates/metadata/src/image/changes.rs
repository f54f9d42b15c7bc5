//! What is different between two images of one history, found by comparing pointers first, so that the work depends on what
//! changed and hardly on what there is. No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_types::{NodeId, PartitionIndex, TopicId, TopicName};

use super::{ChunkMap, Image};
use crate::record::ConfigResource;

/// A partition by its topic's name and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionRef {
    /// The topic's name.
    pub topic: TopicName,
    /// The topic's id.
    pub id: TopicId,
    /// Its index within the topic, which may be gone by now.
    pub partition: PartitionIndex,
}

/// What a step from one image to a later one changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageChanges {
    /// Partitions that are new or different.
    pub partitions: BTreeSet<PartitionRef>,
    /// Topics that are new, or have another number of partitions.
    pub topics_sized: BTreeSet<TopicName>,
    /// Topics that are gone; one created again under its name is here with the old id.
    pub topics_removed: BTreeSet<(TopicName, TopicId)>,
    /// Brokers that are new, different or gone.
    pub brokers: BTreeSet<NodeId>,
    /// Resources whose settings differ.
    pub configs: BTreeSet<ConfigResource>,
}

impl ImageChanges {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == ImageChanges::default()
    }
}

impl Image {
    /// What has changed since `old`.
    pub fn changes_since(&self, old: &Image) -> ImageChanges {
        let mut changes = ImageChanges::default();
        if !self.topics.is_same(&old.topics) {
            self.topic_changes(old, &mut changes);
        }
        if !Arc::ptr_eq(&self.brokers, &old.brokers) {
            let different = |id: &&NodeId| self.brokers.get(id) != old.brokers.get(id);
            let all = self.brokers.keys().chain(old.brokers.keys());
            changes.brokers = all.filter(different).copied().collect();
        }
        if !self.configs.is_same(&old.configs) {
            let different = |r: &&ConfigResource| self.configs.get(*r) != old.configs.get(*r);
            let all =
                self.configs.not_shared_with(&old.configs).chain(old.configs.not_shared_with(&self.configs));
            changes.configs = all.map(|(resource, _)| resource).filter(different).cloned().collect();
        }
        changes
    }

    fn topic_changes(&self, old: &Image, changes: &mut ImageChanges) {
        for (name, topic) in self.topics.not_shared_with(&old.topics) {
            let before = old.topics.get(name).filter(|before| before.id == topic.id);
            if before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                continue;
            }
            let nothing = ChunkMap::default();
            let theirs = before.map_or(&nothing, |before| &before.partitions);
            if theirs.len() != topic.partitions.len() {
                changes.topics_sized.insert(name.clone());
            }
            for (index, partition) in topic.partitions.not_shared_with(theirs) {
                let was = theirs.get(index);
                if !was.is_some_and(|was| Arc::ptr_eq(was, partition) || was == partition) {
                    let at = PartitionRef { topic: name.clone(), id: topic.id, partition: *index };
                    changes.partitions.insert(at);
                }
            }
        }
        let gone = old.topic_names.not_shared_with(&self.topic_names);
        let gone = gone.filter(|(id, _)| !self.topic_names.contains_key(*id));
        changes.topics_removed = gone.map(|(id, name)| (name.clone(), *id)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    #[test]
    fn a_step_names_what_it_changed_and_nothing_else() {
        let mut cluster = Cluster::of(2);
        cluster.topic("a", &[&[1, 2], &[2, 1]], &[]);
        cluster.topic("b", &[&[1]], &[]);
        let old = cluster.image.clone();
        assert!(cluster.image.changes_since(&old).is_empty());
        cluster.set_isr("a", 1, &[2]);
        cluster.topic("c", &[&[2]], &[("retention.ms", "1")]);
        let b = cluster.image.topic("b").expect("it exists").id;
        cluster.commit(&[crate::record::Record::RemoveTopic { id: b }]);
        let changes = cluster.image.changes_since(&old);
        let names: Vec<_> = changes.partitions.iter().map(|p| (p.topic.to_string(), p.partition.0)).collect();
        assert_eq!(names, [("a".to_owned(), 1), ("c".to_owned(), 0)]);
        assert_eq!(changes.topics_sized.iter().map(TopicName::as_str).collect::<Vec<_>>(), ["c"]);
        let removed: Vec<_> = changes.topics_removed.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(removed, ["b"]);
        assert!(changes.brokers.is_empty());
        assert_eq!(changes.configs.len(), 1);
        cluster.fence(1);
        assert!(cluster.image.changes_since(&old).brokers.contains(&NodeId(1)));
    }

    #[test]
    fn a_topic_created_again_is_both_gone_and_new() {
        let mut cluster = Cluster::of(1);
        cluster.topic("a", &[&[1]], &[]);
        let old = cluster.image.clone();
        let id = old.topic("a").expect("it exists").id;
        cluster.commit(&[crate::record::Record::RemoveTopic { id }]);
        cluster.topic("a", &[&[1]], &[]);
        let changes = cluster.image.changes_since(&old);
        assert_eq!((changes.partitions.len(), changes.topics_removed.len()), (1, 1));
    }
}
