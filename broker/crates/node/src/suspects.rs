//! Which other brokers may be dead, as far as this one can tell by its connections. No I/O, no clock of its own.
//!
//! A connection to a broker that ends is the first sign of that broker's end, long before a controller has written it
//! down. A client that asks for a leader in between had better wait for a moment or ask again soon than be sent to an
//! address where nobody listens.
//!
//! Invariant: a broker is suspected from the end of a connection to it until one is opened, but for no longer than
//! [`Suspects::new`]'s limit: what only this broker cannot reach is no reason to keep clients from it.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    since: MonotonicMs,
    /// Whether somebody tries to reach the broker.
    is_looked_into: bool,
}

/// The brokers that may be dead.
#[derive(Debug)]
pub struct Suspects {
    limit: DurationMs,
    suspicions: BTreeMap<NodeId, Suspicion>,
}

impl Suspects {
    /// Nobody is suspected; a suspicion that nothing confirms ends after `limit`.
    pub fn new(limit: DurationMs) -> Suspects {
        Suspects { limit, suspicions: BTreeMap::new() }
    }

    /// A connection to the broker has ended. Whether the caller shall find out if the broker is dead: nobody does yet.
    pub fn lost(&mut self, now: MonotonicMs, broker: NodeId) -> bool {
        !std::mem::replace(&mut self.suspect(now, broker).is_looked_into, true)
    }

    /// A connection to the broker is about to end, and [`Suspects::lost`] will follow.
    pub fn seen_ending(&mut self, now: MonotonicMs, broker: NodeId) {
        self.suspect(now, broker);
    }

    fn suspect(&mut self, now: MonotonicMs, broker: NodeId) -> &mut Suspicion {
        let limit = self.limit;
        self.suspicions.retain(|_, suspicion| now.since(suspicion.since) <= limit);
        self.suspicions.entry(broker).or_insert(Suspicion { since: now, is_looked_into: false })
    }

    /// The broker has taken a connection.
    pub fn reached(&mut self, broker: NodeId) {
        self.suspicions.remove(&broker);
    }

    /// Since when the broker may be dead; `None`: nothing speaks for it.
    pub fn since(&self, now: MonotonicMs, broker: NodeId) -> Option<MonotonicMs> {
        let since = self.suspicions.get(&broker)?.since;
        (now.since(since) <= self.limit).then_some(since)
    }

    /// The brokers that may be dead, in the order of ids.
    pub fn all(&self, now: MonotonicMs) -> Vec<NodeId> {
        self.suspicions.keys().copied().filter(|broker| self.since(now, *broker).is_some()).collect()
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
        assert_eq!(suspects.since(at(0), BROKER), None);
        suspects.seen_ending(at(5), BROKER);
        assert!(suspects.lost(at(10), BROKER));
        assert!(!suspects.lost(at(20), BROKER), "somebody finds out already");
        assert_eq!(suspects.since(at(20), BROKER), Some(at(5)));
        assert_eq!(suspects.all(at(20)), [BROKER]);
        suspects.reached(BROKER);
        assert_eq!(suspects.all(at(20)), []);
    }

    #[test]
    fn a_suspicion_that_nothing_confirms_ends_and_may_come_again() {
        let mut suspects = Suspects::new(DurationMs(500));
        suspects.lost(at(0), BROKER);
        suspects.lost(at(400), BROKER);
        assert_eq!(suspects.since(at(500), BROKER), Some(at(0)));
        assert_eq!(suspects.since(at(501), BROKER), None);
        assert!(suspects.lost(at(600), BROKER));
        assert_eq!(suspects.since(at(1_100), BROKER), Some(at(600)));
    }
}
