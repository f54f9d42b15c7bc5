//! The world: nodes, clients, network, quorum and judge, and how one event changes it.
//! I/O on the simulated disks only.

use std::collections::BTreeMap;
use std::rc::Rc;

use ottla_broker_log::SimDisk;
use ottla_broker_node::Heartbeats;
use ottla_broker_replication::Became;
use ottla_broker_types::{NodeId, PartitionIndex, TopicName, TopicPartition};

use super::event::Event;
use crate::client::{Client, ClientOut, Habits, Seen};
use crate::invariants::Violation;
use crate::judge::Judge;
use crate::member::{Member, MemberOut};
use crate::message::{CallId, Message, Reply, Request};
use crate::net::{Connection, Endpoint, Net};
use crate::node::{LEASE, Out, Process, Setup};
use crate::queue::{EventQueue, SimTime};
use crate::quorum::Quorum;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// A call without an answer after this long has failed for its caller.
const CALL_DEADLINE_MS: u64 = 1_200;
/// Time for a batch of the metadata log to be written and acknowledged by a majority.
const COMMIT_MIN_US: u64 = 500;
const COMMIT_MAX_US: u64 = 6_000;

/// How long a client takes to learn that a connection is lost.
const NOTICE_MAX_MS: u64 = 20;

/// How long the active controller takes to find out that a process has ended.
const FOUND_DEAD_MAX_MS: u64 = 60;

/// How long a node that stopped in order stays down.
const DOWN_MIN_MS: u64 = 10;
const DOWN_MAX_MS: u64 = 2_000;

/// The connection on which a call and its answer go.
fn connection_of(from: Endpoint, to: Endpoint, id: CallId) -> Option<Connection> {
    let node = if from == id.caller { to } else { from };
    id.connection.map(|number| (id.caller, node, number))
}

/// A node of the cluster: its disk stays when its process dies.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) process: Option<Process>,
    pub(crate) run: u32,
    /// What happens to a process that stands still: kept until it goes on.
    pub(crate) held: Option<Vec<Event>>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: SimTime,
    pub(crate) queue: EventQueue<Event>,
    pub(crate) trace: Trace,
    pub(crate) setup: Rc<Setup>,
    pub(crate) net: Net,
    pub(crate) quorum: Quorum,
    pub(crate) machines: BTreeMap<NodeId, Machine>,
    pub(crate) clients: Vec<Client>,
    pub(crate) members: Vec<Member>,
    pub(crate) judge: Judge,
    pub(crate) chaos_rng: Rng,
    pub(crate) quorum_rng: Rng,
    pub(crate) disk_rng: Rng,
    /// How each client produces.
    pub(crate) habits: Vec<Habits>,
    /// Faults go on until then.
    pub(crate) faults_end: SimTime,
    /// A node that lost power and may lack what was acknowledged, until it is in sync everywhere.
    pub(crate) lossy: Option<NodeId>,
    /// Since when the quorum has had no working leader, and how long it waits.
    pub(crate) leaderless: Option<(SimTime, u64)>,
}

impl World {
    pub(crate) fn new(rng: &Rng, scenario: Scenario, print: bool) -> World {
        let setup = Rc::new(scenario.setup);
        let mut disk_rng = rng.split("disk");
        let machine = |disk_rng: &mut Rng| Machine {
            disk: SimDisk::new(disk_rng.next_u64()),
            process: None,
            run: 0,
            held: None,
        };
        let machines = setup.nodes.iter().map(|node| (*node, machine(&mut disk_rng))).collect();
        let mut world = World {
            now: SimTime::default(),
            queue: EventQueue::default(),
            trace: Trace::new(print),
            net: Net::new(rng.split("net"), scenario.net),
            quorum: Quorum::new(rng.split("quorum"), setup.voters.clone()),
            machines,
            clients: Vec::new(),
            members: Vec::new(),
            judge: Judge::default(),
            chaos_rng: rng.split("chaos"),
            quorum_rng: rng.split("elections"),
            disk_rng,
            habits: scenario.habits,
            faults_end: SimTime::default().plus_ms(crate::scenario::CALM_MS + scenario.faults_ms),
            lossy: None,
            leaderless: None,
            setup,
        };
        world.add_clients(rng);
        world.add_members(rng, scenario.member_count);
        world
    }

