//! Conditions by the rules of kstatus, so that `kubectl wait --for=condition=Ready` and Helm's `--wait` work. Pure.
//!
//! Invariant: `lastTransitionTime` changes exactly when `status` does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use ottla_broker_types::TimestampMs;

/// The object is as asked for.
pub const READY: &str = "Ready";
/// The operator works on it.
pub const RECONCILING: &str = "Reconciling";
/// The operator cannot go on without a person.
pub const STALLED: &str = "Stalled";
/// It serves, with less safety than asked for.
pub const DEGRADED: &str = "Degraded";

/// The operator brings another image for brokers than the one that a cluster without spec.image keeps.
pub const UPGRADE_AVAILABLE: &str = "UpgradeAvailable";

/// Whether a condition holds, as far as anybody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell.
    Unknown,
}

/// One condition before it meets the former ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One of the constants of this module.
    pub kind: &'static str,
    /// Whether it holds.
    pub truth: Truth,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence for a person.
    pub message: String,
}

impl Verdict {
    /// A condition that holds.
    pub fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { kind, truth: Truth::True, reason, message: message.into() }
    }

    /// A condition that does not hold.
    pub fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { kind, truth: Truth::False, reason, message: message.into() }
    }

    /// A condition of which nobody can tell whether it holds.
    pub fn unknown(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Verdict {
        Verdict { kind, truth: Truth::Unknown, reason, message: message.into() }
    }
}

/// The API server refuses longer messages (32 KiB); nobody reads more than this.
const MESSAGE_CHARS_MAX: usize = 1024;

/// The new conditions: those of `verdicts`, with the former transition time where the status is the same.
pub fn merged(
    former: &[Condition],
    verdicts: Vec<Verdict>,
    generation: Option<i64>,
    now: TimestampMs,
) -> Vec<Condition> {
    verdicts
        .into_iter()
        .map(|verdict| {
            let status = match verdict.truth {
                Truth::True => "True",
                Truth::False => "False",
                Truth::Unknown => "Unknown",
            };
            let same = former.iter().find(|c| c.type_ == verdict.kind && c.status == status);
            Condition {
                last_transition_time: same.map_or_else(|| time(now), |c| c.last_transition_time.clone()),
                message: verdict.message.chars().take(MESSAGE_CHARS_MAX).collect(),
                observed_generation: generation,
                reason: verdict.reason.to_owned(),
                status: status.to_owned(),
                type_: verdict.kind.to_owned(),
            }
        })
        .collect()
}

/// Whether a condition holds.
pub fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Kubernetes' times have whole seconds; times outside the calendar become the epoch.
fn time(now: TimestampMs) -> Time {
    Time(Timestamp::from_second(now.0.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_changes_with_the_status_only() {
        let first =
            merged(&[], vec![Verdict::no(READY, "Starting", "0 of 3")], Some(1), TimestampMs(1_000_000));
        let second =
            merged(&first, vec![Verdict::no(READY, "Starting", "1 of 3")], Some(2), TimestampMs(2_000_000));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(second[0].message, "1 of 3");
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merged(&second, vec![Verdict::yes(READY, "Ready", "")], Some(2), TimestampMs(3_000_000));
        assert_ne!(third[0].last_transition_time, second[0].last_transition_time);
        assert!(holds(&third, READY) && !holds(&third, STALLED));
    }

    #[test]
    fn what_nobody_can_tell_neither_holds_nor_fails() {
        let known = merged(&[], vec![Verdict::yes(READY, "Ready", "")], Some(1), TimestampMs(1_000));
        let unknown = vec![Verdict::unknown(READY, "ClusterUnreachable", "no broker answers")];
        let after = merged(&known, unknown, Some(1), TimestampMs(2_000));
        assert_eq!((after[0].status.as_str(), holds(&after, READY)), ("Unknown", false));
        assert_ne!(after[0].last_transition_time, known[0].last_transition_time);
    }

    #[test]
    fn long_messages_are_cut() {
        let long = "é".repeat(5_000);
        let conditions = merged(&[], vec![Verdict::no(READY, "Failed", long)], None, TimestampMs(0));
        assert_eq!(conditions[0].message.chars().count(), MESSAGE_CHARS_MAX);
    }
}
