//! Who is answered once records are committed. No I/O.
//!
//! Invariant: neither offsets nor deadlines fall from the front of the queue to its back, because each wait is for all
//! that is written so far and may take equally long.

use std::collections::VecDeque;

use ottla_broker_types::{MonotonicMs, Offset};

/// Waits of one shard. Connections have few requests in flight each, so this is reached only by very many clients;
/// beyond, requests are refused.
pub(crate) const WAITS_MAX: usize = 100_000;

#[derive(Debug)]
struct Wait<T> {
    end: Offset,
    expires: MonotonicMs,
    asker: T,
}

/// The waits of one shard.
#[derive(Debug)]
pub(crate) struct Waits<T> {
    queue: VecDeque<Wait<T>>,
}

impl<T> Default for Waits<T> {
    fn default() -> Self {
        Waits { queue: VecDeque::new() }
    }
}

impl<T> Waits<T> {
    /// Whether nobody more may wait.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= WAITS_MAX
    }

    /// Waits until everything below `end` is committed, no longer than until `expires`.
    pub(crate) fn push(&mut self, end: Offset, expires: MonotonicMs, asker: T) {
        self.queue.push_back(Wait { end, expires, asker });
    }

    /// Those for whom enough is committed, in the order in which they came.
    pub(crate) fn take_committed(&mut self, committed_end: Offset) -> Vec<T> {
        self.take_while(|wait| wait.end <= committed_end)
    }

    /// Those who have waited too long.
    pub(crate) fn take_expired(&mut self, now: MonotonicMs) -> Vec<T> {
        self.take_while(|wait| wait.expires <= now)
    }

    /// Everybody.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.take_while(|_| true)
    }

    /// When the first one has waited too long.
    pub(crate) fn next_deadline(&self) -> Option<MonotonicMs> {
        self.queue.front().map(|wait| wait.expires)
    }

    fn take_while(&mut self, is_over: impl Fn(&Wait<T>) -> bool) -> Vec<T> {
        let count = self.queue.iter().take_while(|wait| is_over(wait)).count();
        self.queue.drain(..count).map(|wait| wait.asker).collect()
    }
}
