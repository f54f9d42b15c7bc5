//! Carries the quorum's messages to the other voters over the private listener.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::raft_message_request::RaftMessageRequest;
use ottla_broker_protocol::messages::raft_message_response::RaftMessageResponse;
use ottla_broker_quorum::{Peer, PeerTransport, TransportError};

use crate::peers::{CallError, Lane, PeerAddress, Peers};

/// The quorum drops a call at its own deadline; this one only ends calls that it forgot.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The only version of the private message.
const VERSIONS: RangeInclusive<i16> = 0..=0;

/// The transport of one broker.
pub struct RaftTransport {
    peers: Arc<Peers>,
}

impl RaftTransport {
    /// A transport over the shared connections.
    pub fn new(peers: Arc<Peers>) -> RaftTransport {
        RaftTransport { peers }
    }
}

impl PeerTransport for RaftTransport {
    fn call(&self, to: Peer, kind: i8, payload: Bytes) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let peers = Arc::clone(&self.peers);
        async move {
            if peers.address(to.node).is_none()
                && let Some(address) = parse_address(&to.address)
            {
                peers.set_address(to.node, address);
            }
            let request = RaftMessageRequest { kind, payload: payload.as_ref().into(), ..Default::default() };
            let answer = peers
                .call(to.node, Lane::Quorum, &request, &VERSIONS, CALL_TIMEOUT)
                .await
                .map_err(unreachable)?;
            let response: RaftMessageResponse<'_> = answer.decode().map_err(unreachable)?;
            match ErrorCode::from_wire(response.error_code) {
                ErrorCode::None => Ok(Bytes::copy_from_slice(&response.payload)),
                code => Err(TransportError::Rejected { reason: code.message().to_owned() }),
            }
        }
        .boxed()
    }
}

fn parse_address(text: &str) -> Option<PeerAddress> {
    let (host, port) = text.rsplit_once(':')?;
    Some(PeerAddress { host: host.to_owned(), port: port.parse().ok()? })
}

fn unreachable(error: CallError) -> TransportError {
    if error.is_refused() {
        return TransportError::Refused;
    }
    TransportError::Unreachable { reason: error.to_string() }
}
