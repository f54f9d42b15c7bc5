//! One run: from a seed to a verdict. I/O on the simulated disks only.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ottla_broker_metadata::Image;
use ottla_broker_types::TopicPartition;

use super::event::Event;
use super::state::World;
use crate::invariants::{
    HealedReplica, Violation, check_group, check_healed, check_reader, panicked, unanswered,
};
use crate::net::Endpoint;
use crate::node::offsets_partition;
use crate::rng::Rng;
use crate::scenario::{AFTERMATH_MS, CALM_MS, HEAL_MS, Scenario};

/// Events of the longest run, many times over: a run that never ends is a bug of the simulator.
const EVENTS_MAX: u64 = 20_000_000;

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Digest of all events: equal for equal runs.
    pub digest: u64,
    /// Events played, the same for the same seed.
    pub event_count: u64,
    /// Count of acknowledged records.
    pub acked_count: usize,
    /// Count of acknowledged commits of offsets.
    pub committed_count: usize,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
    /// What was found.
    pub outcome: Outcome,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All invariants held.
    Clean,
    /// One did not.
    Violated(Violation),
}

/// Runs a seed; `print` shows every event on standard error.
pub fn simulate(seed: u64, print: bool) -> Finished {
    play(seed, print, World::run)
}

/// Runs a world of `seed` by `run`. A panic ends the run as a violation, so that its seed is told like any other.
fn play(seed: u64, print: bool, run: impl FnOnce(&mut World) -> Result<(), Violation>) -> Finished {
    let rng = Rng::new(seed);
    let mut world = World::new(&rng, Scenario::new(&rng), print);
    world.trace.record(world.now, format_args!("seed {seed}"));
    // After a panic only counters of the world are looked at.
    let ended = catch_unwind(AssertUnwindSafe(|| run(&mut world)));
    let outcome = match ended.unwrap_or_else(|payload| Err(panicked(&*payload))) {
        Ok(()) => Outcome::Clean,
        Err(violation) => Outcome::Violated(violation),
    };
    Finished {
        digest: world.trace.digest(),
        event_count: world.trace.event_count(),
        acked_count: world.judge.acked_count(),
        committed_count: world.judge.committed_count(),
        simulated_ms: world.now.millis(),
        outcome,
    }
}

impl World {
    fn run(&mut self) -> Result<(), Violation> {
        for node in self.setup.nodes.clone() {
            self.start(node)?;
        }
        let heal = self.faults_end;
        let stop_clients = heal.plus_ms(AFTERMATH_MS);
        self.queue.schedule(self.now, Event::QuorumTick);
        self.queue.schedule(self.now.plus_ms(CALM_MS), Event::Chaos);
        self.queue.schedule(heal, Event::Heal);
        self.queue.schedule(stop_clients, Event::StopClients);
        self.queue.schedule(stop_clients.plus_ms(HEAL_MS), Event::End);
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            if matches!(event, Event::End) {
                return self.verdict();
            }
            assert!(self.trace.event_count() < EVENTS_MAX, "a run that does not end");
            self.happen(event)?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(machine) = event.node().and_then(|node| self.machines.get_mut(&node))
            && let Some(held) = &mut machine.held
        {
            held.push(event);
            return Ok(());
        }
        self.trace.record(self.now, format_args!("{}", event.label()));
        let runs = |world: &World, node, run| world.machines.get(&node).is_some_and(|m| m.run == run);
        match event {
            Event::Arrive { to, message } => self.arrive(to, message),
            Event::Timer { node, run, timer } if runs(self, node, run) => {
                self.act(node, |process, at, out| process.timer(at, timer, out))
            }
            Event::ClientTimer { client, timer } => {
                self.client_act(client, |client, out| client.timer(timer, out))
            }
            Event::Deadline { caller: Endpoint::Node(node), run, number } if runs(self, node, run) => {
                self.act(node, |process, at, out| process.reply(at, number, None, out))
            }
            Event::Deadline { caller: Endpoint::Client(client), number, .. } => {
                self.client_reply(client, number, None)
            }
            Event::Deadline { caller: Endpoint::Member(member), number, .. } => {
                self.member_act(member, |member, out| member.reply(number, None, out))
            }
            Event::Disconnected { client, node, connection } => self.client_act(client, |client, _| {
                client.disconnected(node, connection);
            }),
            Event::FoundDead(node) => self.found_dead(node),
            Event::MemberTimer(member) => self.member_act(member, |member, out| member.timer(out)),
            Event::Commit { node, run, term, proposal } => self.commit(node, run, term, proposal),
            Event::Deposed { node, run, term } if runs(self, node, run) => self.deposed(node, term),
            Event::Timer { .. } | Event::Deadline { .. } | Event::Deposed { .. } => Ok(()),
            Event::QuorumTick => self.quorum_tick(),
            Event::Chaos => self.chaos(),
            Event::Start(node) => self.start(node),
            Event::Resume(node) => {
                self.resume(node);
                Ok(())
            }
            Event::Reconnect => {
                self.net.reconnect();
                Ok(())
            }
            Event::Heal => self.heal(),
            Event::StopClients => {
                self.clients.iter_mut().for_each(crate::client::Client::stop);
                self.members.iter_mut().for_each(crate::member::Member::stop);
                Ok(())
            }
            Event::End => Ok(()),
        }
    }

