//! This node's part in the metadata quorum: begun, formed with the others, ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_config::BrokerConfig;
use ottla_broker_log::Disk;
use ottla_broker_quorum::{InitializeError, MetadataLog, Quorum, QuorumOptions, Timing, VoterId, WriteMode};
use ottla_broker_types::NodeId;

use crate::clock::Clock;
use crate::controller::{Active, RaftTransport};
use crate::peers::Peers;

/// Pause between attempts to form the first quorum while voters are still starting.
const INITIALIZE_PAUSE: Duration = Duration::from_millis(100);

/// Starts it where this node is a voter.
pub async fn start(
    config: &BrokerConfig,
    id: VoterId,
    disk: Arc<dyn Disk>,
    dir: &Path,
    clock: Clock,
    peers: &Arc<Peers>,
) -> anyhow::Result<Option<Arc<dyn MetadataLog>>> {
    if !config.quorum.voters.iter().any(|voter| voter.id == id.node) {
        return Ok(None);
    }
    let options = QuorumOptions {
        id,
        dir: dir.to_owned(),
        disk,
        transport: Arc::new(RaftTransport::new(Arc::clone(peers))),
        clock: Arc::new(move || clock.now()),
        timing: Timing::from_election_timeout(config.quorum.election_timeout_ms),
        write_mode: WriteMode::Thread,
        snapshot_log_bytes: config.quorum.snapshot_bytes,
    };
    let quorum = Quorum::start(options).await?;
    Ok(Some(Arc::new(quorum)))
}

/// Forms the first quorum of a new cluster; in a cluster that was formed before it does nothing.
pub async fn form(config: Arc<BrokerConfig>, log: Arc<dyn MetadataLog>) {
    if config.quorum.bootstrapped {
        return;
    }
    let voters: Vec<(NodeId, String)> =
        config.quorum.voters.iter().map(|voter| (voter.id, voter.address.to_string())).collect();
    loop {
        match log.initialize(voters.clone()).await {
            Ok(outcome) => {
                tracing::info!(?outcome, "the first quorum");
                return;
            }
            Err(InitializeError::Unreachable { silent }) => {
                tracing::debug!(?silent, "voters are still starting");
                tokio::time::sleep(INITIALIZE_PAUSE).await;
            }
            Err(error) => {
                tracing::error!(%error, "the first quorum cannot be formed; check controller.quorum.voters");
                return;
            }
        }
    }
}

/// Hands the role of the active controller over, and ends.
pub async fn end(active: &Active, log: Option<Arc<dyn MetadataLog>>) {
    let Some(log) = log else { return };
    if active.leadership().is_some()
        && let Err(error) = log.transfer_leadership(None).await
    {
        tracing::debug!(%error, "the controller's role is not handed over");
    }
    log.shutdown().await;
}
