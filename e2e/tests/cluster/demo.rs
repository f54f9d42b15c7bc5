//! An installed operator, a namespace, and a KafkaCluster named demo in it, as a user has them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use ottla_e2e::{
    Chart, Cluster, Kafka, Kcat, Load, Namespace, Place, Readers, Stopwatch, Waited, kafka, kcat, run, until,
};
use ottla_operator_crd::{KafkaCluster, KafkaClusterStatus};
use serde::Deserialize;
use tokio::process::Command;

use crate::release;

/// Three brokers start within 20 s on two cores that do nothing else.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(180);
/// One call of a foreign tool; a Java tool starts within 3 s.
pub(crate) const TOOL_LIMIT: Duration = Duration::from_secs(60);
/// A namespace is gone a few seconds after its pods; a broker may take its time to hand over.
const REMOVAL_LIMIT: Duration = Duration::from_secs(120);
/// Where clients begin: the bootstrap service of the namespace.
pub(crate) const BOOTSTRAP: &str = "demo-bootstrap:9092";
/// The node label that names zones.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// What a test works with. Clients end first, then the namespace goes, then the operator.
pub(crate) struct Demo {
    pub(crate) cluster: Cluster,
    kcat: Kcat,
    pub(crate) kafka: Kafka,
    pub(crate) place: Place,
    namespace: Namespace,
    chart: Option<Chart>,
}

/// The topics as a client sees them.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) topics: Vec<Topic>,
}

/// One topic.
#[derive(Debug, Deserialize)]
pub(crate) struct Topic {
    #[serde(rename = "topic")]
    pub(crate) name: String,
    pub(crate) partitions: Vec<Partition>,
}

/// One partition.
#[derive(Debug, Deserialize)]
pub(crate) struct Partition {
    pub(crate) partition: i32,
    pub(crate) leader: i32,
    replicas: Vec<Broker>,
    isrs: Vec<Broker>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    id: i32,
}

impl Partition {
    /// Ids of the brokers with a copy.
    pub(crate) fn replicas(&self) -> Vec<i32> {
        self.replicas.iter().map(|broker| broker.id).collect()
    }

    /// Ids of the brokers with a copy in sync.
    pub(crate) fn isr(&self) -> Vec<i32> {
        self.isrs.iter().map(|broker| broker.id).collect()
    }
}

impl Metadata {
    /// Every partition with the name of its topic.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, &Partition)> {
        self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |each| (&*topic.name, each)))
    }

    /// How many replicas are on each broker.
    pub(crate) fn replicas_by_broker(&self) -> BTreeMap<i32, usize> {
        let mut counts = BTreeMap::new();
        for (_, partition) in self.partitions() {
            for broker in partition.replicas() {
                *counts.entry(broker).or_default() += 1;
            }
        }
        counts
    }
}

