//! Wires the broker, top to bottom: settings, disk, sockets, parts, tasks; and ends it in the reverse order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_broker_config::{BrokerConfig, ConfigMap, Listener, load_broker, parse_override, parse_properties};
use ottla_broker_log::{Disk, METADATA_DIR, PacedDisk};
use ottla_broker_quorum::{InitializeError, MetadataLog, Quorum, QuorumOptions, Timing, VoterId, WriteMode};
use ottla_broker_types::NodeId;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::broker::{Broker, Parts};
use crate::clock::{self, Clock};
use crate::controller::{self, Active, ActiveParts, Controller, RaftTransport, Standing};
use crate::coordinators::Groups;
use crate::health::Health;
use crate::identity;
use crate::listener::{self, Budgets, ByteBudget, ListenerSettings, Role, Session};
use crate::membership;
use crate::memory::{self, MemoryShares};
use crate::metrics::Metrics;
use crate::net::SocketOptions;
use crate::partitions::{self, Opener, Partitions};
use crate::peers::{PeerAddress, Peers};
use crate::served::Served;
use crate::stop::{Fatal, until_true};

/// Pause between attempts to form the first quorum while voters are still starting.
const INITIALIZE_PAUSE: Duration = Duration::from_millis(100);
/// How long the parts may take to end once they are told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// `--override`, in order.
    pub overrides: Vec<String>,
    /// `--node-id-from-hostname`.
    pub node_id_from_hostname: bool,
}

/// Runs a broker until it is told to stop, or fails. Its clients and its copying are served on the threads of `data`,
/// and what controls on those of the caller.
pub async fn run(arguments: Arguments, data: Handle) -> anyhow::Result<()> {
    let mut config = settings(&arguments)?;
    let (disk, writebacks) = PacedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    std::thread::Builder::new()
        .name("writeback".to_owned())
        .spawn(move || writebacks.run())
        .context("start the thread for writeback")?;
    let dir = the_log_dir(&config)?;
    let (identity, _lock) = identity::establish(&*disk, &dir, &config)?;
    membership::check(&*disk, &dir, &config)?;
    let shares = shares(&config);
    let clock = Clock::start();
    let sockets = Sockets::bind(&config, &shares, clock, &data).await?;
    sockets.complete(&mut config.advertised_listeners).await?;
    let opener = Opener::new(disk, &dir)?;
    let disk = opener.disk();

    let peers = Arc::new(Peers::new(config.node_id, clock, config.quorum.broker_lease_ms));
    for voter in &config.quorum.voters {
        let address = PeerAddress { host: voter.address.host.clone(), port: voter.address.port };
        peers.set_address(voter.id, address);
    }
    let id = VoterId { node: config.node_id, directory: identity.directory_id };
    let log = start_quorum(&config, id, Arc::clone(&disk), &dir.join(METADATA_DIR), clock, &peers).await?;
    let metrics = Arc::new(Metrics::default());
    let fatal = Fatal::default();
    let (config, served) = (Arc::new(config), Arc::<Served>::default());
    let active = Active::new(ActiveParts {
        cluster_id: identity.cluster_id.clone(),
        config: Arc::clone(&config),
        clock,
        metrics: Arc::clone(&metrics),
        served: Arc::clone(&served),
        log: log.clone(),
    });
    let parts = Parts {
        node_id: config.node_id,
        cluster_id: identity.cluster_id,
        directory_id: identity.directory_id,
        clock,
        peers: Arc::clone(&peers),
        groups: Groups::new(&config.groups, shares.groups, u64::from_le_bytes(clock::entropy())),
        served,
        controller: Controller::new(active, peers, opener.last_epoch()),
        partitions: Partitions::new(opener, fatal.clone()),
        config,
        seed: u64::from_le_bytes(clock::entropy()),
        connections_max: shares.connections_max,
        kept_bytes_max: shares.kept / 2,
        cleaner_bytes_max: shares.cleaner,
        data: data.clone(),
    };
    let broker = Broker::new(parts, metrics);
    tracing::info!(node = broker.node_id.0, cluster = %broker.cluster_id, dir = %dir.display(), "starting");
    let remembering = log.clone().map(|log| tokio::spawn(membership::remember_when_formed(disk, dir, log)));
    let ended = serve(broker, sockets, log, fatal).await;
    if let Some(remembering) = remembering {
        remembering.abort();
    }
    ended
}

