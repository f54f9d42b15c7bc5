//! Before the operator is uninstalled for good: removes its finalizers from KafkaTopics, so that these and their namespaces
//! can be deleted without it. Their topics in Kafka stay, and so do the objects.
//!
//! I/O: the API server only.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use ottla_operator_crd::KafkaTopic;

use crate::controllers::topic::{has_finalizer, set_finalizer};
use crate::leader::{Leadership, LeaseOptions};

/// An operator gives its lease back when it ends, and one that was killed loses it within fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two readings of the Lease of an operator that is ending.
const READ_AGAIN: Duration = Duration::from_millis(500);
/// Objects of one answer of the API server.
const PAGE: u32 = 500;
/// How often all topics are gone through: an object that somebody changes meanwhile waits for the next time.
const PASSES_MAX: usize = 5;

/// Whose topics lose their finalizers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces to look after; none stands for all.
    pub namespaces: Vec<String>,
    /// The operator's Lease, held meanwhile.
    pub lease: LeaseOptions,
}

/// Removes the finalizer of every KafkaTopic; how many had it.
///
/// # Errors
/// If an operator still runs, which would add them again, or if the API server does not do as asked.
pub async fn run(options: &Options) -> anyhow::Result<usize> {
    let client = Client::try_default().await.context("find the API server")?;
    let leadership = Leadership::new(client.clone(), &options.lease);
    let lead = async {
        until_ended(&client, &options.lease).await?;
        leadership.acquire().await;
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, lead)
        .await
        .context("an operator still holds the lease: uninstall it first")??;
    let outcome = tokio::select! {
        lost = leadership.keep() => lost.and_then(|()| anyhow::bail!("the lease was lost")),
        done = remove_finalizers(&client, &options.namespaces) => done,
    };
    leadership.release().await?;
    outcome
}

/// Waits until nobody holds the lease, or its holder's pod is gone: an operator that lost its rights while it ended could
/// not give the lease back.
async fn until_ended(client: &Client, options: &LeaseOptions) -> anyhow::Result<()> {
    let namespace = &options.namespace;
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    loop {
        let lease = leases.get_opt(&options.name).await.context("read the lease")?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty());
        let Some(holder) = holder else { return Ok(()) };
        if pods.get_metadata_opt(&holder).await.context("look for the operator's pod")?.is_none() {
            let of_holder = LeaseOptions { identity: holder, ..options.clone() };
            return Leadership::new(client.clone(), &of_holder).release().await;
        }
        tokio::time::sleep(READ_AGAIN).await;
    }
}

async fn remove_finalizers(client: &Client, namespaces: &[String]) -> anyhow::Result<usize> {
    let apis: Vec<Api<KafkaTopic>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let mut count = 0;
    for api in &apis {
        for pass in 1.. {
            let topics = with_finalizer(api).await?;
            if topics.is_empty() {
                break;
            }
            anyhow::ensure!(pass <= PASSES_MAX, "{} KafkaTopics still have the finalizer", topics.len());
            for topic in &topics {
                set_finalizer(client, topic, false)
                    .await
                    .with_context(|| format!("remove the finalizer of {}", topic.name_any()))?;
            }
            count = topics.len().max(count);
        }
    }
    Ok(count)
}

/// The topics that have the finalizer.
async fn with_finalizer(api: &Api<KafkaTopic>) -> anyhow::Result<Vec<KafkaTopic>> {
    let mut topics = vec![];
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list(&parameters).await {
            Ok(page) => page,
            // The definitions are gone, and all objects with them.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(vec![]),
            Err(error) => return Err(error).context("list the KafkaTopics"),
        };
        topics.extend(page.items.into_iter().filter(has_finalizer));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(topics),
        }
    }
}
