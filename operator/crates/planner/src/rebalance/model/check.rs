//! Phase 0: refuses a model that is wrong or asks for the impossible, naming every offending entry. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use ottla_broker_types::{NodeId, TopicPartition};

use super::index::BrokerIndex;
use super::snapshot::{BrokerState, DISK_PERCENT_MAX, Model, Partition};

/// One reason why there can be no plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Problem {
    /// Two entries describe one broker.
    #[error("broker {0} is listed twice")]
    DuplicateBroker(NodeId),
    /// A broker's id is negative.
    #[error("broker {0} has a negative id")]
    BrokerId(NodeId),
    /// A broker's weight is zero or its disk size negative.
    #[error("broker {0} needs a weight of at least 1 and a disk size that is not negative")]
    BrokerCapacity(NodeId),
    /// More brokers than Kafka clusters have.
    #[error("{0} brokers are more than the planner handles ({max})", max = BROKERS_MAX)]
    TooManyBrokers(usize),
    /// More replicas than fit the planner's indexes.
    #[error("{0} replicas are more than the planner handles ({max})", max = REPLICAS_MAX)]
    TooManyReplicas(usize),
    /// Two entries describe one partition.
    #[error("{0} is listed twice")]
    DuplicatePartition(TopicPartition),
    /// A partition's index is negative.
    #[error("{0} has a negative index")]
    PartitionIndex(TopicPartition),
    /// A partition has no replicas, or shall have none.
    #[error("{0} has replication factor 0")]
    NoReplicas(TopicPartition),
    /// A size or rate is negative or too large to add up.
    #[error("{0} has a negative or oversized size or rate")]
    Load(TopicPartition),
    /// All replicas together are more than can be added up.
    #[error("all replicas together have more bytes or traffic than the planner can add up (2^62)")]
    TotalLoad,
    /// No legal broker has room on its disk.
    #[error(
        "{partition} has {bytes} bytes, and no broker that may take it has so much room below {DISK_PERCENT_MAX} % of its disk"
    )]
    DiskTooSmall {
        /// The partition.
        partition: TopicPartition,
        /// Size of one replica.
        bytes: i64,
    },
    /// Two models that should describe the same partitions do not.
    #[error("{0} is in one of the two models only")]
    Unmatched(TopicPartition),
    /// A replica list names a broker that the model lacks.
    #[error("{partition} has a replica on broker {broker}, which the model does not list")]
    UnknownBroker {
        /// The partition.
        partition: TopicPartition,
        /// The unknown broker.
        broker: NodeId,
    },
    /// A replica list names a broker twice.
    #[error("{partition} names broker {broker} twice")]
    DuplicateReplica {
        /// The partition.
        partition: TopicPartition,
        /// The repeated broker.
        broker: NodeId,
    },
    /// More replicas are wanted than there are brokers to hold them.
    #[error("{partition} wants {wanted} replicas, but only {brokers} brokers stay")]
    TooFewBrokers {
        /// The partition.
        partition: TopicPartition,
        /// Its replication factor.
        wanted: usize,
        /// Brokers that are alive and not draining.
        brokers: usize,
    },
}

impl Problem {
    /// What a person can do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Problem::TooFewBrokers { .. } => "Let more brokers stay or add some, or ask for fewer replicas.",
            Problem::DiskTooSmall { .. } => {
                "Let more brokers stay, or add brokers or disks: what arrives must fit beside what is there."
            }
            Problem::TooManyBrokers(_) | Problem::TooManyReplicas(_) | Problem::TotalLoad => {
                "Plan parts of the cluster by themselves."
            }
            Problem::Unmatched(_) => "Both models must describe the same partitions.",
            Problem::DuplicateBroker(_)
            | Problem::BrokerId(_)
            | Problem::BrokerCapacity(_)
            | Problem::DuplicatePartition(_)
            | Problem::PartitionIndex(_)
            | Problem::NoReplicas(_)
            | Problem::Load(_)
            | Problem::UnknownBroker { .. }
            | Problem::DuplicateReplica { .. } => "Correct the entries that are named.",
        }
    }
}

/// Kafka's largest clusters have about a tenth of this; it keeps a rack's and a broker's index in 16 bits.
pub const BROKERS_MAX: usize = 32_000;
/// Replica positions are 32-bit indexes.
pub const REPLICAS_MAX: usize = 1 << 31;
/// A petabyte in one partition, far above what a disk holds; products with a replication factor fit 64 bits.
const LOAD_MAX: i64 = 1 << 50;
/// Sums over all replicas, and twice that, fit 64 bits.
const LOAD_TOTAL_MAX: i128 = 1 << 62;
/// How many problems a text shows; the value keeps them all.
const SHOWN_MAX: usize = 20;

