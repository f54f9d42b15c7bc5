//! `ottla.flush.before.ack`: records count as written, here and for the leader, only once they are durable. Appends ask
//! for a sync; one task syncs all partitions that asked meanwhile together, so that many share the cost of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_replication::Replica;
use ottla_broker_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hosted::HostedPartition;
use super::parallel::{SYNCS_MAX, in_parallel};
use crate::broker::Broker;
use crate::stop::until_true;

/// The partitions that wait for a sync, each once: as many as there are partitions at most.
#[derive(Clone, Default)]
pub struct SyncQueue {
    asked: Arc<Mutex<BTreeSet<TopicPartition>>>,
    wake: Arc<Notify>,
}

impl SyncQueue {
    /// Asks for a sync of `id`.
    pub fn push(&self, id: &TopicPartition) {
        let mut asked = self.asked.lock();
        if !asked.contains(id) {
            asked.insert(id.clone());
            self.wake.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut *self.asked.lock())
    }
}

/// Syncs what appends ask for, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    let queue = broker.partitions.sync_queue();
    while !*stopping.borrow() {
        tokio::select! {
            () = queue.wake.notified() => {}
            () = until_true(&mut stopping) => return,
        }
        let asked = queue.take();
        let find = |id: &TopicPartition| broker.partitions.find(&id.topic, id.partition);
        let due: Vec<Arc<HostedPartition>> = asked.iter().filter_map(find).collect();
        tokio::task::block_in_place(|| sync_all(&broker, &due));
    }
}

/// Makes what was appended to partitions durable, all of them at once.
pub fn sync_all(broker: &Broker, partitions: &[Arc<HostedPartition>]) {
    in_parallel(SYNCS_MAX, partitions, |hosted| hosted.flush(broker, Replica::begin_flush));
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ottla_broker_log::SimDisk;
    use ottla_broker_protocol::batch::Compression;

    use super::*;
    use crate::partitions::{ProduceWait, RequiredAcks};
    use crate::testing::{Rig, batch};

    #[tokio::test]
    async fn nothing_is_acknowledged_before_it_is_durable() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated_with(&disk, &[("ottla.flush.before.ack", "true")]);
        let topics = ["a", "bb", "ccc"].map(|name| rig.topic(name, &[1]));
        let now = rig.broker.clock.now();
        let mut waits = Vec::new();
        for hosted in &topics {
            let mut batch = batch(Compression::None);
            waits.push(hosted.append(now, &mut batch, RequiredAcks::All).unwrap().wait.expect("it waits"));
            let committed = hosted.read(|replica| replica.high_watermark().get());
            assert_eq!(committed, Some(0), "consumers do not see it either");
        }
        assert!(waits.iter_mut().all(|wait| wait.now_or_never().is_none()));
        let asked = rig.broker.partitions.sync_queue().take();
        assert_eq!(asked.len(), 3);
        sync_all(&rig.broker, &topics);
        for (hosted, wait) in topics.iter().zip(waits) {
            assert!(matches!(wait.now_or_never(), Some(Ok(ProduceWait::Committed))));
            let durable = hosted.read(|replica| replica.log().recovery_point().get());
            assert_eq!(durable, Some(1));
        }
    }
}
