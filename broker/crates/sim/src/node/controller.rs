//! The active controller: decides one request at a time on an image that has applied all earlier decisions.
//! No I/O.

use std::collections::{BTreeMap, VecDeque};

use ottla_broker_metadata::Record;
use ottla_broker_metadata::controller::{
    Context, Decision, HeartbeatFacts, NewTopic, ReassignmentItem, RegisterFacts, Seed, alter_partition,
    alter_partition_reassignments, bootstrap_records, create_topics, elect_leaderless, fence_broker,
    heartbeat, rebalance_leaders, register_broker,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{BrokerEpoch, NodeId, Offset, PartitionIndex};

use super::out::{Out, Timer};
use super::process::Process;
use super::setup::{MIN_ISR, OFFSETS_TOPIC, TOPIC};
use crate::message::{CallId, Reply, Request};
use crate::queue::SimTime;

const TICK_MS: u64 = 50;
const LEASE_MS: u64 = 500;
/// Requests that wait for their turn; beyond it they are refused, and their senders ask again.
const JOBS_MAX: usize = 1_000;
/// How often leadership is given back to preferred replicas.
const REBALANCE_MS: u64 = 3_000;
const BATCHES_MAX: usize = 50;

/// What is to be decided.
#[derive(Clone, Debug)]
enum Job {
    Ask(CallId, Request),
    Bootstrap,
    CreateTopics,
    Fence(NodeId),
    ElectLeaderless,
    Rebalance,
    Reassign(PartitionIndex, Vec<NodeId>),
}

/// An answer that is due once its batch is committed.
#[derive(Clone, Debug)]
enum Due {
    Nobody,
    /// The epoch is the batch's offset.
    Registered(CallId),
    Answer(CallId, Reply),
}

/// The memory of the active controller.
#[derive(Debug)]
pub(crate) struct Active {
    term: u64,
    heard: BTreeMap<NodeId, SimTime>,
    applied: BTreeMap<NodeId, Offset>,
    handed_over: BTreeMap<NodeId, Offset>,
    jobs: VecDeque<Job>,
    /// A batch is under way; with the node whose leaderships it takes away, if it does.
    turn: Option<(Due, Option<NodeId>)>,
    rebalance_at: SimTime,
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
        let heard = self.image.brokers().map(|broker| (broker.id, at)).collect();
        let mut jobs = VecDeque::new();
        if self.image.features().next().is_none() {
            jobs.push_back(Job::Bootstrap);
        }
        self.active = Some(Active {
            term,
            heard,
            applied: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            jobs,
            turn: None,
            rebalance_at: at.plus_ms(REBALANCE_MS),
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
        if !self.enqueue(Job::Ask(call, request.clone())) {
            out.replies.push((call, not_controller(&request)));
            return;
        }
        self.work(at, out);
    }

    fn enqueue(&mut self, job: Job) -> bool {
        let Some(active) = self.active.as_mut().filter(|active| active.jobs.len() < JOBS_MAX) else {
            return false;
        };
        active.jobs.push_back(job);
        true
    }

    pub(crate) fn controller_due(&mut self, at: SimTime, out: &mut Out) {
        let Some(active) = &mut self.active else { return };
        let expired: Vec<NodeId> = active
            .heard
            .iter()
            .filter(|(_, heard)| at > heard.plus_ms(LEASE_MS))
            .map(|(node, _)| *node)
            .filter(|node| self.image.broker(*node).is_some_and(|broker| !broker.fenced))
            .collect();
        let rebalance = at >= active.rebalance_at;
        if rebalance {
            active.rebalance_at = at.plus_ms(REBALANCE_MS);
        }
        for node in expired {
            self.enqueue(Job::Fence(node));
        }
        let all_active = self.setup.nodes.iter().all(|node| self.image.is_active(*node));
        if all_active && self.image.topic(TOPIC).is_none() {
            self.enqueue(Job::CreateTopics);
        }
        if self.image.partitions().any(|(_, _, partition)| partition.leader.is_none()) {
            self.enqueue(Job::ElectLeaderless);
        }
        if rebalance {
            self.enqueue(Job::Rebalance);
        }
        self.work(at, out);
        out.timers.push((TICK_MS, Timer::Controller));
    }

    /// The batch that this controller proposed in `term` is committed at `offset`.
    pub fn committed(&mut self, at: SimTime, term: u64, offset: Offset, records: Vec<Record>, out: &mut Out) {
        let batch = vec![(offset, records)];
        self.apply(at, &batch, out);
        let Some(active) = self.active.as_mut().filter(|active| active.term == term) else { return };
        active.committed.extend(batch);
        if let Some((due, handed_over)) = active.turn.take() {
            if let Some(node) = handed_over {
                active.handed_over.insert(node, offset.next());
            }
            match due {
                Due::Nobody => {}
                Due::Registered(call) => {
                    out.replies.push((call, Reply::Registered(Ok(BrokerEpoch(offset.get())))));
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
                let lease = self.active.as_ref().and_then(|active| active.heard.get(&node));
                let expired = lease.is_none_or(|heard| at > heard.plus_ms(LEASE_MS));
                let registered = image.broker(node).map(|broker| broker.epoch).filter(|_| expired);
                let fenced = registered.and_then(|epoch| fence_broker(context, node, epoch).ok());
                nobody(fenced.map(|decision| decision.records).unwrap_or_default())
            }
            Job::ElectLeaderless => nobody(elect_leaderless(context).records),
            Job::Rebalance => nobody(rebalance_leaders(context, JOBS_MAX).records),
            Job::Reassign(partition, target) => {
                let item = ReassignmentItem { topic: TOPIC.to_owned(), partition, target: Some(target) };
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
                let lease_held = active.heard.get(&request.broker).is_some_and(|heard| {
                    at <= heard.plus_ms(LEASE_MS)
                        && context.image.broker(request.broker).is_some_and(|b| !b.fenced)
                });
                let cluster_id = self.setup.cluster_id.clone();
                let facts = RegisterFacts { cluster_id: &cluster_id, lease_held };
                match register_broker(context, &request, &facts) {
                    Ok(decision) => {
                        active.heard.insert(request.broker, at);
                        Decision { records: decision.records, reply: Due::Registered(call) }
                    }
                    Err(error) => refused(Reply::Registered(Err(error.code))),
                }
            }
            Request::Heartbeat(request) => {
                let others = context.image.brokers().filter(|b| b.is_active() && b.id != request.broker);
                let applied = others.map(|b| active.applied.get(&b.id).copied().unwrap_or_default()).min();
                let facts = HeartbeatFacts {
                    handed_over_end: active.handed_over.get(&request.broker).copied(),
                    others_applied_end: applied,
                };
                match heartbeat(context, &request, &facts) {
                    Ok(decision) => {
                        active.heard.insert(request.broker, at);
                        active.applied.insert(request.broker, request.applied_end);
                        let reply = Reply::Heartbeat(Ok(decision.reply));
                        Decision { records: decision.records, reply: Due::Answer(call, reply) }
                    }
                    Err(error) => refused(Reply::Heartbeat(Err(error.code))),
                }
            }
            Request::AlterPartition(request) => match alter_partition(context, &request) {
                Ok(decision) => {
                    let reply = Reply::AlterPartition(Ok(decision.reply));
                    Decision { records: decision.records, reply: Due::Answer(call, reply) }
                }
                Err(error) => refused(Reply::AlterPartition(Err(error.code))),
            },
            other => refused(not_controller(&other)),
        }
    }
}

fn not_controller(request: &Request) -> Reply {
    let code = ErrorCode::NotController;
    match request {
        Request::Register(_) => Reply::Registered(Err(code)),
        Request::Heartbeat(_) => Reply::Heartbeat(Err(code)),
        Request::AlterPartition(_) => Reply::AlterPartition(Err(code)),
        _ => Reply::Metadata(Err(code)),
    }
}
