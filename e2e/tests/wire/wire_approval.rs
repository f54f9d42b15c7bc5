//! Manual mode, from manifests to moved replicas: a plan moves nothing until a person has approved its hash; drains need
//! no approval.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{EditedCluster, approve_plan, until_status};
use ottla_operator_crd::KafkaClusterStatus;
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
    let cluster = LocalCluster { folder: folder.path(), admin };
    let before = cluster.placement().await?;
    edit(folder.path(), "spec:\n", "spec:\n  rebalance: {mode: Manual}\n")?;
    set_replicas(folder.path(), 5)?;
    let (shown, _) = approve_plan(&cluster, &before, PATIENCE).await?;
    ensure!(shown.moves == shown.lower_bound_moves, "{} moves", shown.moves);
    ensure!(shown.bytes.is_some() && shown.lower_bound_bytes <= shown.bytes, "{:?}", shown.bytes);
    check_balance(&cluster.admin.describe_topics(None).await?, 5)?;

    set_replicas(folder.path(), 3)?;
    until_status(&cluster, "three brokers are left", PATIENCE, |status| {
        Some(()).filter(|()| status.drain.is_none() && (status.replicas, status.ready_replicas) == (3, 3))
    })
    .await?;
    check_balance(&cluster.admin.describe_topics(None).await?, 3)?;
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    Ok(())
}

/// Local mode's cluster, by its folder of manifests and its brokers.
struct LocalCluster<'a> {
    folder: &'a Path,
    admin: AdminClient,
}

impl EditedCluster for LocalCluster<'_> {
    /// The replicas of every partition.
    type Placement = Vec<String>;

    async fn status(&self) -> Result<Option<KafkaClusterStatus>> {
        let text = std::fs::read(self.folder.join("data/demo/state.json"))?;
        let state: serde_json::Value = serde_json::from_slice(&text)?;
        Ok(serde_json::from_value(state["status"].clone())?)
    }

    async fn approve(&self, hash: &str) -> Result<()> {
        let path = self.folder.join("cluster.yaml");
        let text = std::fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  annotations:")).collect();
        let annotation = format!("metadata:\n  annotations: {{ottla.dev/approve-rebalance: \"{hash}\"}}\n");
        std::fs::write(&path, (lines.join("\n") + "\n").replacen("metadata:\n", &annotation, 1))
            .context("edit the manifest")
    }

    async fn placement(&self) -> Result<Vec<String>> {
        let topics = self.admin.describe_topics(None).await?;
        let lists = topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|each| format!("{}-{} {:?}", topic.name, each.index, each.replicas))
        });
        Ok(lists.collect())
    }
}

fn edit(folder: &Path, from: &str, to: &str) -> Result<()> {
    let path = folder.join("cluster.yaml");
    let text = std::fs::read_to_string(&path)?;
    ensure!(text.contains(from), "{} has no {from:?}", path.display());
    std::fs::write(&path, text.replacen(from, to, 1)).context("edit the manifest")
}
