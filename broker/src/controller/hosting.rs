//! Brings what this broker hosts in line with the metadata, and then lets everybody see the new state. Beside the
//! following of the metadata: opening logs takes its time, and no decision waits for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::Image;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use crate::broker::Broker;
use crate::view::View;

/// How often it is looked whether there are logs to open that could not be before.
const REOPEN_CHECK: Duration = Duration::from_millis(500);

/// How often it is looked at whether the disk is stuck, while the hosted partitions are brought in line.
const STUCK_CHECK: Duration = Duration::from_millis(250);

/// Runs for as long as the broker does.
pub async fn run(broker: Arc<Broker>) {
    let mut newest = broker.controller.active.views();
    let mut registrations = broker.controller.registrations();
    let mut hosting = Hosting::default();
    loop {
        let view = View::clone(&newest.borrow_and_update());
        hosting.publish(&broker, view).await;
        let changed = tokio::select! {
            changed = newest.changed() => changed,
            changed = registrations.changed() => changed,
            () = hosting.in_line() => Ok(()),
            () = tokio::time::sleep(REOPEN_CHECK) => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What the hosted partitions and groups have been brought in line with, or are just being.
#[derive(Default)]
struct Hosting {
    image: Image,
    /// While `image` is still being carried out, because the disk is stuck.
    working: Option<JoinHandle<()>>,
}

impl Hosting {
    /// Resolves when what was held up is done; never, if nothing is.
    async fn in_line(&mut self) {
        let Some(working) = &mut self.working else { return std::future::pending().await };
        let ended = working.await;
        self.working = None;
        carried_out(ended);
    }

    /// Brings what is hosted in line, as far as it may be, and lets everybody see the new state: before, if a stuck
    /// disk holds that up. A client that comes too early is told to ask again.
    async fn publish(&mut self, broker: &Arc<Broker>, view: View) {
        if let Some(working) = self.working.take_if(|working| working.is_finished()) {
            carried_out(working.await);
        }
        broker.hosting_is_behind(self.working.is_some());
        if self.working.is_some() || !self.is_due(broker, &view) {
            publish(broker, view);
            return;
        }
        let changes = view.changes_since(&self.image);
        self.image = Image::clone(&view);
        let (applied, is_applied) = oneshot::channel();
        let (published, is_published) = oneshot::channel();
        let (hosting, next) = (Arc::clone(broker), view.clone());
        // Logs are opened and deleted here, which takes longer than a task may hold its thread.
        let mut working = tokio::task::spawn_blocking(move || {
            let became = hosting.partitions.apply(&hosting, &next, &changes);
            // Who waits for either may have given up, which changes nothing here.
            let _ = applied.send(());
            let _ = is_published.blocking_recv();
            if !changes.configs.is_empty() {
                hosting.settings_changed();
            }
            hosting.partitions.registrations_changed(&hosting, &hosting.view(), &changes);
            hosting.groups.apply(&hosting, &changes, &became);
        });
        let in_time = unless_stuck(broker, is_applied).await;
        broker.hosting_is_behind(in_time.is_none());
        publish(broker, view);
        let _ = published.send(());
        match unless_stuck(broker, &mut working).await {
            Some(ended) => carried_out(ended),
            None => {
                tracing::warn!("hosted partitions are not in line with the metadata: the data disk is stuck");
                broker.hosting_is_behind(true);
                self.working = Some(working);
            }
        }
    }

    fn is_due(&self, broker: &Broker, view: &View) -> bool {
        let is_current = view.knows_run(broker.node_id, broker.controller.broker_epoch());
        let has_logs_to_open = || broker.partitions.has_due_unopened(broker.clock.now().mono);
        is_current && (self.image.applied_end() != view.applied_end() || has_logs_to_open())
    }
}

/// Lets everybody see the state, unless they do already.
fn publish(broker: &Broker, view: View) {
    if broker.view().applied_end() != view.applied_end() {
        broker.served.publish(view);
    }
}

/// Waits for `done`; `None` if the disk is found stuck before.
async fn unless_stuck<T>(broker: &Broker, done: impl Future<Output = T>) -> Option<T> {
    let mut done = std::pin::pin!(done);
    loop {
        if let Ok(value) = tokio::time::timeout(STUCK_CHECK, done.as_mut()).await {
            return Some(value);
        }
        if broker.disk.stuck_for().is_some() {
            return None;
        }
    }
}

/// A panic must not leave partitions behind the metadata in silence: it ends this task, and with it the broker.
fn carried_out(ended: Result<(), JoinError>) {
    // Without a panic the process is ending.
    if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
        std::panic::resume_unwind(panic);
    }
}
