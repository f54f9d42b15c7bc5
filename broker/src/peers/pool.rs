//! Connections to the other brokers, opened on demand and shared by what talks to them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_protocol::{ApiKey, Request};
use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};
use parking_lot::Mutex;

use super::connection::{Answer, CallError, PeerConnection};
use super::sight::Sight;
use crate::clock::Clock;

/// Where a broker's private listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Name or address.
    pub host: String,
    /// Port of the private listener.
    pub port: u16,
}

/// What a shared connection is for. A broker answers a connection's requests in their order, so what must not wait for
/// something else has a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Messages of the metadata quorum.
    Quorum,
    /// A broker's registration and heartbeats.
    Heartbeats,
    /// What brokers ask the controller by themselves: ISR changes, producer ids.
    Brokers,
    /// Clients' admin requests.
    Admin,
}

/// One shared connection a broker and lane.
#[derive(Debug)]
pub struct Peers {
    client_id: Arc<str>,
    state: Arc<Mutex<BTreeMap<NodeId, Peer>>>,
    sight: Arc<Sight>,
}

#[derive(Debug)]
struct Peer {
    address: PeerAddress,
    lanes: BTreeMap<Lane, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Arc<PeerConnection>>,
    /// Held while one caller connects, so that others wait for it instead of connecting, too.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    fn open(&self) -> Option<Arc<PeerConnection>> {
        self.connection.as_ref().filter(|connection| !connection.is_lost()).map(Arc::clone)
    }
}

fn unknown(node: NodeId) -> CallError {
    CallError::Unreachable(anyhow::anyhow!("broker {node} has no known address").into())
}

impl Peers {
    /// No peers yet. A controller needs up to `lease` to find out that one is dead.
    pub fn new(self_id: NodeId, clock: Clock, lease: DurationMs) -> Peers {
        let sight = Arc::new(Sight::new(clock, lease));
        Peers { client_id: format!("broker-{self_id}").into(), state: Arc::default(), sight }
    }

    /// Since when the broker may be dead without any controller having found out; `None`: nothing speaks for it.
    pub fn suspected_since(&self, node: NodeId) -> Option<MonotonicMs> {
        self.sight.suspected_since(node)
    }

    /// The brokers that may be dead without any controller having found out: a connection to them has ended, and none
    /// was opened since.
    pub fn suspects(&self) -> Vec<NodeId> {
        self.sight.suspects()
    }

    /// Sets or changes where a broker is; a changed address drops the old connections.
    pub fn set_address(&self, node: NodeId, address: PeerAddress) {
        let mut state = self.state.lock();
        if let Some(peer) = state.get(&node)
            && peer.address == address
        {
            return;
        }
        state.insert(node, Peer { address, lanes: BTreeMap::new() });
    }

    /// Where a broker is, if known.
    pub fn address(&self, node: NodeId) -> Option<PeerAddress> {
        self.state.lock().get(&node).map(|peer| peer.address.clone())
    }

    /// The shared connection to `node`, opened if there is none.
    pub async fn connection(&self, node: NodeId, lane: Lane) -> Result<Arc<PeerConnection>, CallError> {
        let connecting = {
            let mut state = self.state.lock();
            let peer = state.get_mut(&node).ok_or_else(|| unknown(node))?;
            let slot = peer.lanes.entry(lane).or_default();
            if let Some(open) = slot.open() {
                return Ok(open);
            }
            Arc::clone(&slot.connecting)
        };
        let (state, client_id) = (Arc::clone(&self.state), Arc::clone(&self.client_id));
        let sight = Arc::clone(&self.sight);
        // A task of its own: a caller with little patience must not end an attempt that the next one would repeat.
        let opening = tokio::spawn(async move {
            let _guard = connecting.lock().await;
            open(&state, client_id, &sight, node, lane).await
        });
        opening.await.map_err(|_| CallError::Lost)?
    }

    /// A connection of its own, for traffic that must not wait behind other requests (fetchers).
    pub async fn dedicated(&self, node: NodeId) -> Result<Arc<PeerConnection>, CallError> {
        let address = self.address(node).ok_or_else(|| unknown(node))?;
        self.sight.open(node, &address, Arc::clone(&self.client_id)).await
    }

