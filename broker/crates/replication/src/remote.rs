//! What a leader knows of one follower from its fetches. No I/O.

use ottla_broker_types::{BrokerEpoch, DurationMs, MonotonicMs, Offset};

use crate::facts::FollowerId;

/// A follower's progress; all unknown until its first fetch in the leader's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteReplica {
    /// First offset that the follower does not hold; it holds all before it as the leader has them.
    pub log_end: Option<Offset>,
    /// First offset that the follower still holds.
    pub log_start: Option<Offset>,
    /// The registration under which it last fetched.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Last time at which it held everything that the leader had then.
    pub caught_up_at: Option<MonotonicMs>,
    /// See [`RemoteReplica::is_eligible`].
    eligible: bool,
    last_fetch: Option<LastFetch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastFetch {
    at: MonotonicMs,
    leader_log_end: Offset,
}

impl RemoteReplica {
    /// A follower at the start of a leader's epoch; one in the ISR gets the whole lag time to show itself.
    pub(crate) fn at_epoch_start(in_sync: bool, now: MonotonicMs) -> RemoteReplica {
        RemoteReplica { caught_up_at: in_sync.then_some(now), ..RemoteReplica::default() }
    }

    /// Records a fetch from `fetch_offset`, when the leader's log ended at `leader_log_end`.
    pub(crate) fn fetched(
        &mut self,
        now: MonotonicMs,
        follower: FollowerId,
        fetch_offset: Offset,
        log_start: Option<Offset>,
        leader_log_end: Offset,
    ) {
        // A follower that asks for what was the end at its previous fetch had caught up by then, even if the
        // leader has moved on: under steady load no fetch ever reaches the present end.
        let caught_up_at = if fetch_offset >= leader_log_end {
            Some(now)
        } else {
            self.last_fetch.filter(|last| fetch_offset >= last.leader_log_end).map(|last| last.at)
        };
        self.caught_up_at = self.caught_up_at.max(caught_up_at);
        self.last_fetch = Some(LastFetch { at: now, leader_log_end });
        self.log_end = Some(fetch_offset);
        self.log_start = log_start;
        self.broker_epoch = follower.broker_epoch;
        self.eligible = follower.isr_eligible;
    }

    /// The leader's log, which ended at `former_end`, goes on from now on. A follower that held all of it had caught up
    /// until this moment, however long ago it last said so: of a log without news it need not.
    pub(crate) fn log_end_moved(&mut self, now: MonotonicMs, former_end: Offset) {
        if self.log_end == Some(former_end) {
            self.caught_up_at = Some(now);
        }
    }

    /// The controller took it out of the ISR or out of service. It may be dead, so that nothing is to be expected of it
    /// until it fetches again.
    pub(crate) fn left(&mut self) {
        self.eligible = false;
    }

    /// Whether the controller would take it into the ISR, as of its last fetch, unless it left the ISR or the service
    /// since.
    pub fn is_eligible(&self) -> bool {
        self.eligible
    }

    /// When it will not be caught up any more, if it does not fetch; `None` if it holds all or has not caught up.
    pub(crate) fn lags_from(&self, leader_log_end: Offset, lag_max: DurationMs) -> Option<MonotonicMs> {
        let at = self.caught_up_at.filter(|_| self.log_end != Some(leader_log_end))?;
        Some(at.plus(lag_max).plus(DurationMs(1)))
    }

    /// Whether it holds all of the leader's log or did so at most `lag_max` ago.
    pub(crate) fn is_caught_up(&self, now: MonotonicMs, leader_log_end: Offset, lag_max: DurationMs) -> bool {
        self.log_end == Some(leader_log_end) || self.caught_up_at.is_some_and(|at| now.since(at) <= lag_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG_MAX: DurationMs = DurationMs(100);

    fn fetch(remote: &mut RemoteReplica, at: u64, offset: i64, leader_log_end: i64) {
        let follower = FollowerId::eligible(2, 7);
        remote.fetched(
            MonotonicMs(at),
            follower,
            Offset::clamped(offset),
            None,
            Offset::clamped(leader_log_end),
        );
    }

    #[test]
    fn reaching_the_previous_end_counts_as_caught_up_at_the_previous_fetch() {
        let mut remote = RemoteReplica::at_epoch_start(false, MonotonicMs(0));
        fetch(&mut remote, 1_000, 0, 10);
        assert_eq!(remote.caught_up_at, None);
        fetch(&mut remote, 1_050, 10, 20);
        assert_eq!(remote.caught_up_at, Some(MonotonicMs(1_000)));
        assert!(remote.is_caught_up(MonotonicMs(1_100), Offset::clamped(30), LAG_MAX));
        assert!(!remote.is_caught_up(MonotonicMs(1_101), Offset::clamped(30), LAG_MAX));
    }

    #[test]
    fn a_follower_that_held_all_has_the_whole_lag_time_from_the_next_append_on() {
        let mut remote = RemoteReplica::at_epoch_start(false, MonotonicMs(0));
        let (end, later) = (Offset::clamped(10), Offset::clamped(11));
        fetch(&mut remote, 1, 10, 10);
        assert_eq!(remote.lags_from(end, LAG_MAX), None);
        remote.log_end_moved(MonotonicMs(5_000), end);
        remote.log_end_moved(MonotonicMs(5_050), later);
        assert_eq!(remote.lags_from(later, LAG_MAX), Some(MonotonicMs(5_101)));
        assert!(remote.is_caught_up(MonotonicMs(5_100), later, LAG_MAX));
        assert!(!remote.is_caught_up(MonotonicMs(5_101), later, LAG_MAX));
    }

    #[test]
    fn a_follower_at_the_end_of_an_idle_log_never_lags() {
        let mut remote = RemoteReplica::at_epoch_start(false, MonotonicMs(0));
        fetch(&mut remote, 1, 10, 10);
        assert!(remote.is_caught_up(MonotonicMs(9_999_999), Offset::clamped(10), LAG_MAX));
    }
}
