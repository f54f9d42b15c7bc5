//! A client: an idempotent producer with acks=all, with the ways of a real one, and a reader, on every partition. It
//! writes until it is stopped, and sends each batch until it is acknowledged. No I/O.

mod lane;

use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, TopicPartition};

pub use self::lane::Ways;
use self::lane::{Batch, Lane, Sent};
use crate::invariants::{StoredRecord, Told};
use crate::message::{CallId, Reply, Request};
use crate::net::Endpoint;
use crate::rng::Rng;

const RETRY_MIN_MS: u64 = 10;
const RETRY_MAX_MS: u64 = 60;
const THINK_MAX_MS: u64 = 40;
const READ_PAUSE_MS: u64 = 30;
const BATCH_RECORDS_MAX: u64 = 3;
/// Of 1000 turns in which nothing is under way, in how many a producer begins a new epoch, as after a message that timed
/// out before it was sent.
const BUMP_PERMILLE: u64 = 10;
/// Timestamp of all records.
const RECORD_TIME_MS: i64 = 1_700_000_000_000;

/// A client's alarms, by the partition's place in the client's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTimer {
    /// Send what is pending, or something new.
    Send(usize),
    /// Read the partition of this number on.
    Read(usize),
}

/// What a client saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// `values` are acknowledged from `base` on by the leader of `epoch`.
    Acked {
        /// To which they were sent.
        partition: TopicPartition,
        /// Epoch of the leader that answered.
        epoch: LeaderEpoch,
        /// Offset of the first value.
        base: Offset,
        /// One a record, in the order sent.
        values: Vec<u64>,
    },
    /// `values` must be in the log, as a later batch is: their own answer was lost.
    Implied(TopicPartition, Vec<u64>),
    /// A broker found fault with a batch's number or epoch.
    Told(TopicPartition, Told),
    /// A record was read.
    Read(TopicPartition, StoredRecord),
}

/// What a client wants done.
#[derive(Debug, Default)]
pub struct ClientOut {
    /// To be sent, in this order.
    pub calls: Vec<(NodeId, CallId, Request)>,
    /// Alarms, in milliseconds from now.
    pub timers: Vec<(u64, ClientTimer)>,
    /// What it saw.
    pub seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Leaders,
    Produce(usize),
    Read(usize),
}

/// How a client produces.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Whose ways it has.
    pub ways: Ways,
    /// Batches of a partition that may be under way.
    pub in_flight_max: usize,
}

/// A producer and reader.
#[derive(Debug)]
pub struct Client {
    id: u32,
    rng: Rng,
    habits: Habits,
    nodes: Vec<NodeId>,
    lanes: Vec<Lane>,
    calls: BTreeMap<u64, Wanted>,
    next_call: u64,
    next_value: u64,
    epoch: i16,
    /// It waits for all that is under way, to begin a new epoch.
    bumps: bool,
    connections: BTreeMap<NodeId, u32>,
    next_connection: u32,
    /// Counts what happens to it.
    step: u64,
    is_stopped: bool,
}

impl Client {
    /// A client of all `partitions`, with its first alarms.
    pub fn new(
        id: u32,
        rng: Rng,
        habits: Habits,
        nodes: Vec<NodeId>,
        partitions: Vec<TopicPartition>,
        out: &mut ClientOut,
    ) -> Client {
        for at in 0..partitions.len() {
            out.timers.extend([(0, ClientTimer::Send(at)), (0, ClientTimer::Read(at))]);
        }
        Client {
            id,
            rng,
            habits,
            nodes,
            lanes: partitions.into_iter().map(Lane::new).collect(),
            calls: BTreeMap::new(),
            next_call: 0,
            next_value: 0,
            epoch: 0,
            bumps: false,
            connections: BTreeMap::new(),
            next_connection: 0,
            step: 0,
            is_stopped: false,
        }
    }

    /// What is pending is still sent, and then one batch to every partition, the last one.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Values that are sent but not acknowledged.
    pub fn pending(&self) -> Vec<u64> {
        self.lanes.iter().flat_map(Lane::pending).collect()
    }

    /// The next offset that is read of a partition.
    pub fn read_next(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lanes.iter().find(|lane| lane.partition == *partition).map(|lane| lane.read_next)
    }

