//! The records in the types of the rest of the broker. No I/O.

use ottla_broker_types::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicName, Uuid,
};

/// One change of the cluster's metadata, named as in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A broker joined or came back.
    RegisterBroker(RegisterBroker),
    /// A broker is gone for good.
    UnregisterBroker {
        /// By `node.id`; the epoch beside it says of which run the record speaks.
        broker: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A topic was created; its partitions follow.
    Topic {
        /// Checked when it was created; names of earlier releases are read as they are.
        name: TopicName,
        /// Drawn once; later records name the topic by it.
        id: TopicId,
    },
    /// A partition in full.
    Partition(PartitionRecord),
    /// What changed about a partition.
    PartitionChange(PartitionChange),
    /// A topic was deleted, with its partitions and settings.
    RemoveTopic {
        /// Which goes with its partitions and settings.
        id: TopicId,
    },
    /// A setting was set, or unset by `None`.
    Config {
        /// What it is set on.
        resource: ConfigResource,
        /// The setting.
        name: String,
        /// `None` unsets it.
        value: Option<String>,
    },
    /// A broker was fenced; written by older releases, read by all.
    FenceBroker {
        /// By `node.id`; the epoch beside it says of which run the record speaks.
        broker: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A broker was unfenced; written by older releases, read by all.
    UnfenceBroker {
        /// By `node.id`; the epoch beside it says of which run the record speaks.
        broker: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// What changed about a broker's registration.
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// A feature's level was set; zero switches it off (KIP-584).
    FeatureLevel {
        /// The feature.
        name: String,
        /// From now on; zero switches the feature off.
        level: i16,
    },
    /// A broker got a block of producer ids (KIP-730).
    ProducerIds {
        /// By `node.id`; the epoch beside it says of which run the record speaks.
        broker: NodeId,
        /// Its registration.
        epoch: BrokerEpoch,
        /// The first id of the next block.
        next: ProducerId,
    },
    /// Nothing changed.
    NoOp,
}

/// A broker's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// By `node.id`; the epoch beside it says of which run the record speaks.
    pub broker: NodeId,
    /// The id of this run of its process.
    pub incarnation: Uuid,
    /// `None`: the offset of this record. Snapshots say it, since their records have no offsets.
    pub epoch: Option<BrokerEpoch>,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// The features that it supports.
    pub features: Vec<FeatureRange>,
    /// `broker.rack`; `None` without one.
    pub rack: Option<String>,
    /// Whether it must not lead or be in an ISR yet.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// The ids of its log directories.
    pub log_dirs: Vec<DirectoryId>,
}

/// One address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// Host name or address.
    pub host: String,
    /// On `host`, 1 to 65535.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// Levels of a feature, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeatureRange {
    /// The feature.
    pub name: String,
    /// The lowest level.
    pub level_min: i16,
    /// The highest level.
    pub level_max: i16,
}

/// A partition in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// By id, as all records after the topic's own.
    pub topic: TopicId,
    /// Counted from zero within the topic.
    pub partition: PartitionIndex,
    /// The replicas; the first is the preferred leader. While replicas move: the target, then those to remove.
    pub replicas: Vec<NodeId>,
    /// The in-sync replicas; never empty.
    pub isr: Vec<NodeId>,
    /// Replicas to remove once the reassignment is done.
    pub removing: Vec<NodeId>,
    /// Replicas that the reassignment adds.
    pub adding: Vec<NodeId>,
    /// `None` while nobody may lead.
    pub leader: Option<NodeId>,
    /// Whether the leader was elected uncleanly and has not yet recovered.
    pub recovery: LeaderRecoveryState,
    /// How many leaders there were.
    pub leader_epoch: LeaderEpoch,
    /// How many changes there were.
    pub partition_epoch: PartitionEpoch,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<DirectoryId>,
    /// Replicas outside the ISR that hold all that is committed (KIP-966).
    pub elr: Vec<NodeId>,
    /// Replicas that were last known to be eligible (KIP-966).
    pub last_known_elr: Vec<NodeId>,
}

/// What changed about a partition; `None` is "as before". The partition's epoch always grows by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionChange {
    /// By id, as all records after the topic's own.
    pub topic: TopicId,
    /// Counted from zero within the topic.
    pub partition: PartitionIndex,
    /// The new ISR.
    pub isr: Option<Vec<NodeId>>,
    /// The new leader, or nobody; set, even to the present one, it raises the leader epoch.
    pub leader: Option<Option<NodeId>>,
    /// The new replicas.
    pub replicas: Option<Vec<NodeId>>,
    /// The new replicas to remove.
    pub removing: Option<Vec<NodeId>>,
    /// The new replicas to add.
    pub adding: Option<Vec<NodeId>>,
    /// The new recovery state.
    pub recovery: Option<LeaderRecoveryState>,
    /// The new directories.
    pub directories: Option<Vec<DirectoryId>>,
    /// The new ELR.
    pub elr: Option<Vec<NodeId>>,
    /// The new last known ELR.
    pub last_known_elr: Option<Vec<NodeId>>,
}

impl PartitionChange {
    /// A change of nothing.
    pub fn none(topic: TopicId, partition: PartitionIndex) -> PartitionChange {
        PartitionChange {
            topic,
            partition,
            isr: None,
            leader: None,
            replicas: None,
            removing: None,
            adding: None,
            recovery: None,
            directories: None,
            elr: None,
            last_known_elr: None,
        }
    }

    /// Whether nothing would change but the partition's epoch.
    pub fn is_none(&self) -> bool {
        *self == PartitionChange::none(self.topic, self.partition)
    }
}

/// What changed about a broker's registration; `None` is "as before".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// By `node.id`; the epoch beside it says of which run the record speaks.
    pub broker: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Fenced or unfenced.
    pub fenced: Option<bool>,
    /// `true`: it is about to stop. There is no way back but a new registration.
    pub in_controlled_shutdown: Option<bool>,
    /// The ids of its log directories.
    pub log_dirs: Option<Vec<DirectoryId>>,
}

/// Whether a leader has caught up with an unclean election (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// It leads normally.
    #[default]
    Recovered,
    /// It was elected uncleanly.
    Recovering,
}

/// What settings are set on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// A broker, or all of them by `None`.
    Broker(Option<NodeId>),
    /// A client-metrics subscription (KIP-714).
    ClientMetrics(String),
    /// A group (KIP-848, KIP-932).
    Group(String),
}

impl ConfigResource {
    /// Kafka's number of the kind.
    pub fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) => 4,
            ConfigResource::ClientMetrics(_) => 16,
            ConfigResource::Group(_) => 32,
        }
    }

    /// The name as requests carry it; empty for all brokers.
    pub fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name)
            | ConfigResource::ClientMetrics(name)
            | ConfigResource::Group(name) => name.clone(),
            ConfigResource::Broker(id) => id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }

    /// The resource of a request; `None` if the kind holds no settings or a broker's name is no number.
    pub fn from_wire(kind: i8, name: &str) -> Option<ConfigResource> {
        match kind {
            2 => Some(ConfigResource::Topic(name.to_owned())),
            4 if name.is_empty() => Some(ConfigResource::Broker(None)),
            4 => Some(ConfigResource::Broker(Some(NodeId::from_wire(name.parse().ok()?)?))),
            16 => Some(ConfigResource::ClientMetrics(name.to_owned())),
            32 => Some(ConfigResource::Group(name.to_owned())),
            _ => None,
        }
    }
}
