//! What thousands of partitions without news cost those that have some, and what partitions that move cost those that
//! stay: processor time and waiting of producers with acks=all.
//!
//! Processor time is read from the kernel and compared within one run, so that the machine's speed does not matter.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_types::{NodeId, PartitionIndex};
use ottla_e2e::{AckedProducer, Brokers, BrokersOptions, Stopwatch, Waited, until};
use ottla_operator_kafka_admin::Reassignment;

use crate::clients::{PATIENCE, create_topic, describe, until_in_sync};
use crate::turns::alone;

const COUNT: usize = 3;
/// Partitions without news beside the busy one. Each has three replicas, so a scan of any kind shows.
const IDLE_PARTITIONS: i32 = 1_500;
/// Topics of the idle partitions.
const IDLE_TOPICS: i32 = 15;
/// Produces in a row; with three replicas each makes the brokers exchange some ten messages.
const ROUND_TRIPS: usize = 150;
/// The cheapest of so many measurements counts: other work on the machine only adds.
const MEASUREMENTS: usize = 4;
/// How much dearer a round trip may be beside the idle partitions. It was 8 times as dear when each fetch named and read
/// them all. Nothing is left that grows with them, but what a few ticks of the kernel's clock hide.
const ROUND_TRIP_FACTOR_MAX: f64 = 1.5;
/// How long brokers are watched that do nothing.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// How many times the processor time of three brokers with next to no partitions idle ones may make it. It was 1.64 times
/// when each tick looked at them all. A bound in milliseconds would judge the machine, whose speed changes by a tenth
/// within this test.
const IDLE_FACTOR_MAX: f64 = 1.3;
/// Further looks when they seem to cost more.
const IDLE_LOOKS_MORE: usize = 3;
/// Partitions that move at once.
const MOVING: i32 = 14;
/// Bytes of each; together more than a hundred of a follower's answers.
const MOVING_BYTES: usize = 12 << 20;
/// Bytes of a batch that fills them; its one value is smaller by what surrounds it.
const BATCH_BYTES: usize = 64 << 10;
const AROUND_VALUE_BYTES: usize = 72;
/// `replica.fetch.response.max.bytes` and `replica.fetch.max.bytes`: small, so that few bytes make a long move, and whole
/// numbers of batches, so that moving partitions can fill an answer to its last byte.
const FETCH_BYTES: [(&str, &str); 2] =
    [("replica.fetch.response.max.bytes", "1048576"), ("replica.fetch.max.bytes", "262144")];
/// Topics that are written to while others move: which of them stood behind the moving ones was decided by their ids.
const WATCHED_TOPICS: usize = 8;
/// How long a producer may wait while partitions move. Where they came first and took all bytes, it was until the last of
/// them had moved.
const WAIT_MAX: Duration = Duration::from_millis(300);

/// Puts all partitions of a topic on `replicas`, led by the first.
async fn place(brokers: &Brokers, topic: &str, replicas: &[i32]) -> Result<()> {
    let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
    let partitions = describe(brokers, topic).await?.partitions;
    let changes: Vec<_> = partitions
        .iter()
        .map(|partition| Reassignment {
            topic: topic.to_owned(),
            partition: partition.index,
            replicas: Some(replicas.clone()),
        })
        .collect();
    for outcome in brokers.admin().alter_reassignments(&changes).await?.into_values() {
        outcome?;
    }
    Ok(())
}

async fn until_placed(brokers: &Brokers, topic: &str, replicas: &[i32]) -> Result<()> {
    let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
    until("replicas have moved", PATIENCE, async || {
        let partitions = describe(brokers, topic).await?.partitions;
        match partitions.iter().find(|found| found.replicas != replicas || found.isr.len() < replicas.len()) {
            None => Ok(Waited::Done(())),
            Some(found) => Ok(Waited::not_yet(format!("{found:?}"))),
        }
    })
    .await
}