/// Starts every task, waits for the end, and ends them in order.
async fn serve(
    broker: Arc<Broker>,
    sockets: Sockets,
    log: Option<Arc<dyn MetadataLog>>,
    fatal: Fatal,
) -> anyhow::Result<()> {
    let (drain, draining) = watch::channel(false);
    let (leave, leaving) = watch::channel(false);
    let mut tasks = JoinSet::new();
    broker.settings_changed();
    sockets.serve(&broker, &draining, &mut tasks);
    tasks.spawn(controller::run_duties(Arc::clone(&broker.controller)));
    tasks.spawn(partitions::run_isr_sender(Arc::clone(&broker)));
    let upkeep = broker.data.spawn(partitions::run_upkeep(Arc::clone(&broker)));
    let flushes = broker.data.spawn(partitions::run_flushes(Arc::clone(&broker)));
    let removals = broker.data.spawn(partitions::run_removals(Arc::clone(&broker)));
    let syncs = broker.data.spawn(partitions::run_syncs(Arc::clone(&broker)));
    let cleaner = broker.data.spawn(partitions::run_cleaner(Arc::clone(&broker)));
    let mut follow = tokio::spawn(controller::run_follow(Arc::clone(&broker)));
    if let Some(log) = log.clone() {
        tasks.spawn(form_quorum(Arc::clone(&broker), log));
    }
    let registration = tokio::spawn(controller::run_registration(Arc::clone(&broker), leaving));

    let failed = tokio::select! {
        followed = &mut follow => Some(followed.context("follow the metadata").and_then(|inner| inner)),
        failure = fatal.reported() => Some(Err(anyhow::anyhow!(failure))),
        stopped = told_to_stop() => stopped.err().map(Err),
    };
    if let Some(failure) = failed {
        // Nothing may be written any more, and nothing can be handed over: the next start recovers.
        return failure.and_then(|()| bail!("the metadata log ended unexpectedly"));
    }
    if broker.config.replication.controlled_shutdown {
        tracing::info!("stopping: handing leaderships over");
        leave.send_replace(true);
        registration.await.context("leave the cluster")?;
    } else {
        tracing::info!("stopping without handing leaderships over: controlled.shutdown.enable is false");
        registration.abort();
    }
    broker.groups.stop();
    drain.send_replace(true);
    broker.stop();
    upkeep.await.context("end the upkeep")?;
    flushes.await.context("end the flushes")?;
    removals.await.context("end the removals")?;
    syncs.await.context("end the syncs")?;
    cleaner.await.context("end the compaction")?;
    end_quorum(&broker, log).await;
    follow.abort();
    tasks.abort_all();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    tokio::task::block_in_place(|| {
        let _settled = broker.partitions.until_settled();
        partitions::close(&broker);
    });
    tracing::info!("stopped");
    Ok(())
}

async fn end_quorum(broker: &Broker, log: Option<Arc<dyn MetadataLog>>) {
    let Some(log) = log else { return };
    if broker.controller.active.leadership().is_some()
        && let Err(error) = log.transfer_leadership(None).await
    {
        tracing::debug!(%error, "the controller's role is not handed over");
    }
    log.shutdown().await;
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn settings(arguments: &Arguments) -> anyhow::Result<BrokerConfig> {
    let mut pairs = ConfigMap::new();
    if let Some(path) = &arguments.config_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        pairs = parse_properties(&text).with_context(|| format!("read {}", path.display()))?;
    }
    for text in &arguments.overrides {
        let (key, value) = parse_override(text)
            .with_context(|| format!("--override {text:?} is not KEY=VALUE, such as --override node.id=1"))?;
        pairs.insert(key, value);
    }
    if arguments.node_id_from_hostname {
        pairs.insert("node.id".to_owned(), node_id_from_hostname()?.to_string());
    }
    let (config, warnings) = load_broker(pairs).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("\n  {error}")).collect();
        anyhow::anyhow!("the settings cannot be used:{}", lines.concat())
    })?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if config.quorum.voters.is_empty() {
        bail!(
            "controller.quorum.voters is missing: list the nodes that keep the metadata, as id@host:port, such as {}@localhost:9093",
            config.node_id
        );
    }
    Ok(config)
}

