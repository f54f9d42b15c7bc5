//! What waits for a partition to move on: producers for the high watermark, fetchers for new records.
//!
//! Fetchers watch, and producers are armed, before the state is read, so that no advance between the two is missed.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use ottla_broker_replication::{AckState, AckWait, AckWaits, Replica};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Producers that may wait on one partition; further ones are told to retry.
///
/// A connection has a bounded number of requests in flight, so this is reached only by very many producers.
pub(super) const PRODUCE_WAITERS_MAX: usize = 100_000;
/// Dead fetch waiters are swept when the list has grown by this many.
const SWEEP_EVERY: usize = 256;

/// How a producer's wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProduceWait {
    /// The high watermark has passed the batch.
    Committed,
    /// This broker stopped leading the partition first.
    LeadershipLost,
}

/// A fetch, or a whole fetch session, that waits for any of its partitions to move, and which of them have. It watches
/// each by the partition's place in it, for as long as it lives.
#[derive(Debug, Default)]
pub struct FetchWaiter {
    moved: Mutex<BTreeSet<usize>>,
    notify: Notify,
}

impl FetchWaiter {
    /// Resolves when a partition has moved since the last call.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// The places of the partitions that have moved since the last call.
    pub fn take_moved(&self) -> BTreeSet<usize> {
        std::mem::take(&mut self.moved.lock())
    }

    fn wake(&self, place: usize) {
        self.moved.lock().insert(place);
        self.notify.notify_one();
    }
}

#[derive(Debug)]
struct Armed {
    waiter: Weak<FetchWaiter>,
    place: usize,
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    produce: AckWaits<oneshot::Sender<ProduceWait>>,
    /// Consumers: they see records below the high watermark. They watch until they are gone.
    high_watermark: Vec<Armed>,
    /// Followers: they see records below the log end. They watch until they are gone.
    log_end: Vec<Armed>,
    /// Deletions of records: they wait for the log starts of the followers.
    low_watermark: Vec<Armed>,
}

impl Waiters {
    /// Waits for the commit of an append; `None` when too many wait already.
    pub fn wait_committed(&mut self, wait: AckWait) -> Option<oneshot::Receiver<ProduceWait>> {
        if self.produce.count() >= PRODUCE_WAITERS_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.produce.push(wait, sender);
        Some(receiver)
    }

    /// Lets a fetch watch in which this partition has `place`; `follower` says whether it sees uncommitted records.
    pub fn watch(&mut self, waiter: &Arc<FetchWaiter>, place: usize, follower: bool) {
        let list = if follower { &mut self.log_end } else { &mut self.high_watermark };
        sweep(list);
        list.push(Armed { waiter: Arc::downgrade(waiter), place });
    }

    /// The fetch in which this partition had `place` watches it no longer.
    pub fn unwatch(&mut self, waiter: &Arc<FetchWaiter>, place: usize) {
        let is_other =
            |armed: &Armed| armed.place != place || !std::ptr::eq(armed.waiter.as_ptr(), &**waiter);
        self.high_watermark.retain(is_other);
        self.log_end.retain(is_other);
    }

    /// Arms a deletion of records in which this partition has `place`.
    pub fn arm_low_watermark(&mut self, waiter: &Arc<FetchWaiter>, place: usize) {
        sweep(&mut self.low_watermark);
        self.low_watermark.push(Armed { waiter: Arc::downgrade(waiter), place });
    }

    /// Whether a deletion of records is armed here.
    pub fn awaits_low_watermark(&self) -> bool {
        !self.low_watermark.is_empty()
    }

    /// Fetches that watch.
    #[cfg(test)]
    pub fn watcher_count(&self) -> usize {
        let lists = self.high_watermark.iter().chain(&self.log_end);
        lists.filter(|armed| armed.waiter.strong_count() > 0).count()
    }

    /// The high watermark of `replica` has moved.
    pub fn high_watermark_advanced(&mut self, replica: &Replica) {
        for (sender, state) in self.produce.take_ended(replica) {
            let ended = match state {
                AckState::NotLeaderOrFollower => ProduceWait::LeadershipLost,
                AckState::Pending | AckState::Committed | AckState::NotEnoughReplicas => {
                    ProduceWait::Committed
                }
            };
            // A producer that gave up has dropped its end.
            let _ = sender.send(ended);
        }
        tell(&mut self.high_watermark);
        // Followers learn the high watermark by their fetches, too.
        tell(&mut self.log_end);
    }

    /// Records were appended.
    pub fn log_end_advanced(&mut self) {
        tell(&mut self.log_end);
    }

    /// The log begins elsewhere: fetchers shall hear of it.
    pub fn log_start_advanced(&mut self) {
        tell(&mut self.high_watermark);
        tell(&mut self.log_end);
        wake(&mut self.low_watermark);
    }

    /// A follower's log start has moved, or a broker went out of service.
    pub fn followers_moved(&mut self) {
        wake(&mut self.low_watermark);
    }

    /// The followers shall fetch, so that this leader judges them by what it knows now.
    pub fn followers_wanted(&mut self) {
        tell(&mut self.log_end);
    }

    /// This broker leads the partition no longer, or it is gone: nobody may wait here any more.
    pub fn leadership_lost(&mut self) {
        for sender in self.produce.take_all() {
            let _ = sender.send(ProduceWait::LeadershipLost);
        }
        tell(&mut self.high_watermark);
        tell(&mut self.log_end);
        wake(&mut self.low_watermark);
    }
}

/// Drops those that have given up, once in a while.
fn sweep(list: &mut Vec<Armed>) {
    if list.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
        list.retain(|armed| armed.waiter.strong_count() > 0);
    }
}

/// Wakes those who watch, and drops those that have given up.
fn tell(list: &mut Vec<Armed>) {
    list.retain(|armed| armed.waiter.upgrade().inspect(|waiter| waiter.wake(armed.place)).is_some());
}

/// Wakes those who wait; they must arm again.
fn wake(list: &mut Vec<Armed>) {
    for armed in list.drain(..) {
        if let Some(waiter) = armed.waiter.upgrade() {
            waiter.wake(armed.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::{LeaderEpoch, Offset};

    use super::*;

    #[test]
    fn a_producer_learns_that_the_leadership_is_lost() {
        let mut waiters = Waiters::default();
        let wait = AckWait { end: Offset::clamped(9), leader_epoch: LeaderEpoch(1) };
        let mut waiting = waiters.wait_committed(wait).unwrap();
        assert!(waiting.try_recv().is_err());
        waiters.leadership_lost();
        assert_eq!(waiting.try_recv(), Ok(ProduceWait::LeadershipLost));
    }

    #[tokio::test]
    async fn an_advance_before_waiting_is_not_missed_nor_a_later_one() {
        let mut waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiters.watch(&waiter, 7, true);
        for _ in 0..2 {
            waiters.log_end_advanced();
            waiter.woken().await;
            assert_eq!(waiter.take_moved(), BTreeSet::from([7]));
            assert_eq!(waiter.take_moved(), BTreeSet::new());
        }
        waiters.unwatch(&waiter, 7);
        waiters.log_end_advanced();
        assert_eq!(waiter.take_moved(), BTreeSet::new());
    }

    #[test]
    fn abandoned_fetchers_do_not_pile_up() {
        let mut waiters = Waiters::default();
        for _ in 0..10 * SWEEP_EVERY {
            waiters.watch(&Arc::default(), 0, false);
        }
        assert!(waiters.high_watermark.len() <= SWEEP_EVERY);
    }
}
