//! What every decision gets and gives. No I/O.

use ottla_broker_config::{BrokerConfig, TopicConfig, effective_topic, topic_setting};
use ottla_broker_types::{BrokerEpoch, DirectoryId, NodeId};

use super::features::ELR_FEATURE;
use crate::image::{Broker, Image, Partition, UNASSIGNED_DIRECTORY};
use crate::record::Record;

/// Records to propose as one batch, and what to answer once they are committed.
///
/// Without records there is nothing to propose and the answer goes out at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R> {
    /// The records, in order.
    pub records: Vec<Record>,
    /// The answer.
    pub reply: R,
}

impl<R> Decision<R> {
    /// An answer that changes nothing.
    pub fn reply(reply: R) -> Decision<R> {
        Decision { records: Vec::new(), reply }
    }
}

/// A broker speaks under a registration that does not count: it must register again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// No broker has this id.
    #[error("broker {broker} is not registered")]
    NotRegistered {
        /// As the request names it.
        broker: NodeId,
    },
    /// The broker has registered again since, as a later run of its process.
    #[error("broker {broker} has the epoch {present}, not {given}")]
    StaleEpoch {
        /// Of which an earlier run speaks.
        broker: NodeId,
        /// The epoch of its registration.
        present: BrokerEpoch,
        /// The epoch that it named.
        given: BrokerEpoch,
    },
}

/// What decisions look at besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The cluster as it is.
    pub image: &'a Image,
    /// The deciding node's settings; Kafka too takes the controller's file for values set nowhere else.
    pub config: &'a BrokerConfig,
}

impl<'a> Context<'a> {
    /// The topic's `min.insync.replicas`, else the cluster's, else 1.
    pub fn min_insync_replicas(&self, topic: &str) -> usize {
        let value = self.topic_value(topic, "min.insync.replicas").and_then(|text| text.parse().ok());
        value.unwrap_or(1)
    }

    /// Whether a topic's partitions may be led by a replica outside ISR and ELR.
    pub fn unclean_allowed(&self, topic: &str) -> bool {
        self.topic_value(topic, "unclean.leader.election.enable").is_some_and(|text| text == "true")
    }

    /// A topic's settings.
    pub fn topic_config(&self, topic: &str) -> TopicConfig {
        TopicConfig::resolve(self.image.topic_config(topic), self.image.cluster_layers(&self.config.statics))
    }

    /// Whether eligible leader replicas are kept (KIP-966).
    pub fn elr_enabled(&self) -> bool {
        self.image.feature(ELR_FEATURE) > 0
    }

    fn topic_value(&self, topic: &str, name: &str) -> Option<String> {
        let layers = self.image.cluster_layers(&self.config.statics);
        effective_topic(topic_setting(name)?, self.image.topic_config(topic), layers).value
    }

    /// Whether `node` is active and still has the directory in which it kept its replica.
    pub(crate) fn may_lead(&self, partition: &Partition, node: NodeId) -> bool {
        let Some(broker) = self.image.broker(node).filter(|broker| broker.is_active()) else { return false };
        match partition.directory_of(node) {
            None | Some(UNASSIGNED_DIRECTORY) => true,
            Some(directory) => broker.log_dirs.is_empty() || broker.log_dirs.contains(&directory),
        }
    }

    /// The directory of a new replica: the broker's only one, else its own choice.
    pub(crate) fn directory_for(&self, node: NodeId) -> DirectoryId {
        match self.image.broker(node).map(|broker| broker.log_dirs.as_slice()) {
            Some([only]) => *only,
            _ => UNASSIGNED_DIRECTORY,
        }
    }

    /// The broker, if it is registered with that epoch.
    pub(crate) fn registered(&self, id: NodeId, epoch: BrokerEpoch) -> Result<&'a Broker, RegistrationError> {
        let broker = self.image.broker(id).ok_or(RegistrationError::NotRegistered { broker: id })?;
        if broker.epoch != epoch {
            return Err(RegistrationError::StaleEpoch { broker: id, present: broker.epoch, given: epoch });
        }
        Ok(broker)
    }
}
