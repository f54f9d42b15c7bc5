//! Before the operator goes for good: takes its finalizers off KafkaTopics, so that these and their namespaces can be
//! deleted without it. Their topics in Kafka stay, and so do the objects.
//!
//! I/O: the API server only.

use std::time::Duration;

use anyhow::Context as _;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use ottla_operator_crd::KafkaTopic;

use crate::controllers::topic::{hold, is_held};
use crate::leader::Leadership;

/// An operator gives its lease back when it ends, and one that was killed loses it within fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);
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
    tokio::time::timeout(PATIENCE, leadership.acquire())
        .await
        .context("an operator still holds the lease: uninstall it first")?;
    let outcome = tokio::select! {
        lost = leadership.keep() => lost.and_then(|()| anyhow::bail!("the lease was lost")),
        done = let_go(&client, &options.namespaces) => done,
    };
    leadership.release().await?;
    outcome
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
