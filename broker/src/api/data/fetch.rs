//! Fetch (key 1): file ranges out of the logs, to consumers up to the high watermark and to followers up to the
//! log end. Here is what is on the wire; which partitions are read, and how long a fetch waits, is in `fetch/`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_node::{FetchTarget, Reader, SessionError, TopicRef, Unnamable};
use ottla_broker_protocol::messages::fetch_request::FetchRequest;
use ottla_broker_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use ottla_broker_protocol::{ErrorCode, Records, Segment};
use ottla_broker_types::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId, TopicName, Uuid,
};

use super::old_clients;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::fetch::{self, Fetching, Part, SessionRequest};
use crate::partitions::FetchRead;

/// The longest a long poll may wait, whatever the client asks.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The isolation level that sees no open transaction.
const READ_COMMITTED: i8 = 1;
/// What clients cannot read that do not know zstd.
const CUT: fn(&mut FetchRead) -> bool = old_clients::cut_before_zstd;
/// From this version on an answer names the leader that the client should ask (KIP-951).
const LEADER_NAMED_FROM_VERSION: i16 = 16;

/// Handles a Fetch.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: FetchRequest<'_> = call.request()?;
    let reader = match reader(&call, &request) {
        Ok(reader) => reader,
        Err(refused) => return Ok(Answer::close(refused)),
    };
    let session = session_request(&request, &call);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let bytes_max =
        usize::try_from(request.max_bytes).unwrap_or(0).min(broker.config.fetch.response_bytes_max as usize);
    // More than the answer may have would be waited for in vain. A follower without space asks for nothing, and waits.
    let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max.max(1));
    let now = broker.clock.now();
    let plan = match fetch::begin(&broker.fetch_sessions, &broker.session_memory, now.mono, reader, session) {
        Ok(plan) => plan,
        Err(error) => return Ok(Answer::now(call.reply(&session_failed(error)))),
    };
    let read_committed = request.isolation_level == READ_COMMITTED;
    let cut = (call.version < old_clients::ZSTD_FROM_FETCH_VERSION).then_some(CUT);
    let fetching = Arc::new(Fetching { reader, wait, bytes_min, bytes_max, plan, cut, read_committed });
    let parts = fetch::read_all(broker, &fetching);
    if fetching.wait.is_zero() || fetch::is_enough(&fetching, &parts) {
        return Ok(Answer::now(call.reply(&response(broker, &call, &fetching, parts))));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        let parts = fetch::wait_for_records(&broker, &fetching, parts).await;
        call.reply(&response(&broker, &call, &fetching, parts))
    }))
}

/// Who fetches. On the client listener nobody may claim to be a replica (CVE-2018-1288).
fn reader(call: &Call, request: &FetchRequest<'_>) -> Result<Reader, &'static str> {
    let (replica, epoch) = if call.version >= 15 {
        (request.replica_state.replica_id, request.replica_state.replica_epoch)
    } else {
        (request.replica_id, -1)
    };
    match NodeId::from_wire(replica) {
        None => Ok(Reader::Client),
        Some(node) if call.peer.session.is_broker() => {
            Ok(Reader::Follower { node, epoch: BrokerEpoch::from_wire(epoch) })
        }
        Some(_) => Err("a client's fetch claims a replica id"),
    }
}

fn session_request(request: &FetchRequest<'_>, call: &Call) -> SessionRequest {
    let topic_ref = |name: &str, id: Uuid| -> TopicRef {
        if call.version >= 13 {
            return TopicRef::Id(TopicId::from_wire(id.0).unwrap_or_default());
        }
        TopicName::new(name).map_or_else(|_| TopicRef::Unnamable(Unnamable(name.into())), TopicRef::Name)
    };
    let mut targets = Vec::new();
    let mut places = BTreeMap::new();
    for topic in &request.topics {
        let reference = topic_ref(&topic.topic, topic.topic_id);
        for partition in &topic.partitions {
            let target = FetchTarget {
                topic: reference.clone(),
                partition: PartitionIndex(partition.partition),
                fetch_offset: partition.fetch_offset,
                current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
                log_start: Offset::new(partition.log_start_offset),
                bytes_max: partition.partition_max_bytes,
            };
            // As in Kafka, what is said last of a partition counts.
            match places.entry((reference.clone(), partition.partition)) {
                Entry::Vacant(place) => {
                    place.insert(targets.len());
                    targets.push(target);
                }
                Entry::Occupied(place) => targets[*place.get()] = target,
            }
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let reference = topic_ref(&topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|index| (reference.clone(), PartitionIndex(*index))));
    }
    SessionRequest {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        targets,
        forgotten,
        client: (!call.peer.session.is_broker()).then(|| call.peer.address.ip()),
    }
}

fn session_failed(error: SessionError) -> FetchResponse<'static> {
    let code = match error {
        SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::MixedTopicNaming => ErrorCode::FetchSessionTopicIdError,
    };
    FetchResponse { error_code: code.code(), ..FetchResponse::default() }
}

