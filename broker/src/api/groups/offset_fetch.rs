//! OffsetFetch (key 9): what groups have committed; from version 8 on for several groups, from 10 on by topic id.
//!
//! Transactional offsets do not pend here, so every offset is stable and `require_stable` asks for nothing more.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_broker_coordinator::{CommittedOffset, FetchOffsetsError, GroupEpoch, GroupShard, MemberId};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopics};
use ottla_broker_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_broker_types::{PartitionIndex, TopicName, TopicPartition, Uuid};

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::coordinators::Answered;
use crate::errors::KafkaError;
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
    /// Who asks, where it is a member of the consumer protocol.
    member: Option<(MemberId, GroupEpoch)>,
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

fn open<'r>(view: &'r View, call: &Call, request: &'r OffsetFetchRequest<'_>) -> Vec<Wanted> {
    let by_id = call.version >= TOPIC_IDS_FROM_VERSION;
    let mut naming = Naming { view, by_id, named: BTreeMap::new() };
    if call.version < BATCHED_FROM_VERSION {
        let group = &*request.group_id;
        let topics = request.topics.as_ref().map(|topics| {
            let named = topics.iter();
            named.map(|one| naming.topic(group, &one.name, Uuid::default(), &one.partition_indexes)).collect()
        });
        return vec![Wanted { group: group.to_owned(), member: None, topics }];
    }
    let mut wanted = Vec::with_capacity(request.groups.len());
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for group in &request.groups {
        let topics = group.topics.as_ref().map(|topics| {
            let named = topics.iter();
            let topic = |one: &'r OffsetFetchRequestTopics<'_>| {
                naming.topic(&group.group_id, &one.name, one.topic_id, &one.partition_indexes)
            };
            named.map(topic).collect()
        });
        // All of a group's offsets are told once, too.
        if topics.is_some() || told.insert(&group.group_id) {
            let member = group.member_id.as_deref().and_then(MemberId::new);
            let member = member.zip(GroupEpoch::from_wire(group.member_epoch));
            wanted.push(Wanted { group: group.group_id.clone().into_owned(), member, topics });
        }
    }
    wanted
}

/// Takes over the topics of a request, with each partition once.
struct Naming<'r> {
    view: &'r View,
    by_id: bool,
    /// By group, and by the topic's name and id; these may be long, and are looked up once for all their partitions.
    named: BTreeMap<(&'r str, &'r str, Uuid), BTreeSet<i32>>,
}

impl<'r> Naming<'r> {
    fn topic(&mut self, group: &'r str, name: &'r str, id: Uuid, partitions: &[i32]) -> Topic {
        // Offsets may be left of a topic that is gone; by name they are still found, and of others there are none.
        let found = match self.by_id {
            true => parts::topic(self.view, true, name, id).map(Some),
            false => Ok(TopicName::new(name).ok()),
        };
        let told = self.named.entry((group, name, id)).or_default();
        let is_new = |index: &&i32| told.insert(**index);
        let partitions = partitions.iter().filter(is_new).copied().collect();
        Topic { name: name.to_owned(), id, found, partitions }
    }
}

fn fetch(broker: &Broker, view: &View, wanted: &Wanted, by_id: bool) -> Result<Answered<Topics>, ErrorCode> {
    let group = parts::any_group(&wanted.group);
    let read = broker.groups.read(broker, &group, |shard| {
        if let Some((member, epoch)) = &wanted.member {
            shard.check_fetch(&group, member, *epoch)?;
        }
        Ok(match &wanted.topics {
            Some(topics) => topics.iter().map(|topic| named(shard, &group, topic, by_id)).collect(),
            None => all(shard, &group, view, by_id),
        })
    });
    let Answered { value, commit } = read.map_err(|why| why.code())?;
    let value = value.map_err(|error: FetchOffsetsError| error.code())?;
    Ok(Answered { value, commit })
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

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

    use super::*;
    use crate::testing::Rig;

    #[test]
    fn what_is_named_many_times_is_told_once() {
        let rig = Rig::new();
        let topic = OffsetFetchRequestTopics {
            name: Cow::Borrowed("t"),
            partition_indexes: vec![0; 1_000],
            ..Default::default()
        };
        let group = |name: &'static str, topics| OffsetFetchRequestGroup {
            group_id: Cow::Borrowed(name),
            topics,
            ..Default::default()
        };
        let groups = vec![
            group("all", None),
            group("all", None),
            group("some", Some(vec![topic.clone(), topic.clone()])),
            group("some", Some(vec![topic])),
        ];
        let request = OffsetFetchRequest { groups, ..Default::default() };
        let wanted = open(&rig.broker.view(), &rig.call(&request, 9), &request);
        let named: Vec<(&str, usize)> = wanted
            .iter()
            .map(|wanted| (&*wanted.group, wanted.topics.iter().flatten().map(|t| t.partitions.len()).sum()))
            .collect();
        assert_eq!(named, [("all", 0), ("some", 1), ("some", 0)]);
    }
}
