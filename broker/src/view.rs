//! The metadata image as the API files read it: immutable, behind one atomic pointer, replaced as a whole.

use std::ops::Deref;

use ottla_broker_metadata::Image;
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// The broker.
    pub node: NodeId,
    /// Name or address.
    pub host: String,
    /// Where it listens, 1 to 65535; wide as the wire has it.
    pub port: i32,
    /// `broker.rack`, as registered; `None` without one.
    pub rack: Option<String>,
    /// Whether it is out of service.
    pub fenced: bool,
}

/// One state of the metadata.
#[derive(Clone, Debug, Default)]
pub struct View {
    image: Image,
}

impl Deref for View {
    type Target = Image;

    fn deref(&self) -> &Image {
        &self.image
    }
}

impl View {
    /// What this broker serves by once `image` is published.
    pub fn new(image: Image) -> View {
        View { image }
    }

    /// The name under which a topic with this id lives now.
    pub fn topic_name(&self, id: TopicId) -> Option<TopicName> {
        self.image.topic_by_id(id).map(|topic| topic.name.clone())
    }

    /// Who leads a partition, and since which epoch; `None` while nobody does or there is no such partition.
    pub fn leader_of(&self, topic: &TopicName, index: PartitionIndex) -> Option<(NodeId, LeaderEpoch)> {
        let partition = self.image.topic(topic.as_str())?.partition(index)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// Where `node` listens for those who came through `listener`.
    pub fn endpoint(&self, node: NodeId, listener: &str) -> Option<BrokerEndpoint> {
        let broker = self.image.broker(node)?;
        let endpoint = broker.endpoint(listener)?;
        Some(BrokerEndpoint {
            node,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            fenced: broker.fenced,
        })
    }

    /// Every registered broker with `listener`, in the order of ids.
    pub fn endpoints<'a>(&'a self, listener: &'a str) -> impl Iterator<Item = BrokerEndpoint> + 'a {
        self.image.brokers().filter_map(move |broker| self.endpoint(broker.id, listener))
    }

    /// The present registration of a broker.
    pub fn broker_epoch(&self, node: NodeId) -> Option<BrokerEpoch> {
        self.image.broker(node).map(|broker| broker.epoch)
    }

    /// The levels that the cluster has agreed on.
    pub fn finalized_features(&self) -> Vec<(String, i16)> {
        self.image.features().map(|(name, level)| (name.to_owned(), level)).collect()
    }
}
