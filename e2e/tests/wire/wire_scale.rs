//! Local mode from a manifest to moved replicas: 3, 5, then 3 brokers again, while a producer writes and a group reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Kcat, Place, Process, Waited, binary, checkout, kcat, run, until};
use ottla_operator_kafka_admin::{AdminClient, Endpoint, TopicDescription};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use crate::clients::PATIENCE;

/// Zones that local mode gives to brokers in turn.
const ZONES: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn scaling_from_3_to_5_to_3_loses_and_doubles_nothing() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let folder = tempfile::Builder::new().prefix("ottla-scale-").tempdir()?;
    // Ports below the range from which the system takes those of outgoing connections.
    let port = 20_000 + u16::try_from(std::process::id() % 36)? * 350;
    let mut local = start_local(folder.path(), port).await?;
    let bootstrap = format!("127.0.0.1:{port},127.0.0.1:{},127.0.0.1:{}", port + 1, port + 2);
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
    let admin = AdminClient::new(vec![endpoint], Duration::from_secs(10));

    let writing = Arc::new(AtomicBool::new(true));
    let producer = tokio::spawn(write(producer(&kcat, &bootstrap)?, Arc::clone(&writing)));
    let reader = tokio::spawn(read_in_group(member(&kcat, &bootstrap)?));
    let mut lower_bound = 0;
    for (count, times) in [(5, 1), (3, 2)] {
        set_replicas(folder.path(), count)?;
        until_serving(&mut local, count, times).await?;
        lower_bound = check_balance(&admin.describe_topics(None).await?, count)?.max(lower_bound);
    }
    writing.store(false, Ordering::Release);
    let sent = tokio::time::timeout(PATIENCE, producer).await.context("the producer hangs")???;
    println!("scale: {sent} records were written while brokers came and went");

    let stored = read_all(&kcat, &bootstrap).await?;
    let expected: BTreeSet<u64> = (0..sent).collect();
    ensure!(stored.len() as u64 == sent, "{} records are stored, {sent} were acknowledged", stored.len());
    ensure!(stored.into_iter().collect::<BTreeSet<_>>() == expected, "records were lost or doubled");
    reader.abort();
    let log = local.log();
    let moves =
        log.lines().filter_map(|line| line.split(" of ").nth(1)?.split(" moves").next()?.parse().ok());
    let most: usize = moves.max().context("no moves were shown")?;
    println!("scale: {most} moves, the lower bound is {lower_bound}");
    ensure!(most * 10 <= lower_bound * 11, "{most} moves, {lower_bound} are enough");
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    Ok(())
}

async fn start_local(folder: &Path, port: u16) -> Result<Process> {
    for name in ["cluster.yaml", "topic.yaml"] {
        std::fs::copy(checkout().join("examples/flights").join(name), folder.join(name))
            .context("copy manifests")?;
    }
    let data = folder.join("data").display().to_string();
    let port = port.to_string();
    let manifests = folder.display().to_string();
    let arguments = ["local", "-f", &manifests, "--data", &data, "--port", &port];
    let mut local = Process::start(&binary("ottla-operator")?, &arguments, &folder.join("log"))?;
    until_serving(&mut local, 3, 1).await?;
    until("the topic is ready", PATIENCE, async || match local.log().contains("topic flights: ready") {
        true => Ok(Waited::Done(())),
        false => Ok(Waited::not_yet(local.log())),
    })
    .await?;
    Ok(local)
}

fn set_replicas(folder: &Path, count: usize) -> Result<()> {
    let path = folder.join("cluster.yaml");
    let text = std::fs::read_to_string(&path)?;
    let changed: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("  replicas:") {
            true => format!("  replicas: {count}"),
            false => line.to_owned(),
        })
        .collect();
    std::fs::write(&path, changed.join("\n") + "\n").context("edit the manifest")
}

/// Waits until local mode has said for the `times`-th time that `count` brokers serve and nothing is left to do.
async fn until_serving(local: &mut Process, count: usize, times: usize) -> Result<()> {
    let expected = format!("demo: {count} brokers serve");
    until(&expected, PATIENCE * 2, async || {
        let log = local.log();
        if let Some(status) = local.ended()? {
            anyhow::bail!("local mode ended with {status}:\n{log}");
        }
        match log.lines().filter(|line| *line == expected).count() >= times {
            true => Ok(Waited::Done(())),
            false => Ok(Waited::not_yet(log)),
        }
    })
    .await
}

/// Each partition in three zones, and within a zone the brokers' counts at most one apart. Gives the fewest moves by
/// which the second brokers of two zones can get their half, or give it back.
fn check_balance(topics: &[TopicDescription], brokers: usize) -> Result<usize> {
    let mut counts: BTreeMap<i32, usize> = (0..i32::try_from(brokers)?).map(|id| (id, 0)).collect();
    let partitions: Vec<_> = topics.iter().flat_map(|topic| &topic.partitions).collect();
    for partition in &partitions {
        let zones: BTreeSet<i32> = partition.replicas.iter().map(|node| node.0 % ZONES).collect();
        ensure!(zones.len() == 3 && partition.replicas.len() == 3, "{partition:?} is not in three zones");
        for node in &partition.replicas {
            *counts.get_mut(&node.0).with_context(|| format!("{partition:?} is on a broker that left"))? += 1;
        }
    }
    for zone in 0..ZONES {
        let in_zone = counts.iter().filter(|(id, _)| **id % ZONES == zone).map(|(_, count)| *count);
        let (least, most) = (in_zone.clone().min().unwrap_or(0), in_zone.max().unwrap_or(0));
        ensure!(most - least <= 1, "unbalanced: {counts:?}");
    }
    Ok(2 * (partitions.len() / 2))
}

fn producer(kcat: &Kcat, bootstrap: &str) -> Result<Child> {
    let mut command = kcat.command(&Place::here(), bootstrap);
    command.args(["-P", "-E", "-t", "flights", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    command.args(["-X", "message.timeout.ms=60000", "-X", "linger.ms=5"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().context("start the producer")
}

/// Writes numbers until told to stop; all of them are acknowledged when kcat ends without an error.
async fn write(mut client: Child, writing: Arc<AtomicBool>) -> Result<u64> {
    let mut input = client.stdin.take().context("no input")?;
    let mut next = 0;
    while writing.load(Ordering::Acquire) {
        let batch: String = (next..next + 20).map(|number| format!("{number}\n")).collect();
        next += 20;
        input.write_all(batch.as_bytes()).await?;
        // Paces the load: a laptop's producer, not a benchmark.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(input);
    let ended = client.wait_with_output().await?;
    ensure!(ended.status.success(), "the producer failed: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(next)
}

fn member(kcat: &Kcat, bootstrap: &str) -> Result<Child> {
    let mut command = kcat.command(&Place::here(), bootstrap);
    command.args(["-G", "readers", "flights", "-q", "-u", "-X", "auto.offset.reset=earliest"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("start the consumer")
}

/// Reads for as long as the test lasts, so that groups and fetches go on through every move.
async fn read_in_group(mut client: Child) -> Result<u64> {
    let mut lines = BufReader::new(client.stdout.take().context("no output")?).lines();
    let mut count = 0;
    while lines.next_line().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

async fn read_all(kcat: &Kcat, bootstrap: &str) -> Result<Vec<u64>> {
    let mut command = kcat.command(&Place::here(), bootstrap);
    command.args(["-C", "-t", "flights", "-o", "beginning", "-e", "-q"]);
    let text = run(command, PATIENCE).await?;
    text.lines().map(|line| line.parse().with_context(|| format!("{line:?} was not written"))).collect()
}
