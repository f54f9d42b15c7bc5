//! Local mode where something is amiss: two runs that want the same ports, a manifest that is empty for a moment.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Process, Waited, binary, until};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};

use crate::clients::PATIENCE;
use crate::turns::beside_others;
use crate::wire_scale::free_port_base;

const TOPIC: &str = "apiVersion: ottla.dev/v1alpha1\nkind: KafkaTopic\nmetadata: {name: orders}\n\
                     spec: {cluster: demo, partitions: 2, replicationFactor: ";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_local_modes_that_start_on_the_same_ports_one_serves_and_the_other_ends() -> Result<()> {
    let _turn = beside_others().await;
    let (folder, port) = (manifests(3)?, free_port_base()?);
    let mut runs = [start(folder.path(), "one", port)?, start(folder.path(), "two", port)?];
    let ended = until("one of them gives up", PATIENCE, async || {
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some(status) = run.ended()? {
                return Ok(Waited::Done((number, status)));
            }
        }
        Ok(Waited::not_yet(runs[0].log()))
    });
    let (loser, status) = ended.await?;
    let said = runs[loser].log();
    ensure!(!status.success() && said.contains("is another ottla-operator's"), "{status}: {said}");
    says(&mut runs[1 - loser], "demo: 3 brokers serve").await?;
    let [one, two] = runs;
    let status = if loser == 0 { two } else { one }.stop(PATIENCE).await?;
    ensure!(status.success(), "the one that serves ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_away_for_a_moment_deletes_nothing() -> Result<()> {
    let _turn = beside_others().await;
    let (folder, port) = (manifests(1)?, free_port_base()?);
    let mut local = start(folder.path(), "data", port)?;
    says(&mut local, "topic orders: ready").await?;
    let admin =
        AdminClient::new(vec![Endpoint { host: "127.0.0.1".to_owned(), port }], Duration::from_secs(10));
    let path = folder.path().join("topic.yaml");
    let text = std::fs::read_to_string(&path)?;
    let id = topic_id(&admin).await?.context("the topic is there")?;
    std::fs::write(&path, "")?;
    says(&mut local, "topic.yaml: it is empty").await?;
    // Then the file is gone for longer than a change must last, and comes back before the second look.
    std::fs::remove_file(&path)?;
    says(&mut local, "the manifests can be used again").await?;
    std::fs::write(&path, &text)?;
    let marker = folder.path().join("cluster.yaml");
    let cluster = std::fs::read_to_string(&marker)?;
    std::fs::write(&marker, cluster.replace("config: {}", "config: {log.retention.hours: 100}"))?;
    says(&mut local, "the manifest of the cluster has changed").await?;
    ensure!(topic_id(&admin).await? == Some(id), "the topic was deleted");
    std::fs::remove_file(&path)?;
    says(&mut local, "topic orders is deleted: its manifest is gone").await?;
    ensure!(topic_id(&admin).await?.is_none(), "the topic stays");
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    Ok(())
}

/// A folder with the manifests of a cluster and of a topic with two copies, or one where there is one broker.
fn manifests(brokers: usize) -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("ottla-local-").tempdir()?;
    let cluster = format!(
        "apiVersion: ottla.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: demo}}\n\
         spec: {{replicas: {brokers}, storage: {{size: 1Gi}}, config: {{}}}}\n"
    );
    std::fs::write(folder.path().join("cluster.yaml"), cluster)?;
    std::fs::write(folder.path().join("topic.yaml"), format!("{TOPIC}{}}}\n", brokers.min(2)))?;
    Ok(folder)
}

/// Runs local mode on `folder`, with its data in `data` below it.
fn start(folder: &Path, data: &str, port: u16) -> Result<Process> {
    let (manifests, port) = (folder.display().to_string(), port.to_string());
    let place = folder.join(data).display().to_string();
    let arguments = ["local", "-f", &manifests, "--data", &place, "--port", &port];
    Process::start(&binary("ottla-operator")?, &arguments, &folder.join(format!("{data}.log")))
}

/// Waits until it has said `text`.
async fn says(local: &mut Process, text: &str) -> Result<()> {
    until(text, PATIENCE, async || {
        let log = local.log();
        if let Some(status) = local.ended()? {
            anyhow::bail!("local mode ended with {status}:\n{log}");
        }
        Ok(if log.contains(text) { Waited::Done(()) } else { Waited::not_yet(log) })
    })
    .await
}

async fn topic_id(admin: &AdminClient) -> Result<Option<String>> {
    let topics = admin.describe_topics(None).await?;
    let topic = topics.into_iter().find(|topic| topic.name == "orders");
    Ok(topic.and_then(|topic| topic.id).map(|id| id.to_string()))
}
