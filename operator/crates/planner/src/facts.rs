//! What is seen of a cluster: facts from the API server, from the brokers, and from claims. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, TimestampMs, TopicPartition};

use crate::ownership::Marks;

/// Everything that a plan is made from, besides the spec and the former status.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The StatefulSet; `None` before it is made.
    pub stateful_set: Option<StatefulSetFacts>,
    /// The pods by broker.
    pub pods: BTreeMap<NodeId, PodFacts>,
    /// Why brokers have no pod, Kubernetes' word first.
    pub not_made: BTreeMap<NodeId, String>,
    /// The claims by broker.
    pub claims: BTreeMap<NodeId, ClaimFacts>,
    /// Names of the cluster's ConfigMaps with settings.
    pub config_maps: BTreeSet<String>,
    /// Names of the cluster's Services.
    pub services: BTreeSet<String>,
    /// Objects with names that the cluster needs and without the owner reference that would make them its own, by kind
    /// and name.
    pub others: BTreeMap<String, Marks>,
    /// Claims whose volumes cannot grow to the size asked for, with what the API server says.
    pub growth_refused: BTreeMap<String, String>,
    /// The plan of moves that was approved and is kept until it is carried out.
    pub plan: Option<KeptPlan>,
    /// What brokers told; `Err` says why none did.
    pub kafka: Result<KafkaFacts, NoAnswer>,
    /// Restart safety of single brokers, as far as it was asked.
    pub safety: BTreeMap<NodeId, Safety>,
}

/// A plan of moves as it is kept, in chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPlan {
    /// Its hash.
    pub hash: String,
    /// How many chunks it has.
    pub count: usize,
    /// Those that are there, by number.
    pub chunks: BTreeMap<usize, Vec<u8>>,
    /// Names of the ConfigMaps that hold them, left-overs of other plans among them.
    pub names: BTreeSet<String>,
}

/// Why there are no facts from the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer(pub String);

impl Default for Observed {
    fn default() -> Self {
        Observed {
            stateful_set: None,
            pods: BTreeMap::new(),
            not_made: BTreeMap::new(),
            claims: BTreeMap::new(),
            config_maps: BTreeSet::new(),
            services: BTreeSet::new(),
            others: BTreeMap::new(),
            growth_refused: BTreeMap::new(),
            plan: None,
            kafka: Err(NoAnswer("no broker was asked yet".to_owned())),
            safety: BTreeMap::new(),
        }
    }
}

/// The StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSetFacts {
    /// Its `spec.replicas`.
    pub replicas: i32,
    /// The size in its claim template, which can never change.
    pub claim_size: Option<String>,
    /// The StorageClass in its claim template, which can never change either; `None` is the default one.
    pub claim_class: Option<String>,
    /// The image in its pod template.
    pub image: Option<String>,
    /// The revision in its pod template, once its controller has seen it: pods made now get it.
    pub revision: Option<String>,
}

/// One pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its revision label.
    pub revision: Option<String>,
    /// The image of the broker.
    pub image: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it should have stopped long ago: its node may be gone.
    pub overdue: bool,
    /// Why it cannot start, in Kubernetes' words; `None` if it may still.
    pub stuck: Option<String>,
    /// What else keeps it from getting ready and may pass, Kubernetes' word first.
    pub trouble: Option<String>,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// Whether its container does not run, though it may still: then nothing in it can be interrupted.
    pub halted: bool,
    /// When readiness last changed, or the pod was made.
    pub since: Option<TimestampMs>,
    /// The rack that it was told.
    pub rack: Option<String>,
    /// The rack of its node, once it is bound and known.
    pub node_rack: Option<String>,
    /// Whether a person asked for its restart.
    pub restart_asked: bool,
}

/// One claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimFacts {
    /// Its name.
    pub name: String,
    /// Bytes that it asks for.
    pub requested_bytes: u64,
    /// Bytes that its volume has; `None` if that is not known.
    pub capacity_bytes: Option<u64>,
    /// The cluster whose data it holds.
    pub cluster_id: Option<String>,
    /// Whether that cluster's quorum had formed when it was last reconciled.
    pub bootstrapped: bool,
    /// Ids of the brokers that keep that cluster's metadata, as far as it says.
    pub controllers: Option<Vec<i32>>,
    /// Whether it has its volume: another cannot grow.
    pub bound: bool,
    /// Whether it never had a volume, and so never held anything.
    pub unused: bool,
    /// Uid of the KafkaCluster with which it goes; `None` if it stays.
    pub owner_uid: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// What the brokers told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KafkaFacts {
    /// The cluster's id.
    pub cluster_id: String,
    /// The active controller.
    pub controller: Option<NodeId>,
    /// Registered brokers.
    pub brokers: BTreeMap<NodeId, BrokerFacts>,
    /// Every partition.
    pub partitions: BTreeMap<TopicPartition, PartitionFacts>,
    /// Dynamic settings of all brokers together; `None` if they could not be read.
    pub dynamic_config: Option<BTreeMap<String, String>>,
}

