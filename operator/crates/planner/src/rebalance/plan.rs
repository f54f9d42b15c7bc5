//! The plan: an immutable value that tells what shall move and why it is no more than that. No I/O.

use std::fmt;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::rng::Hasher;

/// One partition whose replica list changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its topic.
    pub topic: TopicName,
    /// Its index within the topic.
    pub partition: PartitionIndex,
    /// The list before, to which a cancelled move returns.
    pub original: Vec<NodeId>,
    /// The list after; the first is the preferred leader.
    pub target: Vec<NodeId>,
    /// Size of one replica in bytes.
    pub bytes: i64,
}

impl Move {
    /// Brokers that get a copy.
    pub fn adding(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.target.iter().copied().filter(|b| !self.original.contains(b))
    }

    /// Brokers that lose theirs.
    pub fn removing(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.original.iter().copied().filter(|b| !self.target.contains(b))
    }

    /// Whether only the order of the list changes, so that no data moves.
    pub fn is_reorder(&self) -> bool {
        self.adding().next().is_none() && self.removing().next().is_none()
    }
}

/// What one broker carries before and after the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerLoad {
    /// The broker.
    pub broker: NodeId,
    /// Replicas, before and after.
    pub replicas: (i64, i64),
    /// Bytes, before and after.
    pub bytes: (i64, i64),
    /// Preferred leaders, before and after.
    pub leaders: (i64, i64),
}

/// Something that the plan leaves as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Someone else's reassignment of this partition is running.
    Reassigning {
        /// The partition's topic.
        topic: TopicName,
        /// Its index.
        partition: PartitionIndex,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Reassigning { topic, partition } => {
                write!(f, "{topic}-{partition} is left alone: another reassignment of it is running")
            }
        }
    }
}

/// What to move, with the bounds that tell how good the plan is. Equal plans have equal hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    seed: u64,
    moves: Vec<Move>,
    brokers: Vec<BrokerLoad>,
    lower_bound_moves: i64,
    lower_bound_bytes: i64,
    notes: Vec<Note>,
    hash: u64,
}

impl Plan {
    pub(super) fn new(
        seed: u64,
        moves: Vec<Move>,
        brokers: Vec<BrokerLoad>,
        (lower_bound_moves, lower_bound_bytes): (i64, i64),
        notes: Vec<Note>,
    ) -> Plan {
        let hash = hash(&moves);
        Plan { seed, moves, brokers, lower_bound_moves, lower_bound_bytes, notes, hash }
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// The partitions whose lists change, by topic and index.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Every broker's load before and after, by id.
    pub fn brokers(&self) -> &[BrokerLoad] {
        &self.brokers
    }

    /// What the plan leaves alone, and why.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The seed that the plan was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Identifies the moves: partitions, lists before and after.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Replicas that are copied to a broker that had none of their partition.
    pub fn replicas_moved(&self) -> i64 {
        self.moves.iter().map(|m| m.adding().count() as i64).sum()
    }

    /// Bytes that are copied.
    pub fn bytes_moved(&self) -> i64 {
        self.moves.iter().map(|m| m.adding().count() as i64 * m.bytes).sum()
    }

    /// Partitions whose preferred leader changes.
    pub fn leader_transfers(&self) -> i64 {
        self.moves.iter().filter(|m| m.original.first() != m.target.first()).count() as i64
    }

    /// The fewest replicas that any plan to this balance must copy.
    pub fn lower_bound_moves(&self) -> i64 {
        self.lower_bound_moves
    }

    /// The fewest bytes that any plan to this balance must copy.
    pub fn lower_bound_bytes(&self) -> i64 {
        self.lower_bound_bytes
    }
}

fn hash(moves: &[Move]) -> u64 {
    let mut hasher = Hasher::new(moves.len() as u64);
    for step in moves {
        hasher.text(step.topic.as_str());
        hasher.word(step.partition.get() as u64);
        for list in [&step.original, &step.target] {
            hasher.word(list.len() as u64);
            list.iter().for_each(|broker| hasher.word(broker.get() as u64));
        }
    }
    hasher.finish()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "plan {:016x}: {} replicas to copy (at least {}), {} bytes (at least {}), {} leader changes",
            self.hash,
            self.replicas_moved(),
            self.lower_bound_moves,
            self.bytes_moved(),
            self.lower_bound_bytes,
            self.leader_transfers()
        )?;
        writeln!(f, "{:>8}  {:>17}  {:>31}  {:>17}", "BROKER", "REPLICAS", "BYTES", "LEADERS")?;
        for load in &self.brokers {
            writeln!(
                f,
                "{:>8}  {:>7} > {:>7}  {:>14} > {:>14}  {:>7} > {:>7}",
                load.broker,
                load.replicas.0,
                load.replicas.1,
                load.bytes.0,
                load.bytes.1,
                load.leaders.0,
                load.leaders.1
            )?;
        }
        for step in &self.moves {
            let list = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
            writeln!(
                f,
                "{}-{}: {} > {}",
                step.topic,
                step.partition,
                list(&step.original),
                list(&step.target)
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
