//! Manual mode: a plan is shown, refused under another hash, and carried out under its own; a drain that is taken back
//! leaves everything in service.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{EditedCluster, Waited, approve_plan, until, until_status};
use ottla_operator_crd::KafkaClusterStatus;
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
    approve_plan(&demo, &before, LIMIT).await?;
    let counts = demo.metadata().await?.replicas_by_broker();
    let spread: BTreeMap<_, _> = counts.iter().filter(|(id, _)| **id >= 3).collect();
    ensure!(spread.len() == 2 && spread.values().all(|count| **count > 0), "{counts:?}");
    until_kept(&demo, 0).await?;

    patch(&demo, r#"{"spec":{"replicas":3}}"#).await?;
    until_status(&demo, "a drain begins", LIMIT, |status| {
        status.drain.filter(|drain| drain.brokers == [3, 4])
    })
    .await?;
    patch(&demo, r#"{"spec":{"replicas":5}}"#).await?;
    until_status(&demo, "five brokers serve again", LIMIT, |status| {
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

impl EditedCluster for Demo {
    type Placement = BTreeMap<i32, usize>;

    async fn status(&self) -> Result<Option<KafkaClusterStatus>> {
        let (object, status) = Demo::status(self).await?;
        Ok(Some(status).filter(|status| status.observed_generation == object.metadata.generation))
    }

    async fn approve(&self, hash: &str) -> Result<()> {
        let annotation = format!("ottla.dev/approve-rebalance={hash}");
        self.kubectl(&["annotate", "kafkacluster/demo", "--overwrite", &annotation]).await.map(drop)
    }

    async fn placement(&self) -> Result<BTreeMap<i32, usize>> {
        Ok(self.metadata().await?.replicas_by_broker())
    }
}
