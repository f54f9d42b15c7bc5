//! OffsetFetch (key 9): what groups have committed; from version 8 on for several groups, from 10 on by topic id.
//!
//! Transactional offsets do not pend here, so every offset is stable and `require_stable` asks for nothing more.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_coordinator::{CommittedOffset, GroupShard};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use ottla_broker_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_broker_types::{PartitionIndex, TopicName, TopicPartition, Uuid};

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::listener::Reply;
use crate::view::View;

/// From this version on the answer has a code for the whole group.
const GROUP_CODE_FROM_VERSION: i16 = 2;
/// From this version on a request names several groups.
const BATCHED_FROM_VERSION: i16 = 8;
/// From this version on topics are named by id.
const TOPIC_IDS_FROM_VERSION: i16 = 10;

/// A topic as the request names it, and what that means here.
struct Topic {
    name: String,
    id: Uuid,
    /// `None` for a name that no topic can have.
    found: Result<Option<TopicName>, ErrorCode>,
    partitions: Vec<i32>,
}

/// One group's part of the request; `None` for its topics is all.
struct Wanted {
    group: String,
    topics: Option<Vec<Topic>>,
}

type Topics = Vec<OffsetFetchResponseTopics<'static>>;

/// Handles an OffsetFetch.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: OffsetFetchRequest<'_> = call.request()?;
    let view = broker.view();
    let wanted = open(&view, &call, &request);
    let by_id = call.version >= TOPIC_IDS_FROM_VERSION;
    let found: Vec<_> = wanted.iter().map(|wanted| fetch(broker, &view, wanted, by_id)).collect();
    if found.iter().flatten().all(|found| found.commit.is_none()) {
        let found = found.into_iter().map(|found| found.map(|found| found.value)).collect();
        return Ok(Answer::now(answer(&call, wanted, found)));
    }
    Ok(call.later(|call| async move {
        let mut committed = Vec::with_capacity(found.len());
        for found in found {
            committed.push(match found {
                // Clients retry a fetch only for codes that send them to the coordinator again.
                Ok(found) => found.committed().await.map_err(|_| ErrorCode::NotCoordinator),
                Err(code) => Err(code),
            });
        }
        answer(&call, wanted, committed)
    }))
}

fn open(view: &View, call: &Call, request: &OffsetFetchRequest<'_>) -> Vec<Wanted> {
    let by_id = call.version >= TOPIC_IDS_FROM_VERSION;
    let topic = |name: &str, id: Uuid, partitions: &[i32]| {
        // Offsets may be left of a topic that is gone; by name they are still found, and of others there are none.
        let found =
            if by_id { parts::topic(view, true, name, id).map(Some) } else { Ok(TopicName::new(name).ok()) };
        Topic { name: name.to_owned(), id, found, partitions: partitions.to_vec() }
    };
    if call.version < BATCHED_FROM_VERSION {
        let topics = request.topics.as_ref().map(|topics| {
            topics.iter().map(|named| topic(&named.name, Uuid::default(), &named.partition_indexes)).collect()
        });
        return vec![Wanted { group: request.group_id.clone().into_owned(), topics }];
    }
    let groups = request.groups.iter().map(|group| Wanted {
        group: group.group_id.clone().into_owned(),
        topics: group.topics.as_ref().map(|topics| {
            topics.iter().map(|named| topic(&named.name, named.topic_id, &named.partition_indexes)).collect()
        }),
    });
    groups.collect()
}

fn fetch(broker: &Broker, view: &View, wanted: &Wanted, by_id: bool) -> Result<Answered<Topics>, ErrorCode> {
    let group = parts::any_group(&wanted.group);
    broker.groups.read(broker, &group, |shard| match &wanted.topics {
        Some(topics) => topics.iter().map(|topic| named(shard, &group, topic, by_id)).collect(),
        None => all(shard, &group, view, by_id),
    })
}

