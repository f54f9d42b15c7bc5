//! What many idle partitions cost three brokers: memory, processor time, open files, starts and stops, a lost broker, and
//! the round trips of a busy partition beside them.

use std::time::Duration;

use anyhow::{Context, Result};
use ottla_e2e::{AckedProducer, Brokers, BrokersOptions, Stopwatch, Waited, until};
use ottla_operator_kafka_admin::{NewTopic, TopicDescription};

/// Brokers, and replicas of each partition.
const BROKERS: usize = 3;
/// Partitions of a topic of idle ones.
const TOPIC_PARTITIONS: i32 = 500;
/// The topic that is written to, of one partition.
const BUSY: &str = "busy";
/// Records of the busy partition whose processor time is compared, and how often they are sent.
const ROUND_TRIPS: usize = 2_000;
const MEASUREMENTS: usize = 4;
/// How long brokers are watched that do nothing.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// How long anything may take with the most partitions on a small machine.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// What one cluster took; all brokers together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Seconds from the first CreateTopics until every replica was in sync.
    pub made_s: f64,
    /// Processor time of a busy partition's round trip, in microseconds.
    pub round_trip_us: f64,
    /// Percent of one processor while nothing is asked.
    pub idle_percent: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: f64,
    /// Open files.
    pub open_files: f64,
    /// Seconds from the SIGKILL of a broker until every partition had a leader again.
    pub led_again_s: f64,
    /// Seconds from the killed broker's start until it is in service.
    pub restart_s: f64,
    /// Seconds of the slowest clean stop.
    pub stop_s: f64,
    /// Seconds from starting all brokers after clean stops until every partition has a leader.
    pub start_s: f64,
}

/// One cluster with so many idle partitions beside the busy one.
pub async fn round(partitions: i32) -> Result<Taken> {
    let mut brokers = Brokers::start(BrokersOptions::new(BROKERS)).await?;
    let mut taken = Taken::default();
    make(&brokers, BUSY, 1).await?;
    let started = Stopwatch::start();
    let topics: Vec<String> =
        (0..partitions / TOPIC_PARTITIONS).map(|topic| format!("idle-{topic}")).collect();
    for topic in &topics {
        make(&brokers, topic, TOPIC_PARTITIONS).await?;
    }
    let all: Vec<String> = topics.into_iter().chain([BUSY.to_owned()]).collect();
    until_each(&brokers, &all, "every replica is in sync", |topic| {
        topic.partitions.iter().all(|partition| partition.isr.len() == BROKERS)
    })
    .await?;
    taken.made_s = started.elapsed().as_secs_f64();
    // What was made is saved once more before all is quiet.
    tokio::time::sleep(IDLE_TIME).await;
    let busy = brokers.admin().describe_topics(Some(&[BUSY.to_owned()])).await?;
    let leader = busy[0].partitions[0].leader.context("a leader")?;
    let mut producer = AckedProducer::of(&brokers, BUSY, usize::try_from(leader.0)?).await?;
    let round_trips = producer.round_trips(&brokers, ROUND_TRIPS, MEASUREMENTS).await?;
    taken.round_trip_us = round_trips.as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    let idle = brokers.idle_processor_time(IDLE_TIME).await?;
    taken.idle_percent = idle.as_secs_f64() * 100.0 / IDLE_TIME.as_secs_f64();
    taken.resident_bytes = brokers.resident_bytes()? as f64;
    taken.open_files = brokers.open_files()? as f64;
    lose_one(&mut brokers, &all, &mut taken).await?;
    stop_and_start(&mut brokers, &all, &mut taken).await?;
    Ok(taken)
}

async fn lose_one(brokers: &mut Brokers, topics: &[String], taken: &mut Taken) -> Result<()> {
    let lost = BROKERS - 1;
    let killed = Stopwatch::start();
    brokers.kill(lost).await?;
    until_each(brokers, topics, "every partition has another leader", |topic| {
        topic
            .partitions
            .iter()
            .all(|partition| partition.leader.is_some_and(|leader| leader.0 != lost as i32))
    })
    .await?;
    taken.led_again_s = killed.elapsed().as_secs_f64();
    let started = Stopwatch::start();
    brokers.start_broker(lost)?;
    brokers.until_ready(lost).await?;
    taken.restart_s = started.elapsed().as_secs_f64();
    until_each(brokers, topics, "every replica is in sync", |topic| {
        topic.partitions.iter().all(|partition| partition.isr.len() == BROKERS)
    })
    .await
}

async fn stop_and_start(brokers: &mut Brokers, topics: &[String], taken: &mut Taken) -> Result<()> {
    for id in (0..BROKERS).rev() {
        let watch = Stopwatch::start();
        brokers.stop(id).await?;
        taken.stop_s = taken.stop_s.max(watch.elapsed().as_secs_f64());
    }
    let watch = Stopwatch::start();
    for id in 0..BROKERS {
        brokers.start_broker(id)?;
    }
    for id in 0..BROKERS {
        brokers.until_ready(id).await?;
    }
    let led = |topic: &TopicDescription| topic.partitions.iter().all(|partition| partition.leader.is_some());
    until_each(brokers, topics, "every partition has a leader", led).await?;
    taken.start_s = watch.elapsed().as_secs_f64();
    for id in 0..BROKERS {
        brokers.stop(id).await?;
    }
    Ok(())
}

async fn make(brokers: &Brokers, name: &str, partitions: i32) -> Result<()> {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(BROKERS as i16),
        ..NewTopic::default()
    };
    let made = brokers.admin().create_topics(&[topic], false).await?;
    made.get(name).context("no answer for the topic")?.clone().with_context(|| format!("make {name}"))
}

/// Waits until each topic satisfies `holds`; they are asked for one by one, since one answer for all would be work that
/// shows in the figures.
async fn until_each(
    brokers: &Brokers,
    topics: &[String],
    what: &str,
    holds: impl Fn(&TopicDescription) -> bool,
) -> Result<()> {
    let admin = brokers.admin();
    for topic in topics {
        until(what, PATIENCE, async || {
            let found = admin.describe_topics(Some(std::slice::from_ref(topic))).await?;
            Ok(match found.first().is_some_and(&holds) {
                true => Waited::Done(()),
                false => Waited::not_yet(topic),
            })
        })
        .await?;
    }
    Ok(())
}
