//! What others made stays as it is, what keeps a cluster from starting is told, and all of it can be mended.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use ottla_e2e::{Waited, until};

use crate::demo::{Demo, START_LIMIT};

/// The operator says what the API server knows within five seconds; the rest is for what Kubernetes itself needs.
const TOLD_LIMIT: Duration = Duration::from_secs(30);

/// Waits until the condition Ready has these words.
async fn until_told(demo: &Demo, words: &[&str]) -> Result<()> {
    until(&format!("the words {words:?}"), TOLD_LIMIT, async || {
        let (_, status) = demo.status().await?;
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let said = ready.map(|ready| format!("{}: {}", ready.reason, ready.message)).unwrap_or_default();
        Ok(match words.iter().all(|word| said.contains(word)) {
            true => Waited::Done(()),
            false => Waited::NotYet(said),
        })
    })
    .await
}

fn cluster(storage: &str, template: &str) -> String {
    let spec = format!("{{ replicas: 3, storage: {storage}, template: {template} }}");
    crate::admission::manifest("KafkaCluster", "demo", &spec)
}

#[tokio::test]
async fn what_others_made_stays_and_what_keeps_a_cluster_from_starting_is_told_and_can_be_mended()
-> Result<()> {
    let Some(demo) = Demo::start("strangers").await? else { return Ok(()) };
    let theirs = "apiVersion: v1\nkind: Service\nmetadata: { name: demo-bootstrap }\nspec: { ports: [ { port: 80, name: web } ] }\n";
    demo.apply(theirs).await?;
    demo.apply(&cluster("{ size: 1Gi, class: typo }", "{ priorityClassName: no-such }")).await?;
    until_told(&demo, &["NameTaken", "Service demo-bootstrap", "ottla.dev/adopt=demo"]).await?;
    let services: Api<Service> = Api::namespaced(demo.cluster.client(), demo.namespace());
    let service = services.get("demo-bootstrap").await?;
    ensure!(service.metadata.owner_references.is_none() && service.metadata.labels.is_none(), "{service:?}");
    demo.kubectl(&["annotate", "service", "demo-bootstrap", "ottla.dev/adopt=demo"]).await?;
    until_told(&demo, &["FailedCreate", "no-such"]).await?;
    let events = demo.kubectl(&["get", "events", "--field-selector", "reason=FailedCreate"]).await?;
    ensure!(events.contains("kafkacluster/demo"), "{events}");
    demo.apply(&cluster("{ size: 1Gi, class: typo }", "{}")).await?;
    until_told(&demo, &["Unschedulable"]).await?;
    demo.apply(&cluster("{ size: 1Gi }", "{}")).await?;
    demo.wait("kafkacluster/demo", "Ready", START_LIMIT).await?;
    let (_, status) = demo.status().await?;
    ensure!(status.storage_size.as_deref() == Some("1Gi"), "{status:?}");
    demo.apply(&cluster("{ size: 2Gi }", "{}")).await?;
    until_told(&demo, &["VolumeCannotGrow", "set spec.storage.size back to 1Gi"]).await?;
    demo.apply(&cluster("{ size: 1Gi }", "{}")).await?;
    demo.wait("kafkacluster/demo", "Ready", START_LIMIT).await?;
    demo.kubectl(&["delete", "kafkacluster", "demo", "--wait"]).await?;
    demo.apply(&crate::admission::manifest(
        "KafkaCluster",
        "demo",
        "{ replicas: 1, storage: { size: 1Gi } }",
    ))
    .await?;
    until_told(&demo, &["set spec.replicas to 3 or more"]).await?;
    demo.apply(&cluster("{ size: 1Gi }", "{}")).await?;
    demo.wait("kafkacluster/demo", "Ready", START_LIMIT).await?;
    demo.remove().await
}
