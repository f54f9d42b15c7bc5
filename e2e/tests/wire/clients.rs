//! What the tests do with foreign clients: pour records in, read them back.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, Kcat, Place, Waited, run, until};
use ottla_operator_kafka_admin::{NewTopic, TopicDescription};
use tokio::process::Child;

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

/// Reads a whole topic: key, value and offset of each record, by partition.
pub async fn read_all(
    kcat: &Kcat,
    brokers: &Brokers,
    topic: &str,
) -> Result<BTreeMap<i32, Vec<(i64, String)>>> {
    let mut command = kcat.command(&Place::here(), &brokers.bootstrap());
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

/// An idempotent acks=all producer that sends what is written to its input.
pub fn producer(kcat: &Kcat, brokers: &Brokers, topic: &str) -> Result<Child> {
    let mut command = kcat.command(&Place::here(), &brokers.bootstrap());
    command.args([
        "-P",
        "-E",
        "-t",
        topic,
        "-X",
        "acks=all",
        "-X",
        "enable.idempotence=true",
        "-X",
        "linger.ms=1",
    ]);
    command.args(["-X", "message.timeout.ms=60000", "-p", "0"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().context("start kcat")
}
