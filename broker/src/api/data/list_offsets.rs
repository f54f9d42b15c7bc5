//! ListOffsets (key 2): offsets by timestamp, and the ends of the log.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use ottla_broker_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_broker_replication::Isolation;
use ottla_broker_types::{LeaderEpoch, PartitionIndex, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// The isolation level that sees no open transaction.
const READ_COMMITTED: i8 = 1;

/// From this version on the answer carries the record's leader epoch.
const LEADER_EPOCH_FROM_VERSION: i16 = 4;

/// KIP-734.
const MAX_TIMESTAMP_FROM_VERSION: i16 = 7;
/// KIP-405.
const EARLIEST_LOCAL_FROM_VERSION: i16 = 8;
/// KIP-1005.
const LATEST_TIERED_FROM_VERSION: i16 = 9;
/// KIP-1023.
const EARLIEST_PENDING_UPLOAD_FROM_VERSION: i16 = 11;

/// Handles a ListOffsets.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: ListOffsetsRequest<'_> = call.request()?;
    let isolation = if call.peer.session.is_broker() && request.replica_id >= 0 {
        Isolation::LogEnd
    } else if request.isolation_level == READ_COMMITTED {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    };
    let twice = named_twice(&request);
    let mut told = BTreeSet::new();
    let topics = request.topics.iter().map(|topic| {
        let name = TopicName::new(&topic.name).map_err(|_| ErrorCode::UnknownTopicOrPartition);
        // What is named twice is refused once.
        let once = topic.partitions.iter().filter(|asked| {
            let partition = (topic.name.as_ref(), asked.partition_index);
            name.is_err() || !twice.contains(&partition) || told.insert(partition)
        });
        let partitions = once.map(|asked| match &name {
            Ok(_) if twice.contains(&(&topic.name, asked.partition_index)) => {
                failed(asked.partition_index, ErrorCode::InvalidRequest)
            }
            Ok(_) if !is_known(asked.timestamp, call.version) => {
                failed(asked.partition_index, ErrorCode::UnsupportedVersion)
            }
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

/// The partitions that a request names more than once: nobody can say which of the timestamps is meant. A name that no
/// topic can have may be long, and its partitions are refused anyway.
fn named_twice<'a>(request: &'a ListOffsetsRequest<'_>) -> BTreeSet<(&'a str, i32)> {
    let mut seen = BTreeSet::new();
    let named = request
        .topics
        .iter()
        .filter(|topic| TopicName::new(&topic.name).is_ok())
        .flat_map(|topic| topic.partitions.iter().map(|asked| (&*topic.name, asked.partition_index)));
    named.filter(|partition| !seen.insert(*partition)).collect()
}

/// Whether a request of `version` may ask for `timestamp`: negative ones have a meaning of their own, some of them only
/// for newer clients.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        -1 | -2 | 0.. => true,
        -3 => version >= MAX_TIMESTAMP_FROM_VERSION,
        -4 => version >= EARLIEST_LOCAL_FROM_VERSION,
        -5 => version >= LATEST_TIERED_FROM_VERSION,
        -6 => version >= EARLIEST_PENDING_UPLOAD_FROM_VERSION,
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::batch::Compression;
    use ottla_broker_protocol::messages::list_offsets_request::ListOffsetsTopic;
    use ottla_broker_protocol::{Decode, Reader};

    use super::*;
    use crate::partitions::RequiredAcks;
    use crate::testing::{Rig, batch};

    async fn listed(rig: &Rig, timestamp: i64, version: i16) -> (ErrorCode, i64, i64) {
        let partition = ListOffsetsPartition { timestamp, current_leader_epoch: -1, ..Default::default() };
        let topic =
            ListOffsetsTopic { name: Cow::Borrowed("t"), partitions: vec![partition], ..Default::default() };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let body = rig.ask(&request, version).await.unwrap();
        let response = ListOffsetsResponse::decode(&mut Reader::new(&body), version).unwrap();
        let row = &response.topics[0].partitions[0];
        (ErrorCode::from_wire(row.error_code), row.offset, row.timestamp)
    }

    #[tokio::test]
    async fn timestamps_with_a_meaning_of_their_own_are_answered_from_their_version_on() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1]);
        hosted.append(rig.broker.clock.now(), &mut batch(Compression::None), RequiredAcks::Leader).unwrap();
        let unsupported = (ErrorCode::UnsupportedVersion, -1, -1);
        let cases = [(-1, 1, 1), (-2, 1, 0), (-3, 7, 0), (-4, 8, 0), (-5, 9, -1), (-6, 11, -1)];
        for (timestamp, from_version, offset) in cases {
            if from_version > 1 {
                assert_eq!(listed(&rig, timestamp, from_version - 1).await, unsupported, "{timestamp}");
            }
            let (code, found, _) = listed(&rig, timestamp, from_version).await;
            assert_eq!((code, found), (ErrorCode::None, offset), "{timestamp}");
        }
        assert_eq!(listed(&rig, -7, 11).await, unsupported);
    }
}
