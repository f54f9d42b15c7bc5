//! When leaderships go back to the preferred replicas. No I/O, no clock of its own.

use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};

/// How soon after brokers came or went leaderships go back, and how soon it is tried again while some are still away:
/// long enough for a restarted broker to catch up, short enough that one broker does not lead everything for long.
const SOON: DurationMs = DurationMs(20_000);
/// How soon a round follows that was cut off by its bound.
const NEXT_ROUND: DurationMs = DurationMs(1_000);

/// What a round left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Every partition is led by its preferred replica.
    Nothing,
    /// Some could not be returned: their preferred replica is away or not in sync.
    Away,
    /// The round's bound was reached.
    More,
}

/// The times of the rounds.
#[derive(Clone, Debug)]
pub struct LeaderReturn {
    interval: DurationMs,
    next: MonotonicMs,
    active: Vec<NodeId>,
}

impl LeaderReturn {
    /// A round at least every `interval`.
    pub fn new(interval: DurationMs, now: MonotonicMs) -> LeaderReturn {
        LeaderReturn { interval, next: now.plus(interval.min(SOON)), active: Vec::new() }
    }

    /// Whether a round is due; `active` are the brokers in service, in the order of ids.
    pub fn is_due(&mut self, now: MonotonicMs, active: Vec<NodeId>) -> bool {
        if self.active != active {
            self.active = active;
            self.next = self.next.min(now.plus(SOON));
        }
        now >= self.next
    }

    /// A round is over.
    pub fn done(&mut self, now: MonotonicMs, left: Left) {
        let pause = match left {
            Left::Nothing => self.interval,
            Left::Away => self.interval.min(SOON),
            Left::More => self.interval.min(NEXT_ROUND),
        };
        self.next = now.plus(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: DurationMs = DurationMs(300_000);

    fn at(seconds: u64) -> MonotonicMs {
        MonotonicMs(seconds * 1_000)
    }

    fn brokers(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn leaderships_go_back_within_a_minute_of_a_brokers_return() {
        let mut rounds = LeaderReturn::new(INTERVAL, at(0));
        assert!(rounds.is_due(at(20), brokers(&[1, 2])));
        rounds.done(at(20), Left::Nothing);
        assert!(!rounds.is_due(at(100), brokers(&[1, 2])), "nothing happened");
        assert!(!rounds.is_due(at(101), brokers(&[1])));
        rounds.done(at(121), Left::Away);
        assert!(!rounds.is_due(at(130), brokers(&[1, 2])));
        assert!(rounds.is_due(at(150), brokers(&[1, 2])));
    }

    #[test]
    fn a_round_that_left_some_is_tried_again_soon() {
        let mut rounds = LeaderReturn::new(INTERVAL, at(0));
        let all = brokers(&[1, 2]);
        assert!(rounds.is_due(at(20), all.clone()));
        for (left, pause) in [(Left::More, 1), (Left::Away, 20), (Left::Nothing, 300)] {
            rounds.done(at(1_000), left);
            assert!(!rounds.is_due(at(1_000 + pause - 1), all.clone()), "{left:?}");
            assert!(rounds.is_due(at(1_000 + pause), all.clone()), "{left:?}");
        }
    }

    #[test]
    fn a_shorter_interval_is_kept() {
        let mut rounds = LeaderReturn::new(DurationMs(5_000), at(0));
        assert!(rounds.is_due(at(5), brokers(&[1])));
        rounds.done(at(5), Left::Away);
        assert!(rounds.is_due(at(10), brokers(&[1])));
    }
}
