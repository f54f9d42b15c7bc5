//! Kafka's own command-line tools, from its own jars, unmodified.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    Brokers, BrokersOptions, Kafka, Kcat, Readers, Waited, http_get, kafka, kcat, output, until,
};
use ottla_operator_kafka_admin::Reassignment;

use crate::clients::{PATIENCE, create_topic, describe, dump_log, kcat_to, tool, until_in_sync};
use crate::turns::beside_others;

/// Records of the performance test: some segments' worth of batches, a second of work.
const PERF_RECORDS: u32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_tools_administer_topics_and_configurations() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
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
    ensure!(perf.contains("records/sec") && perf.contains("ms 99th"), "{perf}");
    tool("kafka-configs", "--alter --entity-type topics --entity-name t --delete-config max.message.bytes")
        .await?;
    let configs = tool("kafka-configs", "--describe --entity-type topics --entity-name t").await?;
    ensure!(!configs.contains("max.message.bytes") && configs.contains("retention.ms=3600000"), "{configs}");
    tool("kafka-topics", "--delete --topic t").await?;
    let listed = tool("kafka-topics", "--list").await?;
    ensure!(!listed.lines().any(|line| line == "t"), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_tools_tell_of_the_cluster() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "t", 3, 3).await?;
    until_in_sync(&brokers, "t").await?;
    for (name, arguments, expected) in [
        ("kafka-metadata-quorum", "describe --status", "MaxFollowerLag:"),
        ("kafka-metadata-quorum", "describe --replication", "Leader"),
        ("kafka-features", "describe", "Feature: metadata.version"),
        ("kafka-broker-api-versions", "", "Produce(0): 0 to 13"),
        ("kafka-log-dirs", "--describe --topic-list t", "\"partition\":\"t-2\""),
        ("kafka-configs", "--describe --all --entity-type brokers --entity-name 1", "min.insync.replicas=2"),
    ] {
        let said = tool(&kafka, &brokers, name, arguments).await?;
        ensure!(said.contains(expected), "{name} {arguments}: {said}");
    }
    // Whoever led before it stopped gets its leadership back by an election.
    let leader = describe(&brokers, "t").await?.partitions[0].replicas[0];
    let stopped = usize::try_from(leader.0)?;
    brokers.stop(stopped).await?;
    brokers.start_broker(stopped)?;
    brokers.until_ready(stopped).await?;
    until_in_sync(&brokers, "t").await?;
    ensure!(describe(&brokers, "t").await?.partitions[0].leader != Some(leader), "it kept its leadership");
    let elect = "--election-type preferred --topic t --partition 0";
    let said = tool(&kafka, &brokers, "kafka-leader-election", elect).await?;
    ensure!(said.contains("Successfully completed leader election"), "{said}");
    ensure!(describe(&brokers, "t").await?.partitions[0].leader == Some(leader), "nobody was elected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_consumer_groups_tells_of_groups_resets_and_deletes_them() -> Result<()> {
    let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, "t", 2, 1).await?;
    let tool = async |arguments: &str| tool(&kafka, &brokers, "kafka-consumer-groups", arguments).await;
    let row = |said: &str, partition: &str| -> Vec<String> {
        let mut rows = said.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
        let is_it = |row: &Vec<String>| row.iter().skip(1).take(2).eq(&["t", partition]);
        rows.find(is_it).unwrap_or_default()
    };
    let mut readers = Readers::start(|| kcat_to(&kcat, &brokers), "g", &["t"], 2).await?;
    send(&kcat, &brokers, "0", 10).await?;
    readers.until_got(10, PATIENCE).await?;
    let members = tool("--describe --group g --members").await?;
    ensure!(members.lines().filter(|line| line.starts_with("g ")).count() == 2, "{members}");
    let state = tool("--describe --group g --state").await?;
    ensure!(state.contains("Stable"), "{state}");
    readers.stop().await?;

    send(&kcat, &brokers, "0", 5).await?;
    let described = tool("--describe --group g").await?;
    ensure!(row(&described, "0")[3..6] == ["10", "15", "5"], "{described}");
    let reset = "--reset-offsets --group g --topic t:0 --to-earliest";
    let said = tool(&format!("{reset} --dry-run")).await?;
    ensure!(row(&said, "0").get(3).is_some_and(|offset| offset == "0"), "{said}");
    let described = tool("--describe --group g").await?;
    ensure!(row(&described, "0")[3] == "10", "a dry run has changed the offset: {described}");
    tool(&format!("{reset} --execute")).await?;
    let described = tool("--describe --group g").await?;
    ensure!(row(&described, "0")[3..6] == ["0", "15", "15"], "{described}");
    for (reset, offset) in [("--all-topics --to-latest", "15"), ("--topic t:0 --shift-by -3", "12")] {
        tool(&format!("--reset-offsets --group g {reset} --execute")).await?;
        let described = tool("--describe --group g").await?;
        ensure!(row(&described, "0")[3] == offset, "{reset}: {described}");
    }
    ensure!(tool("--list").await?.lines().any(|line| line == "g"), "the group is not listed");
    tool("--delete --group g").await?;
    let listed = tool("--list").await?;
    ensure!(!listed.lines().any(|line| line == "g"), "{listed}");
    Ok(())
}

