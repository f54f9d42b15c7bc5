//! The example, as a user follows it: manifests, real data in by two kinds of producers, out by a consumer group.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{FLIGHTS_COUNT, Stopwatch, check_flights, flights_input, output};

use crate::demo::{BOOTSTRAP, Demo, START_LIMIT};

/// A producer pours all flights in within 10 s.
const POUR_LIMIT: Duration = Duration::from_secs(120);
/// The group reads them within seconds.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// What an operator that looks after one cluster may hold.
const OPERATOR_BYTES_MAX: u64 = 40_000_000;

#[tokio::test]
async fn every_flight_goes_in_by_foreign_producers_and_out_by_a_group_exactly_once() -> Result<()> {
    let Some(demo) = Demo::start("flights").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.apply(include_str!("../../../examples/flights/topic.yaml")).await?;
    demo.wait("kafkatopic/flights", "Ready", START_LIMIT).await?;
    demo.create_topic("flights-java", 12).await?;
    let mut readers = demo.readers("readers", &["flights", "flights-java"], 3).await?;
    pour(&demo).await?;
    let watch = Stopwatch::start();
    readers.until_got(2 * FLIGHTS_COUNT, READ_LIMIT).await?;
    println!(
        "the group had all {} records {:.1?} after the last was sent",
        2 * FLIGHTS_COUNT,
        watch.elapsed()
    );
    let said = demo.tool("kafka-consumer-groups", &["--describe", "--group", "readers", "--members"]).await?;
    ensure!(said.lines().filter(|line| line.starts_with("readers ")).count() == 3, "members: {said}");
    let got = readers.stop().await?;
    for topic in ["flights", "flights-java"] {
        check_flights(topic, &got)?;
    }
    tools_describe(&demo).await?;
    let operator_bytes = demo.operator_bytes().await?;
    println!("the operator holds {:.1} MB", operator_bytes as f64 / 1e6);
    ensure!(operator_bytes <= OPERATOR_BYTES_MAX, "the operator holds {operator_bytes} bytes");
    demo.remove().await
}

/// All flights by kcat into one topic, and by Kafka's console producer into the other.
async fn pour(demo: &Demo) -> Result<()> {
    let input = flights_input();
    let mut kcat = demo.kcat();
    kcat.args(["-P", "-t", "flights", "-K", "\\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    let mut console = demo.kafka.tool(&demo.place, "kafka-console-producer")?;
    console.args(["--bootstrap-server", BOOTSTRAP, "--topic", "flights-java"]);
    console.args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]);
    for (name, command) in [("kcat", kcat), ("kafka-console-producer", console)] {
        let watch = Stopwatch::start();
        let ended = output(command, input.as_bytes(), POUR_LIMIT).await?;
        ensure!(ended.status.success(), "{name}: {}{}", ended.stdout, ended.stderr);
        println!("{name} poured {FLIGHTS_COUNT} flights in within {:.1?}", watch.elapsed());
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
