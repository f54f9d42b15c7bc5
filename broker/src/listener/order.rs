//! The order of one connection's requests, kept for those that go on beside it.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A line in which requests of one connection have their turns, in the order in which they were handled.
#[derive(Debug, Default)]
pub struct RequestOrder {
    /// Ends with the turn of who came last.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

/// A place in the line; whoever stands behind waits until it is dropped, which must not be before its turn has come.
#[derive(Debug)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl RequestOrder {
    /// Whether nobody stands in the line.
    pub fn is_empty(&self) -> bool {
        let mut last = self.last.lock();
        let is_over =
            last.as_mut().is_none_or(|last| last.try_recv() != Err(oneshot::error::TryRecvError::Empty));
        if is_over {
            *last = None;
        }
        is_over
    }

    /// Takes the next place.
    pub fn join(&self) -> Turn {
        let (done, last) = oneshot::channel();
        Turn { before: self.last.lock().replace(last), _done: done }
    }
}

impl Turn {
    /// Waits until all who came before have had their turns.
    pub async fn come(&mut self) {
        if let Some(before) = &mut self.before {
            // It ends by being dropped.
            let _ = before.await;
        }
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn turns_come_in_the_order_of_their_places_and_end_when_dropped() {
        let order = RequestOrder::default();
        assert!(order.is_empty());
        let (mut first, mut second, mut third) = (order.join(), order.join(), order.join());
        assert!(!order.is_empty());
        assert!(first.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none() && third.come().now_or_never().is_none());
        drop(first);
        assert!(second.come().now_or_never().is_some() && third.come().now_or_never().is_none());
        drop(second);
        assert!(third.come().now_or_never().is_some());
        assert!(!order.is_empty());
        drop(third);
        assert!(order.is_empty());
    }
}
