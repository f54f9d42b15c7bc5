//! Lets time pass in the shards: sessions, rebalances, expiry.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker_types::MonotonicMs;

use crate::broker::Broker;
use crate::stop::until_true;

/// The longest sleep; a shard that is loaded meanwhile wakes the timers anyway.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Runs until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    while !*stopping.borrow() {
        let now = broker.clock.now().mono;
        let ticking = Arc::clone(&broker);
        let next = broker.disk.run(false, move || tick_due(&ticking, now)).await;
        let sleep = next.map_or(SLEEP_MAX, |next| next.since(now).to_std().min(SLEEP_MAX));
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = broker.groups.wait_timers_changed() => {}
            _ = until_true(&mut stopping) => {}
        }
    }
}

/// Ticks the shards that are due; returns when the next one is.
fn tick_due(broker: &Arc<Broker>, now: MonotonicMs) -> Option<MonotonicMs> {
    let mut next = None;
    for shard in broker.groups.shards() {
        let deadline = || shard.with(|loaded| loaded.next_deadline()).ok();
        if deadline().is_some_and(|due| due <= now) {
            // A failed append is logged where it happens, and the shard rests before its next turn.
            let _ = shard.decide(broker, |loaded, now| ((), loaded.shard.tick(now)));
        }
        next = next.into_iter().chain(deadline()).min();
    }
    next
}
