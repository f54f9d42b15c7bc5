//! Carries ISR proposals to the active controller, many partitions to a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::alter_partition_request::{
    AlterPartitionRequest, BrokerState, PartitionData, TopicData,
};
use ottla_broker_protocol::messages::alter_partition_response::AlterPartitionResponse;
use ottla_broker_replication::{IsrDecided, IsrProposal, IsrUnchanged};
use ottla_broker_types::{LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::clock;

/// Partitions per request: a batch of the metadata log must not become long.
const PARTITIONS_PER_REQUEST_MAX: usize = 500;
/// Pause before a request is sent again that reached no controller.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How long the others' answers wait for a partition that is written to.
const BUSY_MAX: Duration = Duration::from_millis(5);

/// Proposals on their way; a partition has at most one, so the queue is bounded by the partitions hosted.
#[derive(Clone, Default)]
pub struct IsrQueue {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: Mutex<BTreeMap<TopicPartition, (TopicId, IsrProposal)>>,
    notify: Notify,
}

impl IsrQueue {
    /// Queues a proposal; it replaces an older one of the same partition.
    pub fn push(&self, partition: TopicPartition, topic_id: TopicId, proposal: IsrProposal) {
        self.inner.waiting.lock().insert(partition, (topic_id, proposal));
        self.inner.notify.notify_one();
    }

    /// Partitions with a proposal that nobody has taken yet.
    #[cfg(test)]
    pub fn waiting_count(&self) -> usize {
        self.inner.waiting.lock().len()
    }

    async fn next_batch(&self) -> Vec<(TopicPartition, TopicId, IsrProposal)> {
        loop {
            let notified = self.inner.notify.notified();
            {
                let mut waiting = self.inner.waiting.lock();
                let mut batch = Vec::new();
                while batch.len() < PARTITIONS_PER_REQUEST_MAX
                    && let Some((partition, (topic_id, proposal))) = waiting.pop_first()
                {
                    batch.push((partition, topic_id, proposal));
                }
                if !batch.is_empty() {
                    return batch;
                }
            }
            notified.await;
        }
    }
}

/// Sends proposals for as long as the broker runs.
pub async fn run(broker: Arc<Broker>) {
    let queue = broker.partitions.isr_queue();
    loop {
        let batch = queue.next_batch().await;
        send(&broker, batch).await;
    }
}

/// Sends a batch until a controller has answered it; gives up proposals that no longer apply.
async fn send(broker: &Arc<Broker>, batch: Vec<(TopicPartition, TopicId, IsrProposal)>) {
    loop {
        let Some(request) = request(broker, &batch) else {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        };
        let answered = broker.controller.alter_partition(&request).await;
        match answered {
            Ok(response) if response.error_code == 0 => {
                settle(broker, &batch, &response);
                return;
            }
            Ok(response) => {
                let code = ErrorCode::from_wire(response.error_code);
                tracing::debug!(code = code.name(), "the controller refuses ISR changes; asking again");
            }
            Err(error) => tracing::debug!(%error, "no controller takes ISR changes; asking again"),
        }
        tokio::time::sleep(clock::jittered(RETRY_PAUSE)).await;
    }
}

fn request(
    broker: &Broker,
    batch: &[(TopicPartition, TopicId, IsrProposal)],
) -> Option<AlterPartitionRequest> {
    let broker_epoch = broker.controller.broker_epoch()?;
    let view = broker.view();
    let mut topics: BTreeMap<TopicId, Vec<PartitionData>> = BTreeMap::new();
    for (partition, topic_id, proposal) in batch {
        let own = (broker.node_id, broker_epoch);
        let new_isr_with_epochs = proposal
            .registrations(own, |node| view.broker_epoch(node))
            .map(|(node, epoch)| BrokerState {
                broker_id: node.0,
                broker_epoch: epoch.map_or(-1, |epoch| epoch.0),
                ..Default::default()
            })
            .collect();
        topics.entry(*topic_id).or_default().push(PartitionData {
            partition_index: partition.partition.0,
            leader_epoch: proposal.leader_epoch.0,
            new_isr_with_epochs,
            partition_epoch: proposal.partition_epoch.0,
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(id, partitions)| TopicData {
        topic_id: id.0,
        partitions,
        ..Default::default()
    });
    Some(AlterPartitionRequest {
        broker_id: broker.node_id.0,
        broker_epoch: broker_epoch.0,
        topics: topics.collect(),
        ..Default::default()
    })
}

fn settle(
    broker: &Broker,
    batch: &[(TopicPartition, TopicId, IsrProposal)],
    response: &AlterPartitionResponse,
) {
    let mut results = BTreeMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let result = match ErrorCode::from_wire(partition.error_code) {
                ErrorCode::None => Ok(IsrDecided {
                    leader_epoch: LeaderEpoch(partition.leader_epoch),
                    partition_epoch: PartitionEpoch(partition.partition_epoch),
                    isr: partition.isr.iter().map(|node| NodeId(*node)).collect(),
                }),
                code => Err(IsrUnchanged::from(code)),
            };
            results.insert((topic.topic_id, partition.partition_index), result);
        }
    }
    let now = broker.clock.now();
    for (id, topic_id, proposal) in batch {
        let PartitionIndex(index) = id.partition;
        let result = results.remove(&(topic_id.0, index)).unwrap_or(Err(IsrUnchanged::Unknown));
        if let Some(hosted) = broker.partitions.find_life(id, *topic_id) {
            if hosted.read_within(BUSY_MAX, |_| ()).is_ok() {
                hosted.isr_decided(now, proposal, result);
                continue;
            }
            // One that the disk holds up must not keep the others' answers. It has no other proposal meanwhile.
            let proposal = proposal.clone();
            tokio::task::spawn_blocking(move || hosted.isr_decided(now, &proposal, result));
        }
    }
}