    fn verdict(&mut self) -> Result<(), Violation> {
        let pending: Vec<u64> = self.clients.iter().flat_map(crate::client::Client::pending).collect();
        unanswered(&pending)?;
        let truth = self.quorum.truth().clone();
        if truth.topic_count() == 0 {
            return Err(Violation::new("liveness", "the topic was never created".to_owned()));
        }
        for (topic, index, partition) in truth.partitions() {
            let id = TopicPartition { topic: topic.name.clone(), partition: index };
            let mut healed = Vec::new();
            for node in &partition.replicas {
                let process = self.machines.get(node).and_then(|machine| machine.process.as_ref());
                let Some(replica) = process.and_then(|process| process.replica(&id)) else { continue };
                if partition.leader == Some(*node) {
                    self.judge.ended(*node, replica)?;
                    for client in &self.clients {
                        check_reader(&id, client.read_next(&id), replica.log().log_end())?;
                    }
                }
                healed.push(HealedReplica {
                    partition: id.clone(),
                    node: *node,
                    isr: replica.isr().cloned(),
                    high_watermark: replica.high_watermark(),
                    log_end: replica.log().log_end(),
                });
            }
            check_healed(&healed, partition.replicas.len())?;
        }
        self.group_verdict(&truth)
    }

    /// The group after the time to heal.
    fn group_verdict(&self, truth: &Image) -> Result<(), Violation> {
        let offsets = offsets_partition();
        let mut partitions = Vec::new();
        for (topic, index, partition) in truth.partitions() {
            let id = TopicPartition { topic: topic.name.clone(), partition: index };
            if id != offsets {
                partitions.push(id);
                continue;
            }
            let machine = partition.leader.and_then(|leader| self.machines.get(&leader));
            let process = machine.and_then(|machine| machine.process.as_ref());
            let Some(held) = process.and_then(|process| process.group_offsets()) else {
                return Err(Violation::new("liveness", "nobody coordinates the group".to_owned()));
            };
            self.judge.coordinates(&held)?;
        }
        let owned: Vec<_> = self.members.iter().map(crate::member::Member::owned).collect();
        check_group(&owned, &partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_violation_of_its_seed_and_keeps_what_was_counted() {
        let finished = play(5, false, |world| {
            world.trace.record(world.now, format_args!("before it"));
            panic!("planted: {}", 7)
        });
        let Outcome::Violated(violation) = finished.outcome else { panic!("{:?}", finished.outcome) };
        assert_eq!(violation.to_string(), "no_panic: planted: 7");
        assert_eq!(finished.event_count, 2);
    }
}
