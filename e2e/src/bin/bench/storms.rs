//! Many clients at once: how long until all of them have an answer, when they come for the first time and when they
//! come back after their broker restarted; and what an idle one costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ottla_broker_protocol::frame;
use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_e2e::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::client::{Client, Produce};
use crate::meter::memory_mb;
use crate::subject::{Broker, free_port};

/// Pause of a client that was refused before it tries again, as Kafka's `reconnect.backoff.ms`.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// After this idle connections have given back what they can.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Descriptors beside the clients'.
const OTHER_FILES: u64 = 200;

/// What one round measured.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Seconds until every client that connected at the same time had its first answer.
    pub come_s: f64,
    /// The same after the broker was killed, from the start of its next run.
    pub back_s: f64,
    /// Bytes of memory an idle client's connection.
    pub idle_bytes: f64,
}

/// Starts `broker` in an empty folder and lets `clients` come; `None` where the system allows so few open files.
pub fn round(broker: &dyn Broker, folder: &Path, clients: usize) -> Result<Option<Storm>> {
    if !may_open(clients as u64 + OTHER_FILES)? {
        return Ok(None);
    }
    let port = free_port()?;
    broker.prepare(folder, port)?;
    let running = broker.start(folder)?;
    let record = Produce::new("first", 1, 100)?;
    let mut client = Client::connect(port)?;
    client.create_topic("first")?;
    client.produce_first(&record)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = memory_mb(running.id(), "VmRSS")?;
    let (come_s, connections) = runtime.block_on(storm(port, clients))?;
    std::thread::sleep(SETTLED_AFTER);
    let idle_bytes = (memory_mb(running.id(), "VmRSS")? - before) * 1e6 / clients as f64;
    // Killed, so that clients learn of it by a reset, all at once.
    drop(running);
    drop(connections);
    let running = broker.start(folder)?;
    let (back_s, connections) = runtime.block_on(storm(port, clients))?;
    drop(connections);
    running.stop()?;
    std::fs::remove_dir_all(folder).context("remove the broker's files")?;
    Ok(Some(Storm { come_s, back_s, idle_bytes }))
}

/// Raises the limit of open files, of this process and of those that it starts, to what is allowed.
fn may_open(files: u64) -> Result<bool> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("raise the limit of open files")?;
    }
    Ok(limit.current.is_none_or(|current| current >= files))
}

async fn storm(port: u16, clients: usize) -> Result<(f64, Vec<TcpStream>)> {
    let request = frame::encode_request(&ApiVersionsRequest::default(), 0, 1, Some("storm"))?;
    let (request, start) = (Arc::new(request), Arc::new(Barrier::new(clients + 1)));
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (request, start) = (Arc::clone(&request), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                tokio::time::timeout(PATIENCE, first_answer(port, &request)).await
            })
        })
        .collect();
    start.wait().await;
    let started = Stopwatch::start();
    let mut connections = Vec::new();
    for task in tasks {
        connections.push(task.await.context("a client")?.context("a client has no answer")?);
    }
    Ok((started.elapsed().as_secs_f64(), connections))
}

async fn first_answer(port: u16, request: &[u8]) -> TcpStream {
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await
            && stream.write_all(request).await.is_ok()
            && let Ok(len) = stream.read_u32().await
            && stream.read_exact(&mut vec![0; len as usize]).await.is_ok()
        {
            return stream;
        }
        tokio::time::sleep(BACK_OFF).await;
    }
}
