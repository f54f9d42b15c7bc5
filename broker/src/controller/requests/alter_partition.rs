//! AlterPartition (key 56, KIP-497): a leader's ISR changes, decided by the controller. Between brokers only.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, AlterPartitionItem, AlterPartitionResult};
use ottla_broker_metadata::record::LeaderRecoveryState;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::alter_partition_request::{
    AlterPartitionRequest, PartitionData as AskedPartition,
};
use ottla_broker_protocol::messages::alter_partition_response::{
    AlterPartitionResponse, PartitionData, TopicData,
};
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, Uuid};

use crate::controller::Active;
use crate::errors::KafkaError;

/// Decides, if this node is the active controller.
pub async fn decide(active: &Arc<Active>, request: &AlterPartitionRequest) -> AlterPartitionResponse {
    let refused = |code: ErrorCode| AlterPartitionResponse { error_code: code.code(), ..Default::default() };
    let (Some(node), Some(epoch)) =
        (NodeId::from_wire(request.broker_id), BrokerEpoch::from_wire(request.broker_epoch))
    else {
        return refused(ErrorCode::InvalidRequest);
    };
    let items = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| item(TopicId(topic.topic_id), partition)));
    let asked = controller::AlterPartitionRequest { broker: node, epoch, items: items.collect() };
    match active.decide_ahead(|context, _, _| controller::alter_partition(context, &asked)).await {
        Err(_) => refused(ErrorCode::NotController),
        Ok(Err(error)) => refused(error.code()),
        Ok(Ok(decided)) => response(&decided.reply),
    }
}

fn item(topic: TopicId, asked: &AskedPartition) -> AlterPartitionItem {
    let members = asked.new_isr_with_epochs.iter();
    AlterPartitionItem {
        topic,
        partition: PartitionIndex(asked.partition_index),
        leader_epoch: LeaderEpoch(asked.leader_epoch),
        partition_epoch: PartitionEpoch(asked.partition_epoch),
        isr: members
            .map(|member| (NodeId(member.broker_id), BrokerEpoch::from_wire(member.broker_epoch)))
            .collect(),
        recovery: LeaderRecoveryState::Recovered,
    }
}

fn response(results: &[AlterPartitionResult]) -> AlterPartitionResponse {
    let mut topics: BTreeMap<Uuid, Vec<PartitionData>> = BTreeMap::new();
    for result in results {
        let row = match &result.outcome {
            Ok(altered) => PartitionData {
                partition_index: result.partition.0,
                leader_id: altered.leader.map_or(-1, |leader| leader.0),
                leader_epoch: altered.leader_epoch.0,
                isr: altered.isr.iter().map(|node| node.0).collect(),
                leader_recovery_state: 0,
                partition_epoch: altered.partition_epoch.0,
                ..Default::default()
            },
            Err(error) => PartitionData {
                partition_index: result.partition.0,
                error_code: error.code().code(),
                ..Default::default()
            },
        };
        topics.entry(result.topic.0).or_default().push(row);
    }
    let topics = topics.into_iter();
    let topics =
        topics.map(|(topic_id, partitions)| TopicData { topic_id, partitions, ..Default::default() });
    AlterPartitionResponse { topics: topics.collect(), ..Default::default() }
}
