//! Wires the broker, top to bottom: settings, disk, sockets, parts, tasks; and ends it in the reverse order.

mod quorum;
mod settings;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_broker_log::{Disk, METADATA_DIR, PacedDisk};
use ottla_broker_quorum::{MetadataLog, VoterId};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::broker::{Broker, Parts};
use crate::clock::{self, Clock};
use crate::controller::{self, Active, ActiveParts, Controller};
use crate::coordinators::Groups;
use crate::identity;
use crate::membership;
use crate::metrics::Metrics;
use crate::partitions::{self, Opener, Partitions};
use crate::peers::{PeerAddress, Peers};
use crate::served::Served;
use crate::stop::Fatal;

pub use settings::Arguments;
use sockets::Sockets;

/// How long the parts may take to end once they are told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a broker until it is told to stop, or fails. Its clients and its copying are served on the threads of `data`,
/// and what controls on those of the caller.
pub async fn run(arguments: Arguments, data: Handle) -> anyhow::Result<()> {
    let mut config = settings::read(&arguments)?;
    let (disk, writebacks) = PacedDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    std::thread::Builder::new()
        .name("writeback".to_owned())
        .spawn(move || writebacks.run())
        .context("start the thread for writeback")?;
    let dir = settings::the_log_dir(&config)?;
    let (identity, _lock) = identity::establish(&*disk, &dir, &config)?;
    membership::check(&*disk, &dir, &config)?;
    let shares = settings::shares(&config);
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
    let log = quorum::start(&config, id, Arc::clone(&disk), &dir.join(METADATA_DIR), clock, &peers).await?;
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
        tasks.spawn(quorum::form(Arc::clone(&broker.config), log));
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
    quorum::end(&broker.controller.active, log).await;
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

async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
