//! The in-sync replicas as a leader sees them: committed by the controller, or with one change in flight.
//! No I/O. Invariant: the maximal ISR holds every replica that the controller may believe to be in sync.

use std::collections::BTreeSet;

use ottla_broker_types::{LeaderEpoch, NodeId, PartitionEpoch};

use crate::effects::IsrProposal;

/// A partition state that the controller returned for a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrDecided {
    /// Epoch of the leader in that state.
    pub leader_epoch: LeaderEpoch,
    /// Epoch of that state.
    pub partition_epoch: PartitionEpoch,
    /// The committed ISR.
    pub isr: Vec<NodeId>,
}

/// Why a proposal has not become the ISR, as far as its leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsrUnchanged {
    /// The controller did not take it: a member may not join now. It certainly has not come about.
    NotTaken,
    /// The controller is ahead of the leader, or does not know the partition any more. The metadata will tell; until then
    /// the proposal keeps counting, for the state that overtook it may contain its members.
    Overtaken,
    /// Nobody knows, as after a lost connection: it may have come about, and is sent again.
    Unknown,
}

/// The ISR of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Isr {
    committed: BTreeSet<NodeId>,
    in_flight: Option<IsrProposal>,
}

impl Isr {
    /// The ISR of a committed partition state, nothing in flight.
    pub(crate) fn committed(isr: &[NodeId]) -> Isr {
        Isr { committed: isr.iter().copied().collect(), in_flight: None }
    }

    /// What the controller last committed.
    pub(crate) fn members(&self) -> &BTreeSet<NodeId> {
        &self.committed
    }

    /// Whether a record must be on `node` to count as replicated. An expansion counts before it is committed, because
    /// the controller may elect the new member the moment it commits; a shrink only counts once it is committed.
    pub(crate) fn maximal_contains(&self, node: NodeId) -> bool {
        self.committed.contains(&node)
            || self.in_flight.as_ref().is_some_and(|p| p.nodes().any(|n| n == node))
    }

    /// Members that the controller may believe in, largest case.
    pub(crate) fn maximal_len(&self) -> usize {
        let added = |p: &IsrProposal| p.nodes().filter(|n| !self.committed.contains(n)).count();
        self.committed.len() + self.in_flight.as_ref().map_or(0, added)
    }

    /// The change in flight.
    pub(crate) fn in_flight(&self) -> Option<&IsrProposal> {
        self.in_flight.as_ref()
    }

    /// Puts `proposal` in flight; the caller has checked that nothing is.
    pub(crate) fn propose(&mut self, proposal: IsrProposal) {
        debug_assert!(self.in_flight.is_none(), "one proposal at a time");
        self.in_flight = Some(proposal);
    }

    /// The controller certainly refused what is in flight.
    pub(crate) fn withdraw(&mut self) {
        self.in_flight = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::IsrMember;

    fn proposal(nodes: &[i32]) -> IsrProposal {
        let new_isr = nodes.iter().map(|n| IsrMember { node: NodeId(*n), broker_epoch: None }).collect();
        IsrProposal { leader_epoch: LeaderEpoch(1), partition_epoch: PartitionEpoch(1), new_isr }
    }

    #[test]
    fn an_expansion_in_flight_counts_and_a_shrink_in_flight_does_not() {
        let mut isr = Isr::committed(&[NodeId(1), NodeId(2)]);
        isr.propose(proposal(&[1, 2, 3]));
        assert!(isr.maximal_contains(NodeId(3)));
        assert_eq!(isr.maximal_len(), 3);
        isr.withdraw();
        isr.propose(proposal(&[1]));
        assert!(isr.maximal_contains(NodeId(2)));
        assert_eq!(isr.maximal_len(), 2);
    }
}
