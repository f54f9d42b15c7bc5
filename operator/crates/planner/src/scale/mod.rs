//! How many pods there are, and how a broker leaves. Pure.
//!
//! Invariant: the number of pods never falls while a broker above it holds a replica, leads, or is named by a
//! reassignment; it falls only after two reconciles, [`VERIFY`] apart, that found its disks empty. Where it fell by another
//! hand, it is raised again.

mod cancelled_drain;
mod drain;
mod impossible;

use std::collections::BTreeSet;

use ottla_broker_types::{DurationMs, NodeId, TimestampMs};
use ottla_operator_crd::ValidatedCluster;
use ottla_operator_crd::cluster::DrainStatus;

use crate::action::Action;
use crate::facts::Observed;

/// Between the first reconcile that finds leaving brokers empty and the one that stops their pods.
pub const VERIFY: DurationMs = DurationMs(10_000);

/// The most that a manifest may ask for.
const BROKERS_MAX: i32 = 999;

/// What scaling is decided from.
#[derive(Clone, Copy, Debug)]
pub struct ScaleInput<'a> {
    /// What is asked for.
    pub cluster: &'a ValidatedCluster,
    /// What is seen.
    pub observed: &'a Observed,
    /// What status said of a drain.
    pub former: Option<&'a DrainStatus>,
    /// The time.
    pub now: TimestampMs,
}

/// What scaling comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scale {
    /// Pods that there shall be now.
    pub pods: i32,
    /// Brokers that leave: their replicas move away.
    pub leaving: BTreeSet<NodeId>,
    /// Brokers that were to leave and stay after all, as long as moves off them run or new replicas are kept off them.
    pub returning: BTreeSet<NodeId>,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// What status says of the drain.
    pub status: Option<DrainStatus>,
    /// Why it cannot be done, in words that say what to change.
    pub refused: Option<String>,
}

/// Decides on the number of pods and on the next steps of brokers that leave.
pub fn scale(input: &ScaleInput<'_>) -> Scale {
    let mut scale = leave(input);
    let cancelled = cancelled_drain::step(input);
    scale.actions.splice(0..0, cancelled.actions);
    if !cancelled.brokers.is_empty() {
        let message = "moves off them are cancelled, and they take new replicas again".to_owned();
        let status = scale.status.unwrap_or_else(|| DrainStatus { message, ..DrainStatus::default() });
        let returning = cancelled.brokers.iter().map(|id| id.get()).collect();
        scale.status = Some(DrainStatus { returning, ..status });
    }
    Scale { returning: cancelled.brokers, ..scale }
}

fn leave(input: &ScaleInput<'_>) -> Scale {
    let wanted = input.cluster.replicas;
    let running = running(input.observed, wanted);
    if running <= wanted {
        let (actions, status) = drain::forget(input, wanted);
        return Scale { pods: wanted, actions, status, ..Scale::default() };
    }
    let leaving: BTreeSet<NodeId> = (wanted..running).map(NodeId).collect();
    if let Some(refused) = impossible::reason(input, &leaving) {
        // The pods stay as they are: nothing is moved for a removal that cannot end.
        return Scale { pods: running, refused: Some(refused), ..Scale::default() };
    }
    drain::step(input, leaving, running)
}

/// How many brokers there are or must be again: those of the StatefulSet, and any above them that a partition counts
/// on, since whoever made the StatefulSet smaller or deleted it by hand did not move replicas away.
pub(crate) fn running(observed: &Observed, wanted: i32) -> i32 {
    let pods = observed.stateful_set.as_ref().map_or(wanted, |set| set.replicas);
    let replicas = observed.kafka().into_iter().flat_map(|kafka| kafka.partitions.values());
    let highest = replicas.flat_map(|partition| &partition.replicas).map(|id| id.get()).max();
    highest.map_or(pods, |highest| pods.max(highest.saturating_add(1).min(BROKERS_MAX)))
}

#[cfg(test)]
mod tests;
