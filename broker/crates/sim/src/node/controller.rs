//! The active controller: decides one request at a time on an image that has applied all earlier decisions.
//! No I/O.

use std::collections::VecDeque;

use ottla_broker_metadata::Record;
use ottla_broker_metadata::controller::{
    Context, Decision, HeartbeatRequest, NewTopic, ReassignmentItem, RegisterFacts, Seed, alter_partition,
    alter_partition_reassignments, bootstrap_records, create_topics, heartbeat, register_broker,
};
use ottla_broker_node::{Duties, Leases, Round};
use ottla_broker_types::{BrokerEpoch, DurationMs, NodeId, Offset, PartitionIndex};

use super::out::{Out, Timer};
use super::process::{Process, now_at};
use super::setup::{LEASE, MIN_ISR, OFFSETS_TOPIC, TOPIC};
use crate::message::{CallId, NotController, Reply, Request};
use crate::queue::SimTime;

const TICK_MS: u64 = 50;
/// Requests that wait for their turn; beyond it they are refused, and their senders ask again.
const JOBS_MAX: usize = 1_000;
/// How often leadership is given back to preferred replicas.
const RETURN_INTERVAL: DurationMs = DurationMs(3_000);
const BATCHES_MAX: usize = 50;

/// What is to be decided.
#[derive(Clone, Debug)]
enum Job {
    Ask(CallId, Request),
    Bootstrap,
    CreateTopics,
    Fence((NodeId, BrokerEpoch)),
    Round(Round),
    Reassign(PartitionIndex, Vec<NodeId>),
}

/// An answer that is due once its batch is committed.
#[derive(Clone, Debug)]
enum Due {
    Nobody,
    /// The node's epoch is the batch's offset.
    Registered(CallId, NodeId),
    Answer(CallId, Reply),
}

/// The memory of the active controller.
#[derive(Debug)]
pub(crate) struct Active {
    term: u64,
    leases: Leases,
    duties: Duties,
    jobs: VecDeque<Job>,
    /// A batch is under way; with the node whose leaderships it takes away, if it does.
    turn: Option<(Due, Option<NodeId>)>,
    committed: Vec<(Offset, Vec<Record>)>,
}

impl Process {
    /// This node leads the quorum in `term`; its image is handed all that is committed.
    pub fn begin_controller(
        &mut self,
        at: SimTime,
        term: u64,
        committed: Vec<(Offset, Vec<Record>)>,
        out: &mut Out,
    ) {
        self.apply(at, &committed, out);
        let now = now_at(at).mono;
        let is_registered = self.membership.epoch().is_some();
        let mut jobs = VecDeque::new();
        if self.image.features().next().is_none() {
            jobs.push_back(Job::Bootstrap);
        }
        self.active = Some(Active {
            term,
            leases: Leases::begin(self.id, LEASE, now, &self.image, is_registered),
            duties: Duties::new(Some(RETURN_INTERVAL), now),
            jobs,
            turn: None,
            committed,
        });
        self.membership.controller = self.id;
        self.membership.metadata_from = self.id;
        out.timers.push((0, Timer::Controller));
    }

    /// Another node leads by now.
    pub fn end_controller(&mut self, out: &mut Out) {
        let Some(active) = self.active.take() else { return };
        for job in active.jobs {
            if let Job::Ask(call, request) = job {
                out.replies.push((call, not_controller(&request)));
            }
        }
    }

