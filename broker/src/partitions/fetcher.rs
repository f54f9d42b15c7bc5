//! Fetches from leaders: one task and one connection per leader broker, full requests of all partitions that
//! follow it. The task lives as long as a partition here follows that leader.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ReplicaState,
};
use ottla_broker_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_broker_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_broker_protocol::messages::list_offsets_response::ListOffsetsResponse;
use ottla_broker_replication::{EpochEnd, FetchPosition, FollowerFetched, FollowerStep, LeaderOffsets};
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hosted::HostedPartition;
use super::sync::sync_all;
use crate::broker::Broker;
use crate::clock;
use crate::disk_access::LARGE_BYTES;
use crate::peers::{self, PeerConnection};
use crate::stop::until_true;

/// The versions between brokers: topics by id, and the follower's registration in each request.
const FETCH_VERSIONS: RangeInclusive<i16> = 17..=17;
/// The versions between brokers for the range of the leader's log.
const LIST_OFFSETS_VERSIONS: RangeInclusive<i16> = 7..=7;
/// How long a leader may say nothing beyond the longest wait that it is asked for, before its connection is given up.
const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// Pause after a leader could not be reached or is not ready; a new leader needs about as long to know of it.
const BACK_OFF: Duration = Duration::from_millis(20);
/// How long a partition without a leader to fetch from waits for new metadata before it asks anyway.
const AWAIT_METADATA: Duration = Duration::from_millis(500);

/// Which partitions fetch from which leader.
#[derive(Default)]
pub struct Fetchers {
    leaders: Mutex<BTreeMap<NodeId, Arc<Group>>>,
}

/// The partitions that follow one leader.
#[derive(Default)]
struct Group {
    members: Mutex<BTreeMap<(TopicId, PartitionIndex), Arc<HostedPartition>>>,
    changed: Notify,
}

impl Fetchers {
    /// Makes `partition` fetch from `leader`, or from nobody.
    pub fn follow(&self, broker: &Arc<Broker>, partition: &Arc<HostedPartition>, leader: Option<NodeId>) {
        let key = (partition.topic_id, partition.id.partition);
        let mut leaders = self.leaders.lock();
        for (node, group) in leaders.iter() {
            if Some(*node) != leader && group.members.lock().remove(&key).is_some() {
                group.changed.notify_one();
            }
        }
        let Some(leader) = leader else { return };
        let group = leaders.entry(leader).or_insert_with(|| {
            let group = Arc::new(Group::default());
            broker.data.spawn(run(Arc::clone(broker), leader, Arc::clone(&group)));
            group
        });
        group.members.lock().insert(key, Arc::clone(partition));
        group.changed.notify_one();
    }
}

/// Fetches from `leader` until the broker stops.
async fn run(broker: Arc<Broker>, leader: NodeId, group: Arc<Group>) {
    let mut stopping = broker.stopping();
    tokio::select! {
        () = fetch_forever(&broker, leader, &group) => {}
        () = until_true(&mut stopping) => {}
    }
}

async fn fetch_forever(broker: &Arc<Broker>, leader: NodeId, group: &Arc<Group>) {
    let mut connection: Option<Arc<PeerConnection>> = None;
    loop {
        let asking = Arc::clone(group);
        let wanted = Arc::new(broker.disk.run(false, move || positions(&asking, leader)).await);
        if wanted.is_empty() {
            group.changed.notified().await;
            continue;
        }
        let open = match connection.take().filter(|open| !open.is_lost()) {
            Some(open) => open,
            None => match broker.peers.dedicated(leader).await {
                Ok(open) => open,
                Err(error) => {
                    tracing::debug!(%leader, %error, "leader cannot be reached");
                    pause(group, clock::jittered(BACK_OFF)).await;
                    continue;
                }
            },
        };
        match fetch_once(broker, &open, &wanted).await {
            Ok(next) => {
                connection = Some(open);
                match next {
                    Next::AtOnce => {}
                    Next::BackOff => pause(group, BACK_OFF).await,
                    Next::AwaitMetadata => pause(group, AWAIT_METADATA).await,
                }
            }
            Err(error) => {
                tracing::debug!(%leader, %error, "fetch from the leader fails");
                broker.controller.peer_unreachable(leader);
                pause(group, clock::jittered(BACK_OFF)).await;
            }
        }
    }
}

