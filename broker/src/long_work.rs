//! Threads for work that takes long: a bounded number for each kind, so that none of them, nor all together, take the
//! processors from what serves sockets.
//!
//! Who finds no place waits, and holds up its own connection only; how many may wait is bounded by what connections may
//! have in flight, and by the budget of bytes that their requests hold meanwhile.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::disk_access::DiskAccess;

/// Beyond as many processors a produce load is limited by its disk.
const CHECKS_MAX: usize = 16;
/// Beyond as many at once, answers only take memory from each other.
const ANSWERS_MAX: usize = 8;
/// Long requests that are decided on at once. They spend most of their time waiting for their turns at the controller.
const DECISIONS_MAX: usize = 2;

/// What is done, and so among how much of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads what compressed batches unfold into; as many at once as there are processors.
    Check,
    /// The same where it takes much memory; one at a time.
    LargeCheck,
    /// Answers by much that is in memory; the half of the processors that others leave free.
    Listing,
    /// Looks at many partitions or groups; apart, because a frozen disk may hold all of them up.
    Scan,
    /// Decides on a long admin request.
    Decision,
}

/// The places of each kind.
pub struct LongWork {
    checks: Arc<Semaphore>,
    large_checks: Arc<Semaphore>,
    listings: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    decisions: Arc<Semaphore>,
}

impl Default for LongWork {
    fn default() -> LongWork {
        LongWork::on(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl LongWork {
    fn on(processors: usize) -> LongWork {
        let places = |count| Arc::new(Semaphore::new(count));
        let answers = (processors / 2).clamp(1, ANSWERS_MAX);
        LongWork {
            checks: places(processors.min(CHECKS_MAX)),
            large_checks: places(1),
            listings: places(answers),
            scans: places(answers),
            decisions: places(DECISIONS_MAX),
        }
    }

    fn places(&self, kind: Kind) -> &Arc<Semaphore> {
        match kind {
            Kind::Check => &self.checks,
            Kind::LargeCheck => &self.large_checks,
            Kind::Listing => &self.listings,
            Kind::Scan => &self.scans,
            Kind::Decision => &self.decisions,
        }
    }

    /// Does `work` once there is a place for its kind, also if nobody waits for it any more. `None` if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(self.places(kind)).acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.ok()
    }

    /// Sees a decision through on a thread of its own, because it computes for long between its waits. `None` if it
    /// panicked.
    pub async fn decide<T: Send + 'static>(
        &self,
        decision: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let runtime = Handle::current();
        self.run(Kind::Decision, move || runtime.block_on(decision)).await
    }

    /// Does a scan on a thread that may wait for the `disk`.
    pub async fn scan<T: Send + 'static>(
        &self,
        disk: &Arc<DiskAccess>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let place = Arc::clone(self.places(Kind::Scan)).acquire_owned().await.ok();
        let value = disk.elsewhere(move || (work(), place)).await;
        value.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_of_a_kind_runs_at_once_than_it_has_places() {
        let long_work = Arc::new(LongWork::on(2));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let long_work = Arc::clone(&long_work);
            async move {
                let work = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                long_work.run(Kind::Check, work).await
            }
        };
        let done = futures::future::join_all((0..50).map(work)).await;
        assert!(done.into_iter().all(|done| done.is_some()));
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(long_work.run(Kind::LargeCheck, || 7).await, Some(7));
        assert_eq!(long_work.run(Kind::Listing, || panic!("on purpose")).await, None::<()>);
        assert_eq!(long_work.run(Kind::Listing, || 7).await, Some(7), "its only place is free again");
    }
}
