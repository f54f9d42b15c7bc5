//! What the next restart is chosen from.

use ottla_broker_types::{NodeId, TimestampMs};

use crate::facts::Observed;

/// What a step is chosen from.
#[derive(Clone, Copy, Debug)]
pub struct RolloutInput<'a> {
    /// What is seen.
    pub observed: &'a Observed,
    /// The revision that pods should have.
    pub revision: &'a str,
    /// The image that pods should have.
    pub image: &'a str,
    /// Brokers that stay; those above are being drained and not restarted.
    pub replicas: i32,
    /// The broker restarted last.
    pub last_restarted: Option<NodeId>,
    /// Whether a person asked for a pause.
    pub paused: bool,
    /// The time.
    pub now: TimestampMs,
}
