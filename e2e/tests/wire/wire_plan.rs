//! `ottla-operator plan` against running clusters: its file, executed by Kafka's own tools, brings what it predicted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    ApacheBrokers, Brokers, BrokersOptions, Kafka, Output, Place, Waited, binary, kafka, output, run, until,
};
use ottla_operator_kafka_admin::AdminClient;
use serde_json::Value;
use tokio::process::Command;

use crate::clients::PATIENCE;
use crate::turns::beside_others;

/// Topics on three brokers, as `kafka-topics --replica-assignment` wants them: nearly everything lies on two of the
/// brokers, and one of them leads it all. With each, the records of one kibibyte that are written to it.
const TOPICS: [(&str, &str, usize, u32); 3] =
    [("orders", "0:1", 12, 12_000), ("clicks", "0", 6, 4_000), ("audit", "0:1:2", 6, 2_000)];
/// How long the command itself may take.
const PLAN_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_apache_kafka_comes_true_and_goes_back() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = ApacheBrokers::start(&kafka, 3).await?;
    comes_true(&kafka, &brokers.bootstrap(), &brokers.admin()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_our_own_brokers_comes_true_and_goes_back() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    comes_true(&kafka, &brokers.bootstrap(), &brokers.admin()).await
}

async fn comes_true(kafka: &Kafka, bootstrap: &str, admin: &AdminClient) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ottla-plan-").tempdir()?;
    let cluster = Cluster { kafka, bootstrap, admin, folder: folder.path() };
    for (topic, list, partitions, records) in TOPICS {
        cluster.fill(topic, list, partitions, records).await?;
    }
    let before = cluster.lists().await?;

    let files = "--write-plan plan.json --write-rollback back.json --write-model model.json";
    let planned = cluster.plan(2, &format!("--bootstrap {bootstrap} --output json {files}")).await?;
    let offline = cluster.plan(2, "--from model.json --output json").await?;
    ensure!(planned["hash"] == offline["hash"], "the saved model has another plan: {offline}");
    for (name, load) in loads(&planned, "after")? {
        // Leaders of topics with one replica are tied to it, which lets others give way by a few.
        ensure!(load.replicas == 16 && load.leaders.abs_diff(8) <= 2, "broker {name} is to get {load:?}");
    }

    cluster.execute("plan.json").await?;
    let done = cluster.plan(0, &format!("--bootstrap {bootstrap} --output json")).await?;
    let (predicted, found) = (loads(&planned, "after")?, loads(&done, "before")?);
    for (broker, load) in &predicted {
        let found = found.get(broker).context("a broker is gone")?;
        ensure!(
            found.replicas == load.replicas
                && found.leaders == load.leaders
                && found.bytes.abs_diff(load.bytes) * 50 <= load.bytes,
            "broker {broker}: {load:?} was predicted, {found:?} came"
        );
    }
    let leading = cluster.leading().await?;
    let expected: BTreeMap<i64, i64> =
        predicted.iter().map(|(id, load)| (*id, load.leaders as i64)).collect();
    ensure!(leading == expected, "{leading:?} lead, {expected:?} was predicted");

    cluster.execute("back.json").await?;
    let back = cluster.lists().await?;
    ensure!(back == before, "{back:?} instead of {before:?}");
    Ok(())
}

/// A running cluster with Kafka's tools at hand.
struct Cluster<'a> {
    kafka: &'a Kafka,
    bootstrap: &'a str,
    admin: &'a AdminClient,
    folder: &'a Path,
}

impl Cluster<'_> {
    async fn fill(&self, topic: &str, list: &str, partitions: usize, records: u32) -> Result<()> {
        let lists = vec![list; partitions].join(",");
        self.tool("kafka-topics", &format!("--create --topic {topic} --replica-assignment {lists}")).await?;
        let perf = format!("--topic {topic} --num-records {records} --record-size 1024 --throughput -1");
        self.tool("kafka-producer-perf-test", &format!("{perf} --command-property acks=all")).await.map(drop)
    }

    /// Runs the command, which must end with `code`, and gives the JSON that it printed.
    async fn plan(&self, code: i32, arguments: &str) -> Result<Value> {
        let mut command = Command::new(binary("ottla-operator")?);
        command.current_dir(self.folder).arg("plan").args(arguments.split(' '));
        let Output { status, stdout, stderr } = output(command, b"", PLAN_LIMIT).await?;
        ensure!(status.code() == Some(code), "plan {arguments}: {status}\n{stdout}{stderr}");
        serde_json::from_str(&stdout).with_context(|| format!("no JSON: {stdout}"))
    }

    /// Moves what a file says, waits until that is complete, and elects the preferred leaders of the same file.
    async fn execute(&self, file: &str) -> Result<()> {
        let file = self.folder.join(file).display().to_string();
        let lists: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        let count = lists["partitions"].as_array().context("a list")?.len();
        let reassign = format!("--reassignment-json-file {file}");
        self.tool("kafka-reassign-partitions", &format!("{reassign} --execute")).await?;
        until("the reassignment is complete", PATIENCE, async || {
            let said = self.tool("kafka-reassign-partitions", &format!("{reassign} --verify")).await?;
            match said.matches("is completed").count() {
                completed if completed == count => Ok(Waited::Done(())),
                _ => Ok(Waited::not_yet(said)),
            }
        })
        .await?;
        let elect = format!("--election-type preferred --path-to-json-file {file}");
        self.tool("kafka-leader-election", &elect).await.map(drop)
    }

    /// Every partition's replicas in their order.
    async fn lists(&self) -> Result<BTreeMap<String, Vec<i32>>> {
        let topics = self.admin.describe_topics(None).await?;
        let partitions = topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
        let lists = partitions.map(|(topic, partition)| {
            let ids = partition.replicas.iter().map(|id| id.get()).collect();
            (format!("{}-{}", topic.name, partition.index), ids)
        });
        Ok(lists.collect())
    }

    /// How many partitions each broker leads.
    async fn leading(&self) -> Result<BTreeMap<i64, i64>> {
        let topics = self.admin.describe_topics(None).await?;
        let mut leading = BTreeMap::new();
        for leader in topics.iter().flat_map(|topic| &topic.partitions).filter_map(|p| p.leader) {
            *leading.entry(i64::from(leader.get())).or_insert(0) += 1;
        }
        Ok(leading)
    }

    async fn tool(&self, name: &str, arguments: &str) -> Result<String> {
        let mut command = self.kafka.tool(&Place::here(), name)?;
        command.args(["--bootstrap-server", self.bootstrap]).args(arguments.split(' '));
        run(command, PATIENCE).await.with_context(|| format!("{name} {arguments}"))
    }
}

#[derive(Debug)]
struct Load {
    replicas: u64,
    leaders: u64,
    bytes: u64,
}

/// What each broker has, by a plan's JSON, `before` or `after`.
fn loads(plan: &Value, when: &str) -> Result<BTreeMap<i64, Load>> {
    let brokers = plan["brokers"].as_array().context("a list of brokers")?;
    let load = |broker: &Value| {
        let number = |key: &str| broker[key][when].as_u64().with_context(|| format!("{key} in {broker}"));
        let id = broker["broker"].as_i64().context("an id")?;
        Ok((id, Load { replicas: number("replicas")?, leaders: number("leaders")?, bytes: number("bytes")? }))
    };
    brokers.iter().map(load).collect()
}
