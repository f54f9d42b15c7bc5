//! Small requests that ask for much: they cost who sends them, and others next to nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, Compression};
use ottla_broker_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_broker_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_broker_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_broker_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use ottla_broker_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_broker_protocol::{Records, Request, frame};
use ottla_e2e::{Brokers, BrokersOptions, Stopwatch, Waited, http_get, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clients::{PATIENCE, create_topic};
use crate::turns::alone;
use crate::worst_requests::{self, FULL, FULL_PARTITIONS, GROUP, QUIET, Worst};

/// Who sends the same worst request again and again, each waiting for its answer.
const SENDERS: usize = 4;
/// For how long.
const FOR: Duration = Duration::from_millis(700);
/// Answers that others get while nothing else is asked, and at least so many while something is.
const SAMPLES: usize = 200;
/// What others may have to wait where it is more than twice as long as else: a few turns of the scheduler on a machine
/// whose processors are all busy.
const WAIT_FLOOR: Duration = Duration::from_millis(100);
/// How often a request is tried: something else on the machine may have taken the processors meanwhile.
const ATTEMPTS_MAX: usize = 4;
/// How long the answer to a worst request may take, built without optimization, on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What the broker's memory may grow by while it is asked the worst.
const GROWTH_KIB_MAX: u64 = 256 << 10;
/// Of each offset of the group: about as much as may be.
const METADATA_BYTES: usize = 4_000;
/// What one record unfolds into.
const UNFOLDED_BYTES: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_requests_hold_nobody_else_up_and_take_little_memory() -> Result<()> {
    let _turn = alone().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let pid = brokers.process(0)?.id().context("it runs")?;
    fill(&brokers).await?;
    let all = worst_requests::all()?;
    let missing = worst_requests::missing(&all);
    ensure!(missing.is_empty(), "these have no worst request: {missing:?}");
    let quiet = p99(sample(port, SAMPLES, Duration::ZERO).await?);
    let allowed = WAIT_FLOOR.max(2 * quiet);
    println!("worst requests: others wait {quiet:?} (p99) while nothing is asked, {allowed:?} is allowed");
    let mut failures = Vec::new();
    for worst in &all {
        for attempt in 1..=ATTEMPTS_MAX {
            let seen = ask_worst(port, pid, worst).await?;
            println!("worst requests: {}", seen.line);
            if seen.waited <= allowed && seen.growth_kib <= GROWTH_KIB_MAX {
                break;
            }
            if attempt == ATTEMPTS_MAX {
                failures.push(seen.line);
            }
        }
    }
    ensure!(failures.is_empty(), "others waited, or memory grew:\n{}", failures.join("\n"));
    ensure!(http_get(brokers.ports(0).http, "/readyz").await?.starts_with("ready"), "the broker suffered");
    ensure!(!brokers.process(0)?.log().contains("panicked"), "something panicked");
    Ok(())
}

/// What others felt of a worst request.
struct Seen {
    waited: Duration,
    growth_kib: u64,
    line: String,
}

async fn ask_worst(port: u16, pid: u32, worst: &Worst) -> Result<Seen> {
    let Worst { api, why, frame } = worst;
    reset_peak(pid)?;
    let before = peak_kib(pid)?;
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(port, frame.clone()));
    }
    let waited = p99(sample(port, SAMPLES / 2, FOR).await?);
    let (mut answers, mut longest, mut largest) = (0, Duration::ZERO, 0);
    while let Some(sent) = senders.join_next().await {
        let sent = sent?.with_context(|| format!("{}: {why}", api.name()))?;
        answers += sent.answers;
        longest = longest.max(sent.longest);
        largest = largest.max(sent.largest);
    }
    let growth_kib = peak_kib(pid)?.saturating_sub(before);
    let line = format!(
        "{} ({why}), {} bytes: {answers} answers of at most {largest} bytes within {longest:?}, others wait \
         {waited:?}, {growth_kib} KiB",
        api.name(),
        frame.len(),
    );
    Ok(Seen { waited, growth_kib, line })
}

