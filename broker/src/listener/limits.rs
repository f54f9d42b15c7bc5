//! The bounds on what clients may make the broker hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that one connection may have unanswered; reading stops above it.
///
/// Kafka's clients keep at most 5 produce requests in flight, so 64 leaves room for pipelining clients.
pub const IN_FLIGHT_REQUESTS_MAX: usize = 64;
/// Answer bytes that may wait for one socket, those of answers that wait for an earlier one included; handling stops
/// above it, so a slow reader holds little.
pub const QUEUED_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of a frame that may be read without a reservation from the shared budget.
///
/// Small requests (heartbeats, fetches) must go on when bulk producers have taken all of the budget.
pub const UNRESERVED_FRAME_BYTES_MAX: usize = 16 << 10;
/// What a large frame may hold before any of it has arrived. Later it may hold twice of what has, so that announcing
/// a length costs next to nothing.
pub const FIRST_GRANT_BYTES: usize = 256 << 10;
/// How long the bytes of a grant may take to arrive, beside the time at [`FRAME_BYTES_PER_SECOND_MIN`]; then the
/// connection ends, because others wait for what it holds. Kafka's clients give a request up after as long.
pub const STALLED_FRAME_MAX: Duration = Duration::from_secs(30);
/// The rate below which a large frame counts as stalled: no link between data centres is as slow.
pub const FRAME_BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// Bytes of answers in memory from which on their connection ends if the other side reads nothing of them for
/// [`UNREAD_ANSWER_MAX`].
pub const UNREAD_ANSWER_BYTES: usize = 64 << 10;
/// How long such answers may be left unread: others wait for their room. Kafka's clients have given them up by then.
pub const UNREAD_ANSWER_MAX: Duration = Duration::from_secs(30);
/// Capacity above which an empty read buffer is given back.
pub const KEPT_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Room of the first read buffer: most connections are idle and have sent a few small requests.
pub const READ_BYTES_MIN: usize = 1 << 10;
/// Room that a read buffer grows to while reads fill it.
pub const READ_BYTES_MAX: usize = 8 << 10;
/// A connection that was silent for as long gives its buffers back: it may stay so for minutes.
pub const QUIET_AFTER: Duration = Duration::from_secs(2);
/// Requests of one connection that may wait and count for nothing: as many as Kafka's clients keep in flight.
pub const UNCOUNTED_REQUESTS_MAX: usize = 5;
/// What a request that waits is counted as: it holds what it asked for, but not its body.
pub const WAITING_REQUEST_BYTES: usize = 4 << 10;
/// Between looks whether there is room: a slow reader frees it over seconds.
const ROOM_PAUSE: Duration = Duration::from_millis(20);
/// The budget counts in pages of this size, because a semaphore's permits are 32-bit.
const BUDGET_PAGE_BYTES: usize = 4 << 10;

/// What the connections of one kind of listener may hold together; clones share it.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Bytes of request bodies above [`UNRESERVED_FRAME_BYTES_MAX`].
    pub frames: ByteBudget,
    /// What is left over because the other side is slow: pieces of small requests, answers that are not read, requests
    /// that wait. A connection that has no room in it ends, since it costs the others what it does not use; but one that
    /// asks for a large answer waits for room first.
    pub leftovers: ByteBudget,
}

/// Bytes of request bodies that all connections together may hold (`ottla.queued.max.bytes`).
///
/// Frames take them as they arrive, so it may happen that all of the budget is held by frames of which none is
/// complete. Therefore one frame at a time may go over it: that one completes, and gives back what it holds. So the
/// connections together hold at most the budget and one frame of `socket.request.max.bytes`.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    pages: Arc<Semaphore>,
    pages_max: u32,
    beyond: Arc<Semaphore>,
}

