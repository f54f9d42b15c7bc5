//! The task of a shard: it loads it, then answers who waits for commits and lets time pass, until it is given up.

use std::sync::Arc;
use std::time::Duration;

use super::hosted_shard::HostedShard;
use super::load::load;
use super::registry::Kind;
use crate::broker::Broker;
use crate::controller::Standing;

/// Pause after an attempt to load that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the shard is given up.
pub(super) async fn run<K: Kind>(broker: Arc<Broker>, kind: Arc<K>, hosted: Arc<HostedShard<K::Shard>>) {
    // Until this broker has caught up, its metadata may show leaderships and topics of the past.
    let caught_up =
        broker.controller.standing().wait_for(|standing| *standing == Standing::Active).await.is_ok();
    if !caught_up {
        return;
    }
    while !hosted.is_gone() {
        match serve(&broker, &kind, &hosted).await {
            Ok(()) => return,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(partition = %hosted.partition.id, error, "a coordinator cannot be loaded; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn serve<K: Kind>(
    broker: &Arc<Broker>,
    kind: &Arc<K>,
    hosted: &Arc<HostedShard<K::Shard>>,
) -> anyhow::Result<()> {
    let started = broker.clock.micros();
    let Some(loading) = load(broker, hosted, kind.empty()).await? else { return Ok(()) };
    let progress = loading.progress();
    let (beginning, of_kind, begun) = (Arc::clone(broker), Arc::clone(kind), Arc::clone(hosted));
    let is_served = broker.disk.run(false, move || {
        let serving = loading.serve(beginning.clock.now(), of_kind.commit_timeout());
        let is_served = begun.serve(serving);
        if is_served {
            of_kind.begun(&beginning, &begun);
        }
        is_served
    });
    if !is_served.await {
        return Ok(());
    }
    let micros = broker.clock.micros().saturating_sub(started);
    tracing::debug!(partition = %hosted.partition.id, epoch = hosted.epoch.0, %progress, micros, "a coordinator serves");
    loop {
        let looking = Arc::clone(hosted);
        let Some(rest) = broker.disk.run(false, move || looking.rest()).await else { return Ok(()) };
        let now = broker.clock.now().mono;
        if rest.until <= now {
            let ticking = Arc::clone(hosted);
            broker.disk.run(false, move || ticking.tick()).await;
            continue;
        }
        let committed = async {
            match &rest.commits {
                Some(commits) => commits.woken().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest.until.since(now).to_std()) => {}
            () = hosted.changed() => {}
            () = committed => {}
        }
    }
}
