//! The chart: wrong values are refused, and uninstalling leaves the definitions. What it renders is compared by tidy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Cluster, checkout, run};
use tokio::process::Command;

use crate::admission::install_definitions;

/// Helm renders a chart in half a second.
const RENDER_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn values_that_cannot_work_are_refused_before_anything_is_installed() -> Result<()> {
    let Some(_cluster) = Cluster::given().await? else { return Ok(()) };
    for (value, says) in [
        ("replcas=2", "replcas"),
        ("replicas=9", "replicas"),
        ("image.tag=", "image/tag"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespaces={A b}", "watchNamespaces"),
        ("clusterDomain=cluster local", "clusterDomain"),
        ("rbac.nodes=perhaps", "nodes"),
    ] {
        let said =
            render(&["--set", value]).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains(says), "{value}: {said:?} does not name {says}");
    }
    Ok(())
}

#[tokio::test]
async fn the_definitions_outlive_the_release() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    if std::env::var_os("OTTLA_E2E_KEEP").is_some() {
        return Ok(());
    }
    drop(install_definitions(&cluster).await?);
    for name in ["kafkaclusters.ottla.dev", "kafkatopics.ottla.dev"] {
        cluster.kubectl(&["get", "crd", name]).await.context("uninstalling took the definitions")?;
    }
    // Installing again takes them over.
    install_definitions(&cluster).await.map(drop)
}

async fn render(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("helm");
    command.args(["template", "ottla"]).arg(checkout().join("charts/ottla"));
    command.args(["--namespace", "ottla-system"]).args(arguments);
    run(command, RENDER_LIMIT).await
}