    /// The term in which this node believes to lead.
    pub fn controller_term(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.term)
    }

    /// Moves a partition's replicas, if this node is the active controller.
    pub fn reassign(&mut self, at: SimTime, partition: PartitionIndex, target: Vec<NodeId>, out: &mut Out) {
        self.enqueue(Job::Reassign(partition, target));
        self.work(at, out);
    }

    pub(crate) fn answer_metadata(&mut self, call: CallId, from: Offset, out: &mut Out) {
        let Some(active) = &self.active else { return };
        let batches = active.committed.iter().filter(|(offset, _)| *offset >= from);
        out.replies.push((call, Reply::Metadata(Ok(batches.take(BATCHES_MAX).cloned().collect()))));
    }

    pub(crate) fn ask_controller(&mut self, at: SimTime, call: CallId, request: Request, out: &mut Out) {
        if self.active.is_none() {
            out.replies.push((call, not_controller(&request)));
            return;
        }
        if let Request::Heartbeat(heard) = &request
            && self.answer_heartbeat(at, call, heard, out)
        {
            return;
        }
        if !self.enqueue(Job::Ask(call, request.clone())) {
            out.replies.push((call, not_controller(&request)));
            return;
        }
        self.work(at, out);
    }

    /// Takes a heartbeat; one that changes nothing waits for no decision. Whether it is answered.
    fn answer_heartbeat(
        &mut self,
        at: SimTime,
        call: CallId,
        asked: &HeartbeatRequest,
        out: &mut Out,
    ) -> bool {
        let Some(active) = &mut self.active else { return false };
        active.leases.heartbeat(now_at(at).mono, &self.image, asked);
        let context = Context { image: &self.image, config: &self.setup.config };
        let facts = active.leases.heartbeat_facts(context.image, asked.broker);
        let reply = match heartbeat(context, asked, &facts) {
            Err(error) => Err(error),
            Ok(decision) if decision.records.is_empty() => Ok(decision.reply),
            Ok(_) => return false,
        };
        out.replies.push((call, Reply::Heartbeat(Ok(reply))));
        true
    }

    fn enqueue(&mut self, job: Job) -> bool {
        let Some(active) = self.active.as_mut().filter(|active| active.jobs.len() < JOBS_MAX) else {
            return false;
        };
        active.jobs.push_back(job);
        true
    }

    /// The connection to a node's process broke, and nobody listens there any more.
    pub fn found_dead(&mut self, at: SimTime, node: NodeId, out: &mut Out) {
        if let Some(active) = &mut self.active {
            active.leases.found_dead(node);
            self.fence_expired(at);
            self.work(at, out);
        }
    }

    fn fence_expired(&mut self, at: SimTime) {
        let Some(active) = &mut self.active else { return };
        let due = active.leases.to_fence(now_at(at).mono, &self.image);
        active.jobs.extend(due.into_iter().map(Job::Fence));
    }

    pub(crate) fn controller_due(&mut self, at: SimTime, out: &mut Out) {
        let Some(active) = &self.active else { return };
        out.timers.push((TICK_MS, Timer::Controller));
        // As the shipped duties, which wait for each decision before they look again.
        if active.jobs.iter().any(|job| !matches!(job, Job::Ask(..) | Job::Reassign(..))) {
            return;
        }
        self.fence_expired(at);
        let all_active = self.setup.nodes.iter().all(|node| self.image.is_active(*node));
        if all_active && self.image.topic(TOPIC).is_none() {
            self.enqueue(Job::CreateTopics);
        }
        let Some(active) = &mut self.active else { return };
        let due = active.duties.due(now_at(at).mono, &self.image);
        active.jobs.extend(due.into_iter().map(Job::Round));
        self.work(at, out);
    }

    /// The batch that this controller proposed in `term` is committed at `offset`.
    pub fn committed(&mut self, at: SimTime, term: u64, offset: Offset, records: Vec<Record>, out: &mut Out) {
        let batch = vec![(offset, records)];
        self.apply(at, &batch, out);
        let Some(active) = self.active.as_mut().filter(|active| active.term == term) else { return };
        active.committed.extend(batch);
        if let Some((due, handed_over)) = active.turn.take() {
            if let Some(node) = handed_over {
                active.leases.handed_over(node, offset.next());
            }
            match due {
                Due::Nobody => {}
                Due::Registered(call, node) => {
                    active.leases.heard(now_at(at).mono, node);
                    out.replies.push((call, Reply::Registered(Ok(Ok(BrokerEpoch(offset.get()))))));
                }
                Due::Answer(call, reply) => out.replies.push((call, reply)),
            }
        }
        self.work(at, out);
    }

    /// Decides until a decision has to wait for its batch.
    fn work(&mut self, at: SimTime, out: &mut Out) {
        while let Some(active) = &mut self.active {
            if active.turn.is_some() {
                return;
            }
            let Some(job) = active.jobs.pop_front() else { return };
            let leaving = match &job {
                Job::Ask(_, Request::Heartbeat(request)) if request.want_shut_down => Some(request.broker),
                _ => None,
            };
            let decision = self.decide(at, job);
            let Some(active) = &mut self.active else { return };
            if decision.records.is_empty() {
                if let Due::Answer(call, reply) = decision.reply {
                    out.replies.push((call, reply));
                }
                continue;
            }
            active.turn = Some((decision.reply, leaving));
            out.proposals.push((active.term, decision.records));
        }
    }

    fn decide(&mut self, at: SimTime, job: Job) -> Decision<Due> {
        let setup = std::rc::Rc::clone(&self.setup);
        let image = self.image.clone();
        let context = Context { image: &image, config: &setup.config };
        let nobody = |records| Decision { records, reply: Due::Nobody };
        match job {
            Job::Ask(call, request) => self.answer(at, context, call, request),
            Job::Bootstrap => nobody(bootstrap_records()),
            Job::CreateTopics if image.topic(TOPIC).is_some() => nobody(Vec::new()),
            Job::CreateTopics => {
                let topic = |name: &str, partitions| NewTopic {
                    name: name.to_owned(),
                    partitions: Some(partitions),
                    replication_factor: Some(setup.replication_factor),
                    configs: vec![("min.insync.replicas".to_owned(), Some(MIN_ISR.to_string()))],
                    ..NewTopic::default()
                };
                let topics = [topic(TOPIC, setup.partitions), topic(OFFSETS_TOPIC, 1)];
                nobody(create_topics(context, &topics, false, Seed(setup.partitions as u64)).records)
            }
            Job::Fence(node) => {
                let Some(active) = &mut self.active else { return nobody(Vec::new()) };
                nobody(active.leases.fence(now_at(at).mono, context, node).records)
            }
            Job::Round(round) => {
                let Some(active) = &mut self.active else { return nobody(Vec::new()) };
                nobody(active.duties.decide(now_at(at).mono, context, round).records)
            }
            Job::Reassign(partition, target) => {
                let item = ReassignmentItem { topic: TOPIC.into(), partition, target: Some(target) };
                let decided = alter_partition_reassignments(context, &[item], true);
                nobody(decided.map(|decision| decision.records).unwrap_or_default())
            }
        }
    }

    fn answer(&mut self, at: SimTime, context: Context<'_>, call: CallId, request: Request) -> Decision<Due> {
        let Some(active) = &mut self.active else { return Decision::reply(Due::Nobody) };
        let refused = |reply| Decision::reply(Due::Answer(call, reply));
        match request {
            Request::Register(request) => {
                let lease_held = active.leases.is_live(now_at(at).mono, request.broker);
                let cluster_id = self.setup.cluster_id.clone();
                let facts = RegisterFacts { cluster_id: &cluster_id, lease_held };
                match register_broker(context, &request, &facts) {
                    Ok(decision) => {
                        let reply = Due::Registered(call, request.broker);
                        Decision { records: decision.records, reply }
                    }
                    Err(error) => refused(Reply::Registered(Ok(Err(error)))),
                }
            }
            Request::Heartbeat(request) => {
                let facts = active.leases.heartbeat_facts(context.image, request.broker);
                match heartbeat(context, &request, &facts) {
                    Ok(decision) => {
                        let reply = Reply::Heartbeat(Ok(Ok(decision.reply)));
                        Decision { records: decision.records, reply: Due::Answer(call, reply) }
                    }
                    Err(error) => refused(Reply::Heartbeat(Ok(Err(error)))),
                }
            }
            Request::AlterPartition(request) => match alter_partition(context, &request) {
                Ok(decision) => {
                    let reply = Reply::AlterPartition(Ok(Ok(decision.reply)));
                    Decision { records: decision.records, reply: Due::Answer(call, reply) }
                }
                Err(error) => refused(Reply::AlterPartition(Ok(Err(error)))),
            },
            other => refused(not_controller(&other)),
        }
    }
}

fn not_controller(request: &Request) -> Reply {
    match request {
        Request::Register(_) => Reply::Registered(Err(NotController)),
        Request::Heartbeat(_) => Reply::Heartbeat(Err(NotController)),
        Request::AlterPartition(_) => Reply::AlterPartition(Err(NotController)),
        _ => Reply::Metadata(Err(NotController)),
    }
}
