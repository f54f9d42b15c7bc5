//! The same work on many partitions at once, where each waits for the disk. Starts threads, which end before it returns.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Syncs at the same time: a disk and its journal take many together in the time of a few, and more would only queue.
pub(super) const SYNCS_MAX: usize = 16;

/// Logs that are opened at the same time: it is the processor that checks their batches.
pub(super) fn opening_max() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).max(2)
}

/// What `work` makes of each of `items`, in their order, `threads_max` at the same time.
pub(super) fn in_parallel<T: Sync, R: Send>(
    threads_max: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads_max.min(items.len()) {
            scope.spawn(|| {
                while let Some((at, item)) = claim(&next, items) {
                    let result = work(item);
                    done.lock().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn claim<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_is_done_once_and_results_keep_their_order() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(
            in_parallel(4, &items, |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        assert!(in_parallel(4, &[] as &[usize], |item| *item).is_empty());
    }

    #[test]
    fn work_that_waits_for_each_other_ends() {
        let barrier = Barrier::new(SYNCS_MAX);
        in_parallel(SYNCS_MAX, &[(); SYNCS_MAX], |()| barrier.wait().is_leader());
    }
}
