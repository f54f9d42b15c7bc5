//! A broker's life in the cluster: it registers, shows that it lives, and leaves in order. No I/O, no clock of its own.

use ottla_broker_metadata::controller::HeartbeatReply;
use ottla_broker_types::{BrokerEpoch, DurationMs, MonotonicMs};

/// Pause between attempts to reach a controller, and between heartbeats whose answer is awaited eagerly: jitter it where
/// many brokers may come at once.
const RETRY_PAUSE: DurationMs = DurationMs(25);
/// How long leaving in order may take before the broker stops anyway. Kubernetes kills after its grace period,
/// 60 s by default here; a cluster that stops as a whole has nobody to hand leadership to.
const LEAVE_MAX: DurationMs = DurationMs(20_000);
/// How long a leaving broker looks for a controller: when there is none, nobody can take over.
const LEAVE_WITHOUT_CONTROLLER_MAX: DurationMs = DurationMs(1_000);

/// What a broker does next about its place in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// It asks the controller to take it.
    Register,
    /// It shows under this registration that it lives, or that it wants to stop.
    Beat(BrokerEpoch),
    /// It stops: nobody depends on it, or nobody can be told.
    Stop,
}

/// A broker's place in the cluster as it knows it.
#[derive(Clone, Debug)]
pub struct Membership {
    heartbeat_interval: DurationMs,
    epoch: Option<BrokerEpoch>,
    leaving: Option<Leaving>,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    ends: MonotonicMs,
    ends_without_controller: MonotonicMs,
    /// The controller said that nobody depends on this broker.
    may_stop: bool,
}

impl Membership {
    /// A broker that is not registered yet. It beats once an interval while nothing is awaited.
    pub fn new(heartbeat_interval: DurationMs) -> Membership {
        Membership { heartbeat_interval, epoch: None, leaving: None }
    }

    /// The present registration.
    pub fn epoch(&self) -> Option<BrokerEpoch> {
        self.epoch
    }

    /// The broker is told to stop: it hands its leaderships over first. Saying so again changes nothing.
    pub fn leave(&mut self, now: MonotonicMs) {
        self.leaving.get_or_insert(Leaving {
            ends: now.plus(LEAVE_MAX),
            ends_without_controller: now.plus(LEAVE_WITHOUT_CONTROLLER_MAX),
            may_stop: false,
        });
    }

    /// Whether it has been told to stop.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// What to do now. A leaving broker that is not registered has nothing to hand over.
    pub fn next(&self, now: MonotonicMs) -> NextStep {
        let stops = |leaving: Leaving| {
            leaving.may_stop || now >= leaving.ends || now >= leaving.ends_without_controller
        };
        match (self.epoch, self.leaving) {
            (_, Some(leaving)) if self.epoch.is_none() || stops(leaving) => NextStep::Stop,
            (Some(epoch), _) => NextStep::Beat(epoch),
            (None, _) => NextStep::Register,
        }
    }

    /// The controller has taken it: it beats at once.
    pub fn registered(&mut self, epoch: BrokerEpoch) {
        self.epoch = Some(epoch);
    }

    /// No controller has taken it, for now: the pause before another attempt.
    pub fn not_registered(&self) -> DurationMs {
        RETRY_PAUSE
    }

    /// The controller knows this registration no longer: it registers again, at once.
    pub fn forgotten(&mut self) {
        self.epoch = None;
    }

    /// A heartbeat was answered; the pause before the next step. `wants_fence` says whether the broker had asked to be
    /// out of service. One that hopes to be in service soon, or to stop, asks again soon: clients wait for it.
    pub fn answered(&mut self, now: MonotonicMs, reply: &HeartbeatReply, wants_fence: bool) -> DurationMs {
        if let Some(leaving) = &mut self.leaving {
            leaving.ends_without_controller = now.plus(LEAVE_WITHOUT_CONTROLLER_MAX);
            leaving.may_stop = reply.should_shut_down;
            return if leaving.may_stop { DurationMs(0) } else { RETRY_PAUSE };
        }
        if reply.fenced && !wants_fence { RETRY_PAUSE } else { self.heartbeat_interval }
    }

    /// No controller answered the heartbeat: the pause before another attempt.
    pub fn unanswered(&self) -> DurationMs {
        RETRY_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: DurationMs = DurationMs(100);
    const EPOCH: BrokerEpoch = BrokerEpoch(7);

    fn registered() -> Membership {
        let mut membership = Membership::new(INTERVAL);
        assert_eq!(membership.next(at(0)), NextStep::Register);
        membership.registered(EPOCH);
        membership
    }

    fn at(ms: u64) -> MonotonicMs {
        MonotonicMs(ms)
    }

    fn reply(fenced: bool, should_shut_down: bool) -> HeartbeatReply {
        HeartbeatReply { caught_up: true, fenced, should_shut_down }
    }

    #[test]
    fn a_broker_beats_soon_only_while_it_hopes_for_service() {
        let mut membership = registered();
        assert_eq!(membership.next(at(0)), NextStep::Beat(EPOCH));
        assert_eq!(membership.answered(at(0), &reply(true, false), false), RETRY_PAUSE);
        assert_eq!(membership.answered(at(0), &reply(true, false), true), INTERVAL);
        assert_eq!(membership.answered(at(0), &reply(false, false), false), INTERVAL);
    }

    #[test]
    fn one_that_the_controller_has_forgotten_registers_again() {
        let mut membership = registered();
        membership.forgotten();
        assert_eq!(membership.next(at(0)), NextStep::Register);
    }

    #[test]
    fn a_leaving_broker_stops_when_it_is_let_go() {
        let mut membership = registered();
        membership.leave(at(0));
        assert_eq!(membership.next(at(0)), NextStep::Beat(EPOCH));
        assert_eq!(membership.answered(at(5), &reply(false, false), false), RETRY_PAUSE);
        assert_eq!(membership.next(at(30)), NextStep::Beat(EPOCH));
        membership.answered(at(30), &reply(true, true), false);
        assert_eq!(membership.next(at(30)), NextStep::Stop);
    }

    #[test]
    fn a_leaving_broker_waits_neither_for_a_controller_that_is_gone_nor_for_ever() {
        let mut membership = registered();
        membership.leave(at(0));
        assert_eq!(membership.next(at(999)), NextStep::Beat(EPOCH));
        assert_eq!(membership.next(at(1_000)), NextStep::Stop);
        for second in 0..20 {
            assert_eq!(membership.next(at(second * 1_000)), NextStep::Beat(EPOCH));
            membership.answered(at(second * 1_000 + 1), &reply(false, false), false);
        }
        assert_eq!(membership.next(at(20_000)), NextStep::Stop);
    }

    #[test]
    fn a_leaving_broker_that_is_not_registered_has_nothing_to_hand_over() {
        let mut membership = Membership::new(INTERVAL);
        membership.leave(at(0));
        assert_eq!(membership.next(at(0)), NextStep::Stop);
        assert!(membership.is_leaving());
    }
}