/// Topics with records that unfold, and a group whose offsets have long metadata.
async fn fill(brokers: &Brokers) -> Result<()> {
    create_topic(brokers, QUIET, 1, 1).await?;
    create_topic(brokers, FULL, FULL_PARTITIONS, 1).await?;
    let port = brokers.ports(0).kafka;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut builder =
        BatchBuilder::new(BatchOptions { compression: Compression::Zstd, ..BatchOptions::default() });
    builder.append(None, Some(&vec![0; UNFOLDED_BYTES]), 1);
    let batch = builder.build()?;
    for index in 0..FULL_PARTITIONS {
        ask(&mut stream, &encode(&produce(FULL, index, &batch), 9)?).await?;
    }
    let coordinator = FindCoordinatorRequest { key: GROUP.into(), ..Default::default() };
    ask(&mut stream, &encode(&coordinator, 2)?).await?;
    let offset = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_metadata: Some("m".repeat(METADATA_BYTES).into()),
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: FULL.into(),
            partitions: (0..FULL_PARTITIONS).map(offset).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let commit = encode(&commit, 7)?;
    let fetch = OffsetFetchRequest { group_id: GROUP.into(), topics: None, ..Default::default() };
    let fetch = encode(&fetch, 7)?;
    until("the offsets are committed", PATIENCE, async || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        ask(&mut stream, &commit).await?;
        let len = ask(&mut stream, &fetch).await?;
        match len > FULL_PARTITIONS as usize * METADATA_BYTES {
            true => Ok(Waited::Done(())),
            false => Ok(Waited::not_yet(format!("an answer of {len} bytes"))),
        }
    })
    .await
}

fn produce<'a>(topic: &'a str, index: i32, batch: &'a [u8]) -> ProduceRequest<'a> {
    let partition = PartitionProduceData { index, records: Some(Records::Borrowed(batch)) };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    ProduceRequest { acks: 1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

/// How long another client waits for each of its answers: to where its partition is, and to a record that it writes.
async fn sample(port: u16, count: usize, at_least: Duration) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(None, Some(b"value"), 1);
    let batch = builder.build()?;
    let topic = MetadataRequestTopic { name: Some(QUIET.into()), ..Default::default() };
    let metadata = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let requests = [encode(&metadata, 9)?, encode(&produce(QUIET, 0, &batch), 9)?];
    let began = Stopwatch::start();
    let mut waits = Vec::new();
    while waits.len() < count || began.elapsed() < at_least {
        let asked = Stopwatch::start();
        ask(&mut stream, &requests[waits.len() % 2]).await?;
        waits.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(waits)
}

fn encode<R: Request>(request: &R, version: i16) -> Result<Vec<u8>> {
    Ok(frame::encode_request(request, version, 1, Some("other"))?.to_vec())
}

fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

/// What came of sending one request again and again.
#[derive(Default)]
struct Sent {
    answers: usize,
    longest: Duration,
    largest: usize,
}

/// A connection that the broker ends is opened again: some worst requests are worth an end.
async fn send(port: u16, frame: Vec<u8>) -> Result<Sent> {
    let mut sent = Sent::default();
    let began = Stopwatch::start();
    while began.elapsed() < FOR {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        while began.elapsed() < FOR {
            let asked = Stopwatch::start();
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&mut stream, &frame)).await;
            let Ok(len) = answer.context("no answer")? else { break };
            sent.answers += 1;
            sent.longest = sent.longest.max(asked.elapsed());
            sent.largest = sent.largest.max(len);
        }
    }
    Ok(sent)
}

/// Sends a frame and reads the answer; gives the answer's length.
async fn ask(stream: &mut TcpStream, frame: &[u8]) -> Result<usize> {
    stream.write_all(frame).await?;
    let len = usize::try_from(stream.read_i32().await?)?;
    let mut rest = stream.take(len as u64);
    let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    ensure!(read == len as u64, "the answer ends early");
    Ok(len)
}

/// Lets the peak of the process's memory begin anew.
fn reset_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the peak")
}

/// The most that the process has had in memory since then.
fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
