//! The running broker: everything that its parts share, wired once by `boot`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_broker_config::{BrokerConfig, BrokerLayers, ConfigMap, DynamicBrokerConfig};
use ottla_broker_node::FetchSessions;
use ottla_broker_types::{ClusterId, DirectoryId, NodeId};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::client_memory::ClientMemory;
use crate::clock::Clock;
use crate::controller::Controller;
use crate::coordinators::Groups;
use crate::disk_access::DiskAccess;
use crate::fetch::Sessions;
use crate::listener::{Admission, ConnectionLimits};
use crate::long_work::LongWork;
use crate::metrics::Metrics;
use crate::net;
use crate::partitions::Partitions;
use crate::peers::Peers;
use crate::producer_ids::ProducerIds;
use crate::served::Served;
use crate::view::View;

/// The shared state of one broker.
pub struct Broker {
    /// `node.id`, the same for the broker and the controller in this process.
    pub node_id: NodeId,
    /// What `meta.properties` says; other brokers must say the same.
    pub cluster_id: ClusterId,
    /// The formatted directory.
    pub directory_id: DirectoryId,
    /// The settings as they were at boot.
    pub config: Arc<BrokerConfig>,
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
    /// The metadata that is served by.
    pub served: Arc<Served>,
    /// The tie to the active controller.
    pub controller: Arc<Controller>,
    /// Incremental fetch sessions.
    pub fetch_sessions: Sessions,
    /// What is kept in memory of the members of groups.
    pub member_memory: Arc<ClientMemory>,
    /// What is kept of clients' fetch sessions; apart, because a client goes on without a session but not without its group.
    pub session_memory: Arc<ClientMemory>,
    /// Producer ids to give out.
    pub producer_ids: ProducerIds,
    /// The connections of clients.
    pub admission: Arc<Admission>,
    /// Where what takes long is done.
    pub long_work: LongWork,
    /// The threads on which partitions are read and written.
    pub data: Handle,
    /// Turns at the data disk.
    pub disk: Arc<DiskAccess>,
    /// Bytes that compaction may take for its maps of keys.
    pub cleaner_bytes_max: usize,
    connections_max: usize,
    hosting_behind: AtomicBool,
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
    pub config: Arc<BrokerConfig>,
    /// See [`Broker::clock`].
    pub clock: Clock,
    /// See [`Broker::peers`].
    pub peers: Arc<Peers>,
    /// See [`Broker::partitions`].
    pub partitions: Partitions,
    /// See [`Broker::groups`].
    pub groups: Groups,
    /// See [`Broker::served`].
    pub served: Arc<Served>,
    /// See [`Broker::controller`].
    pub controller: Arc<Controller>,
    /// A seed for ids that must not be guessed.
    pub seed: u64,
    /// Connections of clients that the memory allows.
    pub connections_max: usize,
    /// Bytes that may be kept for clients: of members of groups, and as many of fetch sessions.
    pub kept_bytes_max: usize,
    /// See [`Broker::cleaner_bytes_max`].
    pub cleaner_bytes_max: usize,
    /// See [`Broker::data`].
    pub data: Handle,
}

impl Broker {
    /// A broker that knows nothing of its cluster yet.
    pub fn new(parts: Parts, metrics: Arc<Metrics>) -> Arc<Broker> {
        let slots_max = parts.config.fetch.session_slots_max as usize;
        let nothing = ConfigMap::new();
        let (limits, _) = connection_limits(parts.config.layers(&nothing, &nothing), parts.connections_max);
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
            served: parts.served,
            controller: parts.controller,
            fetch_sessions: Mutex::new(FetchSessions::new(slots_max, parts.seed)),
            member_memory: ClientMemory::new(parts.kept_bytes_max),
            session_memory: ClientMemory::new(parts.kept_bytes_max),
            producer_ids: ProducerIds::default(),
            admission: Admission::new(limits),
            long_work: LongWork::default(),
            disk: DiskAccess::new(parts.clock, parts.data.clone()),
            data: parts.data,
            cleaner_bytes_max: parts.cleaner_bytes_max,
            connections_max: parts.connections_max,
            hosting_behind: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        })
    }

    /// The newest metadata that is applied here.
    pub fn view(&self) -> Arc<View> {
        self.served.view()
    }

    /// Takes over those settings that the parts of the broker do not ask for each time.
    pub fn settings_changed(&self) {
        let view = self.view();
        let layers = view.broker_layers(self.node_id, &self.config.statics);
        let (limits, named) = connection_limits(layers, self.connections_max);
        let generation = self.admission.set_limits(limits);
        for (host, limit) in named {
            let admission = Arc::clone(&self.admission);
            tokio::spawn(async move {
                match net::address_of(&host).await {
                    Ok(ip) => admission.add_override(generation, ip, limit),
                    Err(error) => {
                        let error = format!("{error:#}");
                        tracing::warn!(
                            error,
                            "max.connections.per.ip.overrides: the limit of a host has no effect"
                        );
                    }
                }
            });
        }
    }

    /// Notes whether the hosted partitions lag behind the published metadata, since a disk holds them up.
    pub fn hosting_is_behind(&self, behind: bool) {
        self.hosting_behind.store(behind, Ordering::Release);
    }

    /// Whether they do.
    pub fn is_hosting_behind(&self) -> bool {
        self.hosting_behind.load(Ordering::Acquire)
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

/// The limits, and those of hosts whose addresses have to be looked up.
fn connection_limits(
    layers: BrokerLayers<'_>,
    connections_max: usize,
) -> (ConnectionLimits, Vec<(String, usize)>) {
    let config = DynamicBrokerConfig::resolve(layers);
    let mut overrides = BTreeMap::new();
    let mut named = Vec::new();
    for (host, limit) in config.connections_per_ip_overrides {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => {
                overrides.insert(ip.to_canonical(), limit as usize);
            }
            Err(_) => named.push((host, limit as usize)),
        }
    }
    let all = (config.connections_max as usize).min(connections_max);
    (ConnectionLimits { all, per_ip: config.connections_per_ip_max as usize, overrides }, named)
}
