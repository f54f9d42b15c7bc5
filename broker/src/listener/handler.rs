//! The seam between a connection and what answers its requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use ottla_broker_protocol::Segment;
use ottla_broker_replication::Refusals;
use ottla_broker_types::MonotonicMs;
use parking_lot::Mutex;

use super::limits::Reservation;
use super::order::RequestOrder;
use super::session::Session;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The remote address.
    pub address: SocketAddr,
    /// Whose requests it carries.
    pub session: Arc<Session>,
    /// When the connection was accepted.
    pub accepted: MonotonicMs,
    /// Turns of its requests, for those that are not done when they have been handled.
    pub order: Arc<RequestOrder>,
    /// What its producers were refused.
    pub refusals: Arc<Mutex<Refusals>>,
}

/// A whole frame, without its length.
#[derive(Debug, Default)]
pub struct Frame {
    /// The request.
    pub bytes: BytesMut,
    /// What the bytes take of the budget of all connections: to be kept as long as they are.
    pub held: Option<Reservation>,
}

/// What goes back to the peer.
#[derive(Debug)]
pub struct AnswerFrame {
    /// A whole frame, its 4-byte length first.
    pub segments: Vec<Segment>,
    /// How long the connection's next request waits, from when the answer is there (KIP-219); the answer itself does
    /// not.
    pub throttle: Duration,
}

/// An answer to one request.
#[derive(Debug)]
pub enum Reply {
    /// An answer in bytes.
    Frame(AnswerFrame),
    /// The request asked for no answer (acks=0).
    None,
    /// Nothing sensible can be answered: the connection ends, for the reason given.
    Close(&'static str),
}

/// Bytes of an answer, and of these what lies in this process's memory rather than in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerSize {
    /// All of them.
    pub bytes: usize,
    /// Those in memory.
    pub memory: usize,
}

impl AnswerSize {
    /// Counts one more answer.
    pub fn add(&mut self, other: AnswerSize) {
        self.bytes += other.bytes;
        self.memory += other.memory;
    }

    /// Counts one answer less, of those that were added.
    pub fn take(&mut self, other: AnswerSize) {
        self.bytes -= other.bytes;
        self.memory -= other.memory;
    }
}

impl Reply {
    /// A whole frame, its 4-byte length first, behind which the next request is welcome at once.
    pub fn frame(segments: Vec<Segment>) -> Reply {
        Reply::Frame(AnswerFrame { segments, throttle: Duration::ZERO })
    }

    /// How long the connection's next request waits.
    pub fn throttle(&self) -> Duration {
        match self {
            Reply::Frame(frame) => frame.throttle,
            Reply::None | Reply::Close(_) => Duration::ZERO,
        }
    }

    /// What it takes until it is written.
    pub fn size(&self) -> AnswerSize {
        let Reply::Frame(frame) = self else { return AnswerSize::default() };
        let mut size = AnswerSize::default();
        for segment in &frame.segments {
            match segment {
                Segment::Bytes(bytes) => {
                    size.bytes += bytes.len();
                    size.memory += bytes.len();
                }
                Segment::File(range) => size.bytes += range.len,
            }
        }
        size
    }
}

/// What became of a request.
pub enum Handled {
    /// Answered at once.
    Now(Reply),
    /// The answer comes later; requests behind it go on being handled, answers keep the order.
    Later(BoxFuture<'static, Reply>),
    /// The request is carried out elsewhere, because it may take long; requests behind it are not handled before, so
    /// that their effects keep the order, too.
    Elsewhere(BoxFuture<'static, Handled>),
}

/// Handles frames in the order of their arrival.
pub trait Handler: Send + Sync + 'static {
    /// Must not block for longer than a disk write takes.
    fn handle(&self, peer: &PeerInfo, frame: Frame) -> Handled;
    /// The bytes that the answer to a frame may take in memory, if they are worth waiting for room; else 0.
    fn answer_bytes(&self, frame: &[u8]) -> usize;
    /// Whether a request of that key, as it is on the wire, belongs to replication.
    fn is_replication(&self, api_key: i16) -> bool;
    /// Counts a connection that opened (+1) or closed (-1).
    fn connection_count(&self, peer: &PeerInfo, change: i64);
}
