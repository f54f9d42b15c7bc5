//! One worker per cluster and controller: reconciles, then waits for a change or for the time that this reconcile named.
//!
//! Invariant: two reconciles of the same cluster by the same controller never overlap.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A cluster by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// When a worker reconciles again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At the latest then.
    After(Duration),
    /// Never: there is nothing left to reconcile.
    Stop,
}

/// Changes come in bursts, the worker's own among them; a reconcile waits this long for the rest of one.
const SETTLE: Duration = Duration::from_millis(100);

/// Between the end of a worker that failed by a mistake of ours and the next one for its cluster: it will probably
/// fail again, which must neither cost much nor leave the cluster alone for good.
const SUCCESSION: Duration = Duration::from_secs(5);

/// Wakes workers.
#[derive(Debug, Default)]
pub struct Wakers {
    by_cluster: Mutex<BTreeMap<ClusterKey, Arc<Notify>>>,
    any: Notify,
}

impl Wakers {
    /// Wakes the worker of a cluster, and whoever starts workers.
    pub fn wake(&self, key: Option<ClusterKey>) {
        if let Some(waker) = key.and_then(|key| self.lock().get(&key).cloned()) {
            waker.notify_one();
        }
        self.any.notify_one();
    }

    /// Waits for any change.
    pub async fn changed(&self) {
        self.any.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterKey, Arc<Notify>>> {
        // The map is whole after every statement, so a panic elsewhere leaves it usable.
        self.by_cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps one worker running per key of interest until the process stops.
///
/// `keys` says which clusters need one; `work` makes the state of a worker; `reconcile` is one reconcile.
pub async fn run<S, K, W, L, F>(wakers: Arc<Wakers>, keys: K, work: W, reconcile: L)
where
    K: Fn() -> Vec<ClusterKey>,
    W: Fn(&ClusterKey) -> S,
    S: Send + 'static,
    L: Fn(S) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = (S, Next)> + Send,
{
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<tokio::task::Id, ClusterKey> = BTreeMap::new();
    loop {
        for key in keys() {
            let mut known = wakers.lock();
            if known.contains_key(&key) {
                continue;
            }
            let waker = Arc::new(Notify::new());
            known.insert(key.clone(), Arc::clone(&waker));
            drop(known);
            let (state, reconcile) = (work(&key), reconcile.clone());
            let task = tasks.spawn(async move { worker(state, reconcile, &waker).await });
            running.insert(task.id(), key);
        }
        tokio::select! {
            () = wakers.changed() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let (task, wait) = match ended {
                    Ok((task, ())) => (task, Duration::ZERO),
                    Err(error) => {
                        tracing::error!(%error, "a worker ended early and starts again");
                        (error.id(), SUCCESSION)
                    }
                };
                if let Some(key) = running.remove(&task) {
                    forget_later(Arc::clone(&wakers), key, wait);
                }
            }
        }
    }
}

/// Makes room for a new worker of that cluster after a while.
fn forget_later(wakers: Arc<Wakers>, key: ClusterKey, wait: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        wakers.lock().remove(&key);
        wakers.any.notify_one();
    });
}

async fn worker<S, L, F>(mut state: S, reconcile: L, waker: &Notify)
where
    L: Fn(S) -> F,
    F: Future<Output = (S, Next)>,
{
    loop {
        let (after, next) = reconcile(state).await;
        state = after;
        let Next::After(wait) = next else { return };
        tokio::select! {
            () = waker.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_reconciles_again_when_woken_or_in_time_and_ends_when_told() {
        let wakers = Arc::new(Wakers::default());
        let key = ClusterKey { namespace: "n".to_owned(), name: "c".to_owned() };
        let reconciles = Arc::new(AtomicUsize::new(0));
        let (counted, wanted) = (Arc::clone(&reconciles), key.clone());
        let supervisor = run(
            Arc::clone(&wakers),
            move || vec![wanted.clone()],
            |_| (),
            move |()| {
                counted.fetch_add(1, Ordering::SeqCst);
                async { ((), Next::After(Duration::from_secs(60))) }
            },
        );
        let supervisor = tokio::spawn(supervisor);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(reconciles.load(Ordering::SeqCst), 1);
        wakers.wake(Some(key));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(reconciles.load(Ordering::SeqCst), 2);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(reconciles.load(Ordering::SeqCst), 3);
        supervisor.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_fails_by_a_mistake_is_followed_by_another() {
        let wakers = Arc::new(Wakers::default());
        let key = ClusterKey { namespace: "n".to_owned(), name: "c".to_owned() };
        let reconciles = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reconciles);
        let supervisor = run(
            wakers,
            move || vec![key.clone()],
            |_| (),
            move |()| {
                let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
                async move {
                    assert!(!first, "a mistake");
                    ((), Next::After(Duration::from_secs(60)))
                }
            },
        );
        let supervisor = tokio::spawn(supervisor);
        tokio::time::sleep(SUCCESSION / 2).await;
        assert_eq!(reconciles.load(Ordering::SeqCst), 1);
        tokio::time::sleep(SUCCESSION).await;
        assert_eq!(reconciles.load(Ordering::SeqCst), 2);
        supervisor.abort();
    }
}