/// One registered broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerFacts {
    /// Its rack.
    pub rack: Option<String>,
    /// Whether the controller keeps it out of service.
    pub fenced: bool,
    /// Whether it gets no new replicas; `None` if that was not asked.
    pub cordoned: Option<bool>,
    /// Bytes on its disks; `None` if it did not tell.
    pub bytes: Option<u64>,
    /// Replicas on its disks; `None` if it did not tell.
    pub replicas_on_disk: Option<u64>,
    /// Bytes of the volumes below its data; `None` if it did not tell.
    pub volume_bytes: Option<u64>,
    /// Bytes that records may still take of them, zero if it takes none; `None` if it did not tell.
    pub usable_bytes: Option<u64>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionFacts {
    /// Its replicas, the preferred leader first; while it moves, those that come and those that go included.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: BTreeSet<NodeId>,
    /// Its leader.
    pub leader: Option<NodeId>,
    /// Replicas that a running reassignment adds.
    pub adding: Vec<NodeId>,
    /// Replicas that a running reassignment removes.
    pub removing: Vec<NodeId>,
    /// Bytes of one replica; `None` if no broker told.
    pub bytes: Option<u64>,
}

impl PartitionFacts {
    /// Whether a reassignment is going on.
    pub fn moves(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas once everything that is going on is done.
    pub fn target(&self) -> Vec<NodeId> {
        self.replicas.iter().copied().filter(|id| !self.removing.contains(id)).collect()
    }

    /// Whether a replica that should be there for good is out of sync.
    pub fn is_under_replicated(&self) -> bool {
        self.missing().next().is_some()
    }

    /// Replicas that are there for good and out of sync: neither those that are still coming nor those that go.
    pub fn missing(&self) -> impl Iterator<Item = NodeId> {
        let stays = |id: &NodeId| !self.adding.contains(id) && !self.removing.contains(id);
        self.replicas.iter().copied().filter(move |id| stays(id) && !self.isr.contains(id))
    }
}

/// What would suffer if one broker stopped now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing.
    Safe,
    /// Something, in a sentence.
    Unsafe(String),
    /// Nobody could say.
    Unknown(String),
}

impl Observed {
    /// What the brokers told, if they did.
    pub fn kafka(&self) -> Option<&KafkaFacts> {
        self.kafka.as_ref().ok()
    }

    /// The rack that a broker has registered, else that of its pod or of its pod's node.
    pub fn rack(&self, broker: NodeId) -> Option<&str> {
        let registered = self.kafka().and_then(|kafka| kafka.brokers.get(&broker)?.rack.as_deref());
        let pod = self.pods.get(&broker);
        registered.or_else(|| pod.and_then(|pod| pod.rack.as_deref().or(pod.node_rack.as_deref())))
    }
}

impl KafkaFacts {
    /// Whether a broker is registered and serves.
    pub fn serves(&self, broker: NodeId) -> bool {
        self.brokers.get(&broker).is_some_and(|facts| !facts.fenced)
    }

    /// Partitions with a replica out of sync.
    pub fn under_replicated(&self) -> usize {
        self.under_replicated_besides(&BTreeSet::new())
    }

    /// Partitions with a replica out of sync, those of `away` not counted.
    pub fn under_replicated_besides(&self, away: &BTreeSet<NodeId>) -> usize {
        self.partitions.values().filter(|partition| partition.missing().any(|id| !away.contains(&id))).count()
    }

    /// Partitions without a leader and with a replica that is not on any of `away`.
    pub fn offline_besides(&self, away: &BTreeSet<NodeId>) -> usize {
        let partitions = self.partitions.values().filter(|partition| partition.leader.is_none());
        partitions.filter(|partition| partition.replicas.iter().any(|id| !away.contains(id))).count()
    }

    /// Replicas that are on any of `brokers`.
    pub fn replicas_on(&self, brokers: &BTreeSet<NodeId>) -> usize {
        self.partitions.values().flat_map(|p| &p.replicas).filter(|id| brokers.contains(id)).count()
    }
}
