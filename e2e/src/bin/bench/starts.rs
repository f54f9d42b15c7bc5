//! How long a broker takes from `exec` to its first acknowledged record, and what it holds while nobody uses it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::{Client, Produce};
use crate::meter::memory_mb;
use crate::subject::{Broker, Running, free_port};

/// After this an idle broker has settled.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// The topic of the first record.
const TOPIC: &str = "first";

/// What one round measured.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Milliseconds from `exec` to the first acknowledged record, in an empty folder, its topic created on the way.
    pub fresh_ms: f64,
    /// The same after a clean stop, the topic being there.
    pub again_ms: f64,
}

/// Starts `broker` on an empty folder, stops it in order and starts it again.
pub fn round(broker: &dyn Broker, folder: &Path) -> Result<Start> {
    let port = free_port()?;
    broker.prepare(folder, port)?;
    let (running, fresh_ms) = first_ack(broker, folder, port, true)?;
    running.stop()?;
    let (running, again_ms) = first_ack(broker, folder, port, false)?;
    running.stop()?;
    Ok(Start { fresh_ms, again_ms })
}

fn first_ack(broker: &dyn Broker, folder: &Path, port: u16, create: bool) -> Result<(Running, f64)> {
    let record = Produce::new(TOPIC, 1, 100)?;
    let mut running = broker.start(folder)?;
    let acknowledged = Client::connect(port).and_then(|mut client| {
        if create {
            client.create_topic(TOPIC)?;
        }
        client.produce_first(&record)
    });
    let ms = running.since_start.elapsed().as_secs_f64() * 1e3;
    running.check().with_context(|| format!("{}; see its log in {}", broker.name(), folder.display()))?;
    acknowledged?;
    Ok((running, ms))
}

/// Resident MB of a broker that has taken one record: at once, and after ten idle seconds.
pub fn idle_memory(broker: &dyn Broker, folder: &Path) -> Result<(f64, f64)> {
    let port = free_port()?;
    broker.prepare(folder, port)?;
    let (running, _) = first_ack(broker, folder, port, true)?;
    let at_once = memory_mb(running.id(), "VmRSS")?;
    std::thread::sleep(SETTLED_AFTER);
    let settled = memory_mb(running.id(), "VmRSS")?;
    running.stop()?;
    Ok((at_once, settled))
}
