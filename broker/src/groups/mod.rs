//! The groups coordinated here.

use std::sync::Arc;

use ottla_broker_config::GroupsConfig;
use ottla_broker_metadata::ImageChanges;
use ottla_broker_replication::Became;
use ottla_broker_types::PartitionIndex;

use crate::broker::Broker;
use crate::partitions::HostedPartition;

/// The topic of groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The groups of one broker.
pub struct Groups {}

impl Groups {
    /// None yet.
    pub fn new(_config: &GroupsConfig, _seed: u64) -> Groups {
        Groups {}
    }
    /// Roles changed.
    pub fn apply(
        &self,
        _broker: &Arc<Broker>,
        _changes: &ImageChanges,
        _became: &[(Arc<HostedPartition>, Became)],
    ) {
    }
    /// Metrics.
    pub fn metrics(&self, _text: &mut crate::metrics::MetricsText) {}
    /// Ends.
    pub fn stop(&self) {}
}

/// The partition of a group.
pub fn partition_for(_key: &str, _count: usize) -> PartitionIndex {
    PartitionIndex(0)
}

/// Timers.
pub async fn run_timers(_broker: Arc<Broker>) {}