impl Demo {
    /// Installs the operator and makes a namespace; none, and a visible skip, where something is missing.
    pub(crate) async fn start(prefix: &str) -> Result<Option<Demo>> {
        let Some(cluster) = Cluster::given().await? else { return Ok(None) };
        let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(None) };
        let namespace = cluster.namespace(prefix).await?;
        let chart = release::install(&cluster, &[]).await?;
        let Some(place) = cluster.place(namespace.name()).await? else { return Ok(None) };
        Ok(Some(Demo { cluster, kcat, kafka, place, namespace, chart: Some(chart) }))
    }

    /// The name of the namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Applies a manifest.
    pub(crate) async fn apply(&self, manifest: &str) -> Result<()> {
        let applied = self.cluster.apply(self.namespace(), manifest).await?;
        ensure!(applied.is_ok(), "refused: {}", applied.unwrap_err());
        Ok(())
    }

    /// kubectl in the namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", self.namespace()], arguments].concat()).await
    }

    /// `kubectl wait` for a condition of an object; when it does not come, with all that explains it.
    pub(crate) async fn wait(&self, object: &str, condition: &str, limit: Duration) -> Result<Duration> {
        let watch = Stopwatch::start();
        let mut command = Command::new("kubectl");
        command.args(["--namespace", self.namespace(), "wait", object]);
        command.args([format!("--for=condition={condition}"), format!("--timeout={}s", limit.as_secs())]);
        match run(command, limit + TOOL_LIMIT).await {
            Ok(_) => Ok(watch.elapsed()),
            Err(error) => bail!("{error:#}\n{}", self.namespace.describe().await),
        }
    }

    /// Applies the example's cluster, with further settings, and waits for it.
    pub(crate) async fn start_cluster(&self) -> Result<()> {
        self.apply(include_str!("../../../examples/flights/cluster.yaml")).await?;
        let took = self.wait("kafkacluster/demo", "Ready", START_LIMIT).await?;
        println!("three brokers serve {took:.1?} after the manifest was applied");
        Ok(())
    }

    /// Makes a topic of three copies and waits for it.
    pub(crate) async fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let spec = format!("{{ cluster: demo, partitions: {partitions}, replicationFactor: 3 }}");
        self.apply(&crate::admission::manifest("KafkaTopic", name, &spec)).await?;
        self.wait(&format!("kafkatopic/{name}"), "Ready", START_LIMIT).await.map(drop)
    }

    /// The cluster's status.
    pub(crate) async fn status(&self) -> Result<(KafkaCluster, KafkaClusterStatus)> {
        let api: Api<KafkaCluster> = Api::namespaced(self.cluster.client(), self.namespace());
        let object = api.get("demo").await.context("get the KafkaCluster")?;
        let status = object.status.clone().unwrap_or_default();
        Ok((object, status))
    }

    /// The pods of the brokers, by name.
    pub(crate) async fn pods(&self) -> Result<BTreeMap<String, Pod>> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client(), self.namespace());
        let brokers = ListParams::default().labels("app.kubernetes.io/component=broker");
        let pods = api.list(&brokers).await.context("list the brokers' pods")?;
        Ok(pods.into_iter().map(|pod| (pod.metadata.name.clone().unwrap_or_default(), pod)).collect())
    }

    /// The node that a broker's pod runs on.
    pub(crate) async fn node_of(&self, broker: i32) -> Result<String> {
        let pods = self.pods().await?;
        let pod = pods.get(&format!("demo-broker-{broker}")).context("the broker has no pod")?;
        pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the pod has no node")
    }

    /// The zone of each broker, by the node that its pod runs on.
    pub(crate) async fn zones(&self) -> Result<BTreeMap<i32, String>> {
        let nodes: Api<Node> = Api::all(self.cluster.client());
        let mut zones = BTreeMap::new();
        for (name, pod) in self.pods().await? {
            let node = pod.spec.and_then(|spec| spec.node_name).context("a pod has no node")?;
            let labels = nodes.get(&node).await?.metadata.labels.unwrap_or_default();
            let id = name.rsplit('-').next().and_then(|id| id.parse().ok()).context("a pod without id")?;
            zones.insert(id, labels.get(ZONE_LABEL).cloned().context("a node without zone")?);
        }
        Ok(zones)
    }

    /// The topics, as any broker tells a client.
    pub(crate) async fn metadata(&self) -> Result<Metadata> {
        let mut command = self.kcat();
        command.args(["-L", "-J", "-m", "10"]);
        let said = run(command, TOOL_LIMIT).await?;
        serde_json::from_str(&said).with_context(|| format!("read what kcat says: {said}"))
    }

    /// Waits until every partition has a leader and every copy is in sync.
    pub(crate) async fn until_in_sync(&self, limit: Duration) -> Result<Metadata> {
        until("every copy in sync", limit, async || {
            let metadata = self.metadata().await?;
            let behind = metadata
                .partitions()
                .find(|(_, each)| each.leader < 0 || each.isr().len() < each.replicas().len());
            Ok(match behind {
                Some((topic, partition)) => Waited::NotYet(format!("{topic}: {partition:?}")),
                None => Waited::Done(metadata),
            })
        })
        .await
    }

    /// kcat against the cluster.
    pub(crate) fn kcat(&self) -> Command {
        self.kcat.command(&self.place, BOOTSTRAP)
    }

    /// A steady producer of `rate` records a second.
    pub(crate) async fn load(&self, topic: &str, rate: u32) -> Result<Load> {
        let mut command = self.kafka.tool(&self.place, "kafka-verifiable-producer")?;
        command.args(["--bootstrap-server", BOOTSTRAP]);
        Load::start(command, topic, rate).await
    }

    /// A consumer group of `count` members.
    pub(crate) async fn readers(&self, group: &str, topics: &[&str], count: usize) -> Result<Readers> {
        Readers::start(|| self.kcat(), group, topics, count).await
    }

    /// Runs one of Kafka's tools against the cluster and returns what it prints.
    pub(crate) async fn tool(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.kafka.tool(&self.place, name)?;
        command.args(["--bootstrap-server", BOOTSTRAP]).args(arguments);
        run(command, TOOL_LIMIT).await
    }

    /// Resident memory of the operator in bytes, as its metrics tell.
    pub(crate) async fn operator_bytes(&self) -> Result<u64> {
        let namespace = self.chart.as_ref().context("the operator is uninstalled")?.namespace();
        let name = r#"jsonpath={.items[0].metadata.name}"#;
        let operators = "app.kubernetes.io/component=operator";
        let find = ["--namespace", namespace, "get", "pods", "--selector", operators, "--output", name];
        let pod = self.cluster.kubectl(&find).await?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics");
        let page = self.cluster.kubectl(&["get", "--raw", &path]).await?;
        let bytes = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        bytes.context("the operator does not tell its memory")?.parse().context("read its memory")
    }

    /// Takes the operator away, as `helm uninstall` does; what it made runs on.
    pub(crate) fn uninstall(&mut self) {
        self.chart = None;
    }

    /// Deletes the namespace and everything in it, which nothing may hold up.
    pub(crate) async fn remove(self) -> Result<()> {
        let watch = Stopwatch::start();
        let mut command = Command::new("kubectl");
        command.args(["delete", "namespace", self.namespace()]);
        run(command, REMOVAL_LIMIT).await?;
        println!("the namespace was gone after {:.1?}", watch.elapsed());
        Ok(())
    }
}
