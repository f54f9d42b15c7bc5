//! Kafka's own command-line tools, from its own jars, unmodified.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kafka, Place, Waited, kafka, run, until};

use crate::clients::{PATIENCE, create_topic, describe, until_in_sync};

/// Records of the performance test: some segments' worth of batches, a second of work.
const PERF_RECORDS: u32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_tools_administer_topics_and_configurations() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    let tool = async |name: &str, arguments: &str| tool(&kafka, &brokers, name, arguments).await;
    tool(
        "kafka-topics",
        "--create --topic t --partitions 4 --replication-factor 3 --config retention.ms=3600000",
    )
    .await?;
    let described = tool("kafka-topics", "--describe --topic t").await?;
    ensure!(
        described.contains("PartitionCount: 4\tReplicationFactor: 3")
            && described.contains("retention.ms=3600000"),
        "{described}"
    );
    tool("kafka-topics", "--alter --topic t --partitions 6").await?;
    tool(
        "kafka-configs",
        "--alter --entity-type topics --entity-name t --add-config max.message.bytes=2000000",
    )
    .await?;
    let configs = tool("kafka-configs", "--describe --entity-type topics --entity-name t").await?;
    ensure!(configs.contains("max.message.bytes=2000000"), "{configs}");
    let perf = format!("--topic t --num-records {PERF_RECORDS} --record-size 1024 --throughput -1");
    let perf = format!("{perf} --command-property acks=all --command-property compression.type=zstd");
    let perf = tool("kafka-producer-perf-test", &perf).await?;
    ensure!(perf.contains(&format!("{PERF_RECORDS} records sent")), "{perf}");
    let offsets = tool("kafka-get-offsets", "--topic t").await?;
    let ends = offsets.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u32>().ok());
    ensure!(ends.sum::<u32>() == PERF_RECORDS, "{offsets}");
    let quorum = tool("kafka-metadata-quorum", "describe --status").await?;
    ensure!(quorum.contains("MaxFollowerLag:"), "{quorum}");
    tool("kafka-topics", "--delete --topic t").await?;
    let listed = tool("kafka-topics", "--list").await?;
    ensure!(!listed.lines().any(|line| line == "t"), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_dump_log_reads_our_segments() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, "t", 1, 1).await?;
    let perf = "--topic t --num-records 5000 --record-size 500 --throughput -1 --command-property acks=all";
    tool(&kafka, &brokers, "kafka-producer-perf-test", perf).await?;
    brokers.stop(0).await?;
    let folder = brokers.folder(0).join("data/t-0");
    let files = [".log", ".index", ".timeindex"].map(|kind| format!("{}/{:020}{kind}", folder.display(), 0));
    let mut command = kafka.tool(&Place::here(), "kafka-dump-log")?;
    command.args(["--deep-iteration", "--files", &files.join(",")]);
    let dumped = run(command, PATIENCE).await?;
    let offsets: BTreeSet<&str> = dumped
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("| offset: ")?.split(' ').next())
        .collect();
    ensure!(offsets.len() == 5_000, "{} records were dumped", offsets.len());
    for complaint in ["Found timestamp mismatch", "Mismatches in", "non-consecutive", "isvalid: false"] {
        ensure!(!dumped.contains(complaint), "kafka-dump-log complains: {complaint}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_reassign_partitions_moves_replicas() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let brokers = Brokers::start(BrokersOptions::new(4)).await?;
    create_topic(&brokers, "t", 2, 3).await?;
    let perf = "--topic t --num-records 5000 --record-size 500 --throughput -1 --command-property acks=all";
    tool(&kafka, &brokers, "kafka-producer-perf-test", perf).await?;
    let plan = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[3,0,1]},{"topic":"t","partition":1,"replicas":[1,2,3]}]}"#;
    let file = brokers.folder(0).join("plan.json");
    std::fs::write(&file, plan).context("write the plan")?;
    let file = file.display().to_string();
    tool(
        &kafka,
        &brokers,
        "kafka-reassign-partitions",
        &format!("--execute --reassignment-json-file {file}"),
    )
    .await?;
    until("the reassignment is complete", PATIENCE, async || {
        let verify = format!("--verify --reassignment-json-file {file}");
        let said = tool(&kafka, &brokers, "kafka-reassign-partitions", &verify).await?;
        match said.matches("is completed").count() {
            2 => Ok(Waited::Done(())),
            _ => Ok(Waited::not_yet(said)),
        }
    })
    .await?;
    until_in_sync(&brokers, "t").await?;
    let described = describe(&brokers, "t").await?;
    let replicas: Vec<Vec<i32>> =
        described.partitions.iter().map(|p| p.replicas.iter().map(|node| node.0).collect()).collect();
    ensure!(replicas == [[3, 0, 1], [1, 2, 3]], "{replicas:?}");
    Ok(())
}

/// Runs a tool against the cluster and gives what it printed.
async fn tool(kafka: &Kafka, brokers: &Brokers, name: &str, arguments: &str) -> Result<String> {
    let mut command = kafka.tool(&Place::here(), name)?;
    command.args(["--bootstrap-server", &brokers.bootstrap()]).args(arguments.split(' '));
    run(command, PATIENCE).await.with_context(|| format!("{name} {arguments}"))
}
