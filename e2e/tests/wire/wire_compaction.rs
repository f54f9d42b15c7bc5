//! Compacted topics: of each key the last value stays, whatever happens to the broker, and Kafka's tools read the files.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kcat, Waited, http_get, kafka, kcat, output, run, until};
use ottla_operator_kafka_admin::NewTopic;

use crate::clients::{PATIENCE, dump_log, kcat_to};
use crate::turns::beside_others;

/// Keys, and versions of each: several segments of the least size that a topic can have.
const KEYS: usize = 50;
const VERSIONS: usize = 160;
/// Bytes of each value beside its number.
const PADDING: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_last_value_of_each_key_also_through_a_kill() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let options = BrokersOptions::new(1).with("log.cleaner.backoff.ms", "100");
    let mut brokers = Brokers::start(options).await?;
    create(&brokers, "t", &[("cleanup.policy", "compact"), ("segment.bytes", "1048576")]).await?;
    send_once(&kcat, &brokers).await?;
    send(&kcat, &brokers, 0..VERSIONS).await?;
    until_compacted(&brokers).await?;
    let before = values(&kcat, &brokers).await?;
    check(&before, VERSIONS)?;
    brokers.kill(0).await?;
    brokers.start_broker(0)?;
    brokers.until_ready(0).await?;
    let after = values(&kcat, &brokers).await?;
    check(&after, VERSIONS)?;
    // Further passes may have come meanwhile.
    let is_new = |(key, records): (&String, &Vec<(i64, usize)>)| {
        records.iter().any(|record| !before.get(key).is_some_and(|before| before.contains(record)))
    };
    ensure!(!after.iter().any(is_new), "the kill has brought back what was gone: {before:?} {after:?}");
    send(&kcat, &brokers, VERSIONS..VERSIONS + 1).await?;
    check(&values(&kcat, &brokers).await?, VERSIONS + 1)?;
    brokers.stop(0).await?;
    let Some(kafka) = kafka() else { return Ok(()) };
    let dumped = dump_log(&kafka, &brokers.folder(0).join("data"), &["t-0".to_owned()]).await?;
    ensure!(dumped.contains("| offset: 0 "), "the key that was sent once is gone: {dumped}");
    let dumped = dumped.matches("| offset: ").count();
    ensure!(dumped < KEYS * VERSIONS / 4, "the first segment holds {dumped} records");
    Ok(())
}

async fn create(brokers: &Brokers, name: &str, config: &[(&str, &str)]) -> Result<()> {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        replication_factor: Some(1),
        config: config.collect(),
    };
    let outcome = brokers.admin().create_topics(&[topic], false).await?;
    outcome.get(name).context("no answer for the topic")?.clone()?;
    Ok(())
}

/// Sends a key that never gets another value.
async fn send_once(kcat: &Kcat, brokers: &Brokers) -> Result<()> {
    let mut command = kcat_to(kcat, brokers);
    command.args(["-P", "-t", "t", "-K", ":"]);
    let sent = output(command, b"once:0 x\n", PATIENCE).await?;
    ensure!(sent.status.success(), "kcat: {}", sent.stderr);
    Ok(())
}

/// Sends these versions of every key.
async fn send(kcat: &Kcat, brokers: &Brokers, versions: std::ops::Range<usize>) -> Result<()> {
    let padding = "x".repeat(PADDING);
    let records = versions.flat_map(|version| (0..KEYS).map(move |key| (key, version)));
    let text: String = records.map(|(key, version)| format!("k{key}:{version} {padding}\n")).collect();
    let mut command = kcat_to(kcat, brokers);
    command.args(["-P", "-t", "t", "-K", ":", "-X", "acks=all", "-X", "batch.size=20000"]);
    let sent = output(command, text.as_bytes(), PATIENCE).await?;
    ensure!(sent.status.success(), "kcat: {}", sent.stderr);
    Ok(())
}

/// Offset and version of each record that is read, by key, in order.
async fn values(kcat: &Kcat, brokers: &Brokers) -> Result<BTreeMap<String, Vec<(i64, usize)>>> {
    let mut command = kcat_to(kcat, brokers);
    command.args(["-C", "-t", "t", "-o", "beginning", "-e", "-q", "-f", "%o %k %s\\n"]);
    let text = run(command, PATIENCE).await?;
    let mut found: BTreeMap<String, Vec<(i64, usize)>> = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.split(' ');
        let (offset, key, version) = (parts.next(), parts.next(), parts.next());
        let record = (offset.context("offset")?.parse()?, version.context("version")?.parse()?);
        found.entry(key.context("key")?.to_owned()).or_default().push(record);
    }
    Ok(found)
}

/// Each record lies at the offset at which it was sent, the last of each key is there, and most others are not.
fn check(values: &BTreeMap<String, Vec<(i64, usize)>>, versions: usize) -> Result<()> {
    ensure!(values.len() == KEYS + 1, "{} keys", values.len());
    ensure!(values.get("once").is_some_and(|once| *once == [(0, 0)]), "the key that was sent once is gone");
    for (key, records) in values.iter().filter(|(key, _)| *key != "once") {
        let number: usize = key.trim_start_matches('k').parse()?;
        for (offset, version) in records {
            ensure!(*offset as usize == 1 + version * KEYS + number, "{key}={version} lies at {offset}");
        }
        ensure!(records.last().is_some_and(|last| last.1 == versions - 1), "{key}: {records:?}");
        ensure!(records.len() < versions * 3 / 4, "{} versions of {key} are left", records.len());
    }
    Ok(())
}

async fn until_compacted(brokers: &Brokers) -> Result<()> {
    until("a pass of the cleaner", PATIENCE, async || {
        let page = http_get(brokers.ports(0).http, "/metrics").await?;
        let passes = sample(&page, "ottla_log_cleaner_passes_total ")?;
        ensure!(sample(&page, "kafka_log_logcleanermanager_uncleanable_partitions_count ")? == "0");
        Ok(if passes != "0" { Waited::Done(()) } else { Waited::not_yet("none yet") })
    })
    .await
}

fn sample(page: &str, name: &str) -> Result<String> {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::to_owned).with_context(|| format!("{name}is not on the page"))
}
