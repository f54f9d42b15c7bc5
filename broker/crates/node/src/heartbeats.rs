//! A broker's own tie to the controllers: how long it waits for one, and when it counts as cut off. No I/O.

use ottla_broker_types::{DurationMs, MonotonicMs};

/// Parts of a lease after which a controller that says nothing is left alone for another look: two attempts fit before
/// the lease ends.
const SILENCES_PER_LEASE: u64 = 3;

/// What an attempt to reach a controller means for the tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Nothing that was not known.
    AsBefore,
    /// No controller has answered for a whole lease: the others may have fenced this broker.
    CutOff,
    /// One answers again, after so long.
    Restored(DurationMs),
}

/// Keeps the tie of one broker.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeats {
    lease: DurationMs,
    answered: MonotonicMs,
    is_cut_off: bool,
}

impl Heartbeats {
    /// A broker that a controller has just answered.
    pub fn new(lease: DurationMs, now: MonotonicMs) -> Heartbeats {
        Heartbeats { lease, answered: now, is_cut_off: false }
    }

    /// For how long an answer is waited for.
    pub fn silence_max(lease: DurationMs) -> DurationMs {
        DurationMs((lease.0 / SILENCES_PER_LEASE).max(1))
    }

    /// A controller answered.
    pub fn answered(&mut self, now: MonotonicMs) -> Contact {
        let silent = now.since(self.answered);
        self.answered = now;
        if std::mem::take(&mut self.is_cut_off) { Contact::Restored(silent) } else { Contact::AsBefore }
    }

    /// None did.
    pub fn failed(&mut self, now: MonotonicMs) -> Contact {
        if self.is_cut_off || now.since(self.answered) <= self.lease {
            return Contact::AsBefore;
        }
        self.is_cut_off = true;
        Contact::CutOff
    }

    /// Whether no controller has answered for a whole lease.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: DurationMs = DurationMs(600);

    #[test]
    fn a_broker_is_cut_off_once_and_restored_once() {
        let mut heartbeats = Heartbeats::new(LEASE, MonotonicMs(0));
        assert_eq!(heartbeats.failed(MonotonicMs(600)), Contact::AsBefore);
        assert_eq!(heartbeats.failed(MonotonicMs(601)), Contact::CutOff);
        assert!(heartbeats.is_cut_off());
        assert_eq!(heartbeats.failed(MonotonicMs(20_000)), Contact::AsBefore);
        assert_eq!(heartbeats.answered(MonotonicMs(21_000)), Contact::Restored(DurationMs(21_000)));
        assert_eq!(heartbeats.answered(MonotonicMs(21_100)), Contact::AsBefore);
        assert!(!heartbeats.is_cut_off());
    }

    #[test]
    fn two_attempts_fit_into_a_lease_whose_first_is_never_answered() {
        for lease in [100, 500, 2_000, 9_000] {
            let lease = DurationMs(lease);
            assert!(Heartbeats::silence_max(lease).0 * 2 < lease.0);
        }
    }
}
