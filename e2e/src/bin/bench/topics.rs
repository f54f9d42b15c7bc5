//! A topic of thousands of partitions made at once on three brokers: how long until every broker leads its share, and
//! whether heartbeats go on meanwhile.

use std::time::Duration;

use anyhow::{Context, Result};
use ottla_e2e::{Brokers, BrokersOptions, Stopwatch, Waited, fencings, heartbeat_p99_s, http_get, until};
use ottla_operator_kafka_admin::NewTopic;

/// The topic.
const TOPIC: &str = "many";
/// Its partitions.
pub const PARTITIONS: i32 = 5_000;
/// Brokers, and replicas of each partition.
const BROKERS: usize = 3;
/// How long anything may take beside other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time for which the active controller heard nothing of a broker.
const SILENCE: &str = "ottla_controller_longest_silence_ms ";

/// What one round measured.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Seconds until the topic was answered for.
    pub answered_s: f64,
    /// Seconds until every partition had its leader and all replicas in sync.
    pub served_s: f64,
    /// The least bound of the histogram's buckets, in milliseconds, that 99 % of heartbeats stayed within.
    pub heartbeat_p99_ms: f64,
    /// The longest silence of a broker, in milliseconds.
    pub silence_ms: f64,
    /// Brokers that were fenced.
    pub fenced: f64,
}

/// Starts three brokers and makes the topic.
pub async fn round() -> Result<Made> {
    let mut brokers = Brokers::start(BrokersOptions::new(BROKERS)).await?;
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(PARTITIONS),
        replication_factor: Some(BROKERS as i16),
        ..NewTopic::default()
    };
    let started = Stopwatch::start();
    let made = brokers.admin().create_topics(&[topic], false).await?;
    made.get(TOPIC).context("no answer for the topic")?.clone()?;
    let answered_s = started.elapsed().as_secs_f64();
    until("every partition is served", PATIENCE, async || {
        let found = brokers.admin().describe_topics(Some(&[TOPIC.to_owned()])).await?;
        let partitions = found.first().map_or(&[][..], |topic| &topic.partitions);
        let whole = |count: usize| count == BROKERS;
        let served = partitions.iter().filter(|each| each.leader.is_some() && whole(each.isr.len())).count();
        Ok(match served == PARTITIONS as usize {
            true => Waited::Done(()),
            false => Waited::not_yet(served),
        })
    })
    .await?;
    let served_s = started.elapsed().as_secs_f64();
    let fenced: usize = fencings(&brokers, BROKERS)?.into_values().sum();
    let (mut heartbeat_p99_ms, mut silence_ms) = (0.0_f64, 0.0_f64);
    for id in 0..BROKERS {
        let page = http_get(brokers.ports(id).http, "/metrics").await?;
        heartbeat_p99_ms = heartbeat_p99_ms.max(heartbeat_p99_s(&page) * 1e3);
        let silence = page.lines().find_map(|line| line.strip_prefix(SILENCE)?.parse().ok());
        silence_ms = silence_ms.max(silence.unwrap_or(0.0));
        brokers.stop(id).await?;
    }
    Ok(Made { answered_s, served_s, heartbeat_p99_ms, silence_ms, fenced: fenced as f64 })
}