/// Waits, but no longer than until the set of partitions or their leaders change.
async fn pause(group: &Group, longest: Duration) {
    let _ = tokio::time::timeout(longest, group.changed.notified()).await;
}

type Wanted = BTreeMap<(TopicId, PartitionIndex), (Arc<HostedPartition>, FetchPosition)>;

fn positions(group: &Group, leader: NodeId) -> Wanted {
    // Whoever changes the members must not wait for a partition that waits for its disk.
    let members: Vec<_> =
        group.members.lock().iter().map(|(key, partition)| (*key, Arc::clone(partition))).collect();
    let wanted = members.into_iter().filter_map(|(key, partition)| {
        let position = partition.fetch_position().filter(|position| position.leader == leader)?;
        Some((key, (partition, position)))
    });
    wanted.collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    AtOnce,
    BackOff,
    AwaitMetadata,
}

async fn fetch_once(
    broker: &Arc<Broker>,
    connection: &PeerConnection,
    wanted: &Arc<Wanted>,
) -> Result<Next, peers::CallError> {
    if broker.config.logs.flush_before_ack {
        // The fetch tells the leader that all before its offsets is written here.
        let (syncing, asked) = (Arc::clone(broker), Arc::clone(wanted));
        broker.disk.elsewhere(move || sync_all(&syncing, &undurable(&asked))).await;
    }
    let wait = broker.config.replication.fetch_wait_ms_max.to_std();
    let request = request(broker, wanted);
    let answer = connection.call_silent(&request, &FETCH_VERSIONS, wait + ANSWER_GRACE).await?;
    let (applying, asked) = (Arc::clone(broker), Arc::clone(wanted));
    let large = answer.len() >= LARGE_BYTES;
    let Applied { mut next, outside } =
        broker.disk.run(large, move || apply(&applying, &asked, &answer)).await?;
    for key in outside {
        let Some((partition, position)) = wanted.get(&key) else { continue };
        next.push(learn_leader_range(broker, connection, partition, position).await?);
    }
    // One partition that goes on keeps the others' requests going, too: the leader paces them by its long poll.
    Ok(next.into_iter().min().unwrap_or(Next::AtOnce))
}

/// What became of an answer.
struct Applied {
    next: Vec<Next>,
    /// The partitions whose fetch was outside of the leader's log.
    outside: Vec<(TopicId, PartitionIndex)>,
}

fn apply(broker: &Broker, wanted: &Wanted, answer: &peers::Answer) -> Result<Applied, peers::CallError> {
    let response: FetchResponse<'_> = answer.decode()?;
    if response.error_code != 0 {
        let code = ErrorCode::from_wire(response.error_code);
        tracing::warn!(code = code.name(), "the leader refuses the whole fetch");
        return Ok(Applied { next: vec![Next::BackOff], outside: Vec::new() });
    }
    let mut next = Vec::new();
    let mut outside = Vec::new();
    for topic in &response.responses {
        let Some(topic_id) = TopicId::from_wire(topic.topic_id.0) else { continue };
        for data in &topic.partitions {
            let key = (topic_id, PartitionIndex(data.partition_index));
            let Some((partition, position)) = wanted.get(&key) else { continue };
            match partition.apply_fetched(broker.clock.now(), position, fetched(data)) {
                Some(FollowerStep::Continue | FollowerStep::Stale) => next.push(Next::AtOnce),
                Some(FollowerStep::NeedLeaderOffsets) => outside.push(key),
                Some(FollowerStep::BackOff) => next.push(Next::BackOff),
                Some(FollowerStep::AwaitMetadata) => next.push(Next::AwaitMetadata),
                None => {}
            }
        }
    }
    Ok(Applied { next, outside })
}

/// The partitions that hold records which are not durable.
fn undurable(wanted: &Wanted) -> Vec<Arc<HostedPartition>> {
    let partitions = wanted.values().map(|(partition, _)| partition);
    let is_undurable = |partition: &&Arc<HostedPartition>| {
        partition.read(|replica| replica.log().recovery_point() < replica.log().log_end()).unwrap_or(false)
    };
    partitions.filter(is_undurable).map(Arc::clone).collect()
}

