//! How messages reach a peer: the shell's part. No I/O of its own.

use bytes::Bytes;
use futures::future::BoxFuture;
use ottla_broker_types::NodeId;

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node; the shell may know a newer address for it than the membership does.
    pub node: NodeId,
    /// `host:port` of its internal listener, as the membership has it.
    pub address: String,
}

/// Sends messages to peers and brings their answers back.
///
/// The quorum puts a deadline on every call and drops the future when it has passed. Calls to one peer may
/// overlap and need not arrive in order; messages are idempotent, so a lost answer is handled by another call.
pub trait PeerTransport: Send + Sync + 'static {
    /// Hands `payload` (at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX)) to
    /// [`handle_message`](crate::MetadataLog::handle_message) at `to` and returns its answer.
    fn call(&self, to: Peer, kind: i8, payload: Bytes) -> BoxFuture<'static, Result<Bytes, TransportError>>;
}

/// Why a message got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The peer's host answers but nobody listens there (connection refused): its process is gone.
    #[error("nobody listens at the peer's address")]
    Refused,
    /// The connection could not be made or broke; the peer may or may not be alive.
    #[error("cannot reach the peer: {reason}")]
    Unreachable {
        /// What went wrong.
        reason: String,
    },
    /// The peer answered with an error instead of a message.
    #[error("the peer refused the message: {reason}")]
    Rejected {
        /// What it said.
        reason: String,
    },
}