    /// An alarm went off.
    pub fn timer(&mut self, timer: ClientTimer, out: &mut ClientOut) {
        self.step += 1;
        match timer {
            ClientTimer::Send(at) => self.turn(at, out),
            ClientTimer::Read(at) => {
                let Lane { partition, leader, read_next, .. } = &self.lanes[at];
                match *leader {
                    Some(leader) => {
                        let request = Request::Read(partition.clone(), *read_next);
                        self.call(leader, None, request, Wanted::Read(at), out);
                    }
                    None => {
                        self.ask_leaders(out);
                        out.timers.push((READ_PAUSE_MS, timer));
                    }
                }
            }
        }
    }

    fn call(
        &mut self,
        to: NodeId,
        connection: Option<u32>,
        request: Request,
        wanted: Wanted,
        out: &mut ClientOut,
    ) -> u64 {
        let number = self.next_call;
        self.next_call += 1;
        self.calls.insert(number, wanted);
        let id = CallId { caller: Endpoint::Client(self.id), run: 0, number, connection };
        out.calls.push((to, id, request));
        number
    }

    fn ask_leaders(&mut self, out: &mut ClientOut) {
        if let Some(node) = self.rng.pick(&self.nodes).copied() {
            self.call(node, None, Request::Leaders, Wanted::Leaders, out);
        }
    }

    /// A lane's turn to write and to send; it has another one until it has nothing more to do.
    fn turn(&mut self, at: usize, out: &mut ClientOut) {
        self.write(at);
        self.begin_epoch();
        let lane = &mut self.lanes[at];
        let backs_off = std::mem::take(&mut lane.backs_off);
        if lane.leader.is_none() {
            self.ask_leaders(out);
        } else if !backs_off && !self.bumps && lane.follow_epoch(self.habits.ways, self.epoch) {
            self.send(at, out);
        }
        let lane = &self.lanes[at];
        if lane.said_last_word && lane.unanswered() == 0 {
            return;
        }
        let pause = match backs_off || lane.leader.is_none() {
            true => self.rng.between(RETRY_MIN_MS, RETRY_MAX_MS),
            false => self.rng.below(THINK_MAX_MS),
        };
        out.timers.push((pause, ClientTimer::Send(at)));
    }

    fn write(&mut self, at: usize) {
        let room = self.habits.in_flight_max.saturating_sub(self.lanes[at].unanswered());
        let count = self.rng.between(1, self.habits.in_flight_max as u64).min(room as u64);
        for _ in 0..count {
            if self.lanes[at].said_last_word {
                return;
            }
            self.lanes[at].said_last_word = self.is_stopped;
            let records = self.rng.between(1, BATCH_RECORDS_MAX);
            let values =
                (0..records).map(|nth| (u64::from(self.id) << 32) | (self.next_value + nth)).collect();
            self.next_value += records;
            self.lanes[at].write(values);
        }
    }

    /// Begins a new epoch if it is time.
    fn begin_epoch(&mut self) {
        let by_chance = self.rng.chance(BUMP_PERMILLE) && self.lanes.iter().all(Lane::is_clean);
        let is_drained = self.bumps && self.lanes.iter().all(|lane| lane.sent.is_empty());
        if by_chance || is_drained {
            self.epoch += 1;
            self.bumps = false;
        }
    }

    fn send(&mut self, at: usize, out: &mut ClientOut) {
        let Some(node) = self.lanes[at].leader else { return };
        while let Some(batch) = self.lanes[at].next(self.habits.ways, self.habits.in_flight_max) {
            let connection = *self.connections.entry(node).or_insert_with(|| {
                self.next_connection += 1;
                self.next_connection
            });
            let request = Request::Produce(self.lanes[at].partition.clone(), self.bytes(&batch));
            let call = self.call(node, Some(connection), request, Wanted::Produce(at), out);
            self.lanes[at].sent.push(Sent { batch, node, connection, call, step: self.step });
        }
    }

