//! OffsetForLeaderEpoch (key 23): where an epoch ended in the leader's log (KIP-320).

use std::borrow::Cow;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use ottla_broker_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use ottla_broker_types::{LeaderEpoch, PartitionIndex, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// Handles an OffsetForLeaderEpoch.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: OffsetForLeaderEpochRequest<'_> = call.request()?;
    let topics = request.topics.iter().map(|topic| {
        let name = TopicName::new(&topic.topic).map_err(|_| ErrorCode::UnknownTopicOrPartition);
        let partitions = topic.partitions.iter().map(|asked| match &name {
            Ok(name) => answer(broker, name, asked),
            Err(code) => failed(asked.partition, *code),
        });
        OffsetForLeaderTopicResult {
            topic: Cow::Owned(topic.topic.clone().into_owned()),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let response = OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() };
    Ok(Answer::now(call.reply(&response)))
}

fn answer(broker: &Broker, topic: &TopicName, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let index = PartitionIndex(asked.partition);
    let current = LeaderEpoch::from_wire(asked.current_leader_epoch);
    let found = broker
        .partitions
        .serve(&broker.view(), topic, index)
        .and_then(|partition| partition.epoch_end(current, LeaderEpoch::from_wire(asked.leader_epoch)));
    match found {
        Ok(end) => EpochEndOffset {
            partition: index.0,
            leader_epoch: end.map_or(-1, |(epoch, _)| epoch.0),
            end_offset: end.map_or(-1, |(_, offset)| offset.get()),
            ..Default::default()
        },
        Err(code) => failed(index.0, code),
    }
}

fn failed(partition: i32, code: ErrorCode) -> EpochEndOffset {
    EpochEndOffset {
        error_code: code.code(),
        partition,
        leader_epoch: -1,
        end_offset: -1,
        ..Default::default()
    }
}
