//! What waits for a partition to move on: producers for the high watermark, fetchers for new records.
//!
//! Waiters are armed before the state is read, so that no advance between the two is missed.

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

/// A fetch that waits for any of its partitions to move, and which of them have. It is armed once on each, by the
/// partition's place in the fetch; one that has moved must be armed again.
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
    /// Consumers: they see records below the high watermark.
    high_watermark: Vec<Armed>,
    /// Followers: they see records below the log end.
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

    /// Arms a fetch in which this partition has `place`; `follower` says whether it sees uncommitted records.
    pub fn arm_fetch(&mut self, waiter: &Arc<FetchWaiter>, place: usize, follower: bool) {
        let list = if follower { &mut self.log_end } else { &mut self.high_watermark };
        sweep(list);
        list.push(Armed { waiter: Arc::downgrade(waiter), place });
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

    /// Fetches that are armed here and still wait.
    #[cfg(test)]
    pub fn armed_count(&self) -> usize {
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
        wake(&mut self.high_watermark);
        // Followers learn the high watermark by their fetches, too.
        wake(&mut self.log_end);
    }

    /// Records were appended.
    pub fn log_end_advanced(&mut self) {
        wake(&mut self.log_end);
    }

    /// The log begins elsewhere: followers shall hear of it.
    pub fn log_start_advanced(&mut self) {
        wake(&mut self.log_end);
        wake(&mut self.low_watermark);
    }

    /// A follower's log start has moved, or a broker went out of service.
    pub fn followers_moved(&mut self) {
        wake(&mut self.low_watermark);
    }

    /// This broker leads the partition no longer, or it is gone: nobody may wait here any more.
    pub fn leadership_lost(&mut self) {
        for sender in self.produce.take_all() {
            let _ = sender.send(ProduceWait::LeadershipLost);
        }
        wake(&mut self.high_watermark);
        wake(&mut self.log_end);
        wake(&mut self.low_watermark);
    }
}

/// Drops those that have given up, once in a while.
fn sweep(list: &mut Vec<Armed>) {
    if list.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
        list.retain(|armed| armed.waiter.strong_count() > 0);
    }
}

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
    async fn an_advance_between_arming_and_waiting_is_not_missed() {
        let mut waiters = Waiters::default();
        let waiter = Arc::new(FetchWaiter::default());
        waiters.arm_fetch(&waiter, 7, true);
        waiters.log_end_advanced();
        waiter.woken().await;
        assert_eq!(waiter.take_moved(), BTreeSet::from([7]));
        assert_eq!(waiter.take_moved(), BTreeSet::new());
    }

    #[test]
    fn abandoned_fetchers_do_not_pile_up() {
        let mut waiters = Waiters::default();
        for _ in 0..10 * SWEEP_EVERY {
            waiters.arm_fetch(&Arc::default(), 0, false);
        }
        assert!(waiters.high_watermark.len() <= SWEEP_EVERY);
    }
}
