//! Brings what this broker hosts in line with the metadata, and then lets everybody see the new state. Beside the
//! following of the metadata: opening logs takes its time, and no decision waits for it.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::Image;

use crate::broker::Broker;
use crate::view::View;

/// How often it is looked whether there are logs to open that could not be before.
const REOPEN_CHECK: Duration = Duration::from_millis(500);

/// Runs for as long as the broker does.
pub async fn run(broker: Arc<Broker>) {
    let mut newest = broker.controller.active.views();
    let mut registrations = broker.controller.registrations();
    let mut hosting = Hosting::default();
    loop {
        let view = View::clone(&newest.borrow_and_update());
        hosting.publish(&broker, view);
        let changed = tokio::select! {
            changed = newest.changed() => changed,
            changed = registrations.changed() => changed,
            () = tokio::time::sleep(REOPEN_CHECK) => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What the hosted partitions and groups have been brought in line with.
///
/// They follow no image from before this run registered: in it a broker that lost power would lead its old epoch
/// again without the records that it lost, and its followers would cut theirs. The registration ends that epoch.
#[derive(Default)]
struct Hosting {
    image: Image,
}

impl Hosting {
    /// Brings what is hosted in line, as far as it may be, and lets everybody see the new state.
    fn publish(&mut self, broker: &Arc<Broker>, view: View) {
        let registered = broker.controller.broker_epoch();
        let is_current = registered.is_some() && view.broker_epoch(broker.node_id) == registered;
        let has_logs_to_open = broker.partitions.has_due_unopened(broker.clock.now().mono);
        let is_unchanged = self.image.applied_end() == view.applied_end() && !has_logs_to_open;
        if !is_current || is_unchanged {
            if broker.view().applied_end() != view.applied_end() {
                broker.publish(view);
            }
            return;
        }
        let changes = view.changes_since(&self.image);
        self.image = Image::clone(&view);
        // Logs are opened and deleted here, which takes longer than a task may hold its thread.
        let became = tokio::task::block_in_place(|| broker.partitions.apply(broker, &view, &changes));
        broker.publish(view);
        if !changes.configs.is_empty() {
            broker.settings_changed();
        }
        broker.partitions.registrations_changed(broker, &broker.view(), &changes);
        broker.groups.apply(broker, &changes, &became);
    }
}
