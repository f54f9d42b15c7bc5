//! A member of the group: joins, shares the topic's partitions out if it leads, and commits ever higher offsets of its
//! own, from what is committed on. It reads nothing: only the coordinator is tried. No I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_broker_coordinator::{Generation, JoinError, Joined, MemberId};
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicName, TopicPartition};

use crate::group_message::{GroupRefusal, GroupReply, GroupRequest};
use crate::message::{CallId, Reply, Request};
use crate::net::Endpoint;
use crate::node::offsets_partition;
use crate::rng::Rng;

const RETRY_MIN_MS: u64 = 10;
const RETRY_MAX_MS: u64 = 60;
const PAUSE_MAX_MS: u64 = 60;
/// A step of several offsets, as consumers commit after batches.
const STEP_MAX: u64 = 5;
/// Of 1000 turns, in how many a member forgets who it is: the group rebalances without it.
const FORGET_PERMILLE: u64 = 3;
/// Of 1000 turns, in how many it sends a heartbeat; in the others it commits.
const HEARTBEAT_PERMILLE: u64 = 300;

/// What the judges of groups learn from a member.
#[derive(Clone, Debug)]
pub enum MemberSaw {
    /// It owns a partition in a generation.
    Owns(Generation, TopicPartition),
    /// The coordinator of `LeaderEpoch` committed an offset.
    Committed(LeaderEpoch, TopicPartition, Offset),
    /// A fetch was sent for a partition's offset.
    FetchSent(TopicPartition),
    /// The coordinator of `LeaderEpoch` answered the fetch that was sent last.
    Fetched(LeaderEpoch, TopicPartition, Option<Offset>),
}

/// What a member wants done.
#[derive(Debug, Default)]
pub struct MemberOut {
    /// To be sent, in this order.
    pub calls: Vec<(NodeId, CallId, Request)>,
    /// Alarms, in milliseconds from now.
    pub timers: Vec<u64>,
    /// For the judges.
    pub saw: Vec<MemberSaw>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Coordinator,
    Join,
    Sync,
    Heartbeat,
    Commit(TopicPartition, Offset),
    Fetch(TopicPartition),
}

#[derive(Debug)]
enum Phase {
    Outside,
    Joined(BTreeMap<MemberId, Bytes>),
    /// Where the member is in each partition it owns; `None` until it has asked what is committed.
    Owner(BTreeMap<TopicPartition, Option<Offset>>),
}

/// A member of the group; one call is under way at a time.
#[derive(Debug)]
pub struct Member {
    id: u32,
    rng: Rng,
    nodes: Vec<NodeId>,
    topic: TopicName,
    partition_count: i32,
    coordinator: Option<NodeId>,
    identity: Option<MemberId>,
    generation: Generation,
    phase: Phase,
    call: Option<(u64, Wanted)>,
    next_call: u64,
    is_stopped: bool,
    heartbeats_since_stop: u32,
}

impl Member {
    /// A member that has not joined yet, of a group that reads `partition_count` partitions of `topic`.
    pub fn new(id: u32, rng: Rng, nodes: Vec<NodeId>, topic: TopicName, partition_count: i32) -> Member {
        Member {
            id,
            rng,
            nodes,
            topic,
            partition_count,
            coordinator: None,
            identity: None,
            generation: Generation::default(),
            phase: Phase::Outside,
            call: None,
            next_call: 0,
            is_stopped: false,
            heartbeats_since_stop: 0,
        }
    }

    /// Commits nothing from now on, but stays.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// The partitions that it owns; `None` unless it is at home in the group and was heard of since it stopped.
    pub fn owned(&self) -> Option<Vec<TopicPartition>> {
        match &self.phase {
            Phase::Owner(owned) if self.heartbeats_since_stop > 0 => Some(owned.keys().cloned().collect()),
            _ => None,
        }
    }

    /// The alarm went off: the next step is due.
    pub fn timer(&mut self, out: &mut MemberOut) {
        if self.call.is_some() {
            return;
        }
        let Some(coordinator) = self.coordinator else {
            if let Some(node) = self.rng.pick(&self.nodes).copied() {
                self.call(node, Request::Leaders, Wanted::Coordinator, out);
            }
            return;
        };
        if !self.is_stopped && self.rng.chance(FORGET_PERMILLE) {
            (self.identity, self.phase) = (None, Phase::Outside);
        }
        let (request, wanted) = self.step();
        match (&wanted, &mut self.phase) {
            (Wanted::Fetch(at), _) => out.saw.push(MemberSaw::FetchSent(at.clone())),
            // Whether it is taken may never be known, so the next commit is higher in any case.
            (Wanted::Commit(at, next), Phase::Owner(owned)) => {
                owned.insert(at.clone(), Some(*next));
            }
            _ => {}
        }
        self.call(coordinator, Request::Group(request), wanted, out);
    }