/// What others may make this broker hold, said where that is less than the settings allow.
fn shares(config: &BrokerConfig) -> MemoryShares {
    let network = &config.network;
    let (queued, frame) = (network.queued_bytes_max, u64::from(network.socket_request_bytes_max));
    let limit_bytes = memory::limit_bytes();
    let shares = MemoryShares::of(limit_bytes, queued, frame);
    if (shares.frame_max as u64) < frame {
        tracing::info!(
            limit_mib = limit_bytes >> 20,
            largest_request_mib = shares.frame_max >> 20,
            requests_mib = shares.client_frames >> 20,
            connections = shares.connections_max,
            "memory is short: less is taken at once than the settings allow"
        );
    }
    shares
}

fn node_id_from_hostname() -> anyhow::Result<NodeId> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let number = name.rsplit('-').next().and_then(|text| text.parse().ok()).and_then(NodeId::from_wire);
    number.with_context(|| {
        format!("the host's name {name:?} does not end in -NUMBER, as a StatefulSet's pods do")
    })
}

fn the_log_dir(config: &BrokerConfig) -> anyhow::Result<PathBuf> {
    match config.logs.dirs.as_slice() {
        [only] => Ok(only.clone()),
        dirs => bail!("log.dirs names {} directories: one is supported", dirs.len()),
    }
}

async fn start_quorum(
    config: &BrokerConfig,
    id: VoterId,
    disk: Arc<dyn Disk>,
    dir: &std::path::Path,
    clock: Clock,
    peers: &Arc<Peers>,
) -> anyhow::Result<Option<Arc<dyn MetadataLog>>> {
    if !config.quorum.voters.iter().any(|voter| voter.id == id.node) {
        return Ok(None);
    }
    let options = QuorumOptions {
        id,
        dir: dir.to_owned(),
        disk,
        transport: Arc::new(RaftTransport::new(Arc::clone(peers))),
        clock: Arc::new(move || clock.now()),
        timing: Timing::from_election_timeout(config.quorum.election_timeout_ms),
        write_mode: WriteMode::Thread,
        snapshot_log_bytes: config.quorum.snapshot_bytes,
    };
    let quorum = Quorum::start(options).await?;
    Ok(Some(Arc::new(quorum)))
}

/// Forms the first quorum of a new cluster; in a cluster that was formed before it does nothing.
async fn form_quorum(broker: Arc<Broker>, log: Arc<dyn MetadataLog>) {
    if broker.config.quorum.bootstrapped {
        return;
    }
    let voters: Vec<(NodeId, String)> =
        broker.config.quorum.voters.iter().map(|voter| (voter.id, voter.address.to_string())).collect();
    loop {
        match log.initialize(voters.clone()).await {
            Ok(outcome) => {
                tracing::info!(?outcome, "the first quorum");
                return;
            }
            Err(InitializeError::Unreachable { silent }) => {
                tracing::debug!(?silent, "voters are still starting");
                tokio::time::sleep(INITIALIZE_PAUSE).await;
            }
            Err(error) => {
                tracing::error!(%error, "the first quorum cannot be formed; check controller.quorum.voters");
                return;
            }
        }
    }
}

/// Every socket that the settings ask for, bound before anything else starts so that a taken port fails early.
struct Sockets {
    kafka: Vec<(TcpListener, ListenerSettings)>,
    http: Option<TcpListener>,
}

