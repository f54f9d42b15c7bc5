//! The bounds on what clients may make the broker hold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that one connection may have unanswered; reading stops above it.
///
/// Kafka's clients keep at most 5 produce requests in flight, so 64 leaves room for pipelining clients.
pub const IN_FLIGHT_REQUESTS_MAX: usize = 64;
/// Answer bytes that may wait for one socket; handling stops above it, so a slow reader holds little.
pub const QUEUED_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of a frame that may be read without a reservation from the shared budget.
///
/// Small requests (heartbeats, fetches) must go on when bulk producers have taken all of the budget.
pub const UNRESERVED_FRAME_BYTES_MAX: usize = 16 << 10;
/// The step by which a large frame's buffer grows, so that announcing a size costs no memory.
pub const READ_STEP_BYTES: usize = 256 << 10;
/// Capacity above which an empty read buffer is given back.
pub const KEPT_BUFFER_BYTES_MAX: usize = 64 << 10;
/// The budget counts in pages of this size, because a semaphore's permits are 32-bit.
const BUDGET_PAGE_BYTES: usize = 4 << 10;

/// Bytes of request bodies that all connections together may hold (`queued.max.bytes`).
#[derive(Clone, Debug)]
pub struct ByteBudget {
    pages: Arc<Semaphore>,
    pages_max: u32,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    _permit: OwnedSemaphorePermit,
}

impl ByteBudget {
    /// A budget of at least `bytes_max`.
    pub fn new(bytes_max: usize) -> ByteBudget {
        let pages =
            bytes_max.div_ceil(BUDGET_PAGE_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        ByteBudget { pages: Arc::new(Semaphore::new(pages)), pages_max: pages as u32 }
    }

    /// Waits until `bytes` are free and takes them. A frame above the whole budget waits for all of it,
    /// so it is served alone rather than never.
    pub async fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let pages = bytes.div_ceil(BUDGET_PAGE_BYTES).min(self.pages_max as usize) as u32;
        let permit = Arc::clone(&self.pages).acquire_many_owned(pages).await.ok()?;
        Some(Reservation { _permit: permit })
    }

    /// Bytes that are not reserved now.
    #[cfg(test)]
    fn free_bytes(&self) -> usize {
        self.pages.available_permits() * BUDGET_PAGE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reservation_is_given_back_when_dropped() {
        let budget = ByteBudget::new(64 << 10);
        let held = budget.reserve(40 << 10).await;
        assert_eq!(budget.free_bytes(), 24 << 10);
        drop(held);
        assert_eq!(budget.free_bytes(), 64 << 10);
    }

    #[tokio::test]
    async fn a_frame_above_the_budget_is_served_alone() {
        let budget = ByteBudget::new(8 << 10);
        assert!(budget.reserve(1 << 20).await.is_some());
    }
}
