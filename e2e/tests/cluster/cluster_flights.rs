//! The example, as a user follows it: manifests, real data in by two kinds of producers, out by a consumer group.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Stopwatch, output};

use crate::demo::{BOOTSTRAP, Demo, START_LIMIT};
use crate::readers::{Got, Readers};

/// The flights as the data set has them: 27,004 lines.
const FLIGHTS: &str = include_str!("../../../examples/flights/flights-2013-01.csv");
/// Flights without the heading.
const COUNT: usize = 27_004;
/// A producer pours all flights in within 10 s.
const POUR_LIMIT: Duration = Duration::from_secs(120);
/// The group reads them within seconds.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// What an operator that looks after one cluster may hold.
const OPERATOR_BYTES_MAX: u64 = 40_000_000;

/// Lines of key, tab and flight, in the order of the data set.
fn keyed() -> Vec<(&'static str, &'static str)> {
    FLIGHTS.lines().skip(1).map(|line| (line.split(',').nth(11).unwrap_or_default(), line)).collect()
}

#[tokio::test]
async fn every_flight_goes_in_by_foreign_producers_and_out_by_a_group_exactly_once() -> Result<()> {
    let Some(demo) = Demo::start("flights").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.apply(include_str!("../../../examples/flights/topic.yaml")).await?;
    demo.wait("kafkatopic/flights", "Ready", START_LIMIT).await?;
    demo.create_topic("flights-java", 12).await?;
    let readers = Readers::start(&demo, "readers", &["flights", "flights-java"], 3).await?;
    pour(&demo).await?;
    let watch = Stopwatch::start();
    readers.until_got(2 * COUNT, READ_LIMIT).await?;
    println!("the group had all {} records {:.1?} after the last was sent", 2 * COUNT, watch.elapsed());
    let said = demo.tool("kafka-consumer-groups", &["--describe", "--group", "readers", "--members"]).await?;
    ensure!(said.lines().filter(|line| line.starts_with("readers ")).count() == 3, "members: {said}");
    let got = readers.stop().await?;
    for topic in ["flights", "flights-java"] {
        check(topic, &got)?;
    }
    tools_describe(&demo).await?;
    let operator_bytes = demo.operator_bytes().await?;
    println!("the operator holds {:.1} MB", operator_bytes as f64 / 1e6);
    ensure!(operator_bytes <= OPERATOR_BYTES_MAX, "the operator holds {operator_bytes} bytes");
    demo.remove().await
}

/// All flights by kcat into one topic, and by Kafka's console producer into the other.
async fn pour(demo: &Demo) -> Result<()> {
    let flights = keyed();
    ensure!(flights.len() == COUNT, "the data set has {} flights", flights.len());
    let input: String = flights.iter().map(|(key, flight)| format!("{key}\t{flight}\n")).collect();
    let mut kcat = demo.kcat.command(&demo.place, BOOTSTRAP);
    kcat.args(["-P", "-t", "flights", "-K", "\\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    let mut console = demo.kafka.tool(&demo.place, "kafka-console-producer")?;
    console.args(["--bootstrap-server", BOOTSTRAP, "--topic", "flights-java"]);
    console.args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]);
    for (name, command) in [("kcat", kcat), ("kafka-console-producer", console)] {
        let watch = Stopwatch::start();
        let ended = output(command, input.as_bytes(), POUR_LIMIT).await?;
        ensure!(ended.status.success(), "{name}: {}{}", ended.stdout, ended.stderr);
        println!("{name} poured {COUNT} flights in within {:.1?}", watch.elapsed());
    }
    Ok(())
}

/// Each flight once, and the flights of a plane in one partition and in the order of the data set.
fn check(topic: &str, got: &[Vec<Got>]) -> Result<()> {
    let shares: Vec<usize> =
        got.iter().map(|member| member.iter().filter(|each| each.topic == topic).count()).collect();
    println!("{topic}: the three members got {shares:?}");
    ensure!(shares.iter().all(|share| *share > 0), "a member got nothing of {topic}: {shares:?}");
    ensure!(shares.iter().sum::<usize>() == COUNT, "{topic}: not each flight once: {shares:?}");
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, flight) in keyed() {
        expected.entry(key).or_default().push(flight);
    }
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut home: BTreeMap<&str, i32> = BTreeMap::new();
    for each in got.iter().flatten().filter(|each| each.topic == topic) {
        found.entry(&each.key).or_default().push(&each.value);
        let partition = *home.entry(&each.key).or_insert(each.partition);
        ensure!(partition == each.partition, "{topic}: the flights of {} are in two partitions", each.key);
    }
    for (key, flights) in expected {
        ensure!(found.get(key) == Some(&flights), "{topic}: the flights of {key:?} came otherwise");
    }
    Ok(())
}

/// Kafka's own tools tell of the topic and of the group.
async fn tools_describe(demo: &Demo) -> Result<()> {
    let said = demo.tool("kafka-topics", &["--describe", "--topic", "flights"]).await?;
    ensure!(said.contains("PartitionCount: 12") && said.contains("ReplicationFactor: 3"), "{said}");
    ensure!(said.lines().filter(|line| line.contains("Isr: ")).count() == 12, "{said}");
    let said = demo.tool("kafka-consumer-groups", &["--describe", "--group", "readers"]).await?;
    let lags: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("readers "))
        .filter_map(|line| line.split_whitespace().nth(5))
        .collect();
    ensure!(lags.len() == 24 && lags.iter().all(|lag| *lag == "0"), "not everything is committed: {said}");
    Ok(())
}
