//! Threads for work that takes long and waits for nothing: reading what compressed batches unfold into.
//!
//! As many run at once as there are processors, so that they cannot starve what serves sockets. Who finds no place
//! waits; how many may wait is bounded by what connections may have in flight, and by the budget of bytes that their
//! requests hold meanwhile.

use std::cell::RefCell;
use std::sync::Arc;

use ottla_broker_protocol::batch::Scratch;
use tokio::sync::Semaphore;

/// Beyond as many processors a produce load is limited by its disk.
const THREADS_MAX: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The places.
pub struct Checks {
    places: Arc<Semaphore>,
    /// The one place for work that takes much memory.
    large: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Checks {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = Arc::new(Semaphore::new(processors.min(THREADS_MAX)));
        Checks { places, large: Arc::new(Semaphore::new(1)) }
    }
}

impl Checks {
    /// Runs `work` once there is a place for it, also if nobody waits for it any more. `None` if it panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        run_in(&self.places, work).await
    }

    /// Runs `work` that takes much memory: one at a time.
    pub async fn run_large<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        run_in(&self.large, work).await
    }
}

/// Runs `work` once one of the `places` is free, also if nobody waits for it any more. `None` if it panicked.
pub async fn run_in<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.ok()
}

/// Lends the calling thread's memory for decompressing.
pub fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_once_than_there_are_places() {
        let checks =
            Arc::new(Checks { places: Arc::new(Semaphore::new(2)), large: Arc::new(Semaphore::new(1)) });
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let checks = Arc::clone(&checks);
            async move {
                let work = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                checks.run(work).await
            }
        };
        let done = futures::future::join_all((0..50).map(work)).await;
        assert!(done.into_iter().all(|done| done.is_some()));
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(checks.run_large(|| 7).await, Some(7));
        assert_eq!(checks.run(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(checks.run(|| 7).await, Some(7), "its place is free again");
    }
}
