//! The plan: an immutable value that tells what shall move and how good that is. No I/O.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use crate::rebalance::rng::Hasher;
use crate::rebalance::score::Score;

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
    /// Bytes per second written, before and after.
    pub in_rate: (i64, i64),
    /// Bytes per second sent by its leaders, before and after.
    pub out_rate: (i64, i64),
    /// Preferred leaders, before and after.
    pub leaders: (i64, i64),
    /// Fewest and most replicas that count as balanced; both 0 for a broker that leaves.
    pub replicas_share: (i64, i64),
    /// Bytes that it holds when all its copies have arrived and nothing has left.
    pub bytes_peak: i64,
}

/// Something that a reader of the plan should know, for example what it leaves as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Note {
    /// Someone else's reassignment of this partition is running.
    #[error("{topic}-{partition} is left alone: another reassignment of it is running")]
    Reassigning {
        /// The partition's topic.
        topic: TopicName,
        /// Its index.
        partition: PartitionIndex,
    },
    /// There are fewer racks than replicas.
    #[error("{partitions} partitions with {replicas} replicas share racks: only {racks} racks have brokers")]
    RacksShared {
        /// Replicas of each.
        replicas: usize,
        /// Racks with brokers that stay.
        racks: usize,
        /// How many partitions.
        partitions: usize,
    },
    /// The broker's disk holds its copies only once other replicas have left it.
    #[error("broker {broker} has room for its copies only once other replicas have left it")]
    DiskTight {
        /// The broker.
        broker: NodeId,
    },
    /// Some brokers name their rack and others do not.
    #[error("brokers without a rack are treated as one rack of their own")]
    RacksUnknown,
}

/// What to move, with the bounds that tell how good the plan is. Equal plans have equal hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    seed: u64,
    moves: Vec<Move>,
    brokers: Vec<BrokerLoad>,
    score: Score,
    notes: Vec<Note>,
    hash: u64,
}

impl Plan {
    pub(crate) fn new(
        seed: u64,
        moves: Vec<Move>,
        brokers: Vec<BrokerLoad>,
        score: Score,
        notes: Vec<Note>,
    ) -> Plan {
        let hash = hash(&moves);
        Plan { seed, moves, brokers, score, notes, hash }
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

    /// Balance and cost, beside what is possible.
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// What a reader should know.
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
        self.score.moves
    }

    /// Bytes that are copied.
    pub fn bytes_moved(&self) -> i64 {
        self.score.bytes
    }

    /// Partitions whose preferred leader changes.
    pub fn leader_transfers(&self) -> i64 {
        self.score.leader_transfers
    }

    /// The fewest replicas that any plan to this balance must copy.
    pub fn lower_bound_moves(&self) -> i64 {
        self.score.moves_min
    }

    /// The fewest bytes that any plan to this balance must copy.
    pub fn lower_bound_bytes(&self) -> i64 {
        self.score.bytes_min
    }
}

/// What identifies a list of moves: partitions, lists before and after.
pub fn hash(moves: &[Move]) -> u64 {
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
