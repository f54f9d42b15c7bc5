//! Wires the operator: leadership, watches, workers, HTTP. It ends on a signal or when leadership is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use ottla_operator_planner::Defaults;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::controllers::context::Context;
use crate::controllers::{cluster, topic};
use crate::http;
use crate::leader::{Leadership, LeaseOptions};
use crate::metrics::Metrics;
use crate::stores::{Jobs, Stores, topic_key};
use crate::workers::{self, ClusterKey};

/// How long giving the lease back may hold up the end.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// How the operator is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces to look after; none stands for all.
    pub namespaces: Vec<String>,
    /// The Lease that says which operator acts.
    pub lease: LeaseOptions,
    /// Where health and metrics are served.
    pub http: SocketAddr,
    /// What clusters get that do not say otherwise.
    pub defaults: Defaults,
}

/// Runs until a signal, or until leadership is lost.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let listener =
        TcpListener::bind(options.http).await.with_context(|| format!("listen on {}", options.http))?;
    tokio::spawn(http::serve(listener, Arc::clone(&metrics)));
    let client = Client::try_default().await.context("find the API server")?;
    let leadership = Leadership::new(client.clone(), &options.lease);
    let mut stop = signals()?;
    tracing::info!(identity = options.lease.identity, "waiting for the lease");
    tokio::select! {
        () = leadership.acquire() => {}
        _ = stop.recv() => return Ok(()),
    }
    tracing::info!("leading");
    let mut tasks = JoinSet::new();
    for scope in scopes(&options.namespaces) {
        start(&client, scope.as_deref(), &options, &metrics, &mut tasks);
    }
    let outcome = tokio::select! {
        lost = leadership.keep() => lost,
        _ = stop.recv() => Ok(()),
        Some(ended) = tasks.join_next() => {
            ended.context("a task ended early")?;
            anyhow::bail!("a task ended early")
        }
    };
    tasks.shutdown().await;
    if outcome.is_ok() {
        // It runs out by itself, too.
        let released = tokio::time::timeout(RELEASE_MAX, leadership.release()).await;
        released.context("the lease could not be given back in time")??;
    }
    outcome
}

/// What the operator would do now about one cluster, one action a line; nothing is done.
pub async fn preview(options: Options, key: ClusterKey) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("find the API server")?;
    let mut tasks = JoinSet::new();
    let stores = Stores::start(&client, Some(&key.namespace), &Jobs::default(), &mut tasks);
    stores.ready().await?;
    let context = context(&client, stores, &options, &Arc::default());
    let plan = cluster::preview(context, key).await?;
    tasks.shutdown().await;
    Ok(plan.to_string())
}

/// One scope per namespace, or one for all.
fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() }
}

fn start(
    client: &Client,
    scope: Option<&str>,
    options: &Options,
    metrics: &Arc<Metrics>,
    tasks: &mut JoinSet<()>,
) {
    let jobs = Jobs::default();
    let stores = Stores::start(client, scope, &jobs, tasks);
    let context = context(client, stores.clone(), options, metrics);
    tasks.spawn(async move {
        if let Err(error) = stores.ready().await {
            tracing::error!(%error, "the watches ended before they began");
            return;
        }
        tracing::info!("everything is seen; working");
        let (for_clusters, for_topics) = (Arc::clone(&context), Arc::clone(&context));
        let clusters = stores.clone();
        let cluster_jobs = workers::run(
            jobs.clusters,
            move || cluster_keys(&clusters),
            move |key| cluster::Worker::new(Arc::clone(&for_clusters), key.clone()),
            cluster::reconcile,
        );
        let topic_jobs = workers::run(
            jobs.topics,
            move || topic_keys(&stores),
            move |key| topic::Worker::new(Arc::clone(&for_topics), key.clone()),
            topic::reconcile,
        );
        tokio::join!(cluster_jobs, topic_jobs);
    });
}

fn context(client: &Client, stores: Stores, options: &Options, metrics: &Arc<Metrics>) -> Arc<Context> {
    let (client, defaults, metrics) = (client.clone(), options.defaults.clone(), Arc::clone(metrics));
    Arc::new(Context::new(client, stores, defaults, metrics, options.lease.identity.clone()))
}

fn cluster_keys(stores: &Stores) -> Vec<ClusterKey> {
    use kube::ResourceExt;
    let objects = stores.clusters.state();
    objects
        .iter()
        .filter_map(|object| Some(ClusterKey { namespace: object.namespace()?, name: object.name_any() }))
        .collect()
}

fn topic_keys(stores: &Stores) -> Vec<ClusterKey> {
    let keys: std::collections::BTreeSet<ClusterKey> =
        stores.topics.state().iter().filter_map(|topic| topic_key(topic.as_ref())).collect();
    keys.into_iter().collect()
}

/// Whatever asks the process to end.
fn signals() -> anyhow::Result<tokio::sync::mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Nobody listens only if the process ends already.
        let _ = sender.send(()).await;
    });
    Ok(receiver)
}
