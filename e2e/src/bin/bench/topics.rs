//! A topic of thousands of partitions made at once on three brokers: how long until every broker leads its share, and
//! whether heartbeats go on meanwhile.

use std::time::Duration;

use anyhow::{Context, Result};
use ottla_e2e::{Brokers, BrokersOptions, Stopwatch, Waited, http_get, until};
use ottla_operator_kafka_admin::NewTopic;

/// The topic.
const TOPIC: &str = "many";
/// Its partitions.
pub const PARTITIONS: i32 = 5_000;
/// Brokers, and replicas of each partition.
const BROKERS: usize = 3;
/// How long anything may take beside other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// A histogram of the times from a heartbeat's arrival to its answer.
const HEARTBEATS: &str =
    "kafka_network_requestmetrics_totaltime_seconds_bucket{request=\"BrokerHeartbeat\",le=\"";
/// The longest time for which the active controller heard nothing of a broker.
const SILENCE: &str = "ottla_controller_longest_silence_ms ";
/// What the active controller says when it fences a broker.
const FENCED: &str = "lease ran out";

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
    let (mut heartbeat_p99_ms, mut silence_ms, mut fenced) = (0.0_f64, 0.0_f64, 0);
    for id in 0..BROKERS {
        let page = http_get(brokers.ports(id).http, "/metrics").await?;
        heartbeat_p99_ms = heartbeat_p99_ms.max(p99_ms(&page));
        let silence = page.lines().find_map(|line| line.strip_prefix(SILENCE)?.parse().ok());
        silence_ms = silence_ms.max(silence.unwrap_or(0.0));
        fenced += brokers.process(id)?.log().matches(FENCED).count();
        brokers.stop(id).await?;
    }
    Ok(Made { answered_s, served_s, heartbeat_p99_ms, silence_ms, fenced: fenced as f64 })
}

/// What 99 % of the heartbeats that a broker answered stayed within; zero for one that answered none.
fn p99_ms(page: &str) -> f64 {
    let buckets = page.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(HEARTBEATS)?.split_once("\"} ")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.parse::<f64>().ok()?))
    });
    let buckets: Vec<(f64, f64)> = buckets.collect();
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    buckets.iter().find(|(_, count)| *count >= 0.99 * all).map_or(0.0, |(bound, _)| bound * 1e3)
}
