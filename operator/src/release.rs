//! Before the operator goes for good: takes its finalizers off KafkaTopics, so that these and their namespaces can be
//! deleted without it. Their topics in Kafka stay, and so do the objects.
//!
//! I/O: the API server only.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use ottla_operator_crd::KafkaTopic;

use crate::controllers::topic::{hold, is_held};
use crate::leader::Leadership;

/// An operator gives its lease back when it ends, and one that was killed loses it within fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at an operator that is ending.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Objects of one answer of the API server.
const PAGE: u32 = 500;
/// How often all topics are gone through: an object that somebody changes meanwhile waits for the next time.
const PASSES_MAX: usize = 5;

/// Whose topics are let go.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces to look after; none stands for all.
    pub namespaces: Vec<String>,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who holds it meanwhile.
    pub identity: String,
}

/// Lets go of every KafkaTopic; how many there were.
///
/// # Errors
/// If an operator still runs, which would hold them again, or if the API server does not do as asked.
pub async fn run(options: &Options) -> anyhow::Result<usize> {
    let client = Client::try_default().await.context("find the API server")?;
    let leadership =
        Leadership::new(client.clone(), &options.lease_namespace, &options.lease_name, &options.identity);
    let lead = async {
        until_ended(&client, options).await?;
        leadership.acquire().await;
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, lead)
        .await
        .context("an operator still holds the lease: uninstall it first")??;
    let outcome = tokio::select! {
        lost = leadership.keep() => lost.and_then(|()| anyhow::bail!("the lease was lost")),
        done = let_go(&client, &options.namespaces) => done,
    };
    leadership.release().await?;
    outcome
}

/// Waits until nobody holds the lease, or its holder's pod is gone: an operator that lost its rights while it ended could
/// not give the lease back.
async fn until_ended(client: &Client, options: &Options) -> anyhow::Result<()> {
    let namespace = &options.lease_namespace;
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    loop {
        let lease = leases.get_opt(&options.lease_name).await.context("read the lease")?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty());
        let Some(holder) = holder else { return Ok(()) };
        if pods.get_metadata_opt(&holder).await.context("look for the operator's pod")?.is_none() {
            return Leadership::new(client.clone(), namespace, &options.lease_name, &holder).release().await;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn let_go(client: &Client, namespaces: &[String]) -> anyhow::Result<usize> {
    let apis: Vec<Api<KafkaTopic>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let mut count = 0;
    for api in &apis {
        for pass in 1.. {
            let held = held(api).await?;
            if held.is_empty() {
                break;
            }
            anyhow::ensure!(pass <= PASSES_MAX, "{} KafkaTopics are still held", held.len());
            for topic in &held {
                hold(client, topic, false)
                    .await
                    .with_context(|| format!("let go of {}", topic.name_any()))?;
            }
            count = held.len().max(count);
        }
    }
    Ok(count)
}

/// The topics that are held.
async fn held(api: &Api<KafkaTopic>) -> anyhow::Result<Vec<KafkaTopic>> {
    let mut held = vec![];
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list(&parameters).await {
            Ok(page) => page,
            // The definitions are gone, and all objects with them.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(vec![]),
            Err(error) => return Err(error).context("list the KafkaTopics"),
        };
        held.extend(page.items.into_iter().filter(is_held));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(held),
        }
    }
}
