//! What brokers tell of each other's heartbeats: who was fenced, and how long heartbeats took.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::brokers::Brokers;

/// The active controller's line that says that a broker is fenced.
const FENCED: &str = "it is fenced";
/// Heartbeats answered by the active controller, by their time: buckets and the sum of all.
const HEARTBEAT_TIMES: &str =
    "kafka_network_requestmetrics_totaltime_seconds_bucket{request=\"BrokerHeartbeat\"";

/// Lines in each broker's log that say that a broker is fenced: which, and how often.
pub fn fencings(brokers: &Brokers, count: usize) -> Result<BTreeMap<usize, usize>> {
    let mut fenced = BTreeMap::new();
    for id in 0..count {
        for line in brokers.process(id)?.log().lines().filter(|line| line.contains(FENCED)) {
            let plain: String = strip_colours(line);
            let broker = plain.rsplit("broker=").next().and_then(|id| id.trim().parse().ok());
            *fenced.entry(broker.with_context(|| format!("no broker in {plain:?}"))?).or_default() += 1;
        }
    }
    Ok(fenced)
}

fn strip_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// The upper bound in seconds of the bucket that holds the 99th of 100 heartbeats, from a broker's page of metrics; zero
/// where none was answered.
pub fn heartbeat_p99_s(page: &str) -> f64 {
    let buckets: Vec<(f64, f64)> = page
        .lines()
        .filter(|line| line.starts_with(HEARTBEAT_TIMES))
        .filter_map(|line| {
            let bound = line.split("le=\"").nth(1)?.split('"').next()?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, line.rsplit(' ').next()?.parse().ok()?))
        })
        .collect();
    let all = buckets.last().map_or(0.0, |(_, all)| *all);
    buckets.iter().find(|(_, seen)| *seen >= all * 0.99).map_or(0.0, |(bound, _)| *bound)
}
