//! The running broker: everything that its parts share, wired once by `boot`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_broker_config::{BrokerConfig, BrokerLayers, ConfigMap, DynamicBrokerConfig};
use ottla_broker_types::{ClusterId, DirectoryId, NodeId, Offset};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::checks::Checks;
use crate::clock::Clock;
use crate::controller::Controller;
use crate::fetch::FetchSessions;
use crate::groups::Groups;
use crate::listener::{Admission, ConnectionLimits};
use crate::metrics::Metrics;
use crate::partitions::Partitions;
use crate::peers::Peers;
use crate::producer_ids::ProducerIds;
use crate::view::View;

/// The shared state of one broker.
pub struct Broker {
    /// This node.
    pub node_id: NodeId,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The formatted directory.
    pub directory_id: DirectoryId,
    /// The settings as they were at boot.
    pub config: BrokerConfig,
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Connections to other brokers.
    pub peers: Arc<Peers>,
    /// The hosted partitions.
    pub partitions: Partitions,
    /// The groups coordinated here.
    pub groups: Groups,
    /// The tie to the active controller.
    pub controller: Controller,
    /// Incremental fetch sessions.
    pub fetch_sessions: Mutex<FetchSessions>,
    /// Producer ids to give out.
    pub producer_ids: ProducerIds,
    /// The connections of clients.
    pub admission: Arc<Admission>,
    /// Where what takes long is checked.
    pub checks: Checks,
    view: ArcSwap<View>,
    applied_end: watch::Sender<Offset>,
    stopping: watch::Sender<bool>,
}

/// What `boot` gives to a new broker.
pub struct Parts {
    /// See [`Broker::node_id`].
    pub node_id: NodeId,
    /// See [`Broker::cluster_id`].
    pub cluster_id: ClusterId,
    /// See [`Broker::directory_id`].
    pub directory_id: DirectoryId,
    /// See [`Broker::config`].
    pub config: BrokerConfig,
    /// See [`Broker::clock`].
    pub clock: Clock,
    /// See [`Broker::peers`].
    pub peers: Arc<Peers>,
    /// See [`Broker::partitions`].
    pub partitions: Partitions,
    /// See [`Broker::groups`].
    pub groups: Groups,
    /// See [`Broker::controller`].
    pub controller: Controller,
    /// A seed for ids that must not be guessed.
    pub seed: u64,
}

impl Broker {
    /// A broker that knows nothing of its cluster yet.
    pub fn new(parts: Parts, metrics: Arc<Metrics>) -> Arc<Broker> {
        let slots_max = parts.config.fetch.session_slots_max as usize;
        let nothing = ConfigMap::new();
        let limits = connection_limits(parts.config.layers(&nothing, &nothing));
        Arc::new(Broker {
            node_id: parts.node_id,
            cluster_id: parts.cluster_id,
            directory_id: parts.directory_id,
            config: parts.config,
            clock: parts.clock,
            metrics,
            peers: parts.peers,
            partitions: parts.partitions,
            groups: parts.groups,
            controller: parts.controller,
            fetch_sessions: Mutex::new(FetchSessions::new(slots_max, parts.seed)),
            producer_ids: ProducerIds::default(),
            admission: Admission::new(limits),
            checks: Checks::default(),
            view: ArcSwap::default(),
            applied_end: watch::Sender::new(Offset::ZERO),
            stopping: watch::Sender::new(false),
        })
    }

    /// The newest metadata that is applied here.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Replaces the metadata and wakes who waits for it.
    pub fn publish(&self, view: View) {
        let end = view.applied_end();
        self.view.store(Arc::new(view));
        self.applied_end.send_replace(end);
    }

    /// Takes over those settings that the parts of the broker do not ask for each time.
    pub fn settings_changed(&self) {
        let view = self.view();
        self.admission.set_limits(connection_limits(view.broker_layers(self.node_id, &self.config.statics)));
    }

    /// Waits until everything below `end` is applied here.
    pub async fn wait_applied(&self, end: Offset) {
        // The sender lives as long as the broker, so the wait cannot fail.
        let _ = self.applied_end.subscribe().wait_for(|applied| *applied >= end).await;
    }

    /// This broker's rack: the setting, or the file that the platform keeps up to date.
    pub fn rack(&self) -> Option<String> {
        if let Some(path) = &self.config.rack_file
            && let Ok(text) = std::fs::read_to_string(path)
        {
            let rack = text.trim();
            if !rack.is_empty() {
                return Some(rack.to_owned());
            }
        }
        self.config.rack.clone()
    }

    /// Turns true when the parts of the broker shall end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Ends the parts of the broker.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

fn connection_limits(layers: BrokerLayers<'_>) -> ConnectionLimits {
    let config = DynamicBrokerConfig::resolve(layers);
    ConnectionLimits { all: config.connections_max as usize, per_ip: config.connections_per_ip_max as usize }
}