    /// Whether `node` serves `version` of an API.
    pub async fn serves(
        &self,
        node: NodeId,
        lane: Lane,
        api: ApiKey,
        version: i16,
    ) -> Result<bool, CallError> {
        Ok(self.connection(node, lane).await?.served().await?.contains(api, version))
    }

    /// Sends one request to `node`, in the newest of the `known` versions that it serves, and waits for its answer, at most
    /// `timeout` with the connecting.
    pub async fn call<R: Request>(
        &self,
        node: NodeId,
        lane: Lane,
        request: &R,
        known: &RangeInclusive<i16>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let connection = tokio::time::timeout(timeout, self.connection(node, lane)).await;
        connection.map_err(|_| CallError::TimedOut(timeout))??.call(request, known, timeout).await
    }
}

async fn open(
    state: &Mutex<BTreeMap<NodeId, Peer>>,
    client_id: Arc<str>,
    sight: &Arc<Sight>,
    node: NodeId,
    lane: Lane,
) -> Result<Arc<PeerConnection>, CallError> {
    let address = {
        let state = state.lock();
        let peer = state.get(&node).ok_or_else(|| unknown(node))?;
        if let Some(open) = peer.lanes.get(&lane).and_then(Slot::open) {
            return Ok(open);
        }
        peer.address.clone()
    };
    let opened = sight.open(node, &address, client_id).await?;
    if let Some(peer) = state.lock().get_mut(&node)
        && peer.address == address
    {
        peer.lanes.entry(lane).or_default().connection = Some(Arc::clone(&opened));
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    async fn deaf() -> (TcpListener, Peers) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peers = Peers::new(NodeId(1), Clock::start(), DurationMs(500));
        let port = listener.local_addr().unwrap().port();
        peers.set_address(NodeId(2), PeerAddress { host: "127.0.0.1".to_owned(), port });
        (listener, peers)
    }

    #[tokio::test]
    async fn a_call_that_times_out_takes_its_connection_along() {
        let (listener, peers) = deaf().await;
        let request = BrokerHeartbeatRequest::default();
        let called = peers.call(NodeId(2), Lane::Heartbeats, &request, &(1..=1), SHORT).await;
        assert!(matches!(called, Err(CallError::TimedOut(_))), "{called:?}");
        let (mut first, _) = listener.accept().await.unwrap();
        let again = peers.connection(NodeId(2), Lane::Heartbeats).await.unwrap();
        assert!(!again.is_lost());
        let mut bytes = Vec::new();
        first.read_to_end(&mut bytes).await.unwrap();
        assert!(!bytes.is_empty(), "the request came before the end");
        listener.accept().await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_from_a_silent_connection_takes_it_along() {
        let (_listener, peers) = deaf().await;
        let request = BrokerHeartbeatRequest::default();
        let connection = peers.connection(NodeId(2), Lane::Quorum).await.unwrap();
        let call = connection.call(&request, &(1..=1), Duration::from_secs(60));
        assert!(tokio::time::timeout(SHORT, call).await.is_err());
        assert!(connection.is_lost());
    }

    #[tokio::test]
    async fn a_broker_is_suspected_from_the_end_of_its_connection_until_it_takes_another() {
        let (listener, peers) = deaf().await;
        let address = listener.local_addr().unwrap();
        let connection = peers.dedicated(NodeId(2)).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(peers.suspects(), []);
        // As when its process is killed: whoever connects again is refused.
        drop((listener, accepted));
        connection.until_lost().await;
        assert_eq!(peers.suspects(), [NodeId(2)]);
        let again = TcpListener::bind(address).await.unwrap();
        again.accept().await.unwrap();
        while !peers.suspects().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_lane_does_not_wait_for_another() {
        let (listener, peers) = deaf().await;
        let one = peers.connection(NodeId(2), Lane::Admin).await.unwrap();
        let other = peers.connection(NodeId(2), Lane::Heartbeats).await.unwrap();
        assert!(!Arc::ptr_eq(&one, &other));
        for _ in 0..2 {
            listener.accept().await.unwrap();
        }
    }
}
