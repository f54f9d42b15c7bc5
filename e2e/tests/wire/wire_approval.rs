//! Manual mode, from manifests to moved replicas: a plan moves nothing until a person has approved its hash; drains need
//! no approval.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Waited, until};
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};

use crate::clients::PATIENCE;
use crate::turns::beside_others;
use crate::wire_scale::{check_balance, free_port_base, set_replicas, start_local};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_moves_nothing_until_its_hash_is_approved_and_a_drain_needs_no_approval() -> Result<()> {
    let _turn = beside_others().await;
    let folder = tempfile::Builder::new().prefix("ottla-approval-").tempdir()?;
    let port = free_port_base()?;
    let local = start_local(folder.path(), port, true).await?;
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
    let admin = AdminClient::new(vec![endpoint], Duration::from_secs(10));
    let before = placement(&admin).await?;
    edit(folder.path(), "spec:\n", "spec:\n  rebalance: {mode: Manual}\n")?;
    set_replicas(folder.path(), 5)?;
    let shown = rebalance(folder.path(), "a plan is shown", |plan| {
        plan.phase == RebalancePhase::ProposalReady && plan.plan_hash.is_some()
    })
    .await?;
    let hash = shown.plan_hash.context("it has a hash")?;
    println!("approval: plan {hash} moves {} replicas of {:?} bytes", shown.moves, shown.bytes);
    ensure!(shown.moves > 0 && shown.moves == shown.lower_bound_moves, "{} moves", shown.moves);
    ensure!(shown.bytes.is_some() && shown.lower_bound_bytes <= shown.bytes, "{:?}", shown.bytes);

    approve(folder.path(), "0123456789abcdef")?;
    let refused = rebalance(folder.path(), "it is refused", |plan| plan.refused_approval.is_some()).await?;
    ensure!(refused.message.contains("the approval of 0123456789abcdef is refused"), "{}", refused.message);
    ensure!(placement(&admin).await? == before, "replicas moved without an approval");

    approve(folder.path(), &hash)?;
    let over = rebalance(folder.path(), "it is carried out", |plan| plan.executed_hash.is_some()).await?;
    ensure!(over.executed_hash.as_ref() == Some(&hash), "{over:?}");
    ensure!((over.moves, over.moves_done) == (shown.moves, shown.moves), "{over:?}");
    check_balance(&admin.describe_topics(None).await?, 5)?;

    set_replicas(folder.path(), 3)?;
    status(folder.path(), "three brokers are left", |status| {
        Some(()).filter(|()| status.drain.is_none() && (status.replicas, status.ready_replicas) == (3, 3))
    })
    .await?;
    check_balance(&admin.describe_topics(None).await?, 3)?;
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    Ok(())
}

/// The replicas of every partition.
async fn placement(admin: &AdminClient) -> Result<Vec<String>> {
    let topics = admin.describe_topics(None).await?;
    let lists = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|each| format!("{}-{} {:?}", topic.name, each.index, each.replicas))
    });
    Ok(lists.collect())
}

/// Sets the annotation that approves a plan.
fn approve(folder: &Path, hash: &str) -> Result<()> {
    let path = folder.join("cluster.yaml");
    let text = std::fs::read_to_string(&path)?;
    let lines = text.lines().filter(|line| !line.starts_with("  annotations:"));
    let text: Vec<&str> = lines.collect();
    let annotation = format!("metadata:\n  annotations: {{ottla.dev/approve-rebalance: \"{hash}\"}}\n");
    std::fs::write(&path, (text.join("\n") + "\n").replacen("metadata:\n", &annotation, 1))
        .context("edit the manifest")
}

fn edit(folder: &Path, from: &str, to: &str) -> Result<()> {
    let path = folder.join("cluster.yaml");
    let text = std::fs::read_to_string(&path)?;
    ensure!(text.contains(from), "{} has no {from:?}", path.display());
    std::fs::write(&path, text.replacen(from, to, 1)).context("edit the manifest")
}

/// Waits until status says of the moves what `holds` looks for.
async fn rebalance(
    folder: &Path,
    what: &str,
    holds: impl Fn(&RebalanceStatus) -> bool,
) -> Result<RebalanceStatus> {
    status(folder, what, |status| status.rebalance.filter(|plan| holds(plan))).await
}

/// Waits until `find` finds something in the status that local mode keeps.
async fn status<T>(folder: &Path, what: &str, find: impl Fn(KafkaClusterStatus) -> Option<T>) -> Result<T> {
    let path = folder.join("data/demo/state.json");
    until(what, PATIENCE, async || {
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        match find(serde_json::from_value(state["status"].clone())?) {
            Some(found) => Ok(Waited::Done(found)),
            None => Ok(Waited::not_yet(&state["status"])),
        }
    })
    .await
}