    fn step(&mut self) -> (GroupRequest, Wanted) {
        let Some(identity) = self.identity.clone() else {
            return (GroupRequest::Join(None), Wanted::Join);
        };
        match &self.phase {
            Phase::Outside => (GroupRequest::Join(Some(identity)), Wanted::Join),
            Phase::Joined(assignments) => {
                (GroupRequest::Sync(identity, self.generation, assignments.clone()), Wanted::Sync)
            }
            Phase::Owner(owned) => {
                let beats = self.is_stopped || self.rng.chance(HEARTBEAT_PERMILLE);
                let owned: Vec<_> = owned.iter().collect();
                match self.rng.pick(&owned).filter(|_| !beats) {
                    None => (GroupRequest::Heartbeat(identity, self.generation), Wanted::Heartbeat),
                    Some((at, None)) => (GroupRequest::Fetch((*at).clone()), Wanted::Fetch((*at).clone())),
                    Some((at, Some(reached))) => {
                        let at = (*at).clone();
                        let next = reached.plus(self.rng.between(1, STEP_MAX) as i64);
                        let request = GroupRequest::Commit(identity, self.generation, at.clone(), next);
                        (request, Wanted::Commit(at, next))
                    }
                }
            }
        }
    }

    fn call(&mut self, to: NodeId, request: Request, wanted: Wanted, out: &mut MemberOut) {
        let number = self.next_call;
        self.next_call += 1;
        self.call = Some((number, wanted));
        out.calls.push((
            to,
            CallId { caller: Endpoint::Member(self.id), run: 0, number, connection: None },
            request,
        ));
    }

    /// An answer arrived, or (`None`) its deadline passed.
    pub fn reply(&mut self, number: u64, reply: Option<Reply>, out: &mut MemberOut) {
        let Some((_, wanted)) = self.call.take_if(|(open, _)| *open == number) else { return };
        let pause = match (wanted, reply) {
            (Wanted::Coordinator, Some(Reply::Leaders(leaders))) => {
                let led = leaders.into_iter().find(|(partition, ..)| *partition == offsets_partition());
                self.coordinator = led.and_then(|(_, leader, _)| leader);
                self.rng.between(RETRY_MIN_MS, RETRY_MAX_MS)
            }
            (wanted, Some(Reply::Group(Ok(reply)))) => {
                self.answered(wanted, reply, out);
                self.rng.below(PAUSE_MAX_MS)
            }
            (_, Some(Reply::Group(Err(refusal)))) => {
                self.refused(refusal);
                self.rng.between(RETRY_MIN_MS, RETRY_MAX_MS)
            }
            // Nobody answers.
            _ => {
                self.coordinator = None;
                self.rng.between(RETRY_MIN_MS, RETRY_MAX_MS)
            }
        };
        out.timers.push(pause);
    }

    fn answered(&mut self, wanted: Wanted, reply: GroupReply, out: &mut MemberOut) {
        match (wanted, reply) {
            (Wanted::Join, GroupReply::Joined(Ok(joined))) => self.joined(&joined),
            (Wanted::Join, GroupReply::Joined(Err(refused))) => self.refused(match refused.error {
                JoinError::Member(error) => error.into(),
                JoinError::AskedAgain => GroupRefusal::Rejoin,
                _ => GroupRefusal::NotHere,
            }),
            (Wanted::Sync, GroupReply::Synced(Err(error))) => self.refused(error.into()),
            (Wanted::Sync, GroupReply::Synced(Ok(synced))) => {
                let at = |index: &u8| TopicPartition {
                    topic: self.topic.clone(),
                    partition: PartitionIndex(i32::from(*index)),
                };
                let owned: BTreeMap<_, _> = synced.assignment.iter().map(|index| (at(index), None)).collect();
                out.saw.extend(owned.keys().map(|at| MemberSaw::Owns(self.generation, at.clone())));
                self.phase = Phase::Owner(owned);
            }
            (Wanted::Heartbeat, GroupReply::Alive) if self.is_stopped => self.heartbeats_since_stop += 1,
            (Wanted::Commit(at, offset), GroupReply::Committed(epoch)) => {
                out.saw.push(MemberSaw::Committed(epoch, at, offset));
            }
            (Wanted::Fetch(at), GroupReply::Fetched(epoch, offset)) => {
                out.saw.push(MemberSaw::Fetched(epoch, at.clone(), offset));
                if let Phase::Owner(owned) = &mut self.phase {
                    owned.insert(at, Some(offset.unwrap_or_default()));
                }
            }
            _ => {}
        }
    }

    fn joined(&mut self, joined: &Joined) {
        self.identity = Some(joined.member.clone());
        self.generation = joined.generation;
        let mut assignments: BTreeMap<MemberId, Vec<u8>> = BTreeMap::new();
        for (index, member) in (0..self.partition_count).zip(joined.members.iter().cycle()) {
            assignments.entry(member.member.clone()).or_default().push(index as u8);
        }
        self.phase = Phase::Joined(assignments.into_iter().map(|(id, owned)| (id, owned.into())).collect());
    }

    fn refused(&mut self, refusal: GroupRefusal) {
        match refusal {
            GroupRefusal::NotAMember => (self.identity, self.phase) = (None, Phase::Outside),
            GroupRefusal::Rejoin => self.phase = Phase::Outside,
            GroupRefusal::NotHere => self.coordinator = None,
        }
    }
}
