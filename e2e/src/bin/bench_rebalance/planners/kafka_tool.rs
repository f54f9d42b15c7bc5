//! The real `kafka-reassign-partitions --generate`, asked of a live cluster of our brokers that hold the model's topics.
//! It looks at topics, numbers of replicas, brokers and racks only, so that no data is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_types::NodeId;
use ottla_e2e::{Brokers, BrokersOptions, Kafka, Place, Stopwatch, Waited, kafka, run as run_command, until};
use ottla_operator_kafka_admin::NewTopic;
use ottla_operator_planner::rebalance::{BrokerState, Model};

use super::{Made, read_assignment};

/// How long the cluster may take to hold its topics, and then the tool until it has seen all of it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the tool may take once. It waits a minute for the answer of a broker that is out of service, which it need
/// not be any more.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// Brokers that get no processor for a second, beside other work, are not to be taken for dead: the tool would then
/// propose a cluster without them.
const LEASE_MS: &str = "10000";
/// What the tool prints before the assignment that it proposes.
const PROPOSAL: &str = "Proposed partition reassignment configuration";
/// Brokers and partitions that processes on one machine carry.
const BROKERS_MAX: usize = 6;
const PARTITIONS_MAX: usize = 400;

/// Whether a local cluster can hold the model: it is small, and has no racks or those of [`Brokers`], where the n-th
/// broker stands in the rack n modulo 3.
pub fn can_hold(model: &Model) -> bool {
    let brokers = &model.brokers;
    let racks: BTreeMap<i32, &Option<String>> = brokers.iter().map(|b| (b.id.get() % 3, &b.rack)).collect();
    let distinct: BTreeSet<_> = racks.values().collect();
    let are_ours =
        distinct.len() == racks.len() && brokers.iter().all(|b| b.rack == *racks[&(b.id.get() % 3)]);
    brokers.len() <= BROKERS_MAX
        && model.partitions.len() <= PARTITIONS_MAX
        && brokers.iter().enumerate().all(|(at, b)| b.id == NodeId(at as i32))
        && (are_ours || brokers.iter().all(|b| b.rack.is_none()))
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
    runtime.block_on(async {
        let options = BrokersOptions { voters: 1, ..BrokersOptions::new(model.brokers.len()) };
        let brokers = Brokers::start(options.with("broker.session.timeout.ms", LEASE_MS)).await?;
        hold(&brokers, model).await?;
        ask(&kafka, &brokers, model).await
    })
}

/// Makes the model's topics; the cluster places them as it likes, which the tool does not look at.
async fn hold(brokers: &Brokers, model: &Model) -> Result<()> {
    let mut topics: BTreeMap<&str, (i32, i16)> = BTreeMap::new();
    for partition in &model.partitions {
        let topic = topics.entry(partition.topic.as_str()).or_default();
        *topic = (topic.0 + 1, partition.replicas_wanted() as i16);
    }
    let admin = brokers.admin();
    until("the cluster holds every topic", PATIENCE, async || {
        let found = admin.describe_topics(None).await?;
        let is_missing = |name: &str| found.iter().all(|topic| topic.name != name);
        let missing = topics.iter().filter(|(name, _)| is_missing(name));
        let missing = missing.map(|(name, (partitions, replicas))| NewTopic {
            name: (*name).to_owned(),
            partitions: Some(*partitions),
            replication_factor: Some(*replicas),
            config: BTreeMap::new(),
        });
        let missing: Vec<NewTopic> = missing.collect();
        if missing.is_empty() {
            return Ok(Waited::Done(()));
        }
        // What became of each is seen at the next look.
        let created = admin.create_topics(&missing, false).await?;
        let refused = created.into_iter().find_map(|(name, outcome)| Some((name, outcome.err()?)));
        Ok(Waited::not_yet(format!("{} topics are missing; {refused:?}", missing.len())))
    })
    .await
}

async fn ask(kafka: &Kafka, brokers: &Brokers, model: &Model) -> Result<Made> {
    let file = brokers.folder(0).join("topics.json");
    let names: BTreeSet<&str> = model.partitions.iter().map(|p| p.topic.as_str()).collect();
    let names: Vec<_> = names.into_iter().map(|name| serde_json::json!({ "topic": name })).collect();
    std::fs::write(&file, serde_json::json!({ "version": 1, "topics": names }).to_string())
        .context("write the list of topics")?;
    let alive = model.brokers.iter().filter(|b| b.state == BrokerState::Alive);
    let alive: BTreeSet<NodeId> = alive.map(|b| b.id).collect();
    let admin = brokers.admin();
    until("the tool knows every topic and every broker", PATIENCE, async || {
        let found = admin.describe_cluster().await?.brokers;
        if let Some(broker) = found.iter().find(|broker| broker.fenced) {
            return Ok(Waited::not_yet(format!("broker {} is out of service", broker.id)));
        }
        let watch = Stopwatch::start();
        let said = run_command(command(kafka, brokers, model, &alive, &file)?, LOOK_LIMIT).await?;
        let Some((_, proposal)) = said.split_once(PROPOSAL) else { return Ok(Waited::not_yet(said)) };
        let seconds = watch.elapsed().as_secs_f64();
        let lists = read_assignment(proposal.trim())?;
        ensure!(lists.len() <= model.partitions.len(), "the tool proposes partitions that do not exist");
        let used: BTreeSet<NodeId> = lists.values().flatten().copied().collect();
        if lists.len() < model.partitions.len() || used != alive {
            return Ok(Waited::not_yet(format!("{} partitions on {used:?} are known", lists.len())));
        }
        Ok(Waited::Done(Made::Plan { lists, seconds, note: "start of a JVM included".to_owned() }))
    })
    .await
}

fn command(
    kafka: &Kafka,
    brokers: &Brokers,
    model: &Model,
    alive: &BTreeSet<NodeId>,
    file: &Path,
) -> Result<tokio::process::Command> {
    let mut command = kafka.tool(&Place::here(), "kafka-reassign-partitions")?;
    let ids: Vec<String> = alive.iter().map(ToString::to_string).collect();
    command.args(["--bootstrap-server", &brokers.bootstrap(), "--generate", "--broker-list", &ids.join(",")]);
    command.arg("--topics-to-move-json-file").arg(file);
    if model.brokers.iter().all(|b| b.rack.is_none()) {
        command.arg("--disable-rack-aware");
    }
    Ok(command)
}
