//! The metadata quorum, modelled: a replicated log that only a leader with a majority extends, and that no failure
//! shortens. What an implementation of Raft must do is taken for granted here; what may happen around it is not: a
//! proposal's outcome may stay unknown, and a deposed leader may not know that it is one. No I/O.

use std::collections::BTreeMap;

use ottla_broker_metadata::{Image, Record};
use ottla_broker_types::{NodeId, Offset};

use crate::rng::Rng;

/// Names a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// Of 1000 proposals that a leader leaves behind, how many its successor finds in its own log and commits.
const INHERITED_PERMILLE: u64 = 400;

/// The log, its leader and what is under way.
#[derive(Debug)]
pub struct Quorum {
    rng: Rng,
    voters: Vec<NodeId>,
    log: Vec<Vec<Record>>,
    /// The image of everything committed.
    truth: Image,
    leader: Option<NodeId>,
    term: u64,
    /// Batches of the present term that are not committed yet.
    proposals: BTreeMap<ProposalId, Vec<Record>>,
    next_proposal: u64,
}

/// What became of a proposal that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Held by most voters; the offset is the batch's.
    Committed(Offset),
    /// There is no majority at present.
    Waiting,
    /// Its leader was deposed; it may be in the log or not.
    Unknown,
}

impl Quorum {
    /// An empty log without a leader.
    pub fn new(rng: Rng, voters: Vec<NodeId>) -> Quorum {
        Quorum {
            rng,
            voters,
            log: Vec::new(),
            truth: Image::default(),
            leader: None,
            term: 0,
            proposals: BTreeMap::new(),
            next_proposal: 0,
        }
    }

    /// The nodes that vote.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// The leader of the latest term and that term.
    pub fn leader(&self) -> (Option<NodeId>, u64) {
        (self.leader, self.term)
    }

    /// Everything committed, applied.
    pub fn truth(&self) -> &Image {
        &self.truth
    }

    /// Batches from `from` on, at most `count_max`.
    pub fn committed(&self, from: Offset, count_max: usize) -> Vec<(Offset, Vec<Record>)> {
        let start = usize::try_from(from.get()).unwrap_or(usize::MAX).min(self.log.len());
        let batches = self.log[start..].iter().take(count_max).zip(start..);
        batches.map(|(records, at)| (Offset::clamped(at as i64), records.clone())).collect()
    }

    /// Whether `node` hears from a majority, itself included.
    pub fn has_majority(&self, node: NodeId, reaches: impl Fn(NodeId, NodeId) -> bool) -> bool {
        let others = self.voters.iter().filter(|other| **other != node);
        let reached = 1 + others.filter(|other| reaches(node, **other) && reaches(**other, node)).count();
        reached * 2 > self.voters.len()
    }

    /// Makes `node` the leader of a new term. Some of what its predecessor proposed is in its log already.
    pub fn elect(&mut self, node: NodeId) -> u64 {
        let left = std::mem::take(&mut self.proposals);
        for proposal in left.into_values() {
            if self.rng.chance(INHERITED_PERMILLE) {
                self.append(proposal);
            }
        }
        self.term += 1;
        self.leader = Some(node);
        self.term
    }

    /// The leader of `term` proposes a batch.
    pub fn propose(&mut self, term: u64, records: Vec<Record>) -> ProposalId {
        let id = ProposalId(self.next_proposal);
        self.next_proposal += 1;
        // A deposed leader's proposals reach nobody.
        if term == self.term {
            self.proposals.insert(id, records);
        }
        id
    }

    /// Commits a proposal, if the leader has a majority now.
    pub fn try_commit(&mut self, id: ProposalId, leader_has_majority: bool) -> Outcome {
        match self.proposals.remove(&id) {
            None => Outcome::Unknown,
            Some(proposal) if leader_has_majority => Outcome::Committed(self.append(proposal)),
            Some(proposal) => {
                self.proposals.insert(id, proposal);
                Outcome::Waiting
            }
        }
    }

    fn append(&mut self, records: Vec<Record>) -> Offset {
        let at = Offset::clamped(self.log.len() as i64);
        let applied = self.truth.apply_batch(&records, at);
        assert!(applied.is_ok(), "decisions fit the state they were made on: {applied:?} {records:?}");
        self.log.push(records);
        at
    }
}