    fn bytes(&self, batch: &Batch) -> Vec<u8> {
        let (producer_epoch, base_sequence) = batch.stamp.expect("a batch is numbered before it is sent");
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: 1_000 + i64::from(self.id),
            producer_epoch,
            base_sequence,
            ..BatchOptions::default()
        });
        for value in &batch.values {
            builder.append(None, Some(&value.to_be_bytes()), RECORD_TIME_MS);
        }
        builder.build().expect("a few small records").to_vec()
    }

    /// An answer arrived, or (`None`) its deadline passed.
    pub fn reply(&mut self, number: u64, reply: Option<Reply>, out: &mut ClientOut) {
        self.step += 1;
        let Some(wanted) = self.calls.remove(&number) else { return };
        match (wanted, reply) {
            (Wanted::Leaders, Some(Reply::Leaders(leaders))) => {
                for (partition, leader, epoch) in leaders {
                    if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
                        lane.learn_leader(leader, epoch);
                    }
                }
            }
            (Wanted::Leaders, _) => {}
            (Wanted::Produce(at), Some(Reply::Produced(result))) => {
                if let Some(sent) = self.lanes[at].answered(number) {
                    match result {
                        Ok((base, epoch)) => self.acked(at, sent, base, epoch, out),
                        Err(code) => self.refused(at, sent, code, out),
                    }
                }
            }
            (Wanted::Produce(at), _) => {
                if let Some(sent) = self.lanes[at].answered(number) {
                    let (node, connection) = (sent.node, sent.connection);
                    self.unanswered(at, sent);
                    self.disconnected(node, connection);
                }
            }
            (Wanted::Read(at), reply) => {
                self.read(at, reply, out);
                out.timers.push((READ_PAUSE_MS, ClientTimer::Read(at)));
            }
        }
    }

    /// The connection is lost, and all answers with it.
    pub fn disconnected(&mut self, node: NodeId, connection: u32) {
        if self.connections.get(&node) == Some(&connection) {
            self.connections.remove(&node);
        }
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            let lost: Vec<u64> =
                lane.sent.iter().filter(|sent| sent.connection == connection).map(|sent| sent.call).collect();
            for call in lost {
                self.calls.remove(&call);
                if let Some(sent) = self.lanes[at].answered(call) {
                    self.unanswered(at, sent);
                }
            }
        }
    }

    fn unanswered(&mut self, at: usize, sent: Sent) {
        let lane = &mut self.lanes[at];
        lane.leader = None;
        lane.drains |= self.habits.ways == Ways::Librdkafka;
        lane.send_again(sent, None);
    }

    fn acked(&mut self, at: usize, sent: Sent, base: Offset, epoch: LeaderEpoch, out: &mut ClientOut) {
        let lane = &mut self.lanes[at];
        let partition = lane.partition.clone();
        if self.habits.ways == Ways::Librdkafka {
            let implied = lane.implied(sent.batch.id);
            if !implied.is_empty() {
                out.seen.push(Seen::Implied(partition.clone(), implied));
            }
        }
        out.seen.push(Seen::Acked { partition, epoch, base, values: sent.batch.values });
    }

    fn refused(&mut self, at: usize, sent: Sent, code: ErrorCode, out: &mut ClientOut) {
        let ways = self.habits.ways;
        let lane = &mut self.lanes[at];
        let is_first = lane.first_unanswered().is_none_or(|first| sent.batch.id < first);
        if code.is_retriable() {
            lane.leader = None;
            lane.drains |= ways == Ways::Librdkafka;
            lane.send_again(sent, Some(self.step));
            return;
        }
        let told = Told {
            code,
            is_one_at_a_time: self.habits.in_flight_max == 1,
            is_first,
            is_after_trouble: lane.is_after_trouble(&sent),
            is_behind_refused: lane.is_behind_refused(&sent),
            stamp: sent.batch.stamp.unwrap_or_default(),
        };
        out.seen.push(Seen::Told(lane.partition.clone(), told));
        lane.send_again(sent, None);
        match ways {
            Ways::Librdkafka => {
                lane.drains = true;
                self.bumps = true;
            }
            Ways::Java if is_first => {
                self.epoch += 1;
                lane.number_anew(self.epoch);
            }
            Ways::Java => {}
        }
    }

    fn read(&mut self, at: usize, reply: Option<Reply>, out: &mut ClientOut) {
        let lane = &mut self.lanes[at];
        match reply {
            Some(Reply::Read(Ok(records))) => {
                for record in records {
                    lane.read_next = record.offset.next();
                    out.seen.push(Seen::Read(lane.partition.clone(), record));
                }
            }
            // A new leader may be behind what its predecessor showed; nobody moves back for that.
            Some(Reply::Read(Err(ErrorCode::OffsetOutOfRange))) => {}
            _ => lane.leader = None,
        }
    }
}
