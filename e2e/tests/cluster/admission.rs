//! Manifests and what the API server says to them: with the definitions, and without an operator.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Chart, Cluster, Waited, until};

use crate::release;

/// The API server serves a new definition within two seconds.
const SERVED_LIMIT: Duration = Duration::from_secs(30);

/// A manifest that must be refused, and words of the answer that tell a person what to change.
pub(crate) struct Refused {
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// `metadata.name`.
    pub(crate) name: &'static str,
    /// The spec in YAML's flow style.
    pub(crate) spec: &'static str,
    /// Words that the answer contains.
    pub(crate) says: &'static str,
}

/// Installs the definitions and waits until the API server refuses by them.
pub(crate) async fn install_definitions(cluster: &Cluster) -> Result<Chart> {
    let chart = release::install(cluster, &["replicas=0"]).await?;
    let probe = manifest("KafkaTopic", "probe", "{ cluster: demo, partitions: 0 }");
    until("the API server to serve the definitions", SERVED_LIMIT, async || {
        let refused = cluster.apply("default", &probe).await?.err().unwrap_or_default();
        Ok(if refused.contains("spec.partitions") { Waited::Done(()) } else { Waited::NotYet(refused) })
    })
    .await?;
    Ok(chart)
}

/// A manifest of one of our kinds.
pub(crate) fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: ottla.dev/v1alpha1\nkind: {kind}\nmetadata: {{ name: \"{name}\" }}\nspec: {spec}\n")
}

/// Applies every manifest and fails with all that were accepted or refused in other words.
pub(crate) async fn assert_refused(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    cases: &[Refused],
) -> Result<()> {
    let mut wrong = Vec::new();
    for case in cases {
        match cluster.apply(namespace, &manifest(kind, case.name, case.spec)).await? {
            Ok(said) => wrong.push(format!("{}: accepted: {said}", case.what)),
            Err(said) if !said.contains(case.says) => {
                wrong.push(format!("{}: {:?} is not in: {said}", case.what, case.says));
            }
            Err(_) => {}
        }
    }
    println!("{kind}: {} of {} bad manifests refused as expected", cases.len() - wrong.len(), cases.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Applies every spec under a name of its own and fails with the first that is refused.
pub(crate) async fn assert_accepted(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    specs: &[&str],
) -> Result<()> {
    for (index, spec) in specs.iter().enumerate() {
        let applied = cluster.apply(namespace, &manifest(kind, &format!("good-{index}"), spec)).await?;
        ensure!(applied.is_ok(), "{spec} is refused: {}", applied.unwrap_err());
    }
    Ok(())
}
