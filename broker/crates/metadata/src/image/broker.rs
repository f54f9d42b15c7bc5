//! One registered broker. No I/O.

use ottla_broker_types::{BrokerEpoch, DirectoryId, NodeId, Uuid};

use crate::record::{BrokerRegistrationChange, Endpoint, FeatureRange, RegisterBroker};

/// A broker's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The broker.
    pub id: NodeId,
    /// The offset at which it registered; requests of earlier runs carry a lower one.
    pub epoch: BrokerEpoch,
    /// The id of this run of its process.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// The features that it supports.
    pub features: Vec<FeatureRange>,
    /// `broker.rack`; replicas of a partition are spread over racks.
    pub rack: Option<String>,
    /// Whether it must not lead or be in an ISR.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// The ids of its log directories.
    pub log_dirs: Vec<DirectoryId>,
}

impl Broker {
    /// Whether it may lead and join ISRs.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The address of a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }

    /// The levels of a feature that it supports.
    pub fn feature(&self, name: &str) -> Option<&FeatureRange> {
        self.features.iter().find(|feature| feature.name == name)
    }

    pub(crate) fn from_record(record: &RegisterBroker, epoch: BrokerEpoch) -> Broker {
        Broker {
            id: record.broker,
            epoch,
            incarnation: record.incarnation,
            endpoints: record.endpoints.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
        }
    }

    pub(crate) fn to_record(&self) -> RegisterBroker {
        RegisterBroker {
            broker: self.id,
            incarnation: self.incarnation,
            epoch: Some(self.epoch),
            endpoints: self.endpoints.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.log_dirs.clone(),
        }
    }

    pub(crate) fn change(&mut self, change: &BrokerRegistrationChange) {
        self.fenced = change.fenced.unwrap_or(self.fenced);
        self.in_controlled_shutdown = change.in_controlled_shutdown.unwrap_or(self.in_controlled_shutdown);
        if let Some(log_dirs) = &change.log_dirs {
            self.log_dirs.clone_from(log_dirs);
        }
    }
}
