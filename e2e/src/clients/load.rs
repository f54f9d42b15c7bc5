//! What producers were told and what is in the log: nothing acknowledged may be lost or doubled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::binaries::checkout;
use crate::command::run;
use crate::process::Process;
use crate::wait::{Waited, until};

/// A producer that cannot deliver gives up after two minutes; then it says so and ends.
const END_LIMIT: Duration = Duration::from_secs(150);
/// From the start of Java to its first acknowledged record.
const FIRST_LIMIT: Duration = Duration::from_secs(60);
/// Reading all of it back takes a second.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// How many different keys there are: enough that every partition has some.
const KEYS: &str = "1000";

/// Kafka's verifiable producer at work: idempotent, acks=all, with retries.
#[derive(Debug)]
pub struct Load {
    process: Process,
    topic: String,
    _folder: TempDir,
}

/// A record that was acknowledged.
#[derive(Clone, Debug, Deserialize)]
pub struct Ack {
    /// What was sent.
    pub value: String,
    /// Where it is.
    pub partition: i32,
    /// Where it is.
    pub offset: i64,
    /// When the producer heard of it.
    #[serde(rename = "timestamp")]
    pub at_ms: i64,
}

/// All that a producer was told.
#[derive(Clone, Debug)]
pub struct History {
    /// Where it wrote to.
    pub topic: String,
    /// What was acknowledged, in the order in which it heard of it.
    pub acks: Vec<Ack>,
    /// The lines that tell of a failure.
    pub failures: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
}

impl Load {
    /// Starts a producer of `rate` records a second and waits for its first acknowledged ones. `command` is
    /// `kafka-verifiable-producer` with its bootstrap servers.
    ///
    /// # Errors
    /// When none is acknowledged in time.
    pub async fn start(mut command: Command, topic: &str, rate: u32) -> Result<Load> {
        let folder = TempDir::new().context("make a folder for the producer's words")?;
        let settings = checkout().join("e2e/clients/kafka/idempotent.properties");
        command.args(["--topic", topic, "--repeating-keys", KEYS]);
        command.arg("--throughput").arg(rate.to_string()).arg("--command-config").arg(settings);
        let process = Process::start_command(&command, &folder.path().join("log"))?;
        let mut load = Load { process, topic: topic.to_owned(), _folder: folder };
        until("the first acknowledged records", FIRST_LIMIT, async || {
            ensure!(load.process.ended()?.is_none(), "it ended: {}", load.process.errors());
            let acks = load.acks().len();
            Ok(if acks > 100 { Waited::Done(()) } else { Waited::NotYet(load.process.errors()) })
        })
        .await?;
        Ok(load)
    }

    /// What has been acknowledged so far, in the order in which the producer heard of it.
    pub fn acks(&self) -> Vec<Ack> {
        acks(&self.process.log())
    }

    /// Waits until `count` more records are acknowledged.
    ///
    /// # Errors
    /// When they are not within `limit`.
    pub async fn goes_on(&self, count: usize, limit: Duration) -> Result<()> {
        let before = self.acks().len();
        until("more acknowledged records", limit, async || {
            let now = self.acks().len();
            Ok(if now >= before + count { Waited::Done(()) } else { Waited::not_yet(now - before) })
        })
        .await
    }

    /// Lets the producer deliver what it has taken, and end.
    ///
    /// # Errors
    /// When it has given up before, or does not end.
    pub async fn stop(mut self) -> Result<History> {
        ensure!(self.process.ended()?.is_none(), "the producer has given up: {}", self.process.errors());
        self.process.signal("TERM").await?;
        until("the producer's end", END_LIMIT, async || {
            Ok(self.process.ended()?.map_or_else(|| Waited::not_yet("it runs"), |_| Waited::Done(())))
        })
        .await?;
        let log = self.process.log();
        let failures = events(&log, "producer_send_error").map(str::to_owned).collect();
        Ok(History { topic: self.topic, acks: acks(&log), failures })
    }
}

/// Lines of the log that tell of such an event; the last line may be half written.
fn events<'a>(log: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    log.lines().filter(move |line| serde_json::from_str::<Line>(line).is_ok_and(|each| each.name == name))
}

fn acks(log: &str) -> Vec<Ack> {
    events(log, "producer_send_success").filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The longest time that any partition went without an acknowledged record, over `acks` of a steady producer.
pub fn longest_pause(acks: &[Ack]) -> (i32, Duration) {
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    let mut longest = (0, 0);
    for ack in acks {
        if let Some(before) = last.insert(ack.partition, ack.at_ms)
            && ack.at_ms - before > longest.1
        {
            longest = (ack.partition, ack.at_ms - before);
        }
    }
    (longest.0, Duration::from_millis(longest.1.unsigned_abs()))
}

impl History {
    /// Reads the topic from its beginning: every acknowledged record is where the producer was told, and no record
    /// is there twice. `command` is kcat against the cluster.
    ///
    /// # Errors
    /// When that is not so, or the topic cannot be read.
    pub async fn check(&self, mut command: Command) -> Result<()> {
        command.args(["-C", "-t", &self.topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\\n"]);
        let text = run(command, READ_LIMIT).await?;
        let mut found: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().context("kcat prints partition, offset and value");
            let (partition, offset, value) = (part()?.parse()?, part()?.parse()?, part()?);
            found.entry(value).or_default().push((partition, offset));
        }
        let lost = self.acks.iter().filter(|ack| !found.contains_key(&*ack.value)).count();
        let doubled = found.values().filter(|places| places.len() > 1).count();
        println!(
            "{}: {} acknowledged, {} failed, {} in the log, {lost} lost, {doubled} doubled",
            self.topic,
            self.acks.len(),
            self.failures.len(),
            text.lines().count()
        );
        ensure!(lost == 0 && doubled == 0, "{lost} acknowledged records are lost, {doubled} are doubled");
        for ack in &self.acks {
            let place = found[&*ack.value][0];
            ensure!(place == (ack.partition, ack.offset), "{ack:?} is at {place:?}");
        }
        Ok(())
    }
}
