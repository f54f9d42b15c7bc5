//! The snapshot of a cluster that the planner works on. No I/O.

use std::ops::Range;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

/// What the planner may do with a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerState {
    /// Serves, keeps its replicas and takes more.
    #[default]
    Alive,
    /// Serves, but shall end without replicas.
    Draining,
    /// Gone: its replicas need a new home, and it cannot be copied from.
    Dead,
}

/// How full a disk may be planned, in percent: the rest is for growth while replicas move.
pub(crate) const DISK_PERCENT_MAX: i64 = 85;

/// What a broker can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Share of every load relative to the other brokers; 1 for equal brokers, at least 1.
    pub weight: u32,
    /// Size of its log directories in bytes; `None` sets no limit.
    pub disk_bytes: Option<i64>,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { weight: 1, disk_bytes: None }
    }
}

/// One broker, also one that is gone while replica lists still name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its `node.id`.
    pub id: NodeId,
    /// Its failure domain; brokers without one share one.
    pub rack: Option<String>,
    /// What it can carry.
    pub capacity: Capacity,
    /// What the planner may do with it.
    pub state: BrokerState,
}

impl Broker {
    /// An alive broker of weight 1 without a disk limit.
    pub fn new(id: NodeId, rack: Option<String>) -> Broker {
        Broker { id, rack, capacity: Capacity::default(), state: BrokerState::Alive }
    }
}

/// One partition and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic: TopicName,
    /// Its index within the topic.
    pub index: PartitionIndex,
    /// Its replicas as Kafka lists them: the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// Size of one replica in bytes.
    pub bytes: i64,
    /// Bytes per second that producers write to it.
    pub in_rate: i64,
    /// Bytes per second that consumers read from it, followers not counted.
    pub out_rate: i64,
    /// The number of replicas that is asked for; `None` keeps the present one.
    pub replication_factor: Option<u16>,
    /// A reassignment by someone else is running: the planner leaves this partition alone.
    pub reassigning: bool,
}

impl Partition {
    /// A partition of which only the replicas are known.
    pub fn new(topic: TopicName, index: PartitionIndex, replicas: Vec<NodeId>) -> Partition {
        Partition {
            topic,
            index,
            replicas,
            bytes: 0,
            in_rate: 0,
            out_rate: 0,
            replication_factor: None,
            reassigning: false,
        }
    }

    /// The number of replicas that the plan shall end with.
    pub fn replicas_wanted(&self) -> usize {
        self.replication_factor.map_or(self.replicas.len(), usize::from)
    }
}

/// A cluster at one moment. The order of the entries has no influence on the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Every broker that serves, and every one that a replica list names.
    pub brokers: Vec<Broker>,
    /// Every partition.
    pub partitions: Vec<Partition>,
}

impl Model {
    /// Positions of the partitions in the order of topic and index.
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut runs = self.runs();
        let first = |run: &Range<u32>| &self.partitions[run.start as usize];
        let last = |run: &Range<u32>| &self.partitions[run.end as usize - 1];
        runs.sort_by(|a, b| (&first(a).topic, first(a).index).cmp(&(&first(b).topic, first(b).index)));
        let follow = |a: &Range<u32>, b: &Range<u32>| {
            last(a).topic != first(b).topic || last(a).index < first(b).index
        };
        if runs.windows(2).all(|pair| follow(&pair[0], &pair[1])) {
            return runs.into_iter().flatten().collect();
        }
        let mut order: Vec<u32> = (0..self.partitions.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            let (a, b) = (&self.partitions[a as usize], &self.partitions[b as usize]);
            (&a.topic, a.index).cmp(&(&b.topic, b.index))
        });
        order
    }

    /// Stretches of the partitions in which one topic's stand in the order of their index, as they mostly come: there
    /// are far fewer of them to sort.
    fn runs(&self) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut before: Option<&Partition> = None;
        for (at, partition) in (0..).zip(&self.partitions) {
            let follows = before.is_some_and(|b| b.topic == partition.topic && b.index < partition.index);
            match runs.last_mut().filter(|_| follows) {
                Some(run) => run.end = at + 1,
                None => runs.push(at..at + 1),
            }
            before = Some(partition);
        }
        runs
    }
}