    fn add_clients(&mut self, rng: &Rng) {
        let topic = TopicName::new(crate::node::TOPIC).expect("a valid name");
        let partitions: Vec<TopicPartition> = (0..self.setup.partitions)
            .map(|index| TopicPartition { topic: topic.clone(), partition: PartitionIndex(index) })
            .collect();
        for (id, habits) in (0..).zip(self.habits.clone()) {
            let mut out = ClientOut::default();
            let client_rng = rng.split(&format!("client {id}"));
            let nodes = self.setup.nodes.clone();
            let client = Client::new(id, client_rng, habits, nodes, partitions.clone(), &mut out);
            self.clients.push(client);
            for (delay_ms, timer) in out.timers {
                let at = self.now.plus_ms(delay_ms + crate::scenario::CALM_MS / 2);
                self.queue.schedule(at, Event::ClientTimer { client: id, timer });
            }
        }
    }

    fn add_members(&mut self, rng: &Rng, count: u32) {
        let topic = TopicName::new(crate::node::TOPIC).expect("a valid name");
        for id in 0..count {
            let member_rng = rng.split(&format!("member {id}"));
            let (nodes, topic) = (self.setup.nodes.clone(), topic.clone());
            self.members.push(Member::new(id, member_rng, nodes, topic, self.setup.partitions));
            self.queue.schedule(self.now.plus_ms(crate::scenario::CALM_MS / 2), Event::MemberTimer(id));
        }
    }

    pub(crate) fn is_running(&self, node: NodeId) -> bool {
        self.machines.get(&node).is_some_and(|machine| machine.process.is_some() && machine.held.is_none())
    }

    /// Starts a node that is down.
    pub(crate) fn start(&mut self, node: NodeId) -> Result<(), Violation> {
        let Some(machine) = self.machines.get_mut(&node).filter(|machine| machine.process.is_none()) else {
            return Ok(());
        };
        machine.run += 1;
        machine.held = None;
        let mut out = Out::default();
        let process =
            Process::start(Rc::clone(&self.setup), node, machine.run, machine.disk.clone(), &mut out);
        machine.process = Some(process);
        self.judge.started(node);
        self.take(node, out)
    }

