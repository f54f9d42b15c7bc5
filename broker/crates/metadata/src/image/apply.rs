//! How a record changes the image. No I/O.

use std::sync::Arc;

use ottla_broker_types::{BrokerEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicName};

use super::{Broker, ChunkMap, Image, Partition, Topic};
use crate::record::{BrokerRegistrationChange, ConfigResource, PartitionChange, PartitionRecord, Record};

/// A committed record that contradicts the image: the log and the image are not of one history, and whoever
/// applies it must not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// No topic has this id.
    #[error("no topic has the id {id}")]
    UnknownTopic {
        /// As the record has it.
        id: TopicId,
    },
    /// The topic has no such partition.
    #[error("topic {name} has no partition {partition}")]
    UnknownPartition {
        /// Named by its id in the record.
        name: TopicName,
        /// As the record has it.
        partition: PartitionIndex,
    },
    /// The broker is not registered, or under another epoch.
    #[error("broker {id} is not registered with epoch {epoch}")]
    UnknownBroker {
        /// As the record has it.
        id: NodeId,
        /// The registration that the record speaks of.
        epoch: BrokerEpoch,
    },
    /// The topic exists already.
    #[error("topic {name} exists already")]
    TopicExists {
        /// Named by its id in the record.
        name: TopicName,
    },
}

impl Image {
    /// Applies one record of the batch at `at`. After an error the image is as before.
    pub fn apply(&mut self, record: &Record, at: Offset) -> Result<(), ApplyError> {
        match record {
            Record::RegisterBroker(r) => {
                let epoch = r.epoch.unwrap_or(BrokerEpoch(at.get()));
                let broker = Broker::from_record(r, epoch);
                Arc::make_mut(&mut self.brokers).insert(r.broker, Arc::new(broker));
            }
            Record::UnregisterBroker { broker, epoch } => {
                self.registered(*broker, *epoch)?;
                Arc::make_mut(&mut self.brokers).remove(broker);
            }
            Record::Topic { name, id } => self.add_topic(name, *id)?,
            Record::Partition(record) => self.add_partition(record)?,
            Record::PartitionChange(change) => self.change_partition(change)?,
            Record::RemoveTopic { id } => self.remove_topic(*id)?,
            Record::Config { resource, name, value } => self.set_config(resource, name, value.as_deref()),
            Record::FenceBroker { broker, epoch } => self.change_broker(&fencing(*broker, *epoch, true))?,
            Record::UnfenceBroker { broker, epoch } => {
                self.change_broker(&fencing(*broker, *epoch, false))?
            }
            Record::BrokerRegistrationChange(change) => self.change_broker(change)?,
            Record::FeatureLevel { name, level } => {
                let features = Arc::make_mut(&mut self.features);
                if *level == 0 {
                    features.remove(name);
                } else {
                    features.insert(name.clone(), *level);
                }
            }
            Record::ProducerIds { next, .. } => self.producer_id_next = *next,
            Record::NoOp => {}
        }
        self.advance_to(at.next());
        Ok(())
    }

