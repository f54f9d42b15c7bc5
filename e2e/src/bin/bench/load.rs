//! The loads: the same bytes to every subject over one connection, the subject's cost measured from outside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::client::{self, Client, Produce};
use crate::meter::{Unit, memory_mb};
use crate::subject::{Broker, Running, free_port, start_floor};

/// Records of a bulk batch, and bytes of each of their values.
const BULK_RECORDS: usize = 1000;
const BULK_VALUE_BYTES: usize = 1024;
/// Bytes of the value where a request carries one record.
const SINGLE_VALUE_BYTES: usize = 100;
/// Requests in flight: what Kafka's clients allow, and a deep pipeline for small ones.
const BULK_DEPTH: usize = 5;
const SINGLE_DEPTH: usize = 50;
/// Small requests that leave the client in one write.
const SINGLE_BURST: usize = 25;
/// Lines of a broker's log that are shown when it fails.
const LAST_WORDS: usize = 10;
/// What one fetch asks for.
const FETCH_BYTES: usize = 4 << 20;

/// How much one round does.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of bulk batches.
    pub bulk_bytes: u64,
    /// Requests with one record.
    pub single_requests: usize,
}

/// What one round cost, in the unit of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Per GiB of 1 KiB records in batches of 1000.
    pub produce_gib: f64,
    /// Per million requests with one record.
    pub single_million: f64,
    /// Per GiB fetched.
    pub fetch_gib: f64,
    /// GiB per second of wall time that were produced, and fetched; no more than a hint on a shared machine.
    pub produce_gib_per_s: f64,
    /// See there.
    pub fetch_gib_per_s: f64,
}

/// A broker that is under load.
pub struct Loaded {
    running: Running,
    port: u16,
    name: &'static str,
    log: PathBuf,
}

impl Loaded {
    /// Starts it in an empty folder.
    pub fn start(broker: &dyn Broker, folder: &Path) -> Result<Loaded> {
        let port = free_port()?;
        broker.prepare(folder, port)?;
        Ok(Loaded { running: broker.start(folder)?, port, name: broker.name(), log: folder.join("log") })
    }

    /// One round on topics of its own.
    pub fn round(&mut self, unit: Unit, size: Size, round: usize) -> Result<Cost> {
        self.try_round(unit, size, round).with_context(|| {
            let state =
                self.running.check().map_or_else(|ended| ended.to_string(), |()| "it runs".to_owned());
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(LAST_WORDS).collect();
            format!("{}: {state}; its last words, newest first:\n{}", self.name, last.join("\n"))
        })
    }

    fn try_round(&self, unit: Unit, size: Size, round: usize) -> Result<Cost> {
        let pid = self.running.id();
        let mut client = Client::connect(self.port)?;
        let (bulk_topic, single_topic) = (format!("bulk-{round}"), format!("single-{round}"));
        let bulk = Produce::new(&bulk_topic, BULK_RECORDS, BULK_VALUE_BYTES)?;
        let single = Produce::new(&single_topic, 1, SINGLE_VALUE_BYTES)?;
        for (topic, produce) in [(&bulk_topic, &bulk), (&single_topic, &single)] {
            client.create_topic(topic)?;
            client.produce_first(produce)?;
        }
        let requests = requests(size.bulk_bytes, &bulk);
        let produced = timed(unit, pid, || pipeline(&mut client, &bulk, requests, BULK_DEPTH, 1))?;
        let singles = timed(unit, pid, || {
            pipeline(&mut client, &single, size.single_requests, SINGLE_DEPTH, SINGLE_BURST)
        })?;
        let fetched = timed(unit, pid, || fetch(&mut client, &bulk_topic, &bulk, size.bulk_bytes))?;
        Ok(cost(&produced, (requests * bulk.batch_bytes) as u64, &singles, size, &fetched))
    }

    /// The most memory it had, in MB.
    pub fn memory_mb_max(&self) -> Result<f64> {
        memory_mb(self.running.id(), "VmHWM")
    }

    /// Stops it in order.
    pub fn stop(self) -> Result<()> {
        self.running.stop()
    }
}

