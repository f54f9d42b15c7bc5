//! The image itself and how it is read. No I/O.
//!
//! Cloning copies a handful of reference counts; a change after that copies one chunk of pointers and the one
//! entry that changed ([`ChunkMap`]). Everything is ordered, so that equal images are walked equally.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_config::{BrokerLayers, ConfigMap};
use ottla_broker_types::{
    BrokerEpoch, NodeId, Offset, PartitionIndex, ProducerId, TopicId, TopicName, TopicPartition,
};

use super::{Broker, ChunkMap, Partition, Topic};
use crate::record::ConfigResource;

/// The cluster's metadata as of one offset of the metadata log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub(super) applied_end: Offset,
    pub(super) features: Arc<BTreeMap<String, i16>>,
    pub(super) brokers: Arc<BTreeMap<NodeId, Arc<Broker>>>,
    pub(super) topics: ChunkMap<TopicName, Arc<Topic>>,
    pub(super) topic_names: ChunkMap<TopicId, TopicName>,
    pub(super) configs: ChunkMap<ConfigResource, Arc<ConfigMap>>,
    pub(super) producer_id_next: ProducerId,
}

static NO_CONFIG: ConfigMap = ConfigMap::new();

impl Image {
    /// Exclusive end of the metadata offsets that this image holds.
    pub fn applied_end(&self) -> Offset {
        self.applied_end
    }

    /// The level of a finalized feature; zero if it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The finalized features, by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// A registered broker.
    pub fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// The registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(Arc::as_ref)
    }

    /// Whether a broker is registered, unfenced and not about to stop.
    pub fn is_active(&self, id: NodeId) -> bool {
        self.broker(id).is_some_and(Broker::is_active)
    }

    /// Whether a broker may be taken into an ISR under this registration (KIP-903).
    pub fn is_isr_eligible(&self, id: NodeId, epoch: Option<BrokerEpoch>) -> bool {
        self.broker(id).is_some_and(|broker| broker.is_active() && Some(broker.epoch) == epoch)
    }

    /// Whether this image speaks of the run of a broker that was registered under `epoch`, if it was. Replicas follow no
    /// image that does not: in it a broker that lost power would lead its old epoch again without the records that it
    /// lost, or count as in sync with them (KIP-966).
    pub fn knows_run(&self, id: NodeId, epoch: Option<BrokerEpoch>) -> bool {
        epoch.is_some() && self.broker(id).map(|broker| broker.epoch) == epoch
    }

    /// Whether a broker gets no new replicas: its `cordoned.log.dirs` is `*` (KIP-1066).
    pub fn is_cordoned(&self, id: NodeId) -> bool {
        let value = self.config(&ConfigResource::Broker(Some(id))).get("cordoned.log.dirs");
        value.is_some_and(|dirs| dirs.split(',').any(|dir| dir.trim() == "*"))
    }

    /// The topic that has the name now.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name).map(Arc::as_ref)
    }

    /// The topic of this id; ids are never used again.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topic(self.topic_names.get(&id)?.as_str())
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values().map(Arc::as_ref)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// One partition.
    pub fn partition(&self, at: &TopicPartition) -> Option<&Partition> {
        self.topic(at.topic.as_str())?.partition(at.partition)
    }

    /// Every partition, by topic name and index.
    pub fn partitions(&self) -> impl Iterator<Item = (&Topic, PartitionIndex, &Partition)> {
        self.topics()
            .flat_map(|topic| topic.partitions.iter().map(move |(index, p)| (topic, *index, p.as_ref())))
    }

    /// What is set on a resource while the cluster runs; empty if nothing is.
    pub fn config(&self, resource: &ConfigResource) -> &ConfigMap {
        self.configs.get(resource).map_or(&NO_CONFIG, Arc::as_ref)
    }

    /// Every resource with something set on it.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigMap)> {
        self.configs.iter().map(|(resource, config)| (resource, config.as_ref()))
    }

    /// What is set on a topic.
    pub fn topic_config(&self, name: &str) -> &ConfigMap {
        self.config(&ConfigResource::Topic(name.to_owned()))
    }

    /// The layers of a broker's settings, with the file's given.
    pub fn broker_layers<'a>(&'a self, id: NodeId, statics: &'a ConfigMap) -> BrokerLayers<'a> {
        BrokerLayers {
            dynamic: self.config(&ConfigResource::Broker(Some(id))),
            dynamic_default: self.config(&ConfigResource::Broker(None)),
            statics,
        }
    }

    /// The layers that hold for all brokers alike, with one broker's file given.
    pub fn cluster_layers<'a>(&'a self, statics: &'a ConfigMap) -> BrokerLayers<'a> {
        let dynamic_default = self.config(&ConfigResource::Broker(None));
        BrokerLayers { dynamic: &NO_CONFIG, dynamic_default, statics }
    }

    /// The first producer id that no block holds yet.
    pub fn producer_id_next(&self) -> ProducerId {
        self.producer_id_next
    }
}
