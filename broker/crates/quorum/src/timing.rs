//! The quorum's clockwork. No I/O.

use std::sync::Arc;

use ottla_broker_types::{DurationMs, Now};

/// Asks the shell for both clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// How fast a silent leader is replaced.
///
/// A follower honours its leader for `election_max` after the last heartbeat (the lease, within which it also
/// refuses others) and then starts an election after a random time between `election_min` and `election_max`.
/// So after a leader falls silent the election begins within `election_min + election_max` and `2 * election_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Shortest wait beyond the lease.
    pub election_min: DurationMs,
    /// The lease, and the longest wait beyond it.
    pub election_max: DurationMs,
    /// Between heartbeats; four fit into a lease, so that three may be lost or late.
    pub heartbeat: DurationMs,
}

/// Below this the wake-ups of a busy machine would look like dead leaders.
const ELECTION_TIMEOUT_MIN: DurationMs = DurationMs(200);

impl Timing {
    /// The clockwork by which an election begins no later than `timeout` after the leader's last heartbeat
    /// (`controller.quorum.election.timeout.ms`); at least 200 ms.
    pub fn from_election_timeout(timeout: DurationMs) -> Timing {
        let timeout = timeout.0.max(ELECTION_TIMEOUT_MIN.0);
        Timing {
            election_min: DurationMs(timeout / 4),
            election_max: DurationMs(timeout / 2),
            heartbeat: DurationMs(timeout / 8),
        }
    }

    /// After how long without a majority a leader no longer says that it leads: by then others may.
    pub fn silence_max(self) -> DurationMs {
        DurationMs(self.election_max.0 * 2)
    }
}

impl Default for Timing {
    /// An election 450 to 600 ms after the last heartbeat, heartbeats every 75 ms: long beside the few
    /// milliseconds of a flush and a round trip in one region, short enough for a failover well under a second
    /// even if nothing but silence tells of the leader's end.
    fn default() -> Timing {
        Timing::from_election_timeout(DurationMs(600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_begins_within_the_timeout() {
        let timing = Timing::from_election_timeout(DurationMs(1000));
        assert_eq!(timing.silence_max(), DurationMs(1000));
        assert!(timing.heartbeat.0 * 4 <= timing.election_max.0);
        assert!(timing.election_min > timing.heartbeat);
    }

    #[test]
    fn absurdly_short_timeouts_are_raised() {
        assert_eq!(Timing::from_election_timeout(DurationMs(1)).silence_max(), ELECTION_TIMEOUT_MIN);
    }
}
