//! Which other brokers may be dead, as far as this one can tell by its connections. No I/O, no clock of its own.
//!
//! A connection to a broker that ends is the first sign of that broker's end, long before a controller has written it
//! down. A client that asks for a leader in between had better ask again soon than be sent to an address where nobody
//! listens.
//!
//! Invariant: a broker is suspected from the end of a connection to it until one is open again, but for no longer than
//! [`Suspects::new`]'s limit: what only this broker cannot reach is no reason to keep clients from it.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};

/// The brokers that may be dead.
#[derive(Debug)]
pub struct Suspects {
    limit: DurationMs,
    since: BTreeMap<NodeId, MonotonicMs>,
}

impl Suspects {
    /// Nobody is suspected; a suspicion that nothing confirms ends after `limit`.
    pub fn new(limit: DurationMs) -> Suspects {
        Suspects { limit, since: BTreeMap::new() }
    }

    /// A connection to the broker has ended. Whether it was not suspected before: somebody has to find out then.
    pub fn lost(&mut self, now: MonotonicMs, broker: NodeId) -> bool {
        let limit = self.limit;
        self.since.retain(|_, since| now.since(*since) <= limit);
        let is_new = !self.since.contains_key(&broker);
        self.since.entry(broker).or_insert(now);
        is_new
    }

    /// The broker has taken a connection.
    pub fn reached(&mut self, broker: NodeId) {
        self.since.remove(&broker);
    }

    /// Whether the broker may be dead.
    pub fn is_suspected(&self, now: MonotonicMs, broker: NodeId) -> bool {
        self.since.get(&broker).is_some_and(|since| now.since(*since) <= self.limit)
    }

    /// The brokers that may be dead, in the order of ids.
    pub fn all(&self, now: MonotonicMs) -> Vec<NodeId> {
        self.since.keys().copied().filter(|broker| self.is_suspected(now, *broker)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: NodeId = NodeId(1);

    fn at(ms: u64) -> MonotonicMs {
        MonotonicMs(ms)
    }

    #[test]
    fn a_broker_is_suspected_from_a_lost_connection_to_the_next_one() {
        let mut suspects = Suspects::new(DurationMs(500));
        assert!(!suspects.is_suspected(at(0), BROKER));
        assert!(suspects.lost(at(10), BROKER));
        assert!(!suspects.lost(at(20), BROKER), "somebody finds out already");
        assert!(suspects.is_suspected(at(20), BROKER));
        assert_eq!(suspects.all(at(20)), [BROKER]);
        suspects.reached(BROKER);
        assert!(!suspects.is_suspected(at(20), BROKER));
    }

    #[test]
    fn a_suspicion_that_nothing_confirms_ends_and_may_come_again() {
        let mut suspects = Suspects::new(DurationMs(500));
        suspects.lost(at(0), BROKER);
        suspects.lost(at(400), BROKER);
        assert!(suspects.is_suspected(at(500), BROKER));
        assert!(!suspects.is_suspected(at(501), BROKER));
        assert!(suspects.lost(at(600), BROKER));
        assert!(suspects.is_suspected(at(1_100), BROKER));
    }
}
