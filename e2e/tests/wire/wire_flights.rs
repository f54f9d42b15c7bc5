//! Real data: every flight of January 2013 in and out, once, in order per aircraft.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    Brokers, BrokersOptions, FLIGHTS_COUNT, Kafka, Kcat, Place, Readers, check_flights, flights_input, kafka,
    kcat, keyed_flights, output,
};
use tokio::process::Command;

use crate::clients::{PATIENCE, create_topic, dump_log, kcat_to, tool, until_in_sync};
use crate::turns::beside_others;

/// Partitions of the topic, as `examples/flights` has them.
const PARTITIONS: i32 = 12;
/// Consumers that share the partitions.
const MEMBERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_flight_by_kcat_reaches_a_group_once_and_in_order() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "flights", PARTITIONS, 3).await?;
    let mut producer = kcat_to(&kcat, &brokers);
    producer.args(["-P", "-t", "flights", "-K", "\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    pour_and_read(&kcat, &brokers, producer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flight_by_kafkas_console_producer_reaches_a_group_once_and_in_order() -> Result<()> {
    let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "flights", PARTITIONS, 3).await?;
    let mut producer = kafka.tool(&Place::here(), "kafka-console-producer")?;
    producer.args(["--bootstrap-server", &brokers.bootstrap(), "--topic", "flights"]);
    producer.args(["--reader-property", "parse.key=true", "--command-property", "acks=all"]);
    pour_and_read(&kcat, &brokers, producer).await?;
    everything_is_committed(&kafka, &brokers).await?;
    kafka_reads_our_segments(&kafka, &mut brokers).await
}

/// All flights by `producer`, while a group reads, until each member has left by itself.
async fn pour_and_read(kcat: &Kcat, brokers: &Brokers, producer: Command) -> Result<()> {
    let mut readers = Readers::start(|| kcat_to(kcat, brokers), "readers", &["flights"], MEMBERS).await?;
    let poured = output(producer, flights_input().as_bytes(), PATIENCE).await?;
    ensure!(poured.status.success(), "the producer failed: {}{}", poured.stdout, poured.stderr);
    readers.until_got(FLIGHTS_COUNT, PATIENCE).await?;
    check_flights("flights", &readers.stop().await?)
}

/// The group has committed the end of every partition, and the ends add up to all flights.
async fn everything_is_committed(kafka: &Kafka, brokers: &Brokers) -> Result<()> {
    let said = tool(kafka, brokers, "kafka-consumer-groups", "--describe --group readers").await?;
    let rows: Vec<Vec<&str>> = said
        .lines()
        .filter(|line| line.starts_with("readers "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let partitions: BTreeSet<i32> = rows.iter().filter_map(|row| row.get(2)?.parse().ok()).collect();
    ensure!(partitions == (0..PARTITIONS).collect() && rows.len() == partitions.len(), "{said}");
    let committed: Option<Vec<usize>> = rows.iter().map(|row| row.get(3)?.parse().ok()).collect();
    ensure!(rows.iter().all(|row| row.get(5) == Some(&"0")), "a partition lags: {said}");
    ensure!(committed.context("no offset")?.iter().sum::<usize>() == FLIGHTS_COUNT, "{said}");
    Ok(())
}

/// What one broker holds on disk is every flight.
async fn kafka_reads_our_segments(kafka: &Kafka, brokers: &mut Brokers) -> Result<()> {
    until_in_sync(brokers, "flights").await?;
    brokers.stop(0).await?;
    let partitions: Vec<String> = (0..PARTITIONS).map(|partition| format!("flights-{partition}")).collect();
    let dumped = dump_log(kafka, &brokers.folder(0).join("data"), &partitions).await?;
    let mut found: Vec<&str> =
        dumped.lines().filter_map(|line| line.split_once(" payload: ")).map(|(_, flight)| flight).collect();
    let mut expected: Vec<&str> = keyed_flights().into_iter().map(|(_, flight)| flight).collect();
    found.sort_unstable();
    expected.sort_unstable();
    ensure!(found == expected, "{} of {FLIGHTS_COUNT} flights were dumped, or others", found.len());
    Ok(())
}