/// One round of the floor program, in `folder`.
pub fn floor_round(unit: Unit, size: Size, folder: &Path) -> Result<Cost> {
    let bulk = Produce::new("bulk-0", BULK_RECORDS, BULK_VALUE_BYTES)?;
    let single = Produce::new("single-0", 1, SINGLE_VALUE_BYTES)?;
    let requests = requests(size.bulk_bytes, &bulk);
    let appended = |name: &str, produce: &Produce, count: usize, depth: usize, burst: usize| {
        let target = folder.join(name);
        std::fs::create_dir_all(&target).context("make a folder")?;
        let (port, frame) = (free_port()?.to_string(), produce.frame.len().to_string());
        let arguments = ["produce", &port, &target.display().to_string(), &frame];
        let running = start_floor(&arguments, &folder.join("log"))?;
        let mut client = Client::connect(port.parse().context("a port")?)?;
        client.send(&produce.frame)?;
        client.receive()?;
        timed(unit, running.id(), || floor_pipeline(&mut client, produce, count, depth, burst))
    };
    let produced = appended("bulk", &bulk, requests, BULK_DEPTH, 1)?;
    let singles = appended("single", &single, size.single_requests, SINGLE_DEPTH, SINGLE_BURST)?;
    let (port, request) = (free_port()?.to_string(), client::fetch("bulk-0", 0, FETCH_BYTES)?);
    let file = folder.join("bulk/0").display().to_string();
    let lens = (request.len().to_string(), FETCH_BYTES.to_string());
    let running = start_floor(&["fetch", &port, &file, &lens.0, &lens.1], &folder.join("log"))?;
    let mut client = Client::connect(port.parse().context("a port")?)?;
    let fetched = timed(unit, running.id(), || {
        let mut bytes = 0;
        while bytes < size.bulk_bytes {
            client.send(&request)?;
            bytes += client.drain()? as u64;
        }
        Ok(bytes)
    })?;
    drop(running);
    std::fs::remove_dir_all(folder).context("remove the floor's files")?;
    Ok(cost(&produced, (requests * bulk.batch_bytes) as u64, &singles, size, &fetched))
}

fn requests(bytes: u64, bulk: &Produce) -> usize {
    bytes.div_ceil(bulk.batch_bytes as u64) as usize
}

struct Timed {
    cost: f64,
    seconds: f64,
    bytes: u64,
}

fn timed(unit: Unit, pid: u32, work: impl FnOnce() -> Result<u64>) -> Result<Timed> {
    let started = ottla_e2e::Stopwatch::start();
    let (cost, bytes) = unit.measure(pid, work)?;
    Ok(Timed { cost, seconds: started.elapsed().as_secs_f64(), bytes })
}

fn cost(produced: &Timed, produced_bytes: u64, singles: &Timed, size: Size, fetched: &Timed) -> Cost {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    Cost {
        produce_gib: produced.cost / gib(produced_bytes),
        single_million: singles.cost / (size.single_requests as f64 / 1e6),
        fetch_gib: fetched.cost / gib(fetched.bytes),
        produce_gib_per_s: gib(produced_bytes) / produced.seconds,
        fetch_gib_per_s: gib(fetched.bytes) / fetched.seconds,
    }
}

/// Sends `count` requests, `depth` of them in flight, `burst` in one write; checks each answer.
fn pipeline(client: &mut Client, produce: &Produce, count: usize, depth: usize, burst: usize) -> Result<u64> {
    in_flight(client, &produce.frame, count, depth, burst, |answer| {
        let code = client::produced(answer)?;
        ensure!(code == 0, "a produce failed with code {code}");
        Ok(())
    })
}

fn floor_pipeline(
    client: &mut Client,
    produce: &Produce,
    count: usize,
    depth: usize,
    burst: usize,
) -> Result<u64> {
    in_flight(client, &produce.frame, count, depth, burst, |_| Ok(()))
}

fn in_flight(
    client: &mut Client,
    frame: &[u8],
    count: usize,
    depth: usize,
    burst: usize,
    check: impl Fn(&[u8]) -> Result<()>,
) -> Result<u64> {
    let (mut sent, mut answered, bursts) = (0, 0, frame.repeat(burst));
    while answered < count {
        while sent < count && sent + burst <= answered + depth {
            let now = burst.min(count - sent);
            client.send(&bursts[..now * frame.len()])?;
            sent += now;
        }
        check(client.receive()?)?;
        answered += 1;
    }
    Ok((count * frame.len()) as u64)
}

/// Fetches from the start until `bytes` have come.
fn fetch(client: &mut Client, topic: &str, bulk: &Produce, bytes: u64) -> Result<u64> {
    let mut done = 0;
    let mut offset = 0;
    while done < bytes {
        client.send(&client::fetch(topic, offset, FETCH_BYTES)?)?;
        let len = client.drain()?;
        // The rest of an answer is far smaller than a batch; one that is cut short is fetched again.
        let batches = len / bulk.batch_bytes;
        ensure!(batches > 0, "a fetch at offset {offset} gave {len} bytes, less than a batch");
        offset += (batches * BULK_RECORDS) as i64;
        done += len as u64;
    }
    Ok(done)
}
