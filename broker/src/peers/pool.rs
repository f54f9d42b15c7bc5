//! Connections to the other brokers, opened on demand and shared by what talks to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker_protocol::Request;
use ottla_broker_types::NodeId;
use parking_lot::Mutex;

use super::connection::{CallError, PeerConnection};

/// Where a broker's private listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Name or address.
    pub host: String,
    /// Port of the private listener.
    pub port: u16,
}

/// One shared connection a broker.
#[derive(Debug)]
pub struct Peers {
    client_id: Arc<str>,
    state: Mutex<BTreeMap<NodeId, Peer>>,
}

#[derive(Debug)]
struct Peer {
    address: PeerAddress,
    connection: Option<Arc<PeerConnection>>,
    /// Held while one caller connects, so that others wait for it instead of connecting, too.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl Peers {
    /// No peers yet.
    pub fn new(self_id: NodeId) -> Peers {
        Peers { client_id: format!("broker-{self_id}").into(), state: Mutex::default() }
    }

    /// Sets or changes where a broker is; a changed address drops the old connection.
    pub fn set_address(&self, node: NodeId, address: PeerAddress) {
        let mut state = self.state.lock();
        if let Some(peer) = state.get(&node)
            && peer.address == address
        {
            return;
        }
        state.insert(node, Peer { address, connection: None, connecting: Arc::default() });
    }

    /// Where a broker is, if known.
    pub fn address(&self, node: NodeId) -> Option<PeerAddress> {
        self.state.lock().get(&node).map(|peer| peer.address.clone())
    }

    /// The shared connection to `node`, opened if there is none.
    pub async fn connection(&self, node: NodeId) -> Result<Arc<PeerConnection>, CallError> {
        let unknown = || CallError::Unreachable(anyhow::anyhow!("broker {node} has no known address"));
        let connecting = {
            let state = self.state.lock();
            let peer = state.get(&node).ok_or_else(unknown)?;
            if let Some(open) = peer.connection.as_ref().filter(|connection| !connection.is_lost()) {
                return Ok(Arc::clone(open));
            }
            Arc::clone(&peer.connecting)
        };
        let _guard = connecting.lock().await;
        let address = {
            let state = self.state.lock();
            let peer = state.get(&node).ok_or_else(unknown)?;
            if let Some(open) = peer.connection.as_ref().filter(|connection| !connection.is_lost()) {
                return Ok(Arc::clone(open));
            }
            peer.address.clone()
        };
        let opened = PeerConnection::open(&address.host, address.port, Arc::clone(&self.client_id)).await?;
        if let Some(peer) = self.state.lock().get_mut(&node)
            && peer.address == address
        {
            peer.connection = Some(Arc::clone(&opened));
        }
        Ok(opened)
    }

    /// A connection of its own, for traffic that must not wait behind other requests (fetchers).
    pub async fn dedicated(&self, node: NodeId) -> Result<Arc<PeerConnection>, CallError> {
        let address = self
            .address(node)
            .ok_or_else(|| CallError::Unreachable(anyhow::anyhow!("broker {node} has no known address")))?;
        PeerConnection::open(&address.host, address.port, Arc::clone(&self.client_id)).await
    }

    /// Sends one request to `node` and waits for the body of its answer.
    pub async fn call<R: Request>(
        &self,
        node: NodeId,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        self.connection(node).await?.call(request, version, timeout).await
    }
}
