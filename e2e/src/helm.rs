//! Installing Ottla the way a user does: by its chart.

use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use crate::binaries::checkout;
use crate::cleanup::undo;
use crate::cluster::Cluster;
use crate::command::run;

/// Longer than Helm's own wait, so that Helm's message is the one that is seen.
const HELM_LIMIT: Duration = Duration::from_secs(150);

/// An installed release of `charts/ottla`; uninstalled when dropped, unless `OTTLA_E2E_KEEP` is set.
pub struct Chart {
    release: String,
    namespace: String,
}

impl Chart {
    /// `helm upgrade --install --wait`, with the image under test and further `values` as `key=value`.
    ///
    /// # Errors
    /// When Helm fails or the operator is not ready in time, with what Helm said.
    pub async fn install(
        cluster: &Cluster,
        release: &str,
        namespace: &str,
        values: &[&str],
    ) -> Result<Chart> {
        let (repository, tag) = cluster.image().rsplit_once(':').unwrap_or((cluster.image(), "latest"));
        let mut command = Command::new("helm");
        command.args(["upgrade", "--install", release]).arg(checkout().join("charts/ottla"));
        command.args(["--namespace", namespace, "--create-namespace", "--wait", "--timeout", "120s"]);
        command.arg(format!(
            "--set=image.repository={repository},image.tag={tag},image.pullPolicy=IfNotPresent"
        ));
        command.args(values.iter().map(|value| format!("--set={value}")));
        // Made before the outcome is known: a half-installed release is taken away, too.
        let chart = Chart { release: release.to_owned(), namespace: namespace.to_owned() };
        run(command, HELM_LIMIT).await?;
        Ok(chart)
    }

    /// The namespace that the operator runs in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        if std::env::var_os("OTTLA_E2E_KEEP").is_none() {
            undo("helm", &["uninstall", &self.release, "--namespace", &self.namespace, "--ignore-not-found"]);
        }
    }
}