async fn lead_from_the_first(brokers: &Brokers, topic: &str) -> Result<()> {
    until("the first replica leads", PATIENCE, async || {
        let partitions = BTreeMap::from([(topic.to_owned(), vec![PartitionIndex(0)])]);
        brokers.admin().elect_preferred_leaders(Some(&partitions)).await?;
        let found = describe(brokers, topic).await?.partitions;
        match found.iter().all(|partition| partition.leader == partition.replicas.first().copied()) {
            true => Ok(Waited::Done(())),
            false => Ok(Waited::not_yet("another one leads")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_partitions_cost_those_with_news_nothing() -> Result<()> {
    let _turn = alone().await;
    let brokers = Brokers::start(BrokersOptions::new(COUNT)).await?;
    create_topic(&brokers, "busy", 1, 3).await?;
    until_in_sync(&brokers, "busy").await?;
    let leader = describe(&brokers, "busy").await?.partitions[0].leader.context("a leader")?;
    let mut producer = AckedProducer::of(&brokers, "busy", usize::try_from(leader.0)?).await?;
    let alone = (
        producer.round_trips(&brokers, ROUND_TRIPS, MEASUREMENTS).await?,
        brokers.idle_processor_time(IDLE_TIME).await?,
    );
    for topic in 0..IDLE_TOPICS {
        create_topic(&brokers, &format!("idle-{topic}"), IDLE_PARTITIONS / IDLE_TOPICS, 3).await?;
    }
    for topic in 0..IDLE_TOPICS {
        until_in_sync(&brokers, &format!("idle-{topic}")).await?;
    }
    // What was made is saved once more before all is quiet.
    tokio::time::sleep(IDLE_TIME).await;
    let mut beside = (
        producer.round_trips(&brokers, ROUND_TRIPS, MEASUREMENTS).await?,
        brokers.idle_processor_time(IDLE_TIME).await?,
    );
    for _ in 0..IDLE_LOOKS_MORE {
        // What idle partitions cost they cost each time; other work of the machine does not stay.
        if beside.1 > alone.1.mul_f64(IDLE_FACTOR_MAX) {
            beside.1 = beside.1.min(brokers.idle_processor_time(IDLE_TIME).await?);
        }
    }
    let factor = beside.0.as_secs_f64() / alone.0.as_secs_f64().max(0.01);
    println!(
        "{ROUND_TRIPS} round trips: {:?} alone, {:?} beside; {IDLE_TIME:?} idle: {:?}, {:?}",
        alone.0, beside.0, alone.1, beside.1
    );
    ensure!(
        factor <= ROUND_TRIP_FACTOR_MAX,
        "round trips beside idle partitions cost {factor:.2} times as much"
    );
    ensure!(
        beside.1 <= alone.1.mul_f64(IDLE_FACTOR_MAX),
        "idle partitions cost {:?} in {IDLE_TIME:?} beside {:?} without them",
        beside.1.saturating_sub(alone.1),
        alone.1
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_do_not_wait_behind_partitions_that_move() -> Result<()> {
    let _turn = alone().await;
    let options = BrokersOptions::new(COUNT).with("min.insync.replicas", "1");
    let options = FETCH_BYTES.iter().fold(options, |options, (name, value)| options.with(name, value));
    let brokers = Brokers::start(options).await?;
    create_topic(&brokers, "moving", MOVING, 1).await?;
    place(&brokers, "moving", &[0]).await?;
    until_placed(&brokers, "moving", &[0]).await?;
    let mut filling = AckedProducer::of(&brokers, "moving", 0).await?;
    for partition in 0..MOVING {
        for _ in 0..MOVING_BYTES / BATCH_BYTES {
            let batch_bytes = filling.send(partition, BATCH_BYTES - AROUND_VALUE_BYTES).await?;
            ensure!(batch_bytes == BATCH_BYTES, "a batch of {batch_bytes} bytes leaves room in an answer");
        }
    }
    let mut watched = BTreeMap::new();
    for number in 0..WATCHED_TOPICS {
        let topic = format!("watched-{number}");
        create_topic(&brokers, &topic, 1, 3).await?;
        place(&brokers, &topic, &[0, 1, 2]).await?;
        until_placed(&brokers, &topic, &[0, 1, 2]).await?;
        lead_from_the_first(&brokers, &topic).await?;
        watched.insert(topic.clone(), AckedProducer::of(&brokers, &topic, 0).await?);
    }
    place(&brokers, "moving", &[0, 1]).await?;
    let mut longest = Duration::ZERO;
    let mut round_trips = 0;
    while !brokers.admin().list_reassignments().await?.is_empty() {
        for producer in watched.values_mut() {
            let watch = Stopwatch::start();
            producer.send(0, 100).await?;
            longest = longest.max(watch.elapsed());
            round_trips += 1;
        }
    }
    until_placed(&brokers, "moving", &[0, 1]).await?;
    println!("{round_trips} round trips while {MOVING} partitions moved, the longest {longest:?}");
    ensure!(round_trips > 0, "all had moved before anything was sent");
    ensure!(longest <= WAIT_MAX, "a producer waited for {longest:?} while others moved");
    Ok(())
}
