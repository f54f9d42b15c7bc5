//! The metadata that this broker serves by: the newest of which it has brought its hosted partitions in line.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_broker_types::Offset;
use tokio::sync::watch;

use crate::view::View;

/// One view after the other.
pub struct Served {
    view: ArcSwap<View>,
    applied_end: watch::Sender<Offset>,
}

impl Default for Served {
    /// Nothing is known of the cluster.
    fn default() -> Served {
        Served { view: ArcSwap::default(), applied_end: watch::Sender::new(Offset::ZERO) }
    }
}

impl Served {
    /// The newest one.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Replaces it and wakes who waits for it.
    pub fn publish(&self, view: View) {
        let end = view.applied_end();
        self.view.store(Arc::new(view));
        self.applied_end.send_replace(end);
    }

    /// Waits until everything below `end` is applied here.
    pub async fn wait_applied(&self, end: Offset) {
        // The sender lives as long as the broker, so the wait cannot fail.
        let _ = self.applied_end.subscribe().wait_for(|applied| *applied >= end).await;
    }
}
