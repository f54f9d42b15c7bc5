//! ListOffsets (key 2): offsets by timestamp, and the ends of the log.

use std::borrow::Cow;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use ottla_broker_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_broker_replication::Isolation;
use ottla_broker_types::{LeaderEpoch, PartitionIndex, TopicName};

use super::call::Call;
use super::{Answer, Malformed};
use crate::broker::Broker;

/// The isolation level that sees no open transaction.
const READ_COMMITTED: i8 = 1;

/// From this version on the answer carries the record's leader epoch.
const LEADER_EPOCH_FROM_VERSION: i16 = 4;

/// Handles a ListOffsets.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: ListOffsetsRequest<'_> = call.request()?;
    let isolation = if call.peer.internal && request.replica_id >= 0 {
        Isolation::LogEnd
    } else if request.isolation_level == READ_COMMITTED {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let topics = request.topics.iter().map(|topic| {
        let name = TopicName::new(&topic.name).map_err(|_| ErrorCode::InvalidTopicException);
        let partitions = topic.partitions.iter().map(|asked| match &name {
            Ok(name) => answer(broker, name, asked, isolation),
            Err(code) => failed(asked.partition_index, *code),
        });
        ListOffsetsTopicResponse {
            name: Cow::Owned(topic.name.clone().into_owned()),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let mut response = ListOffsetsResponse { topics: topics.collect(), ..Default::default() };
    if call.version < LEADER_EPOCH_FROM_VERSION {
        let rows = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        rows.for_each(|row| row.leader_epoch = -1);
    }
    Ok(Answer::now(call.reply(&response)))
}

fn answer(
    broker: &Broker,
    topic: &TopicName,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    let index = PartitionIndex(asked.partition_index);
    let found = broker.partitions.serve(&broker.view(), topic, index).and_then(|partition| {
        partition.list_offset(asked.timestamp, LeaderEpoch::from_wire(asked.current_leader_epoch), isolation)
    });
    match found {
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index: index.0,
            timestamp: found.as_ref().and_then(|at| at.timestamp).map_or(-1, |time| time.0),
            offset: found.as_ref().map_or(-1, |at| at.offset.get()),
            leader_epoch: found.as_ref().and_then(|at| at.leader_epoch).map_or(-1, |epoch| epoch.0),
            ..Default::default()
        },
        Err(code) => failed(index.0, code),
    }
}

fn failed(partition_index: i32, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        timestamp: -1,
        offset: -1,
        ..Default::default()
    }
}
