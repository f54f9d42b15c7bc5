//! What all nodes of a run share. No I/O.

use ottla_broker_config::{BrokerConfig, load_broker, parse_properties};
use ottla_broker_replication::ReplicationConfig;
use ottla_broker_types::{ClusterId, DurationMs, NodeId, PartitionIndex, TopicName, TopicPartition};

/// The topic of every run.
pub(crate) const TOPIC: &str = "t";

/// The topic of groups and their offsets, of one partition.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The group of every run.
pub(crate) const GROUP: &str = "g";
/// Segments of the offsets topic: the record of a group with its members must fit.
pub(crate) const OFFSETS_SEGMENT_BYTES: u32 = 4_000;

/// The partition on which the group's records lie.
pub(crate) fn offsets_partition() -> TopicPartition {
    let topic = TopicName::new(OFFSETS_TOPIC).expect("a valid name");
    TopicPartition { topic, partition: PartitionIndex(0) }
}

/// Constants of a run.
#[derive(Debug)]
pub struct Setup {
    /// All nodes; the first ones vote.
    pub nodes: Vec<NodeId>,
    /// The nodes of the metadata quorum.
    pub voters: Vec<NodeId>,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// Bytes of a segment; small, so that runs cross segments.
    pub segment_bytes: u32,
    /// Time between syncs of the logs and checkpoints.
    pub flush_interval_ms: u64,
    pub(crate) cluster_id: ClusterId,
    pub(crate) config: BrokerConfig,
}

/// `min.insync.replicas`: with three replicas one may fail without loss.
pub(crate) const MIN_ISR: usize = 2;
/// How long a broker counts as alive after it was heard of.
pub(crate) const LEASE: DurationMs = DurationMs(500);
/// `replica.lag.time.max.ms`, shorter than Kafka's 30 s, so that replicas leave and join often.
const LAG_MAX: DurationMs = DurationMs(700);

impl Setup {
    /// A cluster of `node_count` nodes of which at most three vote.
    pub fn new(node_count: usize, partitions: i32, segment_bytes: u32, flush_interval_ms: u64) -> Setup {
        let nodes: Vec<NodeId> = (1..).take(node_count).map(NodeId).collect();
        let text = "node.id=1\nmin.insync.replicas=2\ndefault.replication.factor=3\n";
        let pairs = parse_properties(text).expect("the text is a properties file");
        let (config, _) = load_broker(pairs).expect("the settings are valid");
        Setup {
            voters: nodes.iter().copied().take(3).collect(),
            replication_factor: node_count.min(3) as i16,
            nodes,
            partitions,
            segment_bytes,
            flush_interval_ms,
            cluster_id: ClusterId("simulated".to_owned()),
            config,
        }
    }

    /// The settings of every replica.
    pub fn replication(&self) -> ReplicationConfig {
        ReplicationConfig { min_isr: MIN_ISR, lag_max: LAG_MAX }
    }
}
