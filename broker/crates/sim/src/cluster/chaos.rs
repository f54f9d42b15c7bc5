//! Carrying out faults. A fault that would break what Kafka promises only within bounds is left out: power is cut of a
//! single node, while another replica in sync holds what it loses, and nothing else is killed until all are in sync again,
//! as acknowledged records are promised to survive fewer than `min.insync.replicas` lost machines. I/O on the simulated
//! disks only.

use ottla_broker_metadata::Partition;
use ottla_broker_types::{NodeId, PartitionIndex};

use super::event::Event;
use super::state::World;
use crate::faults::{Fault, draw};
use crate::invariants::Violation;
use crate::net::Endpoint;
use crate::node::MIN_ISR;

/// Replicas that a partition is moved to at most.
const REPLICAS_MAX: usize = 4;

impl World {
    pub(crate) fn chaos(&mut self) -> Result<(), Violation> {
        if self.now >= self.faults_end {
            return Ok(());
        }
        let planned = draw(&mut self.chaos_rng, self.setup.nodes.len());
        self.queue.schedule(self.now.plus_ms(planned.next_ms), Event::Chaos);
        let node = self.setup.nodes[planned.node];
        let until = self.now.plus_ms(planned.lasts_ms);
        if self.lossy.is_some() && self.is_whole() {
            self.lossy = None;
        }
        self.trace.record(self.now, format_args!("fault {:?} {node} {}", planned.fault, planned.lasts_ms));
        match planned.fault {
            Fault::Kill if self.lossy.is_none_or(|lossy| lossy == node) => {
                self.kill(node, true);
                self.queue.schedule(until, Event::Start(node));
            }
            Fault::CutPower if self.may_lose(node) => {
                self.kill(node, false);
                let seed = self.disk_rng.next_u64();
                self.machines[&node].disk.crash(seed);
                self.lossy = Some(node);
                self.queue.schedule(until, Event::Start(node));
            }
            Fault::Kill | Fault::CutPower => {}
            Fault::Stop => self.act(node, |process, at, _| process.leave(at))?,
            Fault::Pause if self.is_running(node) => {
                if let Some(machine) = self.machines.get_mut(&node) {
                    machine.held = Some(Vec::new());
                }
                self.queue.schedule(until, Event::Resume(node));
            }
            Fault::Pause => {}
            Fault::Isolate => {
                self.cut(node, (true, true), 1000);
                self.queue.schedule(until, Event::Reconnect);
            }
            Fault::Mute => {
                self.cut(node, (true, false), 600);
                self.queue.schedule(until, Event::Reconnect);
            }
            Fault::Deafen => {
                self.cut(node, (false, true), 600);
                self.queue.schedule(until, Event::Reconnect);
            }
            Fault::Disconnect => self.break_connections(node, false, true),
            Fault::Reassign => self.reassign()?,
        }
        Ok(())
    }

    /// Ends a node's process; `is_told` says whether its machine lives on to tell those who are connected.
    fn kill(&mut self, node: NodeId, is_told: bool) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.process = None;
            machine.held = None;
            machine.disk.kill();
        }
        self.break_connections(node, true, is_told);
    }

    /// Cuts the node off from some others.
    fn cut(&mut self, node: NodeId, (from_it, to_it): (bool, bool), permille: u64) {
        let nodes = self.setup.nodes.iter().map(|other| Endpoint::Node(*other));
        let clients = (0..self.clients.len() as u32).map(Endpoint::Client);
        let this = Endpoint::Node(node);
        let members = (0..self.members.len() as u32).map(Endpoint::Member);
        let others: Vec<Endpoint> =
            nodes.chain(clients).chain(members).filter(|other| *other != this).collect();
        for other in others {
            if self.chaos_rng.chance(permille) {
                if from_it {
                    self.net.cut(this, other);
                }
                if to_it {
                    self.net.cut(other, this);
                }
            }
        }
    }

    fn reassign(&mut self) -> Result<(), Violation> {
        let partition = PartitionIndex(self.chaos_rng.below(self.setup.partitions as u64) as i32);
        let mut nodes = self.setup.nodes.clone();
        let mut target = Vec::new();
        let count = self.chaos_rng.between(MIN_ISR as u64, nodes.len().min(REPLICAS_MAX) as u64);
        for _ in 0..count {
            let at = self.chaos_rng.below(nodes.len() as u64) as usize;
            target.push(nodes.remove(at));
        }
        let (Some(leader), _) = self.quorum.leader() else { return Ok(()) };
        if !self.is_running(leader) {
            return Ok(());
        }
        self.act(leader, |process, at, out| process.reassign(at, partition, target, out))
    }

    /// Whether what `node` loses is held by another replica in sync that runs.
    fn may_lose(&self, node: NodeId) -> bool {
        let image = self.quorum.truth();
        let is_held = |partition: &Partition| {
            let counts = partition.isr.contains(&node) || partition.elr.contains(&node);
            !counts || partition.isr.iter().any(|other| *other != node && self.serves(*other))
        };
        self.lossy.is_none() && image.partitions().all(|(_, _, partition)| is_held(partition))
    }

    /// Whether a node runs and is in service. One that started again counts only from its own registration on: until then
    /// the image speaks of the run before it, and of what that run held.
    fn serves(&self, node: NodeId) -> bool {
        let image = self.quorum.truth();
        let process = self.machines.get(&node).and_then(|machine| machine.process.as_ref());
        let epoch = process.and_then(|process| process.membership.epoch());
        self.is_running(node)
            && epoch.is_some()
            && image.broker(node).map(|broker| broker.epoch) == epoch
            && image.is_active(node)
    }

    /// Whether all nodes serve and every replica is in sync.
    fn is_whole(&self) -> bool {
        let image = self.quorum.truth();
        self.setup.nodes.iter().all(|node| self.serves(*node))
            && image.partitions().all(|(_, _, partition)| {
                partition.isr.len() == partition.replicas.len() && !partition.is_reassigning()
            })
    }

    pub(crate) fn resume(&mut self, node: NodeId) {
        let held = self.machines.get_mut(&node).and_then(|machine| machine.held.take());
        for event in held.unwrap_or_default() {
            self.queue.schedule(self.now, event);
        }
    }

    /// The faults end: everything runs and is connected.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.net.heal();
        for node in self.setup.nodes.clone() {
            self.resume(node);
            self.start(node)?;
        }
        Ok(())
    }
}
