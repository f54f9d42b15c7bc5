//! Fetch (key 1): file ranges out of the logs, to consumers up to the high watermark and to followers up to the
//! log end; waits for `min_bytes` armed before reading, so that no append between the two is missed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_node::{FetchTarget, SessionError, SessionPlan, SessionRequest, TopicRef};
use ottla_broker_protocol::messages::fetch_request::FetchRequest;
use ottla_broker_protocol::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use ottla_broker_protocol::{ErrorCode, Records, Segment};
use ottla_broker_types::{
    BrokerEpoch, LeaderEpoch, NodeId, Now, Offset, PartitionIndex, TopicId, TopicName, Uuid,
};

use super::old_clients;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::partitions::{FetchRead, FetchWaiter, Fetcher, HostedPartition, ReadLimits};
use crate::view::View;

/// The longest a long poll may wait, whatever the client asks.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The isolation level that sees no open transaction.
const READ_COMMITTED: i8 = 1;
/// From this version on an answer names the leader that the client should ask (KIP-951).
const LEADER_NAMED_FROM_VERSION: i16 = 16;

/// A request after decoding; owns everything, since it may wait.
struct Fetching {
    fetcher: Fetcher,
    wait: Duration,
    bytes_min: usize,
    bytes_max: usize,
    plan: SessionPlan,
    /// Whether the client knows zstd.
    reads_zstd: bool,
    /// Whether the client wants to know of transactions that were aborted.
    read_committed: bool,
}

/// One partition's part of the answer.
struct Part {
    target: FetchTarget,
    partition: Option<Arc<HostedPartition>>,
    result: Result<FetchRead, ErrorCode>,
}

impl Part {
    fn has_records(&self) -> bool {
        self.result.as_ref().is_ok_and(|read| read.bytes > 0)
    }

    /// Forgets where the records are, but not how many: a fetch that waits must not keep deleted files on the disk.
    fn let_files_go(&mut self) {
        if let Ok(read) = &mut self.result {
            read.segments = Vec::new();
        }
    }
}

/// Handles a Fetch.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: FetchRequest<'_> = call.request()?;
    let fetcher = match fetcher(&call, &request) {
        Ok(fetcher) => fetcher,
        Err(refused) => return Ok(Answer::close(refused)),
    };
    let session = session_request(&request, call.version);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0);
    let bytes_max =
        usize::try_from(request.max_bytes).unwrap_or(0).min(broker.config.fetch.response_bytes_max as usize);
    let now = broker.clock.now();
    let plan = match broker.fetch_sessions.lock().begin(now.mono, session) {
        Ok(plan) => plan,
        Err(error) => return Ok(Answer::now(call.reply(&session_failed(error)))),
    };
    let read_committed = request.isolation_level == READ_COMMITTED;
    let reads_zstd = call.version >= old_clients::ZSTD_FROM_FETCH_VERSION;
    let fetching =
        Arc::new(Fetching { fetcher, wait, bytes_min, bytes_max, plan, reads_zstd, read_committed });
    let waiter = Arc::new(FetchWaiter::default());
    let parts = read_all(broker, &fetching, (!fetching.wait.is_zero()).then_some(&waiter));
    if fetching.wait.is_zero() || is_enough(&fetching, &parts) {
        return Ok(Answer::now(call.reply(&response(broker, &call, &fetching, parts))));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        let parts = wait_for_records(&broker, &fetching, &waiter, parts).await;
        call.reply(&response(&broker, &call, &fetching, parts))
    }))
}

