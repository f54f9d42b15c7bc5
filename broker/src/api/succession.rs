//! Answers that name leaders, while one of these may be dead.
//!
//! A client asks within a millisecond of its leader's end, and is patient in its own way afterwards: librdkafka asks
//! again after a quarter of a second or a whole one. The next leader is there sooner, so the answer waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_broker_metadata::{Partition, Topic};
use ottla_broker_types::{DurationMs, MonotonicMs, NodeId};

use crate::broker::Broker;
use crate::listener::PeerInfo;
use crate::view::View;

/// How long after the first sign of a leader's end answers wait for the next one; later ones say that there is none. An
/// election takes a fraction of it. What follows on the same connection waits too, so a client loses no more than this
/// for each broker that ends.
const WAIT_MAX: DurationMs = DurationMs(250);
/// A process that ends closes its files and connections one after the other, over some milliseconds, more on a busy
/// machine. A client that asks because of the first one is answered after the last.
const SETTLE: Duration = Duration::from_millis(20);
/// A connection that is younger belongs to a client that begins: it has lost no leader, and is answered at once.
const BEGINS: DurationMs = DurationMs(1_000);

/// Whether a client may be asking because it has lost a leader.
pub fn may_ask_again(broker: &Broker, peer: &PeerInfo) -> bool {
    broker.clock.now().mono.since(peer.accepted) >= BEGINS
}

/// Whether an answer about these topics names leaders on other brokers that others could replace.
pub fn depends_on_others<'v>(broker: &Broker, view: &View, topics: impl Iterator<Item = &'v Topic>) -> bool {
    replaceable(broker, view, topics).next().is_some()
}

/// Waits while a leader of these topics may be dead and the next one is not there yet, for [`WAIT_MAX`] at most.
pub async fn await_leaders(broker: &Broker, topics: impl Fn(&View) -> Vec<&Topic>) {
    tokio::time::sleep(SETTLE).await;
    loop {
        let view = broker.view();
        let leaders: BTreeSet<NodeId> = replaceable(broker, &view, topics(&view).into_iter()).collect();
        let now = broker.clock.now().mono;
        let Some(until) =
            awaited_until(now, leaders.into_iter().filter_map(|id| broker.peers.suspected_since(id)))
        else {
            return;
        };
        let changed = broker.served.wait_applied(view.applied_end().next());
        let _ = tokio::time::timeout(Duration::from_millis(until.since(now).0), changed).await;
    }
}

/// Until when an answer waits whose leaders are suspected since these times.
fn awaited_until(now: MonotonicMs, suspected: impl Iterator<Item = MonotonicMs>) -> Option<MonotonicMs> {
    suspected.map(|since| since.plus(WAIT_MAX)).filter(|end| *end > now).max()
}

/// The leaders on other brokers that somebody else could replace, once for each partition.
fn replaceable<'v>(
    broker: &Broker,
    view: &View,
    topics: impl Iterator<Item = &'v Topic>,
) -> impl Iterator<Item = NodeId> {
    let partitions = topics.flat_map(|topic| topic.partitions.values());
    let leaders =
        partitions.filter_map(|partition| partition.leader.filter(|id| has_successor(view, partition, *id)));
    leaders.filter(|leader| *leader != broker.node_id)
}

fn has_successor(view: &View, partition: &Partition, leader: NodeId) -> bool {
    partition.isr.iter().any(|member| *member != leader && view.is_active(*member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_for_the_last_of_its_leaders_and_no_longer_than_its_patience() {
        let at = |ms: &[u64]| awaited_until(MonotonicMs(1_000), ms.iter().copied().map(MonotonicMs));
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[1_000 - WAIT_MAX.0]), None);
        assert_eq!(at(&[700, 900, 990]), Some(MonotonicMs(990 + WAIT_MAX.0)));
    }
}