impl Sockets {
    async fn bind(
        config: &BrokerConfig,
        shares: &MemoryShares,
        clock: Clock,
        data: &Handle,
    ) -> anyhow::Result<Sockets> {
        let budgets = |frames, leftovers| Budgets {
            frames: ByteBudget::new(frames),
            leftovers: ByteBudget::new(leftovers),
        };
        // Clients that take all of theirs must not hold up the metadata and the copies of the brokers.
        let for_clients = budgets(shares.client_frames, shares.client_leftovers);
        let for_brokers = budgets(shares.broker_frames, shares.broker_leftovers);
        let options = SocketOptions {
            backlog: config.network.listen_backlog,
            send_buffer_bytes: config.network.socket_send_buffer_bytes,
            receive_buffer_bytes: config.network.socket_receive_buffer_bytes,
        };
        let private = private_listener(config);
        let mut kafka = Vec::new();
        for bound in &config.listeners {
            let socket = crate::net::listen(&bound.host, bound.port, options)
                .await
                .with_context(|| format!("open listener {}", bound.name))?;
            let idle_max = config.network.connections_idle_ms_max;
            let is_private = private.is_some_and(|private| private.name == bound.name);
            let (role, budgets) =
                if is_private { (Role::Broker, &for_brokers) } else { (Role::Client, &for_clients) };
            let settings = ListenerSettings {
                session: Session::anonymous(&bound.name, role).into(),
                admission: None,
                frame_bytes_max: shares.frame_max,
                idle_max: idle_max.map_or(Duration::MAX, |idle| idle.to_std()),
                budgets: budgets.clone(),
                clock,
                data: data.clone(),
            };
            kafka.push((socket, settings));
        }
        let http = match &config.network.metrics_listener {
            Some(address) => Some(
                crate::net::listen(&address.host, address.port, SocketOptions::default())
                    .await
                    .context("open ottla.metrics.listener")?,
            ),
            None => None,
        };
        Ok(Sockets { kafka, http })
    }

    /// Fills in what the settings leave out of the addresses that clients are told: the machine's name for the host,
    /// the port that was bound for port 0.
    async fn complete(&self, advertised: &mut [Listener]) -> anyhow::Result<()> {
        for listener in advertised {
            if listener.host.is_empty() {
                listener.host = crate::net::machine_name().await;
                tracing::info!(listener = %listener, "advertising this machine's name");
            }
            let bound = self.kafka.iter().find(|(_, settings)| *settings.session.listener == *listener.name);
            if let (0, Some((socket, _))) = (listener.port, bound) {
                listener.port = socket.local_addr().context("ask for the bound port")?.port();
            }
        }
        Ok(())
    }

    fn serve(self, broker: &Arc<Broker>, drain: &watch::Receiver<bool>, tasks: &mut JoinSet<()>) {
        let api = Arc::new(Api::new(Arc::clone(broker)));
        for (socket, mut settings) in self.kafka {
            let is_for_clients = !settings.session.is_broker();
            settings.admission = is_for_clients.then(|| Arc::clone(&broker.admission));
            let (api, mut drain) = (Arc::clone(&api), drain.clone());
            let for_clients = is_for_clients.then(|| in_service(broker.controller.standing()));
            tasks.spawn(async move {
                if let Some(in_service) = for_clients {
                    tokio::select! {
                        () = listener::until_in_service(&socket, in_service) => {}
                        () = until_true(&mut drain) => return,
                    }
                }
                listener::serve(socket, settings, api, drain).await;
            });
        }
        if let Some(socket) = self.http {
            let health = Arc::new(Health::new(Arc::clone(broker)));
            tasks.spawn(crate::http::serve(socket, health, drain.clone()));
        }
    }
}

/// Resolves when the broker was in service once.
async fn in_service(mut standing: watch::Receiver<Standing>) {
    let has_begun = |standing: &Standing| !matches!(standing, Standing::Starting | Standing::Fenced);
    // The sender lives as long as the broker, so the wait cannot fail.
    let _ = standing.wait_for(has_begun).await;
}

/// The listener between brokers: the inter-broker one if clients have another, else the controllers'. A broker
/// with a single listener has no private one and can only be alone.
pub fn private_listener(config: &BrokerConfig) -> Option<&Listener> {
    let is_controller = |listener: &Listener| config.controller_listener_names.contains(&listener.name);
    let inter_broker = &config.inter_broker_listener_name;
    let for_clients = config
        .listeners
        .iter()
        .filter(|listener| listener.name != *inter_broker && !is_controller(listener))
        .count();
    if for_clients > 0 {
        return config.listeners.iter().find(|listener| listener.name == *inter_broker);
    }
    config.listeners.iter().find(|listener| is_controller(listener) && listener.name != *inter_broker)
}
