//! Memory that clients may make a coordinator hold. No I/O; several shards, each behind its own lock, share a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all shards of a broker may hold for one purpose. Who would need more is refused; what is held already
/// stays, and what the log holds is taken over in any case.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    held: AtomicUsize,
}

impl Budget {
    /// An empty budget.
    pub fn new(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget { bytes_max, held: AtomicUsize::new(0) })
    }

    /// Bytes that may be held.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that are held now.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more would fit. Shards ask at the same time, so that each may go over by one request.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes == 0 || self.held_bytes().saturating_add(bytes) <= self.bytes_max
    }

    /// Holds so many bytes until the charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: Arc::clone(self), bytes }
    }
}

/// Bytes that are held of a budget.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the bytes go back to when the charge is dropped.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Holds so many bytes from now on.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_when_it_goes() {
        let budget = Budget::new(10);
        let mut charge = budget.charge(6);
        assert!(budget.has_room(4) && !budget.has_room(5));
        charge.resize(12);
        assert!(budget.has_room(0), "who needs nothing more is never refused");
        assert!(!budget.has_room(1));
        drop(charge);
        assert_eq!(budget.held_bytes(), 0);
    }
}
