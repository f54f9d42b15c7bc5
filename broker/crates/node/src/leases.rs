//! Which brokers the active controller has heard from lately. No I/O, no clock of its own.
//!
//! A lease runs in the time that its controller was awake: what passes between two looks at the clock counts up to
//! [`ATTENDED_MAX`], the rest is a gap in the controller's own time, in which it could hear nobody. So each lease is
//! longer by the gap, and nobody has more than one whole lease left after it, however long it was.
//!
//! Invariant: a broker is expired exactly when nothing was heard of it for longer than the lease, or when its
//! process was found dead; hearing from it again revives it. The controller's own broker never expires: a controller
//! that can write a fencing down is alive.

use std::collections::BTreeMap;

use ottla_broker_types::{DurationMs, MonotonicMs, NodeId, Offset};

/// The longest time between two looks in which the controller counts as awake: the duties look twice as often, and on a
/// machine that is merely busy they come late by less than this.
const ATTENDED_MAX: DurationMs = DurationMs(100);

/// The leases of all registered brokers.
#[derive(Debug)]
pub struct Leases {
    own: NodeId,
    lease: DurationMs,
    /// When the clock was last looked at.
    looked: MonotonicMs,
    /// The clock without the gaps.
    attended: MonotonicMs,
    /// By the clock without gaps; `None`: found dead, expired at once.
    heard: BTreeMap<NodeId, Option<MonotonicMs>>,
    /// Exclusive end of the metadata that each broker said it has applied.
    applied: BTreeMap<NodeId, Offset>,
    /// Exclusive end of the batch that took a leaving broker's leaderships away.
    handed_over: BTreeMap<NodeId, Offset>,
    longest_silence: DurationMs,
}

impl Leases {
    /// A new controller, on the node `own`, grants every broker a whole lease, since it could not have heard of them
    /// before.
    pub fn new(
        own: NodeId,
        lease: DurationMs,
        now: MonotonicMs,
        brokers: impl IntoIterator<Item = NodeId>,
    ) -> Leases {
        let heard = brokers.into_iter().map(|broker| (broker, Some(now))).collect();
        let (applied, handed_over) = (BTreeMap::new(), BTreeMap::new());
        let longest_silence = DurationMs::default();
        Leases { own, lease, looked: now, attended: now, heard, applied, handed_over, longest_silence }
    }

    /// A heartbeat or registration arrived.
    pub fn heard(&mut self, now: MonotonicMs, broker: NodeId) {
        let at = self.attend(now);
        if let Some(Some(before)) = self.heard.insert(broker, Some(at)) {
            self.longest_silence = self.longest_silence.max(at.since(before));
        }
    }

