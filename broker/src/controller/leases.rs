//! Which brokers the active controller has heard from lately. No I/O, no clock of its own.
//!
//! Invariant: a broker is expired exactly when nothing was heard of it for longer than the lease, or when its
//! process was found dead; hearing from it again revives it.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs, NodeId, Offset};

/// The leases of all registered brokers.
#[derive(Debug)]
pub struct Leases {
    lease: DurationMs,
    /// `None`: found dead, expired at once.
    heard: BTreeMap<NodeId, Option<MonotonicMs>>,
    /// Exclusive end of the metadata that each broker said it has applied.
    applied: BTreeMap<NodeId, Offset>,
    /// Exclusive end of the batch that took a leaving broker's leaderships away.
    handed_over: BTreeMap<NodeId, Offset>,
}

impl Leases {
    /// A new controller grants every broker a whole lease, since it could not have heard of them before.
    pub fn new(lease: DurationMs, now: MonotonicMs, brokers: impl IntoIterator<Item = NodeId>) -> Leases {
        let heard = brokers.into_iter().map(|broker| (broker, Some(now))).collect();
        Leases { lease, heard, applied: BTreeMap::new(), handed_over: BTreeMap::new() }
    }

    /// A heartbeat or registration arrived.
    pub fn heard(&mut self, now: MonotonicMs, broker: NodeId) {
        self.heard.insert(broker, Some(now));
    }

    /// A heartbeat said how far the broker has followed the metadata.
    pub fn applied(&mut self, broker: NodeId, applied_end: Offset) {
        self.applied.insert(broker, applied_end);
    }

    /// The lowest end that the brokers of `others` have applied, as far as they said; `None` without others.
    pub fn lowest_applied(&self, others: impl Iterator<Item = NodeId>) -> Option<Offset> {
        others.map(|broker| self.applied.get(&broker).copied().unwrap_or(Offset::ZERO)).min()
    }

    /// A leaving broker's leaderships were taken away by the batch before `end`.
    pub fn handed_over(&mut self, broker: NodeId, end: Offset) {
        self.handed_over.insert(broker, end);
    }

    /// The end noted by [`Leases::handed_over`].
    pub fn handed_over_end(&self, broker: NodeId) -> Option<Offset> {
        self.handed_over.get(&broker).copied()
    }

    /// The broker's process is known to be gone: its port refuses connections.
    pub fn found_dead(&mut self, broker: NodeId) {
        self.heard.insert(broker, None);
    }

    /// The broker is registered no longer.
    pub fn forget(&mut self, broker: NodeId) {
        self.heard.remove(&broker);
        self.applied.remove(&broker);
        self.handed_over.remove(&broker);
    }

    /// Brokers whose lease has run out, in the order of ids.
    pub fn expired(&self, now: MonotonicMs) -> Vec<NodeId> {
        let expired = self.heard.iter().filter(|(_, heard)| match heard {
            Some(at) => now.since(*at) > self.lease,
            None => true,
        });
        expired.map(|(broker, _)| *broker).collect()
    }

    /// Whether the broker holds a lease.
    pub fn is_live(&self, now: MonotonicMs, broker: NodeId) -> bool {
        matches!(self.heard.get(&broker), Some(Some(at)) if now.since(*at) <= self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: DurationMs = DurationMs(500);

    #[test]
    fn a_silent_broker_expires_after_its_lease() {
        let leases = Leases::new(LEASE, MonotonicMs(1000), [NodeId(1), NodeId(2)]);
        assert_eq!(leases.expired(MonotonicMs(1500)), vec![]);
        assert_eq!(leases.expired(MonotonicMs(1501)), vec![NodeId(1), NodeId(2)]);
    }

    #[test]
    fn a_heartbeat_renews_the_lease() {
        let mut leases = Leases::new(LEASE, MonotonicMs(0), [NodeId(1), NodeId(2)]);
        leases.heard(MonotonicMs(400), NodeId(2));
        assert_eq!(leases.expired(MonotonicMs(600)), vec![NodeId(1)]);
    }

    #[test]
    fn a_dead_process_expires_at_once_and_lives_again_when_heard() {
        let mut leases = Leases::new(LEASE, MonotonicMs(0), [NodeId(1)]);
        leases.found_dead(NodeId(1));
        assert_eq!(leases.expired(MonotonicMs(1)), vec![NodeId(1)]);
        leases.heard(MonotonicMs(2), NodeId(1));
        assert!(leases.is_live(MonotonicMs(3), NodeId(1)));
    }
}
