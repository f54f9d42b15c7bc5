//! What nodes and clients say to each other, as values: the simulator tests decisions, not the codec. No I/O.

use ottla_broker_metadata::Record;
use ottla_broker_metadata::controller::{
    AlterPartitionRequest, AlterPartitionResult, HeartbeatReply, HeartbeatRequest, RegisterBrokerError,
    RegisterRequest, RegistrationError,
};
use ottla_broker_node::{FetchTarget, Reader, SessionError, TopicRef};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{EpochEnd, LeaderOffsets};
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicPartition};

use crate::group_message::{GroupRefusal, GroupReply, GroupRequest};
use crate::invariants::StoredRecord;
use crate::net::Endpoint;

/// Names a call: who made it, in which run of its process, and the how-manieth it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId {
    /// Where the answer goes.
    pub caller: Endpoint,
    /// The run of the caller's process; answers to an earlier one are lost with it.
    pub run: u32,
    /// Counts up within a run.
    pub number: u64,
    /// The caller's connection, where it matters that requests of one keep their order and are lost together.
    pub connection: Option<u32>,
}

/// One message on the network.
#[derive(Clone, Debug)]
pub enum Message {
    /// On its way to who is asked.
    Request(CallId, Request),
    /// Its answer.
    Reply(CallId, Reply),
}

impl Message {
    /// Which call it is, or answers.
    pub fn id(&self) -> CallId {
        match self {
            Message::Request(id, _) | Message::Reply(id, _) => *id,
        }
    }

    /// Whether it may arrive from a connection that its sender has given up, overtaken by later ones. Members' requests
    /// do not: nothing in Kafka's protocol tells an old commit of the same generation from a new one.
    pub fn may_come_late(&self) -> bool {
        !matches!(self, Message::Request(_, Request::Group(_)))
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// A broker joins or comes back.
    Register(RegisterRequest),
    /// A broker shows that it lives.
    Heartbeat(HeartbeatRequest),
    /// A leader changes an ISR.
    AlterPartition(AlterPartitionRequest),
    /// Committed metadata from an offset on.
    FetchMetadata(Offset),
    /// A follower's fetch.
    Fetch(FetchRequest),
    /// A follower asks for the range of its leader's log.
    LeaderRange(TopicPartition, LeaderEpoch),
    /// A client asks who leads.
    Leaders,
    /// A producer's batch, with acks=all.
    Produce(TopicPartition, Vec<u8>),
    /// A consumer's fetch.
    Read(TopicPartition, Offset),
    /// A member of the group asks its coordinator.
    Group(GroupRequest),
}

/// The node that was asked does not decide: another one is the active controller, or nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotController;

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The broker's epoch.
    Registered(Result<Result<BrokerEpoch, RegisterBrokerError>, NotController>),
    /// The heartbeat's answer.
    Heartbeat(Result<Result<HeartbeatReply, RegistrationError>, NotController>),
    /// The outcome of each partition.
    AlterPartition(Result<Result<Vec<AlterPartitionResult>, RegistrationError>, NotController>),
    /// Batches by offset.
    Metadata(Result<Vec<(Offset, Vec<Record>)>, NotController>),
    /// Records for a follower.
    Fetched(Result<FetchAnswer, SessionError>),
    /// The leader's log.
    LeaderRange(Result<LeaderOffsets, ErrorCode>),
    /// Leaders by partition, and their epochs.
    Leaders(Vec<(TopicPartition, Option<NodeId>, LeaderEpoch)>),
    /// Where the first record of the batch is, and the epoch of the leader that says so.
    Produced(Result<(Offset, LeaderEpoch), ErrorCode>),
    /// Committed records.
    Read(Result<Vec<StoredRecord>, ErrorCode>),
    /// The coordinator's answer.
    Group(Result<GroupReply, GroupRefusal>),
}

/// A follower's request to one leader.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The follower, under its registration.
    pub reader: Reader,
    /// The session; zero for none.
    pub session_id: i32,
    /// Its epoch; zero asks for a new session.
    pub session_epoch: i32,
    /// Partitions that are new or wanted from elsewhere.
    pub named: Vec<FetchTarget>,
    /// Partitions that leave the session.
    pub forgotten: Vec<(TopicRef, PartitionIndex)>,
}

/// What a follower is answered.
#[derive(Clone, Debug)]
pub struct FetchAnswer {
    /// To be named by the next fetch; zero if there is none.
    pub session_id: i32,
    /// Of each partition that has news.
    pub rows: Vec<((TopicId, PartitionIndex), Result<FetchedRecords, ErrorCode>)>,
}

/// A leader's answer of one partition.
#[derive(Clone, Debug)]
pub struct FetchedRecords {
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The leader's log start.
    pub log_start: Offset,
    /// Where the logs part.
    pub diverging: Option<EpochEnd>,
    /// Batches.
    pub records: Vec<u8>,
}