    /// Lets a node's process act, does what it wants, and shows its replicas to the judge.
    pub(crate) fn act(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Process, SimTime, &mut Out),
    ) -> Result<(), Violation> {
        let now = self.now;
        let process = self.machines.get_mut(&node).and_then(|machine| machine.process.as_mut());
        let Some(process) = process else { return Ok(()) };
        let mut out = Out::default();
        act(process, now, &mut out);
        self.take(node, out)
    }

    fn take(&mut self, node: NodeId, out: Out) -> Result<(), Violation> {
        self.show(node, &out)?;
        let Some(machine) = self.machines.get_mut(&node) else { return Ok(()) };
        let run = machine.run;
        if out.stopped {
            machine.process = None;
            machine.disk.kill();
            let down_ms = self.chaos_rng.between(DOWN_MIN_MS, DOWN_MAX_MS);
            self.queue.schedule(self.now.plus_ms(down_ms), Event::Start(node));
            self.break_connections(node, true, true);
        }
        for (delay_ms, timer) in out.timers {
            self.queue.schedule(self.now.plus_ms(delay_ms), Event::Timer { node, run, timer });
        }
        for (to, id, request) in out.calls {
            self.send_call(to, id, request);
        }
        for (id, reply) in out.replies {
            self.send(Endpoint::Node(node), id.caller, Message::Reply(id, reply));
        }
        for (term, records) in out.proposals {
            let proposal = self.quorum.propose(term, records);
            let delay = self.quorum_rng.between(COMMIT_MIN_US, COMMIT_MAX_US);
            self.queue.schedule(self.now.plus_us(delay), Event::Commit { node, run, term, proposal });
        }
        Ok(())
    }

    /// Shows a node's replicas to the judge.
    fn show(&mut self, node: NodeId, out: &Out) -> Result<(), Violation> {
        let process = self.machines.get(&node).and_then(|machine| machine.process.as_ref());
        let Some(process) = process else { return Ok(()) };
        for (partition, became) in &out.became {
            self.trace.record(self.now, format_args!("{node} {partition} {became:?}"));
            if let (Became::Leader { epoch, .. }, Some(replica)) = (became, process.replica(partition)) {
                self.judge.led(node, *epoch, replica)?;
            }
        }
        if let Some(loaded) = &out.loaded {
            self.trace.record(self.now, format_args!("{node} coordinates {loaded:?}"));
            self.judge.coordinates(loaded)?;
        }
        let hosted: Vec<_> = process.replicas().map(|replica| replica.log().topic_partition()).collect();
        self.judge.hosts(node, &hosted);
        for replica in process.replicas() {
            if self.judge.look_at(node, replica)? {
                let (partition, end) = (replica.log().topic_partition(), replica.high_watermark());
                self.trace.record(self.now, format_args!("{node} {partition} committed {end}"));
            }
        }
        Ok(())
    }

    fn send(&mut self, from: Endpoint, to: Endpoint, message: Message) {
        let connection = connection_of(from, to, message.id());
        if let Some(at) = self.net.route(self.now, from, to, message.may_come_late(), connection) {
            self.queue.schedule(at, Event::Arrive { to, message });
        }
    }

    /// Breaks the producers' connections to a node; `is_told` says whether the producers learn it soon.
    pub(crate) fn break_connections(&mut self, node: NodeId, has_ended: bool, is_told: bool) {
        if has_ended && is_told {
            let delay = self.chaos_rng.between(1, FOUND_DEAD_MAX_MS);
            self.queue.schedule(self.now.plus_ms(delay), Event::FoundDead(node));
        }
        for (client, _, connection) in self.net.break_connections(Endpoint::Node(node), has_ended) {
            let delay = self.chaos_rng.between(1, NOTICE_MAX_MS);
            if let (Endpoint::Client(client), true) = (client, is_told) {
                let event = Event::Disconnected { client, node, connection };
                self.queue.schedule(self.now.plus_ms(delay), event);
            }
        }
    }

    fn send_call(&mut self, to: NodeId, id: CallId, request: Request) {
        let deadline = Event::Deadline { caller: id.caller, run: id.run, number: id.number };
        let deadline_ms = match request {
            Request::Heartbeat(_) | Request::FetchMetadata(_) => Heartbeats::silence_max(LEASE).0,
            _ => CALL_DEADLINE_MS,
        };
        self.queue.schedule(self.now.plus_ms(deadline_ms), deadline);
        self.send(id.caller, Endpoint::Node(to), Message::Request(id, request));
    }

    /// A message arrives at someone who runs.
    pub(crate) fn arrive(&mut self, to: Endpoint, message: Message) -> Result<(), Violation> {
        let id = message.id();
        let node = if let Message::Request(..) = message { Some(to) } else { None };
        let is_lost = |node| connection_of(id.caller, node, id).is_some_and(|link| self.net.is_closed(link));
        if node.is_some_and(is_lost) {
            return Ok(());
        }
        match (to, message) {
            (Endpoint::Node(node), Message::Request(id, request)) => {
                self.act(node, |process, at, out| process.request(at, id, request, out))
            }
            (Endpoint::Node(node), Message::Reply(id, reply)) => {
                if self.machines.get(&node).is_some_and(|machine| machine.run == id.run) {
                    self.act(node, |process, at, out| process.reply(at, id.number, Some(reply), out))?;
                }
                Ok(())
            }
            (Endpoint::Client(client), Message::Reply(id, reply)) => {
                self.client_reply(client, id.number, Some(reply))
            }
            (Endpoint::Member(member), Message::Reply(id, reply)) => {
                self.member_act(member, |member, out| member.reply(id.number, Some(reply), out))
            }
            (Endpoint::Client(_) | Endpoint::Member(_), Message::Request(..)) => Ok(()),
        }
    }

    pub(crate) fn client_reply(
        &mut self,
        client: u32,
        number: u64,
        reply: Option<Reply>,
    ) -> Result<(), Violation> {
        self.client_act(client, |client, out| client.reply(number, reply, out))
    }

    pub(crate) fn client_act(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Client, &mut ClientOut),
    ) -> Result<(), Violation> {
        let Some(client) = self.clients.get_mut(id as usize) else { return Ok(()) };
        let mut out = ClientOut::default();
        act(client, &mut out);
        for (delay_ms, timer) in out.timers {
            self.queue.schedule(self.now.plus_ms(delay_ms), Event::ClientTimer { client: id, timer });
        }
        for (to, call, request) in out.calls {
            self.send_call(to, call, request);
        }
        for seen in out.seen {
            match seen {
                Seen::Acked { partition, epoch, base, values } => {
                    for (value, nth) in values.into_iter().zip(0..) {
                        self.judge.acked(&partition, epoch, base.plus(nth), value)?;
                    }
                }
                Seen::Implied(partition, values) => self.judge.implied(&partition, &values),
                Seen::Told(partition, told) => self.judge.told(id, &partition, told)?,
                Seen::Read(partition, record) => self.judge.read(&partition, record)?,
            }
        }
        Ok(())
    }

    pub(crate) fn member_act(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Member, &mut MemberOut),
    ) -> Result<(), Violation> {
        let Some(member) = self.members.get_mut(id as usize) else { return Ok(()) };
        let mut out = MemberOut::default();
        act(member, &mut out);
        for delay_ms in out.timers {
            self.queue.schedule(self.now.plus_ms(delay_ms), Event::MemberTimer(id));
        }
        // What was seen comes first: a question is judged by what was known before it.
        for saw in out.saw {
            self.judge.member_saw(id, &saw)?;
        }
        for (to, call, request) in out.calls {
            self.send_call(to, call, request);
        }
        Ok(())
    }
}