fn fetched<'a>(data: &'a PartitionData<'_>) -> Result<FollowerFetched<'a>, ErrorCode> {
    match ErrorCode::from_wire(data.error_code) {
        ErrorCode::None => {}
        code => return Err(code),
    }
    let diverging = LeaderEpoch::from_wire(data.diverging_epoch.epoch)
        .map(|epoch| EpochEnd { epoch, end: Offset::clamped(data.diverging_epoch.end_offset) });
    Ok(FollowerFetched {
        high_watermark: Offset::new(data.high_watermark),
        log_start: Offset::new(data.log_start_offset),
        diverging,
        records: data.records.as_ref().and_then(|records| records.as_borrowed()).unwrap_or_default(),
    })
}

fn request(broker: &Broker, wanted: &Wanted) -> FetchRequest<'static> {
    let replication = &broker.config.replication;
    let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
    // Without space for records a follower asks all the same: what its leader has deleted gives it space.
    let bytes_max = if broker.partitions.opener().space().is_low() { 0 } else { replication.fetch_bytes_max };
    for ((topic_id, index), (_, position)) in wanted {
        topics.entry(*topic_id).or_default().push(FetchPartition {
            partition: index.0,
            current_leader_epoch: position.leader_epoch.0,
            fetch_offset: position.fetch_offset.get(),
            last_fetched_epoch: position.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
            log_start_offset: position.log_start.get(),
            partition_max_bytes: i32::try_from(bytes_max).unwrap_or(i32::MAX),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(id, partitions)| FetchTopic {
        topic_id: id.0,
        partitions,
        ..Default::default()
    });
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: broker.node_id.0,
            replica_epoch: broker.controller.broker_epoch().map_or(-1, |epoch| epoch.0),
            ..Default::default()
        },
        max_wait_ms: i32::try_from(replication.fetch_wait_ms_max.0).unwrap_or(i32::MAX),
        min_bytes: i32::try_from(replication.fetch_bytes_min).unwrap_or(1),
        max_bytes: i32::try_from(replication.fetch_response_bytes_max).unwrap_or(i32::MAX),
        topics: topics.collect(),
        ..Default::default()
    }
}

/// After a fetch outside of the leader's log: asks for its range and lets the replica decide.
async fn learn_leader_range(
    broker: &Arc<Broker>,
    connection: &PeerConnection,
    partition: &Arc<HostedPartition>,
    position: &FetchPosition,
) -> Result<Next, peers::CallError> {
    let mut ends = [None; 2];
    for (slot, timestamp) in ends.iter_mut().zip([-2, -1]) {
        let asked = ListOffsetsPartition {
            partition_index: partition.id.partition.0,
            current_leader_epoch: position.leader_epoch.0,
            timestamp,
            ..Default::default()
        };
        let topic = ListOffsetsTopic {
            name: Cow::Borrowed(partition.id.topic.as_str()),
            partitions: vec![asked],
            ..Default::default()
        };
        let request =
            ListOffsetsRequest { replica_id: broker.node_id.0, topics: vec![topic], ..Default::default() };
        let answer = connection.call_silent(&request, &LIST_OFFSETS_VERSIONS, ANSWER_GRACE).await?;
        let response: ListOffsetsResponse<'_> = answer.decode()?;
        let told = response.topics.first().and_then(|topic| topic.partitions.first());
        *slot = told.filter(|told| told.error_code == 0).and_then(|told| Offset::new(told.offset));
    }
    let [Some(start), Some(end)] = ends else { return Ok(Next::BackOff) };
    let (partition, position, now) = (Arc::clone(partition), *position, broker.clock.now());
    let learn = move || partition.apply_leader_offsets(now, &position, LeaderOffsets { start, end });
    let step = broker.disk.run(false, learn).await;
    Ok(match step {
        Some(FollowerStep::Continue | FollowerStep::Stale) | None => Next::AtOnce,
        Some(FollowerStep::NeedLeaderOffsets | FollowerStep::BackOff) => Next::BackOff,
        Some(FollowerStep::AwaitMetadata) => Next::AwaitMetadata,
    })
}
