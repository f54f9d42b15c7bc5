//! `ottla-operator local`: from its start to three brokers that serve, and what it holds then.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla_e2e::{binary, checkout};

use crate::meter::memory_mb;
use crate::subject::Running;

/// How long a local cluster may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what it has said.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// What it says once every broker serves.
const READY: &str = "brokers serve after";

/// What was measured.
pub struct Local {
    /// Seconds to three serving brokers.
    pub seconds: f64,
    /// Resident MB of the operator then.
    pub operator_mb: f64,
}

/// Brings up examples/flights in `folder`.
pub fn up(folder: &Path) -> Result<Local> {
    std::fs::create_dir_all(folder).context("make a folder")?;
    let manifests = checkout().join("examples/flights").display().to_string();
    let data = folder.join("data").display().to_string();
    let arguments = ["local", "-f", &manifests, "--data", &data].map(str::to_owned);
    let log = folder.join("log");
    let mut running = Running::start(&binary("ottla-operator")?, &arguments, &log)?;
    loop {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if said.contains(READY) {
            break;
        }
        if running.check().is_err() || running.since_start.elapsed() > PATIENCE {
            bail!("no cluster came up; the last words: {}", said.lines().last().unwrap_or_default());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let seconds = running.since_start.elapsed().as_secs_f64();
    let operator_mb = memory_mb(running.id(), "VmRSS")?;
    running.stop()?;
    Ok(Local { seconds, operator_mb })
}