    /// The longest time for which the controller heard nothing of a broker that then was heard again.
    pub fn longest_silence(&self) -> DurationMs {
        self.longest_silence
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

    /// Exclusive end of the batch that took a leaving broker's leaderships away.
    pub fn handed_over_end(&self, broker: NodeId) -> Option<Offset> {
        self.handed_over.get(&broker).copied()
    }

    /// The broker's process is gone: its lease ends now.
    pub fn found_dead(&mut self, broker: NodeId) {
        self.heard.insert(broker, None);
    }

    /// The broker is registered no longer.
    pub fn forget(&mut self, broker: NodeId) {
        self.heard.remove(&broker);
        self.applied.remove(&broker);
        self.handed_over.remove(&broker);
    }

    /// The brokers whose lease has run out, in the order of ids.
    pub fn expired(&mut self, now: MonotonicMs) -> Vec<NodeId> {
        let at = self.attend(now);
        let expired = self.heard.iter().filter(|(broker, heard)| {
            **broker != self.own && heard.is_none_or(|heard| at.since(heard) > self.lease)
        });
        expired.map(|(broker, _)| *broker).collect()
    }

    /// Whether the broker holds a lease.
    pub fn is_live(&mut self, now: MonotonicMs, broker: NodeId) -> bool {
        let at = self.attend(now);
        matches!(self.heard.get(&broker), Some(Some(heard)) if at.since(*heard) <= self.lease)
    }

    /// The time without gaps.
    fn attend(&mut self, now: MonotonicMs) -> MonotonicMs {
        let passed = now.since(self.looked).min(ATTENDED_MAX);
        self.looked = self.looked.max(now);
        self.attended = self.attended.plus(passed);
        self.attended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: DurationMs = DurationMs(500);
    const OWN: NodeId = NodeId(0);
    const NOBODY: [NodeId; 0] = [];
    const ALL: [NodeId; 3] = [OWN, NodeId(1), NodeId(2)];

    /// A controller that looks every 50 ms, and how far its clock has come.
    struct Controller {
        leases: Leases,
        now: u64,
    }

    impl Controller {
        fn new() -> Controller {
            Controller { leases: Leases::new(OWN, LEASE, MonotonicMs(0), ALL), now: 0 }
        }

        fn look(&mut self) -> Vec<NodeId> {
            self.leases.expired(MonotonicMs(self.now))
        }

        /// Lets time pass, looking all the while; who is expired at its end.
        fn pass(&mut self, millis: u64) -> Vec<NodeId> {
            let end = self.now + millis;
            while self.now + 50 < end {
                self.now += 50;
                self.look();
            }
            self.now = end;
            self.look()
        }

        /// Sees nothing of the time that passes.
        fn sleep(&mut self, millis: u64) -> Vec<NodeId> {
            self.now += millis;
            self.look()
        }

        fn hear(&mut self, broker: i32) {
            self.leases.heard(MonotonicMs(self.now), NodeId(broker));
        }
    }

    #[test]
    fn a_silent_broker_expires_after_its_lease() {
        let mut controller = Controller::new();
        assert_eq!(controller.pass(500), NOBODY);
        assert_eq!(controller.pass(1), [NodeId(1), NodeId(2)]);
    }

    #[test]
    fn a_heartbeat_renews_the_lease() {
        let mut controller = Controller::new();
        controller.pass(400);
        controller.hear(2);
        assert_eq!(controller.pass(200), [NodeId(1)]);
        assert_eq!(controller.leases.longest_silence(), DurationMs(400));
    }

    #[test]
    fn a_dead_process_expires_at_once_and_lives_again_when_heard() {
        let mut controller = Controller::new();
        controller.leases.found_dead(NodeId(1));
        assert_eq!(controller.look(), [NodeId(1)]);
        controller.hear(1);
        assert!(controller.leases.is_live(MonotonicMs(controller.now + 1), NodeId(1)));
    }

    #[test]
    fn a_controller_that_was_paused_expires_nobody_for_it() {
        for pause in [150, 450, 1_000, 5_000, 60_000] {
            let mut controller = Controller::new();
            controller.pass(350);
            assert_eq!(controller.sleep(pause), NOBODY, "after {pause} ms");
            assert!(controller.leases.is_live(MonotonicMs(controller.now), NodeId(1)));
        }
    }

    #[test]
    fn a_gap_gives_nobody_more_than_a_whole_lease() {
        let mut controller = Controller::new();
        controller.sleep(60_000);
        assert_eq!(controller.pass(400), NOBODY);
        assert_eq!(controller.pass(101), [NodeId(1), NodeId(2)]);
    }

    #[test]
    fn a_controller_that_stutters_still_notices_who_is_silent() {
        let mut controller = Controller::new();
        let mut rounds = 0;
        while controller.sleep(1_000).is_empty() {
            controller.hear(1);
            rounds += 1;
        }
        assert_eq!(rounds, 5);
        assert_eq!(controller.look(), [NodeId(2)]);
    }

    #[test]
    fn a_controller_never_expires_itself() {
        let mut controller = Controller::new();
        controller.leases.found_dead(OWN);
        assert!(!controller.pass(10_000).contains(&OWN));
    }

    #[test]
    fn a_clock_that_is_read_out_of_order_moves_nothing_back() {
        let mut controller = Controller::new();
        controller.pass(400);
        controller.leases.heard(MonotonicMs(390), NodeId(1));
        assert_eq!(controller.pass(101), [NodeId(2)]);
    }
}
