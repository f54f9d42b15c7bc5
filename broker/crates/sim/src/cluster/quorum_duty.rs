//! The quorum's leader: elections, commits, and word of them to the nodes. No I/O.

use ottla_broker_types::{NodeId, Offset};

use super::event::Event;
use super::state::World;
use crate::invariants::Violation;
use crate::net::Endpoint;
use crate::quorum::{Outcome, ProposalId};

const TICK_MS: u64 = 40;
const ELECTION_MIN_MS: u64 = 150;
const ELECTION_MAX_MS: u64 = 500;
/// Longest time for which a deposed leader may not know that it is one: its own lease.
const STALE_MAX_MS: u64 = 800;
/// Pause before a batch without a majority is tried again.
const COMMIT_RETRY_MS: u64 = 20;

impl World {
    fn reaches(&self, a: NodeId, b: NodeId) -> bool {
        self.is_running(a) && self.is_running(b) && self.net.is_open(Endpoint::Node(a), Endpoint::Node(b))
    }

    pub(crate) fn quorum_tick(&mut self) -> Result<(), Violation> {
        self.queue.schedule(self.now.plus_ms(TICK_MS), Event::QuorumTick);
        let (leader, term) = self.quorum.leader();
        let works = leader.is_some_and(|leader| {
            let process = self.machines.get(&leader).and_then(|machine| machine.process.as_ref());
            process.and_then(|process| process.controller_term()) == Some(term)
                && self.is_running(leader)
                && self.quorum.has_majority(leader, |a, b| self.reaches(a, b))
        });
        if works {
            self.leaderless = None;
            return self.look_for_silent();
        }
        self.judge.silent.nobody_controls();
        let patience = self.quorum_rng.between(ELECTION_MIN_MS, ELECTION_MAX_MS);
        let (since, patience) = *self.leaderless.get_or_insert((self.now, patience));
        if self.now < since.plus_ms(patience) {
            return Ok(());
        }
        let candidates: Vec<NodeId> = self
            .quorum
            .voters()
            .iter()
            .copied()
            .filter(|node| {
                self.is_running(*node) && self.quorum.has_majority(*node, |a, b| self.reaches(a, b))
            })
            .collect();
        let Some(elected) = self.quorum_rng.pick(&candidates).copied() else { return Ok(()) };
        self.leaderless = None;
        self.depose(leader, term);
        let term = self.quorum.elect(elected);
        self.trace.record(self.now, format_args!("{elected} leads the quorum in term {term}"));
        let committed = self.quorum.committed(Offset::ZERO, usize::MAX);
        self.act(elected, |process, at, out| {
            process.end_controller(out);
            process.begin_controller(at, term, committed, out);
        })
    }

    /// A controller works: brokers that do nothing must not stay in service.
    fn look_for_silent(&mut self) -> Result<(), Violation> {
        for node in self.setup.nodes.clone() {
            let is_silent = !self.is_running(node) && self.net.is_punctual();
            let is_active = self.quorum.truth().is_active(node);
            self.judge.silent.look(self.now, node, is_silent, is_active)?;
        }
        Ok(())
    }

    /// Nobody listens on `node`: controllers that reach its machine take notice.
    pub(crate) fn found_dead(&mut self, node: NodeId) -> Result<(), Violation> {
        let listens = |world: &World, node| world.machines.get(&node).is_some_and(|m| m.process.is_some());
        let is_open = |world: &World, a, b| world.net.is_open(Endpoint::Node(a), Endpoint::Node(b));
        for watcher in self.setup.voters.clone() {
            let connects = is_open(self, watcher, node) && is_open(self, node, watcher);
            if !listens(self, node) && self.is_running(watcher) && connects {
                self.act(watcher, |process, at, out| process.found_dead(at, node, out))?;
            }
        }
        Ok(())
    }

    fn depose(&mut self, former: Option<NodeId>, term: u64) {
        let Some(node) = former else { return };
        let Some(run) = self.machines.get(&node).map(|machine| machine.run) else { return };
        let delay = self.quorum_rng.below(STALE_MAX_MS);
        self.queue.schedule(self.now.plus_ms(delay), Event::Deposed { node, run, term });
    }

    pub(crate) fn deposed(&mut self, node: NodeId, term: u64) -> Result<(), Violation> {
        self.act(node, |process, _, out| {
            if process.controller_term() == Some(term) {
                process.end_controller(out);
            }
        })
    }

    pub(crate) fn commit(
        &mut self,
        node: NodeId,
        run: u32,
        term: u64,
        proposal: ProposalId,
    ) -> Result<(), Violation> {
        let (leader, _) = self.quorum.leader();
        let has_majority =
            leader.is_some_and(|leader| self.quorum.has_majority(leader, |a, b| self.reaches(a, b)));
        let is_same_run = self.machines.get(&node).is_some_and(|machine| machine.run == run);
        match self.quorum.try_commit(proposal, has_majority) {
            Outcome::Committed(offset) => {
                self.trace.record(self.now, format_args!("metadata batch {offset}"));
                let Some((offset, records)) = self.quorum.committed(offset, 1).pop() else { return Ok(()) };
                if !is_same_run {
                    return Ok(());
                }
                self.act(node, |process, at, out| process.committed(at, term, offset, records, out))
            }
            Outcome::Waiting => {
                let again = Event::Commit { node, run, term, proposal };
                self.queue.schedule(self.now.plus_ms(COMMIT_RETRY_MS), again);
                Ok(())
            }
            Outcome::Unknown => self.deposed(node, term),
        }
    }
}
