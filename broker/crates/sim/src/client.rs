//! A client: an idempotent producer with acks=all that sends a batch until it is acknowledged, and a reader, on every
//! partition. No I/O.

use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, TopicPartition};

use crate::invariants::StoredRecord;
use crate::message::{CallId, Reply, Request};
use crate::net::Endpoint;
use crate::rng::Rng;

const RETRY_MIN_MS: u64 = 10;
const RETRY_MAX_MS: u64 = 60;
const THINK_MAX_MS: u64 = 40;
const READ_PAUSE_MS: u64 = 30;
const BATCH_RECORDS_MAX: u64 = 3;
/// Timestamp of all records.
const RECORD_TIME_MS: i64 = 1_700_000_000_000;

/// A client's alarms, by the partition's place in the client's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTimer {
    /// Send what is pending, or something new.
    Send(usize),
    /// Read on.
    Read(usize),
}

/// What a client saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// `values` are acknowledged from `base` on by the leader of `epoch`.
    Acked {
        /// The partition.
        partition: TopicPartition,
        /// Epoch of the leader that answered.
        epoch: LeaderEpoch,
        /// Offset of the first value.
        base: Offset,
        /// The values.
        values: Vec<u64>,
    },
    /// A record was read.
    Read(TopicPartition, StoredRecord),
}

/// What a client wants done.
#[derive(Debug, Default)]
pub struct ClientOut {
    /// Calls.
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

#[derive(Debug)]
struct Pending {
    values: Vec<u64>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Lane {
    partition: TopicPartition,
    sequence: i32,
    pending: Option<Pending>,
    read_next: Offset,
    leader: Option<NodeId>,
    /// The batch that is to show that writes go on after the faults has been made.
    said_last_word: bool,
}

/// A producer and reader.
#[derive(Debug)]
pub struct Client {
    id: u32,
    rng: Rng,
    nodes: Vec<NodeId>,
    lanes: Vec<Lane>,
    calls: BTreeMap<u64, Wanted>,
    next_call: u64,
    next_value: u64,
    is_stopped: bool,
}

impl Client {
    /// A client of all `partitions`, with its first alarms.
    pub fn new(
        id: u32,
        rng: Rng,
        nodes: Vec<NodeId>,
        partitions: Vec<TopicPartition>,
        out: &mut ClientOut,
    ) -> Client {
        for at in 0..partitions.len() {
            out.timers.extend([(0, ClientTimer::Send(at)), (0, ClientTimer::Read(at))]);
        }
        let lane = |partition| Lane {
            partition,
            sequence: 0,
            pending: None,
            read_next: Offset::ZERO,
            leader: None,
            said_last_word: false,
        };
        Client {
            id,
            rng,
            nodes,
            lanes: partitions.into_iter().map(lane).collect(),
            calls: BTreeMap::new(),
            next_call: 0,
            next_value: 0,
            is_stopped: false,
        }
    }

    /// What is pending is still sent, and then one batch to every partition, the last one.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Values that are sent but not acknowledged.
    pub fn pending(&self) -> Vec<u64> {
        self.lanes.iter().filter_map(|lane| lane.pending.as_ref()).flat_map(|p| p.values.clone()).collect()
    }

    /// The next offset that is read of a partition.
    pub fn read_next(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lanes.iter().find(|lane| lane.partition == *partition).map(|lane| lane.read_next)
    }

    /// An alarm went off.
    pub fn timer(&mut self, timer: ClientTimer, out: &mut ClientOut) {
        match timer {
            ClientTimer::Send(at) => self.send(at, out),
            ClientTimer::Read(at) => {
                let Lane { partition, leader, read_next, .. } = &self.lanes[at];
                match *leader {
                    Some(leader) => {
                        let request = Request::Read(partition.clone(), *read_next);
                        self.call(leader, request, Wanted::Read(at), out);
                    }
                    None => {
                        self.ask_leaders(out);
                        out.timers.push((READ_PAUSE_MS, timer));
                    }
                }
            }
        }
    }

    fn call(&mut self, to: NodeId, request: Request, wanted: Wanted, out: &mut ClientOut) {
        let number = self.next_call;
        self.next_call += 1;
        self.calls.insert(number, wanted);
        out.calls.push((to, CallId { caller: Endpoint::Client(self.id), run: 0, number }, request));
    }

    fn send(&mut self, at: usize, out: &mut ClientOut) {
        if self.lanes[at].pending.is_none() {
            if self.lanes[at].said_last_word {
                return;
            }
            self.lanes[at].said_last_word = self.is_stopped;
            self.lanes[at].pending = Some(self.batch(at));
        }
        let lane = &self.lanes[at];
        match (lane.leader, &lane.pending) {
            (Some(leader), Some(pending)) => {
                let request = Request::Produce(lane.partition.clone(), pending.bytes.clone());
                self.call(leader, request, Wanted::Produce(at), out);
            }
            _ => self.retry(at, out),
        }
    }

    fn batch(&mut self, at: usize) -> Pending {
        let count = self.rng.between(1, BATCH_RECORDS_MAX);
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: 1_000 + i64::from(self.id),
            producer_epoch: 0,
            base_sequence: self.lanes[at].sequence,
            ..BatchOptions::default()
        });
        let values: Vec<u64> =
            (0..count).map(|nth| (u64::from(self.id) << 32) | (self.next_value + nth)).collect();
        self.next_value += count;
        for value in &values {
            builder.append(None, Some(&value.to_be_bytes()), RECORD_TIME_MS);
        }
        let bytes = builder.build().expect("a few small records").to_vec();
        Pending { values, bytes }
    }

    fn ask_leaders(&mut self, out: &mut ClientOut) {
        if let Some(node) = self.rng.pick(&self.nodes).copied() {
            self.call(node, Request::Leaders, Wanted::Leaders, out);
        }
    }

    /// Asks some node who leads, and sends again after a pause.
    fn retry(&mut self, at: usize, out: &mut ClientOut) {
        self.lanes[at].leader = None;
        self.ask_leaders(out);
        out.timers.push((self.rng.between(RETRY_MIN_MS, RETRY_MAX_MS), ClientTimer::Send(at)));
    }

    /// An answer arrived, or (`None`) its deadline passed.
    pub fn reply(&mut self, number: u64, reply: Option<Reply>, out: &mut ClientOut) {
        let Some(wanted) = self.calls.remove(&number) else { return };
        match (wanted, reply) {
            (Wanted::Leaders, Some(Reply::Leaders(leaders))) => {
                for (partition, leader) in leaders {
                    if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
                        lane.leader = lane.leader.or(leader);
                    }
                }
            }
            (Wanted::Leaders, _) => {}
            (Wanted::Produce(at), Some(Reply::Produced(Ok((base, epoch))))) => {
                self.acked(at, base, epoch, out);
            }
            // Also OUT_OF_ORDER_SEQUENCE_NUMBER: a deposed leader may lack what its successor acknowledged.
            (Wanted::Produce(at), _) => self.retry(at, out),
            (Wanted::Read(at), reply) => {
                self.read(at, reply, out);
                out.timers.push((READ_PAUSE_MS, ClientTimer::Read(at)));
            }
        }
    }

    fn acked(&mut self, at: usize, base: Offset, epoch: LeaderEpoch, out: &mut ClientOut) {
        let lane = &mut self.lanes[at];
        let Some(pending) = lane.pending.take() else { return };
        lane.sequence += pending.values.len() as i32;
        let partition = lane.partition.clone();
        out.seen.push(Seen::Acked { partition, epoch, base, values: pending.values });
        out.timers.push((self.rng.below(THINK_MAX_MS), ClientTimer::Send(at)));
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
