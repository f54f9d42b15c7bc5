//! Small traffic beside bulk writes that keep the disk busy: how long a record takes from the time at which it should
//! leave its producer until a consumer has it.
//!
//! Open loop: records are due at fixed times, whether earlier ones have arrived or not, and each is timed from when it
//! was due, so that a stall counts for every record that it held up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::Stopwatch;

use crate::client::{self, Client, Produce};
use crate::subject::{Broker, free_port};

/// Small records a second, each in a request of its own.
const SMALL_PER_SECOND: u64 = 5_000;
/// Bytes of a small record's value.
const SMALL_VALUE_BYTES: usize = 100;
/// Records of a bulk batch, bytes of each of their values, and requests in flight.
const BULK_RECORDS: usize = 1000;
const BULK_VALUE_BYTES: usize = 1024;
const BULK_DEPTH: usize = 5;
/// What a fetch of the small records asks for.
const FETCH_BYTES: usize = 1 << 20;
/// Bulk writes before the first small record: the caches of the disk fill up.
const WARM_UP: Duration = Duration::from_secs(4);
/// Topics.
const BULK: &str = "bulk";
const SMALL: &str = "small";

/// What one round measured.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// Milliseconds from due to delivered: the median, and what 99 and 99.9 % stay within.
    pub p50_ms: f64,
    /// See there.
    pub p99_ms: f64,
    /// See there.
    pub p999_ms: f64,
    /// MiB of bulk batches a second.
    pub bulk_mib_per_s: f64,
}

/// Starts `broker` in an empty folder and loads it for `seconds`.
pub fn round(broker: &dyn Broker, folder: &Path, seconds: u64) -> Result<Beside> {
    let port = free_port()?;
    broker.prepare(folder, port)?;
    let running = broker.start(folder)?;
    let bulk = Produce::new(BULK, BULK_RECORDS, BULK_VALUE_BYTES)?;
    let small = Produce::new(SMALL, 1, SMALL_VALUE_BYTES)?;
    let mut client = Client::connect(port)?;
    for (topic, produce) in [(BULK, &bulk), (SMALL, &small)] {
        client.create_topic(topic)?;
        client.produce_first(produce)?;
    }
    let (ended, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut delays, bulk_mib_per_s) = std::thread::scope(|scope| {
        let bulk = scope.spawn(|| keep_writing(port, &bulk, &ended, &sent));
        std::thread::sleep(WARM_UP);
        let (before, started) = (sent.load(Ordering::Relaxed), Stopwatch::start());
        let delays = deliver(port, &small, SMALL_PER_SECOND * seconds);
        let bytes = sent.load(Ordering::Relaxed) - before;
        let mib_per_s = bytes as f64 / f64::from(1 << 20) / started.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        bulk.join().expect("a thread of the bench panicked")?;
        Ok::<_, anyhow::Error>((delays?, mib_per_s))
    })?;
    running.stop()?;
    std::fs::remove_dir_all(folder).context("remove the broker's files")?;
    delays.sort_by(f64::total_cmp);
    let within = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    Ok(Beside { p50_ms: within(0.5), p99_ms: within(0.99), p999_ms: within(0.999), bulk_mib_per_s })
}

/// Writes bulk batches until told to end; counts their bytes.
fn keep_writing(port: u16, produce: &Produce, ended: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let mut client = Client::connect(port)?;
    let mut waiting = 0;
    loop {
        let more = !ended.load(Ordering::Relaxed);
        while more && waiting < BULK_DEPTH {
            client.send(&produce.frame)?;
            waiting += 1;
        }
        if waiting == 0 {
            return Ok(());
        }
        let code = client::produced(client.receive()?)?;
        ensure!(code == 0, "a bulk produce failed with code {code}");
        waiting -= 1;
        sent.fetch_add(produce.batch_bytes as u64, Ordering::Relaxed);
    }
}

/// Sends `count` small records when they are due; the milliseconds after which each was delivered.
fn deliver(port: u16, small: &Produce, count: u64) -> Result<Vec<f64>> {
    let mut producer = Client::connect(port)?;
    let mut answers = producer.share()?;
    let started = Stopwatch::start();
    let due = |number: u64| Duration::from_micros(number * 1_000_000 / SMALL_PER_SECOND);
    std::thread::scope(|scope| {
        let acknowledged = scope.spawn(move || {
            for _ in 0..count {
                let code = client::produced(answers.receive()?)?;
                ensure!(code == 0, "a small produce failed with code {code}");
            }
            Ok::<_, anyhow::Error>(())
        });
        let consumed =
            scope.spawn(move || consume(port, small, count, |number| (started.elapsed(), due(number))));
        let mut frames = Vec::new();
        let mut next = 0;
        while next < count {
            std::thread::sleep(due(next).saturating_sub(started.elapsed()));
            frames.clear();
            while next < count && due(next) <= started.elapsed() {
                frames.extend_from_slice(&small.frame);
                next += 1;
            }
            producer.send(&frames)?;
        }
        acknowledged.join().expect("a thread of the bench panicked")?;
        consumed.join().expect("a thread of the bench panicked")
    })
}

/// Fetches `count` records after the first, which warmed the topic up.
fn consume(
    port: u16,
    small: &Produce,
    count: u64,
    times: impl Fn(u64) -> (Duration, Duration),
) -> Result<Vec<f64>> {
    let mut client = Client::connect(port)?;
    let mut delays = Vec::new();
    while (delays.len() as u64) < count {
        client.send(&client::fetch(SMALL, 1 + delays.len() as i64, FETCH_BYTES)?)?;
        let bytes = client::fetched_bytes(client.receive()?)?;
        for _ in 0..bytes / small.batch_bytes {
            let (now, due) = times(delays.len() as u64);
            delays.push(now.saturating_sub(due).as_secs_f64() * 1e3);
        }
    }
    Ok(delays)
}