fn named(
    shard: &GroupShard,
    group: &ottla_broker_coordinator::GroupId,
    topic: &Topic,
    by_id: bool,
) -> OffsetFetchResponseTopics<'static> {
    let partitions = topic.partitions.iter().map(|index| match &topic.found {
        Ok(None) => row(*index, None, ErrorCode::None),
        Ok(Some(name)) => {
            let at = TopicPartition { topic: name.clone(), partition: PartitionIndex(*index) };
            row(*index, shard.committed(group, &at), ErrorCode::None)
        }
        Err(code) => row(*index, None, *code),
    });
    OffsetFetchResponseTopics {
        name: if by_id { Cow::Borrowed("") } else { Cow::Owned(topic.name.clone()) },
        topic_id: topic.id,
        partitions: partitions.collect(),
    }
}

fn all(shard: &GroupShard, group: &ottla_broker_coordinator::GroupId, view: &View, by_id: bool) -> Topics {
    let mut by_topic: BTreeMap<&TopicName, Vec<_>> = BTreeMap::new();
    for (at, offset) in shard.all_committed(group) {
        let rows = by_topic.entry(&at.topic).or_default();
        rows.push(row(at.partition.0, Some(offset), ErrorCode::None));
    }
    let topics = by_topic.into_iter().filter_map(|(name, partitions)| {
        let id = if by_id { Uuid(view.topic(name.as_str())?.id.to_wire()) } else { Uuid::default() };
        let name = if by_id { Cow::Borrowed("") } else { Cow::Owned(name.as_str().to_owned()) };
        Some(OffsetFetchResponseTopics { name, topic_id: id, partitions })
    });
    topics.collect()
}

fn row(
    index: i32,
    offset: Option<&CommittedOffset>,
    code: ErrorCode,
) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: offset.map_or(-1, |offset| offset.offset.0),
        committed_leader_epoch: offset.and_then(|offset| offset.leader_epoch).map_or(-1, |epoch| epoch.0),
        metadata: Some(offset.map_or(Cow::Borrowed(""), |offset| Cow::Owned(offset.metadata.to_string()))),
        error_code: code.code(),
    }
}

fn answer(call: &Call, wanted: Vec<Wanted>, found: Vec<Result<Topics, ErrorCode>>) -> Reply {
    if call.version >= BATCHED_FROM_VERSION {
        let groups = wanted.into_iter().zip(found).map(|(wanted, found)| {
            let code = found.as_ref().err().copied().unwrap_or_default();
            OffsetFetchResponseGroup {
                group_id: Cow::Owned(wanted.group),
                topics: found.unwrap_or_default(),
                error_code: code.code(),
            }
        });
        return call.reply(&OffsetFetchResponse { groups: groups.collect(), ..Default::default() });
    }
    let Some((wanted, found)) = wanted.into_iter().zip(found).next() else {
        return Reply::Close("no group was given");
    };
    let (topics, code) = match found {
        Ok(topics) => (topics, ErrorCode::None),
        // The oldest answer has codes for partitions only.
        Err(code) if call.version < GROUP_CODE_FROM_VERSION => (refused(&wanted, code), ErrorCode::None),
        Err(code) => (Vec::new(), code),
    };
    call.reply(&OffsetFetchResponse {
        topics: topics.into_iter().map(single).collect(),
        error_code: code.code(),
        ..Default::default()
    })
}

fn refused(wanted: &Wanted, code: ErrorCode) -> Topics {
    let topics = wanted.topics.iter().flatten().map(|topic| OffsetFetchResponseTopics {
        name: Cow::Owned(topic.name.clone()),
        topic_id: topic.id,
        partitions: topic.partitions.iter().map(|index| row(*index, None, code)).collect(),
    });
    topics.collect()
}

/// A topic as versions up to 7 have it.
fn single(topic: OffsetFetchResponseTopics<'static>) -> OffsetFetchResponseTopic<'static> {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}
