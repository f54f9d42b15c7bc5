//! Whose directory this is: `meta.properties` binds a log directory to cluster, node and directory id.
//!
//! A directory of another cluster or node is refused before any file in it is touched; an empty one is formatted. One
//! that another process uses is refused as well.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use ottla_broker_config::BrokerConfig;
use ottla_broker_log::{Disk, MetaProperties, read_meta_properties, write_meta_properties};
use ottla_broker_types::{ClusterId, DirectoryId, Uuid};

use crate::clock;
use crate::dir_lock::{DirLock, LOCK_FILE};

/// Below this a new broker could not even write its checkpoints and the metadata that it follows. One that was here
/// before starts on a full disk, too, as nothing else gives its space back.
const FREE_BYTES_MIN: u64 = 1 << 20;

/// Who this node is, as its directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Written into `meta.properties` at the first start; another one stops the broker.
    pub cluster_id: ClusterId,
    /// Drawn when the directory was formatted: an emptied disk comes back under another one.
    pub directory_id: DirectoryId,
}

/// Checks the directory against the settings and takes it, or formats an empty one.
pub fn establish(disk: &dyn Disk, dir: &Path, config: &BrokerConfig) -> anyhow::Result<(Identity, DirLock)> {
    let shown = dir.display();
    ensure!(
        disk.exists(dir).with_context(|| format!("look for log.dirs {shown}"))?,
        "log.dirs {shown} does not exist: mount the volume or create the directory"
    );
    let read = || read_meta_properties(disk, dir).with_context(|| format!("read {shown}/meta.properties"));
    if let Some(found) = read()? {
        check(dir, config, found)?;
    }
    let lock = DirLock::take(dir)?;
    // Another broker may have formatted it just before it stopped.
    let identity = match read()? {
        Some(found) => check(dir, config, found),
        None => format(disk, dir, config),
    };
    Ok((identity?, lock))
}

fn check(dir: &Path, config: &BrokerConfig, found: MetaProperties) -> anyhow::Result<Identity> {
    let shown = dir.display();
    if found.node_id != config.node_id {
        bail!(
            "{shown} belongs to node {}, but node.id is {}: mount the right volume; nothing was changed",
            found.node_id,
            config.node_id
        );
    }
    if let Some(wanted) = &config.cluster_id
        && *wanted != found.cluster_id
    {
        bail!(
            "{shown} belongs to cluster {}, but ottla.cluster.id is {wanted}: mount the right volume; nothing was changed",
            found.cluster_id
        );
    }
    let directory_id = found.directory_id.with_context(|| {
        format!("{shown}/meta.properties has no directory.id: it was written before Kafka 3.7")
    })?;
    Ok(Identity { cluster_id: found.cluster_id, directory_id })
}

fn format(disk: &dyn Disk, dir: &Path, config: &BrokerConfig) -> anyhow::Result<Identity> {
    let shown = dir.display();
    let held = disk.list_dir(dir).with_context(|| format!("list {shown}"))?;
    let foreign = held
        .iter()
        .find(|path| path.file_name().is_none_or(|name| name != "lost+found" && name != LOCK_FILE));
    if let Some(foreign) = foreign {
        bail!(
            "{shown} has no meta.properties but holds {}: give this broker an empty directory, or put its meta.properties back; nothing was changed",
            foreign.display()
        );
    }
    let is_alone = config.quorum.voters.iter().all(|voter| voter.id == config.node_id);
    let cluster_id = match &config.cluster_id {
        Some(cluster_id) => cluster_id.clone(),
        None if is_alone && !config.quorum.bootstrapped => ClusterId(Uuid(clock::entropy()).to_string()),
        None => bail!("ottla.cluster.id is not set: brokers of one cluster must be given the same id"),
    };
    let free_bytes = disk.free_bytes(dir).with_context(|| format!("ask for the free space of {shown}"))?;
    ensure!(
        free_bytes >= FREE_BYTES_MIN,
        "the disk of {shown} has only {free_bytes} bytes free, too few to begin with: mount a larger volume; nothing was changed"
    );
    let identity = Identity { cluster_id, directory_id: DirectoryId(Uuid(clock::entropy())) };
    let written = MetaProperties {
        cluster_id: identity.cluster_id.clone(),
        node_id: config.node_id,
        directory_id: Some(identity.directory_id),
        quorum_member: false,
    };
    write_meta_properties(disk, dir, &written)
        .with_context(|| format!("format {shown}; is the disk full or read-only?"))?;
    tracing::info!(dir = %shown, cluster = %identity.cluster_id, directory = %identity.directory_id, "formatted an empty directory");
    Ok(identity)
}
