//! Who may block on a data disk, and where, so that one that is busy or frozen stops nobody else.
//!
//! A request that reads or writes partitions is carried out on the worker thread that received it, which costs least,
//! as long as fewer workers than all do so: a worker that the disk holds up is missed by nobody while one is left.
//! Beyond that, and for what takes long anyway, there is a bounded number of other threads; who finds none free waits
//! without a thread. The kernel makes the thread wait that writes more than the disk can take, so that large writes go
//! to those threads, too, and small ones do not pay for them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clock::Clock;

/// Bytes of a request from which on it is carried out elsewhere: its write takes longer than the way to another thread.
pub const LARGE_BYTES: usize = 128 << 10;
/// Threads for that. A disk takes a few writes at once; more would only wait for each other's partitions.
const ELSEWHERE_MAX: usize = 16;
/// How long a write into the page cache may take on a disk that works, however busy it is.
const STUCK_AFTER: Duration = Duration::from_secs(3);

/// Turns at the data disk.
pub struct DiskAccess {
    clock: Clock,
    /// When each access began, in microseconds plus one; 0 while there is none. First those of the workers.
    began: Box<[AtomicU64]>,
    workers: usize,
    elsewhere: Arc<Semaphore>,
    threads: Handle,
}

/// An access that goes on until this is dropped.
pub struct Turn<'a> {
    began: &'a AtomicU64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.began.store(0, Ordering::Release);
    }
}

impl DiskAccess {
    /// Nobody is at the disk; `threads` are those of the workers and of what is carried out elsewhere.
    pub fn new(clock: Clock, threads: Handle) -> Arc<DiskAccess> {
        let workers = threads.metrics().num_workers().saturating_sub(1);
        let began = (0..workers + ELSEWHERE_MAX).map(|_| AtomicU64::new(0)).collect();
        Arc::new(DiskAccess {
            clock,
            began,
            workers,
            elsewhere: Arc::new(Semaphore::new(ELSEWHERE_MAX)),
            threads,
        })
    }

    /// A turn for a worker thread at `now` in microseconds, unless so many have one that none would be left.
    pub fn try_turn(&self, now: u64) -> Option<Turn<'_>> {
        begin(&self.began[..self.workers], now)
    }

    /// Does `work` on this worker thread if there is a turn and it is not `large`, else elsewhere.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        large: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if !large && let Some(_turn) = self.try_turn(self.clock.micros()) {
            return work();
        }
        self.elsewhere(work).await
    }

    /// Does `work` on a thread that may block, as soon as there is one. If the caller goes away, work that has begun
    /// is done all the same.
    pub async fn elsewhere<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let place = Arc::clone(&self.elsewhere).acquire_owned().await.ok();
        let access = Arc::clone(self);
        let done = self.threads.spawn_blocking(move || {
            // As many as there are places; without one the work would only not be watched.
            let turn = begin(&access.began[access.workers..], access.clock.micros());
            let value = work();
            drop((turn, place));
            value
        });
        match done.await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The process ends: nobody waits for the answer any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// For how long the disk has not taken a write, if for so long that it must be stuck.
    pub fn stuck_for(&self) -> Option<Duration> {
        let now = self.clock.micros();
        let oldest =
            self.began.iter().map(|began| began.load(Ordering::Acquire)).filter(|began| *began > 0).min()?;
        Some(Duration::from_micros((now + 1).saturating_sub(oldest))).filter(|age| *age >= STUCK_AFTER)
    }
}

fn begin(places: &[AtomicU64], now: u64) -> Option<Turn<'_>> {
    let free = |began: &&AtomicU64| {
        began.load(Ordering::Relaxed) == 0
            && began.compare_exchange(0, now + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    places.iter().find(free).map(|began| Turn { began })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn accesses_that_hang_leave_a_worker_and_let_others_wait_without_a_thread() {
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
        let access = DiskAccess::new(Clock::start(), threads.handle().clone());
        let turns = [access.try_turn(1).unwrap(), access.try_turn(1).unwrap()];
        assert!(access.try_turn(1).is_none());
        let (thaw, frozen) = mpsc::channel::<()>();
        let frozen = Arc::new(parking_lot::Mutex::new(frozen));
        let hanging: Vec<_> = (0..ELSEWHERE_MAX + 5)
            .map(|number| {
                let (access, frozen) = (Arc::clone(&access), Arc::clone(&frozen));
                threads.spawn(async move {
                    let hang = move || {
                        let _ = frozen.lock().recv();
                        number
                    };
                    access.run(false, hang).await
                })
            })
            .collect();
        threads.block_on(async {
            let lives = tokio::spawn(async { true });
            assert!(tokio::time::timeout(Duration::from_secs(20), lives).await.unwrap().unwrap());
        });
        drop(turns);
        assert!(access.try_turn(1).is_some());
        drop(thaw);
        for (number, hung) in hanging.into_iter().enumerate() {
            assert_eq!(threads.block_on(hung).unwrap(), number);
        }
        assert_eq!(access.elsewhere.available_permits(), ELSEWHERE_MAX);
        assert_eq!(access.stuck_for(), None);
    }

    #[test]
    fn a_turn_that_lasts_says_that_the_disk_is_stuck() {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let access = DiskAccess::new(Clock::start(), threads.handle().clone());
        access.began[0].store(1, Ordering::Relaxed);
        assert_eq!(access.stuck_for(), None, "not yet");
        let long_ago = Clock::started_before(Duration::from_secs(10));
        let access = DiskAccess::new(long_ago, threads.handle().clone());
        let turn = access.try_turn(0).unwrap();
        assert!(access.stuck_for().is_some_and(|age| age >= Duration::from_secs(10)));
        drop(turn);
        assert_eq!(access.stuck_for(), None);
    }
}