/// Why there can be no plan, entry by entry; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infeasible {
    /// Every reason found, sorted by kind, then by entry.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().take(SHOWN_MAX).enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.problems.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Infeasible {}

/// Finds everything that is wrong with the entries themselves and everything that no placement can satisfy.
pub(crate) fn check(model: &Model, order: &[u32]) -> Result<(), Infeasible> {
    let mut problems = Vec::new();
    let known = check_brokers(model, &mut problems);
    let staying = model.brokers.iter().filter(|b| b.state == BrokerState::Alive).count();
    let replicas: usize = model.partitions.iter().map(|p| p.replicas_wanted().max(p.replicas.len())).sum();
    if replicas > REPLICAS_MAX {
        problems.push(Problem::TooManyReplicas(replicas));
    }
    let load = |p: &Partition| {
        i128::from(p.bytes.max(p.in_rate).max(p.out_rate)) * p.replicas_wanted().max(p.replicas.len()) as i128
    };
    if model.partitions.iter().map(load).sum::<i128>() > LOAD_TOTAL_MAX {
        problems.push(Problem::TotalLoad);
    }
    for pair in order.windows(2) {
        let (a, b) = (&model.partitions[pair[0] as usize], &model.partitions[pair[1] as usize]);
        if a.topic == b.topic && a.index == b.index {
            problems.push(Problem::DuplicatePartition(name(a)));
        }
    }
    for &at in order {
        check_partition(&model.partitions[at as usize], &known, staying, &mut problems);
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    problems.dedup();
    Err(Infeasible { problems })
}

fn check_brokers(model: &Model, problems: &mut Vec<Problem>) -> BrokerIndex {
    let mut seen: BTreeMap<NodeId, usize> = BTreeMap::new();
    if model.brokers.len() > BROKERS_MAX {
        problems.push(Problem::TooManyBrokers(model.brokers.len()));
    }
    for broker in &model.brokers {
        *seen.entry(broker.id).or_insert(0) += 1;
        if broker.id.get() < 0 {
            problems.push(Problem::BrokerId(broker.id));
        }
        if broker.capacity.weight == 0 || broker.capacity.disk_bytes.is_some_and(|bytes| bytes < 0) {
            problems.push(Problem::BrokerCapacity(broker.id));
        }
    }
    problems
        .extend(seen.iter().filter(|(_, count)| **count > 1).map(|(id, _)| Problem::DuplicateBroker(*id)));
    BrokerIndex::new(seen.into_keys())
}

fn check_partition(partition: &Partition, known: &BrokerIndex, staying: usize, problems: &mut Vec<Problem>) {
    if partition.index.get() < 0 {
        problems.push(Problem::PartitionIndex(name(partition)));
    }
    let wanted = partition.replicas_wanted();
    if partition.replicas.is_empty() || wanted == 0 {
        problems.push(Problem::NoReplicas(name(partition)));
    }
    let loads = [partition.bytes, partition.in_rate, partition.out_rate];
    if loads.iter().any(|load| !(0..=LOAD_MAX).contains(load)) {
        problems.push(Problem::Load(name(partition)));
    }
    for &broker in partition.replicas.iter().filter(|broker| known.get(**broker).is_none()) {
        problems.push(Problem::UnknownBroker { partition: name(partition), broker });
    }
    let repeated = repeated(&partition.replicas).into_iter();
    problems.extend(repeated.map(|broker| Problem::DuplicateReplica { partition: name(partition), broker }));
    if wanted > staying && !partition.reassigning {
        problems.push(Problem::TooFewBrokers { partition: name(partition), wanted, brokers: staying });
    }
}

/// Brokers that a list names again. The list of a wrong model may be very long, so that comparing each with each would
/// take for ever; the usual short ones are not worth an allocation.
fn repeated(list: &[NodeId]) -> Vec<NodeId> {
    const SHORT: usize = 16;
    if list.len() <= SHORT {
        let again = (1..list.len()).filter(|at| list[..*at].contains(&list[*at]));
        return again.map(|at| list[at]).collect();
    }
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

pub(crate) fn name(partition: &Partition) -> TopicPartition {
    TopicPartition { topic: partition.topic.clone(), partition: partition.index }
}