fn response(broker: &Broker, call: &Call, fetching: &Fetching, parts: Vec<Part>) -> FetchResponse<'static> {
    let mut topics: BTreeMap<TopicRef, Vec<PartitionData<'static>>> = BTreeMap::new();
    let mut order: Vec<TopicRef> = Vec::new();
    let mut endpoints = Vec::new();
    let view = broker.view();
    for part in fetch::answered(&fetching.plan, parts) {
        let topic = part.target.topic.clone();
        let mut data = partition_data(fetching, part);
        let is_elsewhere = data.error_code == ErrorCode::NotLeaderOrFollower.code()
            || data.error_code == ErrorCode::FencedLeaderEpoch.code();
        if is_elsewhere && call.version >= LEADER_NAMED_FROM_VERSION {
            let name = match &topic {
                TopicRef::Id(id) => view.topic_name(*id),
                TopicRef::Name(name) => Some(name.clone()),
                TopicRef::Unnamable(_) => None,
            };
            let index = PartitionIndex(data.partition_index);
            if let Some((leader, epoch)) = name.and_then(|name| view.leader_of(&name, index)) {
                data.current_leader = LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0 };
                endpoints.extend(view.endpoint(leader, &call.peer.session.listener));
            }
        }
        if !topics.contains_key(&topic) {
            order.push(topic.clone());
        }
        topics.entry(topic).or_default().push(data);
    }
    endpoints.sort_by_key(|endpoint| endpoint.node);
    endpoints.dedup_by_key(|endpoint| endpoint.node);
    let responses = order.into_iter().filter_map(|topic| {
        let partitions = topics.remove(&topic)?;
        let (name, topic_id) = match topic {
            TopicRef::Id(id) => (String::new(), id.0),
            TopicRef::Name(name) => (name.as_str().to_owned(), Uuid::ZERO),
            TopicRef::Unnamable(name) => (name.0.as_ref().to_owned(), Uuid::ZERO),
        };
        Some(FetchableTopicResponse { topic: Cow::Owned(name), topic_id, partitions, ..Default::default() })
    });
    let node_endpoints = endpoints.into_iter().map(|endpoint| NodeEndpoint {
        node_id: endpoint.node.0,
        host: Cow::Owned(endpoint.host),
        port: endpoint.port,
        rack: endpoint.rack.map(Cow::Owned),
    });
    FetchResponse {
        session_id: fetching.plan.session_id,
        responses: responses.collect(),
        node_endpoints: node_endpoints.collect(),
        ..FetchResponse::default()
    }
}

fn partition_data(fetching: &Fetching, part: Part) -> PartitionData<'static> {
    let index = part.target.partition.0;
    match part.result {
        Err(failure) => {
            if let Some(partition) = &part.partition {
                partition.count_failed_fetch();
            }
            PartitionData {
                partition_index: index,
                error_code: failure.code.code(),
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                records: Some(Records::Segments(Vec::new())),
                // What was not even found has an empty list, what was not read none, as in Kafka.
                aborted_transactions: part.partition.is_none().then(Vec::new),
                ..PartitionData::default()
            }
        }
        Ok(read) => {
            if let Some(partition) = &part.partition {
                partition.count_fetched(fetching.reader, read.bytes);
            }
            let segments: Vec<Segment> = read.segments;
            let diverging_epoch = read.diverging.map_or_else(EpochEndOffset::default, |(epoch, end)| {
                EpochEndOffset { epoch: epoch.0, end_offset: end.get() }
            });
            PartitionData {
                partition_index: index,
                high_watermark: read.high_watermark.get(),
                last_stable_offset: read.last_stable_offset.get(),
                log_start_offset: read.log_start.get(),
                diverging_epoch,
                aborted_transactions: fetching.read_committed.then(|| aborted(read.aborted)),
                preferred_read_replica: -1,
                records: Some(Records::Segments(segments)),
                ..PartitionData::default()
            }
        }
    }
}

/// As the protocol has them: in the order in which they began.
fn aborted(mut transactions: Vec<ottla_broker_log::AbortedTransaction>) -> Vec<AbortedTransaction> {
    transactions.sort_by_key(|aborted| aborted.first_offset);
    let row = |aborted: ottla_broker_log::AbortedTransaction| AbortedTransaction {
        producer_id: aborted.producer_id.get(),
        first_offset: aborted.first_offset.get(),
        ..Default::default()
    };
    transactions.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