/// What a frame holds of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    bytes: usize,
    pages: Option<OwnedSemaphorePermit>,
    /// The right to go over the budget.
    beyond: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    /// A budget of at least `bytes_max`.
    pub fn new(bytes_max: usize) -> ByteBudget {
        let pages =
            bytes_max.div_ceil(BUDGET_PAGE_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        ByteBudget {
            pages: Arc::new(Semaphore::new(pages)),
            pages_max: pages as u32,
            beyond: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes `bytes` beside what a frame holds, if they are free or that goes over the budget already.
    pub fn try_reserve(&self, held: Option<&Reservation>, bytes: usize) -> Option<Reservation> {
        if held.is_some_and(Reservation::is_beyond) {
            return Some(Reservation { bytes, pages: None, beyond: None });
        }
        let pages = Arc::clone(&self.pages).try_acquire_many_owned(self.pages_for(bytes)).ok()?;
        Some(Reservation { bytes, pages: Some(pages), beyond: None })
    }

    /// Waits until `bytes` are free, or until no other frame is over the budget, and takes them.
    pub async fn reserve(self, bytes: usize) -> Reservation {
        let pages = Arc::clone(&self.pages).acquire_many_owned(self.pages_for(bytes));
        let beyond = Arc::clone(&self.beyond).acquire_owned();
        // Neither semaphore is ever closed, so that each wait ends with a permit.
        tokio::select! {
            biased;
            pages = pages => Reservation { bytes, pages: pages.ok(), beyond: None },
            beyond = beyond => Reservation { bytes, pages: None, beyond: beyond.ok() },
        }
    }

    /// Waits until `bytes` are free, or until nobody else is over the budget, and takes them. Unlike
    /// [`ByteBudget::reserve`] it takes nothing meanwhile: others may still take what is free.
    pub async fn room(self, bytes: usize) -> Reservation {
        let mut beyond = std::pin::pin!(Arc::clone(&self.beyond).acquire_owned());
        loop {
            if let Some(room) = self.try_reserve(None, bytes) {
                return room;
            }
            tokio::select! {
                biased;
                beyond = &mut beyond => return Reservation { bytes, pages: None, beyond: beyond.ok() },
                () = tokio::time::sleep(ROOM_PAUSE) => {}
            }
        }
    }

    fn pages_for(&self, bytes: usize) -> u32 {
        bytes.div_ceil(BUDGET_PAGE_BYTES).min(self.pages_max as usize) as u32
    }

    /// Bytes that are not reserved now.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.pages.available_permits() * BUDGET_PAGE_BYTES
    }
}

impl Reservation {
    /// The bytes that may be held with it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it goes over the budget.
    pub fn is_beyond(&self) -> bool {
        self.beyond.is_some()
    }

    /// Joins what was reserved for the same frame.
    pub fn and(mut self, more: Reservation) -> Reservation {
        self.bytes += more.bytes;
        self.beyond = self.beyond.or(more.beyond);
        self.pages = match (self.pages, more.pages) {
            (Some(mut pages), Some(more)) => {
                pages.merge(more);
                Some(pages)
            }
            (pages, more) => pages.or(more),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_reservation_is_given_back_when_dropped() {
        let budget = ByteBudget::new(64 << 10);
        let held = budget.try_reserve(None, 24 << 10).unwrap();
        let held = held.and(budget.try_reserve(None, 16 << 10).unwrap());
        assert_eq!((held.bytes(), budget.free_bytes()), (40 << 10, 24 << 10));
        assert!(budget.try_reserve(Some(&held), 25 << 10).is_none());
        drop(held);
        assert_eq!(budget.free_bytes(), 64 << 10);
    }

    #[test]
    fn one_frame_at_a_time_goes_over_the_budget() {
        let budget = ByteBudget::new(8 << 10);
        let wait = |bytes| budget.clone().reserve(bytes).now_or_never();
        let full = budget.try_reserve(None, 8 << 10).unwrap();
        let beyond = wait(1 << 20).unwrap();
        assert!(budget.try_reserve(Some(&beyond), 1 << 20).is_some(), "it needs no other to end");
        assert!(wait(4 << 10).is_none(), "a second one waits");
        drop(beyond);
        assert!(wait(4 << 10).unwrap().is_beyond());
        drop(full);
        assert!(!wait(4 << 10).unwrap().is_beyond());
    }
}