/// Who fetches. On the client listener nobody may claim to be a replica (CVE-2018-1288).
fn fetcher(call: &Call, request: &FetchRequest<'_>) -> Result<Fetcher, &'static str> {
    let (replica, epoch) = if call.version >= 15 {
        (request.replica_state.replica_id, request.replica_state.replica_epoch)
    } else {
        (request.replica_id, -1)
    };
    match NodeId::from_wire(replica) {
        None => Ok(Fetcher::Consumer),
        Some(node) if call.peer.internal => {
            Ok(Fetcher::Follower { node, epoch: BrokerEpoch::from_wire(epoch) })
        }
        Some(_) => Err("a client's fetch claims a replica id"),
    }
}

fn session_request(request: &FetchRequest<'_>, version: i16) -> SessionRequest {
    let topic_ref = |name: &str, id: Uuid| -> TopicRef {
        if version >= 13 {
            return TopicRef::Id(TopicId::from_wire(id.0).unwrap_or_default());
        }
        TopicName::new(name).map_or_else(|_| TopicRef::Unnamable(name.into()), TopicRef::Name)
    };
    let mut targets = Vec::new();
    for topic in &request.topics {
        let reference = topic_ref(&topic.topic, topic.topic_id);
        targets.extend(topic.partitions.iter().map(|partition| FetchTarget {
            topic: reference.clone(),
            partition: PartitionIndex(partition.partition),
            fetch_offset: partition.fetch_offset,
            current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
            log_start: Offset::new(partition.log_start_offset),
            bytes_max: partition.partition_max_bytes,
        }));
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

/// Reads for one answer, as long as it has room.
struct Reading<'a> {
    broker: &'a Broker,
    fetching: &'a Fetching,
    view: Arc<View>,
    now: Now,
    room: usize,
    any_records: bool,
}

impl<'a> Reading<'a> {
    fn new(broker: &'a Broker, fetching: &'a Fetching) -> Reading<'a> {
        Reading {
            broker,
            fetching,
            view: broker.view(),
            now: broker.clock.now(),
            room: fetching.bytes_max,
            any_records: false,
        }
    }

    /// Reads the target at `place`; arms `waiter` before.
    fn read(&mut self, place: usize, waiter: Option<&Arc<FetchWaiter>>) -> Part {
        let target = &self.fetching.plan.targets[place];
        let found = match &target.topic {
            TopicRef::Id(id) => self.view.topic_name(*id).ok_or(ErrorCode::UnknownTopicId),
            TopicRef::Name(name) => Ok(name.clone()),
            TopicRef::Unnamable(_) => Err(ErrorCode::UnknownTopicOrPartition),
        };
        let hosted = found.and_then(|name| self.broker.partitions.serve(&self.view, &name, target.partition));
        let (partition, result) = match hosted {
            Ok(partition) => {
                if let Some(waiter) = waiter {
                    partition.arm_fetch(waiter, place, self.fetching.fetcher);
                }
                let bytes_max = usize::try_from(target.bytes_max).unwrap_or(0).min(self.room);
                let limits = ReadLimits { bytes_max, at_least_one: !self.any_records };
                let is_eligible = |node, epoch| self.broker.view().is_isr_eligible(node, epoch);
                let read = partition.fetch(self.now, self.fetching.fetcher, target, limits, is_eligible);
                (Some(partition), read.and_then(|read| self.readable(read)))
            }
            Err(code) => (None, Err(code)),
        };
        if let Ok(read) = &result {
            self.any_records |= read.bytes > 0;
            self.room = self.room.saturating_sub(read.bytes);
        }
        Part { target: target.clone(), partition, result }
    }

    /// What the client can read of it.
    fn readable(&self, mut read: FetchRead) -> Result<FetchRead, ErrorCode> {
        if self.fetching.reads_zstd || old_clients::cut_before_zstd(&mut read) {
            return Ok(read);
        }
        Err(ErrorCode::UnsupportedCompressionType)
    }
}

/// Reads every target once.
fn read_all(broker: &Broker, fetching: &Fetching, waiter: Option<&Arc<FetchWaiter>>) -> Vec<Part> {
    let mut reading = Reading::new(broker, fetching);
    (0..fetching.plan.targets.len()).map(|place| reading.read(place, waiter)).collect()
}

/// Reads those targets again of which something new or something else may be there: the moved ones, which must be armed
/// again, and those with records, whose share of the answer may be another by now. The others are as they were, and
/// armed.
fn read_again(
    broker: &Broker,
    fetching: &Fetching,
    parts: &mut [Part],
    moved: &BTreeSet<usize>,
    waiter: Option<&Arc<FetchWaiter>>,
) {
    let mut reading = Reading::new(broker, fetching);
    for (place, part) in parts.iter_mut().enumerate() {
        let has_moved = moved.contains(&place);
        if has_moved || part.has_records() {
            *part = reading.read(place, waiter.filter(|_| has_moved));
        }
    }
}

/// Whether an answer is due now: enough bytes, or something the fetcher must hear at once.
fn is_enough(fetching: &Fetching, parts: &[Part]) -> bool {
    let mut bytes = 0;
    for part in parts {
        match &part.result {
            Err(_) => return true,
            Ok(read) if read.diverging.is_some() => return true,
            Ok(read) if fetching.fetcher.is_follower() && is_behind(&part.target, read) => return true,
            Ok(read) => bytes += read.bytes,
        }
    }
    bytes >= fetching.bytes_min || fetching.plan.targets.is_empty()
}

/// Whether the follower's log begins before the leader's: it deletes as soon as it hears of that, and somebody may
/// wait for it (DeleteRecords).
fn is_behind(target: &FetchTarget, read: &FetchRead) -> bool {
    target.log_start.is_some_and(|theirs| theirs < read.log_start)
}

/// Waits until `parts` are an answer, which is at the latest when the time is over.
async fn wait_for_records(
    broker: &Arc<Broker>,
    fetching: &Arc<Fetching>,
    waiter: &Arc<FetchWaiter>,
    mut parts: Vec<Part>,
) -> Vec<Part> {
    let mut deadline = Box::pin(tokio::time::sleep(fetching.wait));
    loop {
        parts.iter_mut().for_each(Part::let_files_go);
        let timed_out = tokio::select! {
            biased;
            () = waiter.woken() => false,
            () = &mut deadline => true,
        };
        let moved = waiter.take_moved();
        let (reading, fetched, again) = (Arc::clone(broker), Arc::clone(fetching), Arc::clone(waiter));
        let read = move || {
            read_again(&reading, &fetched, &mut parts, &moved, (!timed_out).then_some(&again));
            parts
        };
        parts = broker.disk.run(false, read).await;
        if timed_out || is_enough(fetching, &parts) {
            return parts;
        }
    }
}

fn response(broker: &Broker, call: &Call, fetching: &Fetching, parts: Vec<Part>) -> FetchResponse<'static> {
    let mut topics: BTreeMap<TopicRef, Vec<PartitionData<'static>>> = BTreeMap::new();
    let mut order: Vec<TopicRef> = Vec::new();
    let mut endpoints = Vec::new();
    let view = broker.view();
    for part in parts {
        if !must_answer(broker, fetching, &part) {
            continue;
        }
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
                endpoints.extend(view.endpoint(leader, &call.peer.listener));
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
            TopicRef::Unnamable(name) => (name.as_ref().to_owned(), Uuid::ZERO),
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

/// Whether the answer names this partition; an incremental one leaves out what has not changed.
fn must_answer(broker: &Broker, fetching: &Fetching, part: &Part) -> bool {
    let session_id = fetching.plan.session_id;
    if session_id == 0 {
        return true;
    }
    let mut sessions = broker.fetch_sessions.lock();
    match &part.result {
        Ok(read) => {
            let has_records = read.bytes > 0;
            let news = sessions.must_tell(
                session_id,
                &part.target,
                read.high_watermark.get(),
                read.log_start.get(),
                has_records,
            );
            news || read.diverging.is_some() || !fetching.plan.incremental
        }
        Err(_) => {
            sessions.told_error(session_id, &part.target);
            true
        }
    }
}

fn partition_data(fetching: &Fetching, part: Part) -> PartitionData<'static> {
    let index = part.target.partition.0;
    match part.result {
        Err(code) => {
            if let Some(partition) = &part.partition {
                partition.count_failed_fetch();
            }
            PartitionData {
                partition_index: index,
                error_code: code.code(),
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
                partition.count_fetched(fetching.fetcher, read.bytes);
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
                aborted_transactions: fetching.read_committed.then(Vec::new),
                preferred_read_replica: -1,
                records: Some(Records::Segments(segments)),
                ..PartitionData::default()
            }
        }
    }
}

#[cfg(test)]
mod tests;
