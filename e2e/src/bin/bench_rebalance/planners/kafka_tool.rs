//! The real `kafka-reassign-partitions --generate`, asked of a live cluster of our brokers that hold the model's topics.
//! It looks at topics, numbers of replicas and brokers only, so that no data is needed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kafka, Place, Stopwatch, Waited, kafka, run as run_command, until};
use ottla_operator_kafka_admin::NewTopic;
use ottla_operator_planner::rebalance::{BrokerState, Model};

use super::{Made, read_assignment};

/// How long the cluster may take to know its topics, and the tool to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the tool prints before the assignment that it proposes.
const PROPOSAL: &str = "Proposed partition reassignment configuration";

/// Whether a local cluster can hold the model: few replicas, no racks.
pub fn can_hold(model: &Model) -> bool {
    model.brokers.len() <= 6
        && model.brokers.iter().all(|b| b.rack.is_none())
        && model.partitions.len() <= 150
}

/// Starts the cluster, makes the topics and asks.
pub fn run(model: &Model) -> Result<Made> {
    let Some(kafka) = kafka() else {
        return Ok(Made::NotRun {
            reason: "Kafka's jars or Java are missing".to_owned(),
            remedy: "e2e/clients/install".to_owned(),
        });
    };
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(ask(&kafka, model))
}

async fn ask(kafka: &Kafka, model: &Model) -> Result<Made> {
    let brokers = Brokers::start(BrokersOptions::new(model.brokers.len())).await?;
    let mut topics: BTreeMap<&str, (i32, i16)> = BTreeMap::new();
    for partition in &model.partitions {
        let topic = topics.entry(partition.topic.as_str()).or_default();
        *topic = (topic.0 + 1, partition.replicas_wanted() as i16);
    }
    let new: Vec<NewTopic> = topics
        .iter()
        .map(|(name, (partitions, replicas))| NewTopic {
            name: (*name).to_owned(),
            partitions: Some(*partitions),
            replication_factor: Some(*replicas),
            config: BTreeMap::new(),
        })
        .collect();
    for (name, created) in brokers.admin().create_topics(&new, false).await? {
        created.with_context(|| format!("create {name}"))?;
    }
    let file = brokers.folder(0).join("topics.json");
    let names: Vec<_> = topics.keys().map(|name| serde_json::json!({ "topic": name })).collect();
    std::fs::write(&file, serde_json::json!({ "version": 1, "topics": names }).to_string())
        .context("write the list of topics")?;
    let ids: Vec<String> =
        model.brokers.iter().filter(|b| b.state == BrokerState::Alive).map(|b| b.id.to_string()).collect();
    until("the tool knows every topic", PATIENCE, async || {
        let watch = Stopwatch::start();
        let mut command = kafka.tool(&Place::here(), "kafka-reassign-partitions")?;
        command.args([
            "--bootstrap-server",
            &brokers.bootstrap(),
            "--generate",
            "--broker-list",
            &ids.join(","),
        ]);
        command.arg("--topics-to-move-json-file").arg(&file);
        let said = run_command(command, PATIENCE).await?;
        let Some((_, proposal)) = said.split_once(PROPOSAL) else { return Ok(Waited::not_yet(said)) };
        let lists = read_assignment(proposal.trim())?;
        ensure!(lists.len() <= model.partitions.len(), "the tool proposes partitions that do not exist");
        if lists.len() < model.partitions.len() {
            return Ok(Waited::not_yet(format!("{} partitions are known", lists.len())));
        }
        let seconds = watch.elapsed().as_secs_f64();
        Ok(Waited::Done(Made::Plan { lists, seconds, note: "start of a JVM included".to_owned() }))
    })
    .await
}
