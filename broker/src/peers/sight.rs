//! Watches for other brokers whose connections end, and finds out whether they are dead.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_broker_node::Suspects;
use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};
use parking_lot::Mutex;

use super::connection::{CallError, PeerConnection};
use super::pool::PeerAddress;
use crate::clock::{Clock, jittered};
use crate::net;

/// Leases for which a broker stays suspected that cannot be reached: after one a controller has fenced it, and the
/// second is for this broker to learn of it.
const LEASES: u64 = 2;
/// Between two attempts to reach a suspected broker: a live one answers the first.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// What this broker's connections tell of the others.
#[derive(Debug)]
pub struct Sight {
    clock: Clock,
    suspects: Mutex<Suspects>,
    /// The open connections to each broker: a few for each lane and fetcher.
    open: Mutex<BTreeMap<NodeId, Vec<Weak<PeerConnection>>>>,
}

impl Sight {
    /// Suspects nobody.
    pub fn new(clock: Clock, lease: DurationMs) -> Sight {
        let suspects = Suspects::new(DurationMs(lease.0.saturating_mul(LEASES)));
        Sight { clock, suspects: Mutex::new(suspects), open: Mutex::default() }
    }

    /// The brokers that may be dead.
    pub fn suspects(&self) -> Vec<NodeId> {
        self.suspects.lock().all(self.clock.now().mono)
    }

    /// Since when the broker may be dead. Looks at its connections, too: who asks because of its end may be faster than
    /// the tasks that read them.
    pub fn suspected_since(&self, node: NodeId) -> Option<MonotonicMs> {
        let now = self.clock.now().mono;
        let mut suspects = self.suspects.lock();
        if suspects.since(now, node).is_none() && self.has_ending(node) {
            // The connection's own task finds out the rest.
            suspects.seen_ending(now, node);
        }
        suspects.since(now, node)
    }

    fn has_ending(&self, node: NodeId) -> bool {
        let open = self.open.lock();
        let connections = open.get(&node).into_iter().flatten().filter_map(Weak::upgrade);
        connections.filter(|connection| !connection.is_lost()).any(|connection| connection.is_ending())
    }

    /// Connects to a broker, and suspects it once that connection has ended.
    pub async fn open(
        self: &Arc<Sight>,
        node: NodeId,
        address: &PeerAddress,
        client_id: Arc<str>,
    ) -> Result<Arc<PeerConnection>, CallError> {
        let (sight, there) = (Arc::clone(self), address.clone());
        let ended = move || sight.lost(node, there);
        let opened = PeerConnection::open(&address.host, address.port, client_id, ended).await?;
        self.suspects.lock().reached(node);
        let mut open = self.open.lock();
        let connections = open.entry(node).or_default();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&opened));
        Ok(opened)
    }

    fn lost(self: Arc<Sight>, node: NodeId, address: PeerAddress) {
        let is_new = self.suspects.lock().lost(self.clock.now().mono, node);
        if is_new {
            tokio::spawn(async move { self.find_out(node, &address).await });
        }
    }

    /// Tries to reach the broker for as long as it is suspected.
    async fn find_out(&self, node: NodeId, address: &PeerAddress) {
        while self.suspects.lock().since(self.clock.now().mono, node).is_some() {
            if net::connect(&address.host, address.port).await.is_ok() {
                self.suspects.lock().reached(node);
                return;
            }
            tokio::time::sleep(jittered(ATTEMPT_PAUSE)).await;
        }
    }
}
