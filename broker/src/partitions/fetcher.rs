//! Fetches from leaders: one task, one connection and one fetch session per leader broker, which all partitions that follow
//! it share. Only those are named of which the leader does not know where they stand; one that fails rests for itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_node::{Ask, Complaints, FollowerSession, Turn};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};
use ottla_broker_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_broker_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_broker_protocol::messages::list_offsets_response::ListOffsetsResponse;
use ottla_broker_replication::{
    BACK_OFF, EpochEnd, FetchPosition, FetchRefusal, FollowerFetched, FollowerStep, LeaderOffsets,
};
use ottla_broker_types::{
    BrokerEpoch, DurationMs, LeaderEpoch, MonotonicMs, NodeId, Now, Offset, PartitionIndex, TopicId,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hosted::HostedPartition;
use super::sync::sync_all;
use crate::broker::Broker;
use crate::clock;
use crate::disk_access::LARGE_BYTES;
use crate::peers::{self, Answer, PeerConnection};
use crate::stop::until_true;

/// The versions between brokers: topics by id, and the follower's registration in each request.
const FETCH_VERSIONS: RangeInclusive<i16> = 17..=17;
/// The versions between brokers for the range of the leader's log.
const LIST_OFFSETS_VERSIONS: RangeInclusive<i16> = 7..=7;
/// ListOffsets: the first offset of a log.
const EARLIEST: i64 = -2;
/// ListOffsets: the first offset after it.
const LATEST: i64 = -1;
/// How long a leader may say nothing beyond the longest wait that it is asked for, before its connection is given up.
const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// A fetch waits this long at least, also if the pause of a partition ends before: what bounds the requests per second
/// while many partitions fail.
const WAIT_MIN: DurationMs = DurationMs(10);
/// Partitions whose leader's range is learnt after one answer; the others' turn comes with the next.
const RANGES_MAX: usize = 1_000;

type Key = (TopicId, PartitionIndex);

/// Which partitions fetch from which leader.
#[derive(Default)]
pub struct Fetchers {
    leaders: Mutex<BTreeMap<NodeId, Arc<Group>>>,
}

/// The partitions that follow one leader.
struct Group {
    leader: NodeId,
    members: Mutex<Members>,
    changed: Notify,
}

struct Members {
    session: FollowerSession<Key, FetchPosition>,
    partitions: BTreeMap<Key, Arc<HostedPartition>>,
    /// The registration under which the session was opened.
    registration: Option<BrokerEpoch>,
    /// Whether anybody was told that the leader refuses whole fetches.
    refusals: Complaints,
}

impl Group {
    fn new(leader: NodeId) -> Group {
        let session = FollowerSession::new(u64::from_le_bytes(clock::entropy()));
        let (partitions, refusals) = (BTreeMap::new(), Complaints::default());
        let members = Mutex::new(Members { session, partitions, registration: None, refusals });
        Group { leader, members, changed: Notify::new() }
    }

    fn leave(&self, key: &Key) {
        let mut members = self.members.lock();
        members.partitions.remove(key);
        if members.session.leave(key) {
            self.changed.notify_one();
        }
    }

    fn follow(&self, key: Key, partition: &Arc<HostedPartition>) {
        let mut members = self.members.lock();
        members.partitions.insert(key, Arc::clone(partition));
        members.session.follow(key);
        self.changed.notify_one();
    }

    /// A partition and where the session wants it from.
    fn asked(&self, key: &Key) -> Option<(Arc<HostedPartition>, FetchPosition)> {
        let members = self.members.lock();
        Some((Arc::clone(members.partitions.get(key)?), members.session.asked_at(key)?))
    }

    fn fetched(&self, key: &Key) {
        self.members.lock().session.fetched(key);
    }

    /// A partition cannot be fetched; it is tried again later. The log says so once.
    fn failed(&self, now: MonotonicMs, key: &Key, partition: &HostedPartition, why: Failure) {
        let failed = self.members.lock().session.failed(key, now, why.pause);
        let Some(pause) = failed.filter(|pause| pause.is_first) else { return };
        let (partition, leader, ms) = (&partition.id, self.leader, pause.until.since(now).0);
        let code = why.code.name();
        if why.is_expected() {
            tracing::debug!(%partition, %leader, code, ms, "not fetched; trying again");
        } else {
            tracing::warn!(%partition, %leader, code, "not fetched; trying again until it is");
        }
    }
}

/// Why a partition is not fetched for a while.
#[derive(Clone, Copy)]
struct Failure {
    code: ErrorCode,
    pause: DurationMs,
}

impl Failure {
    /// Whether it is an ordinary part of a change of leaders, or was complained of already.
    fn is_expected(self) -> bool {
        matches!(
            self.code,
            ErrorCode::None
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::UnknownTopicId
                | ErrorCode::UnknownTopicOrPartition
        )
    }
}

impl Fetchers {
    /// Makes `partition` fetch from `leader`, or from nobody.
    pub fn follow(&self, broker: &Arc<Broker>, partition: &Arc<HostedPartition>, leader: Option<NodeId>) {
        let key = (partition.topic_id, partition.id.partition);
        let mut leaders = self.leaders.lock();
        leaders.values().filter(|group| Some(group.leader) != leader).for_each(|group| group.leave(&key));
        let Some(leader) = leader else { return };
        let group = leaders.entry(leader).or_insert_with(|| {
            let group = Arc::new(Group::new(leader));
            broker.data.spawn(run(Arc::clone(broker), Arc::clone(&group)));
            group
        });
        group.follow(key, partition);
    }
}

/// Fetches from the group's leader until the broker stops.
async fn run(broker: Arc<Broker>, group: Arc<Group>) {
    let mut stopping = broker.stopping();
    tokio::select! {
        () = fetch_forever(&broker, &group) => {}
        () = until_true(&mut stopping) => {}
    }
}

async fn fetch_forever(broker: &Arc<Broker>, group: &Arc<Group>) {
    let mut connection: Option<Arc<PeerConnection>> = None;
    loop {
        let (asking, asker) = (Arc::clone(group), Arc::clone(broker));
        let ask = match broker.disk.run(false, move || turn(&asker, &asking)).await {
            (Turn::Ask(ask), to_sync) => {
                sync_first(broker, to_sync).await;
                ask
            }
            (Turn::Wait(until), _) => {
                let now = broker.clock.now().mono;
                pause(group, until.map(|until| until.since(now).to_std())).await;
                continue;
            }
        };
        let open = match connection.take().filter(|open| !open.is_lost()) {
            Some(open) => Ok(open),
            None => broker.peers.dedicated(group.leader).await,
        };
        let fetched = match open {
            Ok(open) => fetch_once(broker, &open, group, ask).await.map(|next| (next, open)),
            Err(error) => Err(error),
        };
        match fetched {
            Ok((Next::AtOnce, open)) => connection = Some(open),
            Ok((Next::BackOff, open)) => {
                group.members.lock().session.lost();
                connection = Some(open);
                pause(group, Some(clock::jittered(BACK_OFF.to_std()))).await;
            }
            Err(error) => {
                group.members.lock().session.lost();
                tracing::debug!(leader = %group.leader, %error, "fetch from the leader fails");
                broker.controller.peer_unreachable(group.leader);
                pause(group, Some(clock::jittered(BACK_OFF.to_std()))).await;
            }
        }
    }
}

/// Waits until the set of partitions or their leaders change, but no longer than that.
async fn pause(group: &Group, longest: Option<Duration>) {
    match longest {
        Some(longest) => {
            let _ = tokio::time::timeout(longest, group.changed.notified()).await;
        }
        None => group.changed.notified().await,
    }
}

/// What to ask for next, and the partitions that must be durable first. The positions are looked up one by one: whoever
/// changes the members must not wait for a partition that waits for its disk.
fn turn(broker: &Broker, group: &Group) -> (Turn<Key, FetchPosition>, Vec<Arc<HostedPartition>>) {
    let registration = broker.controller.broker_epoch();
    let to_look_up: Vec<_> = {
        let mut members = group.members.lock();
        if std::mem::replace(&mut members.registration, registration) != registration {
            members.session.lost();
        }
        let keys = members.session.to_look_up(broker.clock.now().mono);
        keys.into_iter().map(|key| (key, members.partitions.get(&key).map(Arc::clone))).collect()
    };
    let mut to_sync = Vec::new();
    let mut position = |partition: Option<Arc<HostedPartition>>| {
        let partition = partition?;
        let next = partition.next_fetch().filter(|next| next.position.leader == group.leader)?;
        if next.sync_to.is_some() {
            to_sync.push(partition);
        }
        Some(next.position)
    };
    let positions: Vec<_> =
        to_look_up.into_iter().map(|(key, partition)| (key, position(partition))).collect();
    (group.members.lock().session.turn(positions), to_sync)
}

async fn sync_first(broker: &Arc<Broker>, partitions: Vec<Arc<HostedPartition>>) {
    if !partitions.is_empty() {
        let syncing = Arc::clone(broker);
        broker.disk.elsewhere(move || sync_all(&syncing, &partitions)).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Ask on: the leader paces the requests by its long poll.
    AtOnce,
    /// Begin anew after a pause.
    BackOff,
}

async fn fetch_once(
    broker: &Arc<Broker>,
    connection: &PeerConnection,
    group: &Arc<Group>,
    ask: Ask<Key, FetchPosition>,
) -> Result<Next, peers::CallError> {
    let wait = wait(broker, group);
    let is_new = ask.session_epoch == 0;
    let request = request(broker, ask, wait);
    let answer = connection.call_silent(&request, &FETCH_VERSIONS, wait.to_std() + ANSWER_GRACE).await?;
    let (applying, asked) = (Arc::clone(broker), Arc::clone(group));
    let large = answer.len() >= LARGE_BYTES;
    let applied = broker.disk.run(large, move || apply(&applying, &asked, is_new, &answer)).await?;
    if !applied.outside.is_empty() {
        learn_leader_ranges(broker, connection, group, applied.outside).await?;
    }
    Ok(applied.next)
}

/// How long the leader may hold the next request: until a partition that rests now is due.
fn wait(broker: &Broker, group: &Group) -> DurationMs {
    let longest = broker.config.replication.fetch_wait_ms_max;
    let due = group.members.lock().session.next_due();
    let until_due = due.map_or(longest, |due| due.since(broker.clock.now().mono).max(WAIT_MIN));
    until_due.min(longest)
}

/// A partition whose fetch was outside of its leader's log, and where it was.
type Outside = (Key, Arc<HostedPartition>, FetchPosition);

/// What became of an answer.
struct Applied {
    next: Next,
    outside: Vec<Outside>,
}

fn apply(broker: &Broker, group: &Group, is_new: bool, answer: &Answer) -> Result<Applied, peers::CallError> {
    let response: FetchResponse<'_> = answer.decode()?;
    let now = broker.clock.now();
    if response.error_code != 0 {
        return Ok(Applied { next: refused(group, now, is_new, response.error_code), outside: Vec::new() });
    }
    group.members.lock().session.answered(response.session_id);
    let mut outside = Vec::new();
    for topic in &response.responses {
        let Some(topic_id) = TopicId::from_wire(topic.topic_id.0) else { continue };
        for data in &topic.partitions {
            let key = (topic_id, PartitionIndex(data.partition_index));
            let Some((partition, position)) = group.asked(&key) else { continue };
            let step = partition.apply_fetched(broker.clock.now(), &position, fetched(data));
            if step == Some(FollowerStep::NeedLeaderOffsets) && outside.len() < RANGES_MAX {
                outside.push((key, partition, position));
            } else {
                step_on(group, broker, &key, &partition, step, ErrorCode::from_wire(data.error_code));
            }
        }
    }
    Ok(Applied { next: Next::AtOnce, outside })
}

/// The leader answers nothing in the session. It may have lost it, which another one mends at once.
fn refused(group: &Group, now: Now, is_new: bool, code: i16) -> Next {
    let mut members = group.members.lock();
    let code = ErrorCode::from_wire(code);
    let is_session_lost =
        matches!(code, ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch);
    if is_session_lost && !is_new {
        members.session.lost();
        return Next::AtOnce;
    }
    if members.refusals.is_news(now.mono) {
        tracing::warn!(leader = %group.leader, code = code.name(), "the leader refuses whole fetches");
    }
    Next::BackOff
}

/// What comes next for a partition after an answer with `code`.
fn step_on(
    group: &Group,
    broker: &Broker,
    key: &Key,
    partition: &HostedPartition,
    step: Option<FollowerStep>,
    code: ErrorCode,
) {
    // One that is offline here has no position any more, and leaves the session by that.
    match step.and_then(FollowerStep::pause) {
        None => group.fetched(key),
        Some(pause) => group.failed(broker.clock.now().mono, key, partition, Failure { code, pause }),
    }
}

fn fetched<'a>(data: &'a PartitionData<'_>) -> Result<FollowerFetched<'a>, FetchRefusal> {
    match ErrorCode::from_wire(data.error_code) {
        ErrorCode::None => {}
        code => return Err(code.into()),
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

fn request(broker: &Broker, ask: Ask<Key, FetchPosition>, wait: DurationMs) -> FetchRequest<'static> {
    let replication = &broker.config.replication;
    // Without space for records a follower asks all the same: what its leader has deleted gives it space.
    let is_low = broker.partitions.opener().space().is_low();
    let bytes_max = if is_low { 0 } else { replication.fetch_response_bytes_max };
    let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
    for ((topic_id, index), position) in ask.named {
        topics.entry(topic_id).or_default().push(FetchPartition {
            partition: index.0,
            current_leader_epoch: position.leader_epoch.0,
            fetch_offset: position.fetch_offset.get(),
            last_fetched_epoch: position.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
            log_start_offset: position.log_start.get(),
            partition_max_bytes: i32::try_from(replication.fetch_bytes_max).unwrap_or(i32::MAX),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(id, partitions)| FetchTopic {
        topic_id: id.0,
        partitions,
        ..Default::default()
    });
    let mut forgotten: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic_id, index) in ask.forgotten {
        forgotten.entry(topic_id).or_default().push(index.0);
    }
    let forgotten = forgotten.into_iter().map(|(id, partitions)| ForgottenTopic {
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
        max_wait_ms: i32::try_from(wait.0).unwrap_or(i32::MAX),
        min_bytes: i32::try_from(replication.fetch_bytes_min).unwrap_or(1),
        max_bytes: i32::try_from(bytes_max).unwrap_or(i32::MAX),
        session_id: ask.session_id,
        session_epoch: ask.session_epoch,
        topics: topics.collect(),
        forgotten_topics_data: forgotten.collect(),
        ..Default::default()
    }
}

/// After fetches outside of the leader's logs: asks for their ranges, all at once, and lets the replicas decide.
async fn learn_leader_ranges(
    broker: &Arc<Broker>,
    connection: &PeerConnection,
    group: &Arc<Group>,
    outside: Vec<Outside>,
) -> Result<(), peers::CallError> {
    let starts = list_offsets(broker, connection, &outside, EARLIEST).await?;
    let ends = list_offsets(broker, connection, &outside, LATEST).await?;
    let (learning, learner) = (Arc::clone(group), Arc::clone(broker));
    let learn = move || {
        for (key, partition, position) in outside {
            let id = (partition.id.topic.to_string(), partition.id.partition.0);
            let range = starts.get(&id).zip(ends.get(&id));
            let step = range.map_or(Some(FollowerStep::BackOff), |(start, end)| {
                let offsets = LeaderOffsets { start: *start, end: *end };
                partition.apply_leader_offsets(learner.clock.now(), &position, offsets)
            });
            step_on(&learning, &learner, &key, &partition, step, ErrorCode::OffsetOutOfRange);
        }
    };
    broker.disk.run(false, learn).await;
    Ok(())
}

/// One end of each partition's log at its leader; those are missing of which it says nothing.
async fn list_offsets(
    broker: &Broker,
    connection: &PeerConnection,
    outside: &[Outside],
    timestamp: i64,
) -> Result<BTreeMap<(String, i32), Offset>, peers::CallError> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (_, partition, position) in outside {
        topics.entry(partition.id.topic.as_str()).or_default().push(ListOffsetsPartition {
            partition_index: partition.id.partition.0,
            current_leader_epoch: position.leader_epoch.0,
            timestamp,
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopic {
        name: Cow::Borrowed(name),
        partitions,
        ..Default::default()
    });
    let request =
        ListOffsetsRequest { replica_id: broker.node_id.0, topics: topics.collect(), ..Default::default() };
    let answer = connection.call_silent(&request, &LIST_OFFSETS_VERSIONS, ANSWER_GRACE).await?;
    let response: ListOffsetsResponse<'_> = answer.decode()?;
    let mut offsets = BTreeMap::new();
    for topic in &response.topics {
        for answer in topic.partitions.iter().filter(|answer| answer.error_code == 0) {
            let id = (topic.name.to_string(), answer.partition_index);
            offsets.extend(Offset::new(answer.offset).map(|offset| (id, offset)));
        }
    }
    Ok(offsets)
}
