//! The operator as a user installs it.

use anyhow::Result;
use ottla_e2e::{Chart, Cluster};

/// The release that tests install.
const RELEASE: &str = "ottla";
/// Where the operator runs.
const NAMESPACE: &str = "ottla-system";

/// Installs the chart with `values`, and the definitions with it unless another release has brought them: on a
/// cluster that is given, Ottla may be installed already.
pub(crate) async fn install(cluster: &Cluster, values: &[&str]) -> Result<Chart> {
    let owner = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-name}";
    let find = ["get", "crd", "kafkaclusters.ottla.dev", "--ignore-not-found", "--output", owner];
    let owner = cluster.kubectl(&find).await?;
    let mut values = values.to_vec();
    if !owner.is_empty() && owner != RELEASE {
        values.push("crds.install=false");
    }
    Chart::install(cluster, RELEASE, NAMESPACE, &values).await
}