/// Sends `count` records to a partition of the topic `t`.
async fn send(kcat: &Kcat, brokers: &Brokers, partition: &str, count: usize) -> Result<()> {
    let mut command = kcat_to(kcat, brokers);
    command.args(["-P", "-t", "t", "-p", partition]);
    let sent = output(command, "x\n".repeat(count).as_bytes(), PATIENCE).await?;
    ensure!(sent.status.success(), "kcat: {}", sent.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_delete_records_moves_the_start_of_every_replica() -> Result<()> {
    let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "t", 2, 3).await?;
    send(&kcat, &brokers, "0", 10).await?;
    send(&kcat, &brokers, "1", 4).await?;
    let file = brokers.folder(0).join("delete.json");
    let wanted = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"offset":7},{"topic":"t","partition":1,"offset":-1}]}"#;
    std::fs::write(&file, wanted).context("write what to delete")?;
    let arguments = format!("--offset-json-file {}", file.display());
    let said = tool(&kafka, &brokers, "kafka-delete-records", &arguments).await?;
    for expected in ["partition: t-0\tlow_watermark: 7", "partition: t-1\tlow_watermark: 4"] {
        ensure!(said.contains(expected), "{said}");
    }
    // The answer came after every replica had followed.
    for id in 0..3 {
        let page = http_get(brokers.ports(id).http, "/metrics").await?;
        for (partition, start) in [("0", "7"), ("1", "4")] {
            let sample =
                format!("kafka_log_log_logstartoffset{{topic=\"t\",partition=\"{partition}\"}} {start}\n");
            ensure!(page.contains(&sample), "broker {id} has not deleted of partition {partition}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_dump_log_reads_our_segments() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, "t", 1, 1).await?;
    let perf = "--topic t --num-records 5000 --record-size 500 --throughput -1 --command-property acks=all";
    tool(&kafka, &brokers, "kafka-producer-perf-test", perf).await?;
    brokers.stop(0).await?;
    let dumped = dump_log(&kafka, &brokers.folder(0).join("data"), &["t-0".to_owned()]).await?;
    let offsets: BTreeSet<&str> = dumped
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("| offset: ")?.split(' ').next())
        .collect();
    ensure!(offsets.len() == 5_000, "{} records were dumped", offsets.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_reassign_partitions_moves_replicas() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(4)).await?;
    create_topic(&brokers, "t", 2, 3).await?;
    let perf = "--topic t --num-records 5000 --record-size 500 --throughput -1 --command-property acks=all";
    tool(&kafka, &brokers, "kafka-producer-perf-test", perf).await?;
    let topics = brokers.folder(0).join("topics.json");
    std::fs::write(&topics, r#"{"version":1,"topics":[{"topic":"t"}]}"#).context("write the topics")?;
    let generate = format!("--generate --broker-list 0,1,2 --topics-to-move-json-file {}", topics.display());
    let said = tool(&kafka, &brokers, "kafka-reassign-partitions", &generate).await?;
    ensure!(said.contains("Proposed partition reassignment configuration"), "{said}");
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
    cancel_stops_a_move(&kafka, &mut brokers).await?;
    let replicas: Vec<Vec<i32>> =
        described.partitions.iter().map(|p| p.replicas.iter().map(|node| node.0).collect()).collect();
    ensure!(replicas == [[3, 0, 1], [1, 2, 3]], "{replicas:?}");
    Ok(())
}

/// A move to a broker that is away stands still, until it is called off.
async fn cancel_stops_a_move(kafka: &Kafka, brokers: &mut Brokers) -> Result<()> {
    let before = describe(brokers, "t").await?.partitions;
    brokers.stop(2).await?;
    // Broker 2, of which partition 1 has a copy and partition 0 has none.
    let [kept_first, kept_next, away] = [before[0].replicas[0], before[0].replicas[1], before[1].replicas[1]];
    let replicas = Some(vec![kept_first, kept_next, away]);
    let change = Reassignment { topic: "t".to_owned(), partition: before[0].index, replicas };
    for (partition, outcome) in brokers.admin().alter_reassignments(&[change]).await? {
        outcome.with_context(|| format!("{partition:?}"))?;
    }
    let file = brokers.folder(0).join("cancelled.json");
    let plan = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[3,0,2]}]}"#;
    std::fs::write(&file, plan).context("write the plan")?;
    // Without the throttles, which the tool would lift on the broker that is away, too.
    for (step, expected) in
        [("--verify", "is still in progress"), ("--cancel --preserve-throttles", "Successfully cancelled")]
    {
        let arguments = format!("{step} --reassignment-json-file {}", file.display());
        let said = tool(kafka, brokers, "kafka-reassign-partitions", &arguments).await?;
        ensure!(said.contains(expected), "{step}: {said}");
    }
    let after = describe(brokers, "t").await?.partitions;
    ensure!(after[0].replicas == before[0].replicas, "{before:?} became {after:?}");
    ensure!(brokers.admin().list_reassignments().await?.is_empty(), "something still moves");
    Ok(())
}
