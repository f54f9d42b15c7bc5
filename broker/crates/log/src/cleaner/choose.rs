//! Which log is compacted next. Pure.

use crate::config::DirtyRatio;

/// How much of a log could be compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Bytes that were compacted before.
    pub clean_bytes: u64,
    /// Bytes behind them that could be.
    pub dirty_bytes: u64,
    /// Whether some of these have waited for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// What part must be dirty before a pass is worth it, by the topic's settings.
    pub dirty_ratio_min: DirtyRatio,
}

impl Cleanable {
    /// What part of it is dirty.
    pub fn dirty_ratio(&self) -> DirtyRatio {
        DirtyRatio::of_bytes(self.dirty_bytes, self.clean_bytes + self.dirty_bytes)
    }

    /// Whether a pass is worth it, or was promised.
    pub fn is_due(&self) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.dirty_ratio() > self.dirty_ratio_min)
    }
}

/// Of those logs that are due the one to compact next: what is overdue goes first, then what has the largest dirty part;
/// of equals the first.
pub fn filthiest<T>(logs: impl IntoIterator<Item = (T, Cleanable)>) -> Option<T> {
    let due = logs.into_iter().filter(|(_, log)| log.is_due());
    let rank = |log: &Cleanable| (log.is_overdue, log.dirty_ratio());
    let first_of_largest = due.reduce(|best, next| if rank(&next.1) > rank(&best.1) { next } else { best });
    first_of_largest.map(|(log, _)| log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(clean_bytes: u64, dirty_bytes: u64, is_overdue: bool) -> Cleanable {
        Cleanable { clean_bytes, dirty_bytes, is_overdue, dirty_ratio_min: DirtyRatio::of(0.5) }
    }

    #[test]
    fn the_log_with_the_largest_dirty_part_is_next_and_of_equals_the_first() {
        let logs = [("a", log(1, 3, false)), ("b", log(1, 9, false)), ("c", log(10, 90, false))];
        assert_eq!(filthiest(logs), Some("b"));
    }

    #[test]
    fn what_is_overdue_goes_first_however_little_it_is() {
        assert_eq!(filthiest([("a", log(0, 9, false)), ("b", log(99, 1, true))]), Some("b"));
        assert_eq!(filthiest([("a", log(99, 0, true))]), None, "there is nothing to compact");
    }

    #[test]
    fn a_log_that_is_just_half_dirty_waits() {
        assert_eq!(filthiest([("a", log(5, 5, false))]), None);
        assert_eq!(filthiest([("a", log(5, 6, false))]), Some("a"));
    }

    #[test]
    fn a_ratio_of_zero_takes_any_dirt() {
        let any = Cleanable { dirty_ratio_min: DirtyRatio::of(0.0), ..log(1_000, 1, false) };
        assert!(any.is_due());
        assert!(!Cleanable { dirty_bytes: 0, ..any }.is_due());
    }
}