    /// Applies every record of the batch at `at`; an empty batch moves the end on.
    pub fn apply_batch<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r Record>,
        at: Offset,
    ) -> Result<(), ApplyError> {
        for record in records {
            self.apply(record, at)?;
        }
        self.advance_to(at.next());
        Ok(())
    }

    /// Moves the end on to `end`, never back.
    pub fn advance_to(&mut self, end: Offset) {
        self.applied_end = self.applied_end.max(end);
    }

    fn registered(&self, id: NodeId, epoch: BrokerEpoch) -> Result<(), ApplyError> {
        match self.broker(id) {
            Some(broker) if broker.epoch == epoch => Ok(()),
            _ => Err(ApplyError::UnknownBroker { id, epoch }),
        }
    }

    fn change_broker(&mut self, change: &BrokerRegistrationChange) -> Result<(), ApplyError> {
        self.registered(change.broker, change.epoch)?;
        if let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(&change.broker) {
            Arc::make_mut(broker).change(change);
        }
        Ok(())
    }

    fn add_topic(&mut self, name: &TopicName, id: TopicId) -> Result<(), ApplyError> {
        if self.topics.contains_key(name) {
            return Err(ApplyError::TopicExists { name: name.clone() });
        }
        let topic = Topic { name: name.clone(), id, partitions: ChunkMap::default() };
        self.topics.insert(name.clone(), Arc::new(topic));
        self.topic_names.insert(id, name.clone());
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId) -> Result<(), ApplyError> {
        let name = self.topic_names.remove(&id).ok_or(ApplyError::UnknownTopic { id })?;
        self.topics.remove(&name);
        self.configs.remove(&ConfigResource::Topic(name.as_str().to_owned()));
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut Topic, ApplyError> {
        let name = self.topic_names.get(&id).ok_or(ApplyError::UnknownTopic { id })?;
        let topic = self.topics.get_mut(name).ok_or(ApplyError::UnknownTopic { id })?;
        Ok(Arc::make_mut(topic))
    }

    fn add_partition(&mut self, record: &PartitionRecord) -> Result<(), ApplyError> {
        let topic = self.topic_mut(record.topic)?;
        topic.partitions.insert(record.partition, Arc::new(Partition::from_record(record)));
        Ok(())
    }

    fn change_partition(&mut self, change: &PartitionChange) -> Result<(), ApplyError> {
        let topic = self.topic_mut(change.topic)?;
        let (name, partition) = (topic.name.clone(), change.partition);
        let slot = topic.partitions.get_mut(&partition);
        let slot = slot.ok_or(ApplyError::UnknownPartition { name, partition })?;
        *slot = Arc::new(slot.changed(change));
        Ok(())
    }

    fn set_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        if !self.configs.contains_key(resource) {
            self.configs.insert(resource.clone(), Arc::default());
        }
        let Some(config) = self.configs.get_mut(resource).map(Arc::make_mut) else { return };
        match value {
            Some(value) => config.insert(name.to_owned(), value.to_owned()),
            None => config.remove(name),
        };
        if config.is_empty() {
            self.configs.remove(resource);
        }
    }
}

fn fencing(broker: NodeId, epoch: BrokerEpoch, fenced: bool) -> BrokerRegistrationChange {
    BrokerRegistrationChange {
        broker,
        epoch,
        fenced: Some(fenced),
        in_controlled_shutdown: None,
        log_dirs: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;
    use ottla_broker_types::Uuid;

    #[test]
    fn records_that_contradict_the_image_are_refused_and_change_nothing() {
        let mut cluster = Cluster::of(1);
        cluster.topic("t", &[&[1]], &[]);
        let id = cluster.image.topic("t").expect("it exists").id;
        let name = TopicName::new("t").expect("a name");
        let (stale, unknown) = (BrokerEpoch(0), TopicId(Uuid([1; 16])));
        let before = cluster.image.clone();
        for record in [
            Record::Topic { name, id: unknown },
            Record::RemoveTopic { id: unknown },
            Record::PartitionChange(PartitionChange::none(unknown, PartitionIndex(0))),
            Record::PartitionChange(PartitionChange::none(id, PartitionIndex(4))),
            Record::UnregisterBroker { broker: NodeId(1), epoch: stale },
            Record::FenceBroker { broker: NodeId(7), epoch: stale },
        ] {
            assert!(cluster.image.apply(&record, Offset::clamped(99)).is_err(), "{record:?}");
            assert_eq!(cluster.image, before);
        }
    }

    #[test]
    fn the_older_fencing_records_still_work() {
        let mut cluster = Cluster::of(1);
        let (broker, epoch) = (NodeId(1), cluster.epoch(1));
        cluster.commit(&[Record::FenceBroker { broker, epoch }]);
        assert!(!cluster.image.is_active(broker));
        cluster.commit(&[Record::UnfenceBroker { broker, epoch }]);
        assert!(cluster.image.is_active(broker));
    }

    #[test]
    fn an_empty_batch_moves_the_end_on() {
        let mut image = Image::default();
        image.apply_batch([], Offset::clamped(4)).expect("nothing to apply");
        assert_eq!(image.applied_end(), Offset::clamped(5));
        image.advance_to(Offset::ZERO);
        assert_eq!(image.applied_end(), Offset::clamped(5));
    }
}
