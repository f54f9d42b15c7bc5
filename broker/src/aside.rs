//! Threads for requests whose answers can be far larger than they are: listings, and what compressed records unfold into.
//!
//! A few run at once, so that together they cannot take the processors from what serves sockets; the others wait, each
//! holding up its own connection only. Those that a frozen disk may hold up have places of their own.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::checks::run_in;
use crate::disk_access::DiskAccess;

/// Beyond as many at once, answers only take memory from each other.
const PLACES_MAX: usize = 8;

/// Long requests that are decided on at once. They spend most of their time waiting for their turns at the controller.
const DECISIONS_MAX: usize = 2;

/// The places.
pub struct Aside {
    listings: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    decisions: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Aside {
        // Half of the processors: the other half serves everybody else.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = (processors / 2).clamp(1, PLACES_MAX);
        Aside {
            listings: Arc::new(Semaphore::new(places)),
            scans: Arc::new(Semaphore::new(places)),
            decisions: Arc::new(Semaphore::new(DECISIONS_MAX)),
        }
    }
}

impl Aside {
    /// Does `work` that looks at what is in memory. `None` if it panicked.
    pub async fn list<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        run_in(&self.listings, work).await
    }

    /// Sees a decision through on a thread of its own, because it computes for long between its waits. `None` if it
    /// panicked.
    pub async fn decide<T: Send + 'static>(
        &self,
        decision: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let runtime = Handle::current();
        run_in(&self.decisions, move || runtime.block_on(decision)).await
    }

    /// Does `work` that looks at partitions or groups, and may wait for their disk.
    pub async fn scan<T: Send + 'static>(
        &self,
        disk: &Arc<DiskAccess>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let place = Arc::clone(&self.scans).acquire_owned().await.ok();
        let value = disk.elsewhere(move || (work(), place)).await;
        value.0
    }
}
