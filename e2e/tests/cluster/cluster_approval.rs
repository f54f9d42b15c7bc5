//! Manual mode: a plan is shown, refused under another hash, and carried out under its own; a drain that is taken back
//! leaves everything in service.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Waited, until};
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};
use ottla_operator_crd::conditions;

use crate::demo::Demo;

/// Moves of little data take seconds.
const LIMIT: Duration = Duration::from_secs(180);
/// Partitions of the topic that moves.
const PARTITIONS: u32 = 12;

#[tokio::test]
async fn a_plan_waits_for_its_own_approval_and_a_drain_can_be_taken_back() -> Result<()> {
    let Some(demo) = Demo::start("approval").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.create_topic("load", PARTITIONS).await?;
    let before = demo.metadata().await?.replicas_by_broker();
    patch(&demo, r#"{"spec":{"replicas":5,"rebalance":{"mode":"Manual"}}}"#).await?;
    let shown = rebalance(&demo, "a plan is shown", |plan| {
        plan.phase == RebalancePhase::ProposalReady && plan.moves > 0
    })
    .await?;
    let hash = shown.plan_hash.context("it has a hash")?;
    println!("plan {hash}: {} of at least {} moves", shown.moves, shown.lower_bound_moves);
    approve(&demo, "0123456789abcdef").await?;
    rebalance(&demo, "it is refused", |plan| plan.refused_approval.is_some()).await?;
    let now = demo.metadata().await?.replicas_by_broker();
    ensure!(now == before, "replicas moved without an approval: {now:?}");
    approve(&demo, &hash).await?;
    let over = rebalance(&demo, "it is carried out", |plan| plan.executed_hash.is_some()).await?;
    ensure!(over.executed_hash.as_ref() == Some(&hash), "{over:?}");
    ensure!((over.moves, over.moves_done) == (shown.moves, shown.moves), "{over:?}");
    let counts = demo.metadata().await?.replicas_by_broker();
    let spread: BTreeMap<_, _> = counts.iter().filter(|(id, _)| **id >= 3).collect();
    ensure!(spread.len() == 2 && spread.values().all(|count| **count > 0), "{counts:?}");
    until_kept(&demo, 0).await?;

    patch(&demo, r#"{"spec":{"replicas":3}}"#).await?;
    status(&demo, "a drain begins", |status| status.drain.filter(|drain| drain.brokers == [3, 4])).await?;
    patch(&demo, r#"{"spec":{"replicas":5}}"#).await?;
    status(&demo, "five brokers serve again", |status| {
        let ready = conditions::holds(&status.conditions, conditions::READY);
        Some(()).filter(|()| ready && status.drain.is_none() && status.ready_replicas == 5)
    })
    .await?;
    demo.until_in_sync(LIMIT).await?;
    demo.remove().await
}

async fn patch(demo: &Demo, patch: &str) -> Result<()> {
    demo.kubectl(&["patch", "kafkacluster/demo", "--type=merge", "--patch", patch]).await.map(drop)
}

async fn approve(demo: &Demo, hash: &str) -> Result<()> {
    let annotation = format!("ottla.dev/approve-rebalance={hash}");
    demo.kubectl(&["annotate", "kafkacluster/demo", "--overwrite", &annotation]).await.map(drop)
}

/// Waits until as many ConfigMaps keep an approved plan.
async fn until_kept(demo: &Demo, count: usize) -> Result<()> {
    until("the plan that was carried out is let go", LIMIT, async || {
        let list = ["get", "configmaps", "--selector", "ottla.dev/rebalance-plan", "--output", "name"];
        let names = demo.kubectl(&list).await?;
        let kept = names.lines().filter(|line| !line.is_empty()).count();
        Ok(if kept == count { Waited::Done(()) } else { Waited::NotYet(names) })
    })
    .await
}

/// Waits until status says of the moves what `holds` looks for.
async fn rebalance(
    demo: &Demo,
    what: &str,
    holds: impl Fn(&RebalanceStatus) -> bool,
) -> Result<RebalanceStatus> {
    status(demo, what, |status| status.rebalance.filter(|plan| holds(plan))).await
}

/// Waits until `find` finds something in the status of the present spec.
async fn status<T>(demo: &Demo, what: &str, find: impl Fn(KafkaClusterStatus) -> Option<T>) -> Result<T> {
    until(what, LIMIT, async || {
        let (object, status) = demo.status().await?;
        let current = status.observed_generation == object.metadata.generation;
        let told = format!("{:?} {:?}", status.conditions, status.rebalance);
        match find(status).filter(|_| current) {
            Some(found) => Ok(Waited::Done(found)),
            None => Ok(Waited::NotYet(told)),
        }
    })
    .await
}
