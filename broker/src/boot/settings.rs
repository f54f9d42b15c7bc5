//! From the command line and the file to settings that can be used.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ottla_broker_config::{BrokerConfig, ConfigMap, load_broker, parse_override, parse_properties};
use ottla_broker_types::NodeId;

use crate::memory::{self, MemoryShares};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// `--override`, in order.
    pub overrides: Vec<String>,
    /// `--node-id-from-hostname`.
    pub node_id_from_hostname: bool,
}

/// Reads them, and says what is odd about them.
pub fn read(arguments: &Arguments) -> anyhow::Result<BrokerConfig> {
    let mut pairs = ConfigMap::new();
    if let Some(path) = &arguments.config_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        pairs = parse_properties(&text).with_context(|| format!("read {}", path.display()))?;
    }
    for text in &arguments.overrides {
        let (key, value) = parse_override(text)
            .with_context(|| format!("--override {text:?} is not KEY=VALUE, such as --override node.id=1"))?;
        pairs.insert(key, value);
    }
    if arguments.node_id_from_hostname {
        pairs.insert("node.id".to_owned(), node_id_from_hostname()?.to_string());
    }
    let (config, warnings) = load_broker(pairs).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("\n  {error}")).collect();
        anyhow::anyhow!("the settings cannot be used:{}", lines.concat())
    })?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if config.quorum.voters.is_empty() {
        bail!(
            "controller.quorum.voters is missing: list the nodes that keep the metadata, as id@host:port, such as {}@localhost:9093",
            config.node_id
        );
    }
    Ok(config)
}

/// What others may make this broker hold, said where that is less than the settings allow.
pub fn shares(config: &BrokerConfig) -> MemoryShares {
    let queued = config.network.queued_bytes_max;
    let frame = u64::from(config.network.socket_request_bytes_max);
    let limit_bytes = memory::limit_bytes();
    let shares = MemoryShares::of(limit_bytes, queued, frame);
    if (shares.frame_max as u64) < frame {
        tracing::info!(
            limit_mib = limit_bytes >> 20,
            largest_request_mib = shares.frame_max >> 20,
            requests_mib = shares.client_frames >> 20,
            connections = shares.connections_max,
            "memory is short: less is taken at once than the settings allow"
        );
    }
    shares
}

fn node_id_from_hostname() -> anyhow::Result<NodeId> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let number = name.rsplit('-').next().and_then(|text| text.parse().ok()).and_then(NodeId::from_wire);
    number.with_context(|| {
        format!("the host's name {name:?} does not end in -NUMBER, as a StatefulSet's pods do")
    })
}

/// The one directory for logs.
pub fn the_log_dir(config: &BrokerConfig) -> anyhow::Result<PathBuf> {
    match config.logs.dirs.as_slice() {
        [only] => Ok(only.clone()),
        dirs => bail!("log.dirs names {} directories: one is supported", dirs.len()),
    }
}
