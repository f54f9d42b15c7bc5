//! What the tests do with foreign clients: pour records in, read them back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, Kafka, Kcat, Place, Waited, run, until};
use ottla_operator_kafka_admin::{NewTopic, TopicDescription};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long a client may take, beside other work on a small machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Creates a topic and waits until every partition has a leader.
pub async fn create_topic(
    brokers: &Brokers,
    name: &str,
    partitions: i32,
    factor: i16,
) -> Result<TopicDescription> {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(factor),
        ..NewTopic::default()
    };
    let admin = brokers.admin();
    let outcome = admin.create_topics(&[topic], false).await?;
    outcome.get(name).context("no answer for the topic")?.clone()?;
    until("every partition has a leader", PATIENCE, async || {
        let described = describe(brokers, name).await?;
        let led = described.partitions.iter().all(|partition| partition.leader.is_some());
        match led && described.partitions.len() == partitions as usize {
            true => Ok(Waited::Done(described)),
            false => Ok(Waited::not_yet("leaders are missing")),
        }
    })
    .await
}

/// A topic as the cluster tells it now.
pub async fn describe(brokers: &Brokers, name: &str) -> Result<TopicDescription> {
    let found = brokers.admin().describe_topics(Some(&[name.to_owned()])).await?;
    found.into_iter().next().with_context(|| format!("topic {name} is not there"))
}

/// Waits until every replica of a topic is in sync.
pub async fn until_in_sync(brokers: &Brokers, name: &str) -> Result<()> {
    until("every replica is in sync", PATIENCE, async || {
        let described = describe(brokers, name).await?;
        let behind =
            described.partitions.iter().find(|partition| partition.isr.len() < partition.replicas.len());
        match behind {
            None => Ok(Waited::Done(())),
            Some(partition) => Ok(Waited::not_yet(format!("{partition:?}"))),
        }
    })
    .await
}

/// kcat against the cluster.
pub fn kcat_to(kcat: &Kcat, brokers: &Brokers) -> Command {
    kcat.command(&Place::here(), &brokers.bootstrap())
}

/// Reads a whole topic: offset and value of each record, by partition. `command` is kcat against the cluster.
pub async fn read_all(mut command: Command, topic: &str) -> Result<BTreeMap<i32, Vec<(i64, String)>>> {
    command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\\n"]);
    let text = run(command, PATIENCE).await?;
    let mut found: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let (partition, offset) = (parts.next().context("partition")?, parts.next().context("offset")?);
        let value = parts.next().unwrap_or_default().to_owned();
        found.entry(partition.parse()?).or_default().push((offset.parse()?, value));
    }
    for records in found.values() {
        ensure!(records.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets do not grow");
    }
    Ok(found)
}

/// Runs one of Kafka's tools against the cluster and gives what it printed.
pub async fn tool(kafka: &Kafka, brokers: &Brokers, name: &str, arguments: &str) -> Result<String> {
    let mut command = kafka.tool(&Place::here(), name)?;
    command.args(["--bootstrap-server", &brokers.bootstrap()]).args(arguments.split_whitespace());
    run(command, PATIENCE).await.with_context(|| format!("{name} {arguments}"))
}

/// What `kafka-dump-log` reads from the files of partitions, which are folders of `data`: the segment's records and
/// both indexes, every record unpacked. It is an error if the tool complains.
pub async fn dump_log(kafka: &Kafka, data: &Path, partitions: &[String]) -> Result<String> {
    let files: Vec<String> = partitions
        .iter()
        .flat_map(|name| [".log", ".index", ".timeindex"].map(|kind| (name, kind)))
        .map(|(name, kind)| format!("{}/{:020}{kind}", data.join(name).display(), 0))
        .collect();
    let mut command = kafka.tool(&Place::here(), "kafka-dump-log")?;
    command.args(["--deep-iteration", "--print-data-log", "--files", &files.join(",")]);
    let dumped = run(command, PATIENCE).await?;
    for complaint in ["Found timestamp mismatch", "Mismatches in", "non-consecutive", "isvalid: false"] {
        ensure!(!dumped.contains(complaint), "kafka-dump-log complains: {complaint}");
    }
    Ok(dumped)
}

/// kcat as a producer (idempotent, acks=all) that sends the numbers from 0 on until it is told to stop.
pub struct Counter {
    writing: Arc<AtomicBool>,
    acked: Arc<AtomicUsize>,
    /// What it said beside that.
    said: Arc<Mutex<String>>,
    task: JoinHandle<Result<usize>>,
}

impl Counter {
    /// Starts `kcat`, a command against the cluster, on a topic; `arguments` are further ones.
    pub fn start(mut kcat: Command, topic: &str, arguments: &[&str]) -> Result<Counter> {
        kcat.args(["-P", "-E", "-vvv", "-t", topic, "-X", "acks=all", "-X", "enable.idempotence=true"]);
        kcat.args(["-X", "message.timeout.ms=60000", "-X", "linger.ms=1"]).args(arguments);
        kcat.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let client = kcat.spawn().context("start kcat")?;
        let (writing, acked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let said = Arc::default();
        let task = tokio::spawn(count(client, Arc::clone(&writing), Arc::clone(&acked), Arc::clone(&said)));
        Ok(Counter { writing, acked, said, task })
    }

    /// Waits until `count` more numbers are acknowledged.
    pub async fn goes_on(&self, count: usize) -> Result<()> {
        let before = self.acked.load(Ordering::Acquire);
        until("acknowledged numbers", PATIENCE, async || {
            ensure!(!self.task.is_finished(), "the producer has ended: {}", last_lines(&locked(&self.said)));
            let more = self.acked.load(Ordering::Acquire) - before;
            Ok(if more >= count { Waited::Done(()) } else { Waited::not_yet(more) })
        })
        .await
        .with_context(|| format!("the producer said: {}", last_lines(&locked(&self.said))))
    }

    /// How many numbers were sent; all of them are acknowledged.
    pub async fn stop(self) -> Result<usize> {
        self.writing.store(false, Ordering::Release);
        let sent = tokio::time::timeout(PATIENCE, self.task).await.context("kcat hangs")???;
        let acked = self.acked.load(Ordering::Acquire);
        ensure!(acked == sent, "{acked} of {sent} numbers are acknowledged");
        Ok(sent)
    }
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

async fn count(
    mut client: Child,
    writing: Arc<AtomicBool>,
    acked: Arc<AtomicUsize>,
    others: Arc<Mutex<String>>,
) -> Result<usize> {
    let mut input = client.stdin.take().context("no input")?;
    let said = BufReader::new(client.stderr.take().context("no output")?);
    let write = async {
        let mut next = 0;
        while writing.load(Ordering::Acquire) {
            let batch: String = (next..next + 20).map(|number| format!("{number}\n")).collect();
            next += 20;
            input.write_all(batch.as_bytes()).await?;
            // Paces the load: a laptop's producer, not a benchmark.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(input);
        Ok::<_, std::io::Error>(next)
    };
    let listen = async {
        let mut lines = said.lines();
        while let Some(line) = lines.next_line().await? {
            match line.contains("Message delivered") {
                true => drop(acked.fetch_add(1, Ordering::AcqRel)),
                false => *locked(&others) += &(line + "\n"),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let (sent, listened) = tokio::join!(write, listen);
    listened?;
    let ended = client.wait().await?;
    ensure!(ended.success(), "the producer failed: {}", last_lines(&locked(&others)));
    Ok(sent?)
}

fn locked(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
