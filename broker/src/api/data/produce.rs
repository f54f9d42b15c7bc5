//! Produce (key 0): batches in, verbatim to the logs; acks=all waits for the high watermarks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use ottla_broker_log::{CheckedBatch, Effort, Verdict};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::{BatchHeader, Scratch};
use ottla_broker_protocol::messages::produce_request::ProduceRequest;
use ottla_broker_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use ottla_broker_replication::Refusals;
use ottla_broker_types::{PartitionIndex, TopicId, TopicName, TopicPartition, Uuid};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::old_clients;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::disk_access::LARGE_BYTES;
use crate::listener::{Handled, Reply, Turn};
use crate::long_work::Kind;
use crate::partitions::{AppendFailure, HostedPartition, ProduceWait, RequiredAcks};
use crate::view::View;

thread_local! {
    /// Memory for decompressing, lent to one check after the other.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The longest a producer may ask to wait; Kafka has no limit, a forgotten wait must end some day.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// From this version on an answer names the leader that the client should ask (KIP-951).
const LEADER_NAMED_FROM_VERSION: i16 = 10;

/// Batches of one request that are taken in on the thread that received it: no producer that batches sends as many.
const PARTS_HERE_MAX: usize = 256;

/// One partition's batch: where it lies in the frame, whom it is for, and what the rules say of it.
struct Part {
    topic: usize,
    index: PartitionIndex,
    /// `None` if the topic is not known.
    id: Option<TopicPartition>,
    target: Result<Arc<HostedPartition>, AppendFailure>,
    records: Option<Range<usize>>,
    checked: Option<CheckedBatch>,
}

/// A topic as the request named it, for the answer.
struct NamedTopic {
    name: String,
    id: Uuid,
}

/// What became of one partition's batch.
struct Outcome {
    topic: usize,
    response: PartitionProduceResponse<'static>,
    wait: Option<Waiting>,
}

/// A batch that is in the log but not committed yet.
struct Waiting {
    partition: Arc<HostedPartition>,
    header: Option<BatchHeader>,
    ended: oneshot::Receiver<ProduceWait>,
}

/// A request that was taken in.
struct Produce {
    call: Call,
    topics: Vec<NamedTopic>,
    parts: Vec<Part>,
    acks: RequiredAcks,
    timeout: Duration,
}

/// Handles a Produce. One whose batches take long to check goes on beside its connection; the connection's later ones
/// then append after it, so that a producer's batches keep their order.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let (topics, parts, acks, timeout) = open(broker, &call)?;
    let Some(acks) = acks else {
        let refused = AppendFailure::of(ErrorCode::InvalidRequiredAcks);
        let outcomes = parts.iter().map(|part| failed(part, refused.clone())).collect();
        return Ok(Answer::now(call.reply(&response(broker, &call, topics, outcomes))));
    };
    let produce = Produce { call, topics, parts, acks, timeout };
    if produce.parts.len() > PARTS_HERE_MAX {
        let (disk, here) = (Arc::clone(&broker.disk), Arc::clone(broker));
        let work = async move { disk.elsewhere(move || produce.take_in(&here).0).await };
        return Ok(Answer(Handled::Elsewhere(Box::pin(work))));
    }
    Ok(produce.take_in(broker))
}

/// Checks what is not checked yet, and appends when the connection's earlier requests have appended.
async fn append_in_turn(
    broker: Arc<Broker>,
    produce: Produce,
    mut turn: Turn,
    is_checked: bool,
) -> Option<(Produce, Vec<Outcome>)> {
    let mut checked = Some((produce, is_checked));
    for effort in [Effort::Full, Effort::Large] {
        checked = match checked {
            Some((produce, false)) => check_elsewhere(&broker, produce, effort).await,
            done => done,
        };
    }
    turn.come().await;
    let (mut produce, _) = checked?;
    let (here, large) = (Arc::clone(&broker), produce.call.body.len() >= LARGE_BYTES);
    let append = move || {
        let outcomes = produce.append(&here);
        produce.call.let_body_go();
        (produce, outcomes)
    };
    Some(broker.disk.run(large, append).await)
}

async fn check_elsewhere(
    broker: &Arc<Broker>,
    mut produce: Produce,
    effort: Effort,
) -> Option<(Produce, bool)> {
    let here = Arc::clone(broker);
    let work = move || {
        let is_checked = produce.check(&here, effort);
        (produce, is_checked)
    };
    let kind = match effort {
        Effort::Large => Kind::LargeCheck,
        Effort::Brief | Effort::Full => Kind::Check,
    };
    broker.long_work.run(kind, work).await
}

impl Produce {
    /// Checks and appends, here or beside the connection.
    fn take_in(mut self, broker: &Arc<Broker>) -> Answer {
        let is_checked = self.check(broker, Effort::Brief);
        if is_checked && self.call.peer.order.is_empty() {
            let outcomes = self.append(broker);
            return self.answer(broker, outcomes);
        }
        let turn = self.call.peer.order.join();
        let broker = Arc::clone(broker);
        // Not within the answer's future, which is only driven once all earlier answers have left.
        let appended = tokio::spawn(append_in_turn(Arc::clone(&broker), self, turn, is_checked));
        Answer::later(async move {
            match appended.await {
                Ok(Some((produce, outcomes))) => produce.answered(broker, outcomes).await,
                Ok(None) | Err(_) => Reply::Close("a produce could not be checked"),
            }
        })
    }

    /// Checks the batches that are not checked yet; false if some take more than `effort`.
    fn check(&mut self, broker: &Broker, effort: Effort) -> bool {
        let mut is_checked = true;
        for part in self.parts.iter_mut().filter(|part| part.checked.is_none()) {
            let Ok(partition) = &part.target else { continue };
            match check(broker, &self.call, partition, part.records.clone(), self.acks, effort) {
                Ok(Verdict::Sound(checked)) => part.checked = Some(checked),
                Ok(Verdict::Undecided) => is_checked = false,
                Err(failure) => part.target = Err(failure),
            }
        }
        is_checked
    }

    fn append(&mut self, broker: &Broker) -> Vec<Outcome> {
        self.parts.iter().map(|part| append(broker, &mut self.call, part, self.acks)).collect()
    }

    /// Answers at once if nothing is waited for.
    fn answer(self, broker: &Arc<Broker>, outcomes: Vec<Outcome>) -> Answer {
        if self.acks == RequiredAcks::None || outcomes.iter().all(|outcome| outcome.wait.is_none()) {
            return Answer::now(self.reply(broker, outcomes));
        }
        let Produce { call, topics, parts, acks, timeout } = self;
        let broker = Arc::clone(broker);
        call.later(move |call| Produce { call, topics, parts, acks, timeout }.answered(broker, outcomes))
    }

    /// Answers once the batches are committed.
    async fn answered(self, broker: Arc<Broker>, outcomes: Vec<Outcome>) -> Reply {
        let outcomes = wait_for_commit(&broker, &self.call, outcomes, self.timeout).await;
        self.reply(&broker, outcomes)
    }

    fn reply(self, broker: &Broker, outcomes: Vec<Outcome>) -> Reply {
        if self.acks == RequiredAcks::None {
            let failed = outcomes.iter().any(|outcome| outcome.response.error_code != 0);
            // Without an answer, a closed connection is the only way to tell the producer (Kafka does the same).
            return if failed { Reply::Close("a produce without acks failed") } else { Reply::None };
        }
        self.call.reply(&response(broker, &self.call, self.topics, outcomes))
    }
}

type Opened = (Vec<NamedTopic>, Vec<Part>, Option<RequiredAcks>, Duration);

/// Decodes the request and finds its partitions, remembering where in the frame the batches lie.
fn open(broker: &Broker, call: &Call) -> Result<Opened, Malformed> {
    let request: ProduceRequest<'_> = call.request()?;
    let frame_start = call.body.as_ptr() as usize;
    let by_id = call.version >= 13;
    let mut topics: Vec<NamedTopic> = Vec::with_capacity(request.topic_data.len());
    let mut named: BTreeMap<(&str, Uuid), usize> = BTreeMap::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut places: BTreeMap<(usize, PartitionIndex), usize> = BTreeMap::new();
    for data in &request.topic_data {
        let topic = *named.entry((&*data.name, data.topic_id)).or_insert_with(|| {
            topics.push(NamedTopic { name: data.name.clone().into_owned(), id: data.topic_id });
            topics.len() - 1
        });
        let view = broker.view();
        let name = if by_id {
            TopicId::from_wire(data.topic_id.0).and_then(|id| view.topic_name(id))
        } else {
            TopicName::new(&data.name).ok()
        };
        for partition in &data.partition_data {
            let index = PartitionIndex(partition.index);
            let target = match &name {
                Some(name) => target(broker, &view, name, index),
                None if by_id => Err(AppendFailure::of(ErrorCode::UnknownTopicId)),
                None => Err(AppendFailure::of(ErrorCode::InvalidTopicException)),
            };
            let bytes = partition.records.as_ref().and_then(|records| records.as_borrowed());
            let records = bytes.map(|bytes| {
                let start = bytes.as_ptr() as usize - frame_start;
                start..start + bytes.len()
            });
            let id = name.clone().map(|topic| TopicPartition { topic, partition: index });
            let part = Part { topic, index, id, target, records, checked: None };
            // As in Kafka, of the batches for one partition the last counts.
            match places.entry((topic, index)) {
                Entry::Vacant(place) => {
                    place.insert(parts.len());
                    parts.push(part);
                }
                Entry::Occupied(place) => parts[*place.get()] = part,
            }
        }
    }
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(TIMEOUT_MAX);
    Ok((topics, parts, RequiredAcks::from_wire(request.acks), timeout))
}

/// The partition that a client may append to.
fn target(
    broker: &Broker,
    view: &View,
    topic: &TopicName,
    index: PartitionIndex,
) -> Result<Arc<HostedPartition>, AppendFailure> {
    match broker.partitions.serve(view, topic, index) {
        Err(code @ ErrorCode::UnknownTopicOrPartition) => Err(AppendFailure::of(code)),
        _ if topic.is_internal() => {
            let message =
                format!("{topic} is written by the coordinators only: clients cannot produce to it");
            Err(AppendFailure::with(ErrorCode::InvalidTopicException, message))
        }
        found => found.map_err(AppendFailure::of),
    }
}

/// What the rules say of a batch.
fn check(
    broker: &Broker,
    call: &Call,
    partition: &HostedPartition,
    records: Option<Range<usize>>,
    acks: RequiredAcks,
    effort: Effort,
) -> Result<Verdict, AppendFailure> {
    let Some(batch) = records.and_then(|range| call.body.get(range)).filter(|batch| !batch.is_empty()) else {
        return Err(AppendFailure::with(ErrorCode::InvalidRecord, "a produce needs one record batch"));
    };
    if call.version < old_clients::ZSTD_FROM_PRODUCE_VERSION && old_clients::is_zstd(batch) {
        let message = "zstd needs Produce 7: upgrade the client, or let it use another codec";
        return Err(AppendFailure::with(ErrorCode::UnsupportedCompressionType, message));
    }
    let rules = partition.batch_rules(acks)?;
    let now = broker.clock.now().wall;
    let verdict = SCRATCH.with_borrow_mut(|scratch| rules.check(batch, now, effort, scratch));
    verdict.map_err(|error| partition.refused(&error.into()))
}

fn append(broker: &Broker, call: &mut Call, part: &Part, acks: RequiredAcks) -> Outcome {
    let refusals = Arc::clone(&call.peer.refusals);
    let batch = part.records.clone().and_then(|range| call.body.get_mut(range));
    let header = batch.as_deref().and_then(|batch| BatchHeader::parse(batch).ok());
    let partition = match &part.target {
        Ok(partition) => partition,
        Err(failure) => {
            note_refused(&refusals, part, header.as_ref(), failure.code);
            return failed(part, failure.clone());
        }
    };
    let (Some(batch), Some(checked)) = (batch, &part.checked) else {
        return failed(part, AppendFailure::with(ErrorCode::InvalidRecord, "the batch could not be checked"));
    };
    let now = broker.clock.now();
    let before = header.as_ref().and_then(|header| refusals.lock().before(&partition.id, header));
    let appended = match before {
        None => partition.append_checked(now, batch, checked, acks),
        Some(code) => partition.append_after_refused(now, batch, checked, acks, code),
    };
    match appended {
        Ok(appended) => {
            if let Some(header) = &header {
                refusals.lock().appended(&partition.id, header);
            }
            Outcome {
                topic: part.topic,
                response: PartitionProduceResponse {
                    index: part.index.0,
                    base_offset: appended.base_offset.get(),
                    log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.0),
                    log_start_offset: appended.log_start.get(),
                    ..PartitionProduceResponse::default()
                },
                wait: appended.wait.map(|ended| Waiting { partition: Arc::clone(partition), header, ended }),
            }
        }
        Err(failure) => {
            note_refused(&refusals, part, header.as_ref(), failure.code);
            failed(part, failure)
        }
    }
}

/// Remembers what the producer was refused, for the batches that it has sent behind.
fn note_refused(refusals: &Mutex<Refusals>, part: &Part, header: Option<&BatchHeader>, code: ErrorCode) {
    if let (Some(id), Some(header)) = (&part.id, header) {
        refusals.lock().refused(id, header, code);
    }
}

fn failed(part: &Part, failure: AppendFailure) -> Outcome {
    let record_errors = failure.records.into_iter().map(|record| BatchIndexAndErrorMessage {
        batch_index: record.index,
        batch_index_error_message: Some(Cow::Owned(record.message)),
        ..Default::default()
    });
    let response = PartitionProduceResponse {
        index: part.index.0,
        error_code: failure.code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: record_errors.collect(),
        error_message: failure.message.map(Cow::Owned),
        ..PartitionProduceResponse::default()
    };
    Outcome { topic: part.topic, response, wait: None }
}

async fn wait_for_commit(
    broker: &Broker,
    call: &Call,
    outcomes: Vec<Outcome>,
    timeout: Duration,
) -> Vec<Outcome> {
    let deadline = Box::pin(tokio::time::sleep(timeout));
    let deadline = futures::FutureExt::shared(deadline);
    join_all(outcomes.into_iter().map(|mut outcome| {
        let deadline = deadline.clone();
        async move {
            if let Some(Waiting { partition, header, ended }) = outcome.wait.take() {
                let acked = tokio::select! {
                    biased;
                    ended = ended => match ended {
                        Ok(ProduceWait::Committed) => {
                            let looked_at = Arc::clone(&partition);
                            broker.disk.run(false, move || looked_at.check_min_isr_after_commit()).await
                        }
                        Ok(ProduceWait::LeadershipLost) | Err(_) => Err(ErrorCode::NotLeaderOrFollower),
                    },
                    () = deadline => Err(ErrorCode::RequestTimedOut),
                };
                if let Err(code) = acked {
                    outcome.response.error_code = code.code();
                    outcome.response.base_offset = -1;
                }
                // The next leader may not have it.
                if let (Err(code @ ErrorCode::NotLeaderOrFollower), Some(header)) = (acked, &header) {
                    call.peer.refusals.lock().refused(&partition.id, header, code);
                }
            }
            outcome
        }
    }))
    .await
}

fn response(
    broker: &Broker,
    call: &Call,
    topics: Vec<NamedTopic>,
    outcomes: Vec<Outcome>,
) -> ProduceResponse<'static> {
    let view = broker.view();
    let mut leaders_named = std::collections::BTreeSet::new();
    let mut responses: Vec<TopicProduceResponse<'static>> = topics
        .into_iter()
        .map(|topic| TopicProduceResponse {
            name: Cow::Owned(topic.name),
            topic_id: topic.id,
            ..TopicProduceResponse::default()
        })
        .collect();
    for mut outcome in outcomes {
        let topic = &mut responses[outcome.topic];
        if outcome.response.error_code == ErrorCode::NotLeaderOrFollower.code()
            && call.version >= LEADER_NAMED_FROM_VERSION
        {
            let found = match TopicId::from_wire(topic.topic_id.0) {
                Some(id) => view.topic_name(id),
                None => TopicName::new(&topic.name).ok(),
            };
            let hint = found.and_then(|name| view.leader_of(&name, PartitionIndex(outcome.response.index)));
            if let Some((leader, epoch)) = hint {
                leaders_named.insert(leader);
                outcome.response.current_leader =
                    LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0 };
            }
        }
        topic.partition_responses.push(outcome.response);
    }
    let node_endpoints = leaders_named
        .into_iter()
        .filter_map(|node| view.endpoint(node, &call.peer.session.listener))
        .map(|endpoint| NodeEndpoint {
            node_id: endpoint.node.0,
            host: Cow::Owned(endpoint.host),
            port: endpoint.port,
            rack: endpoint.rack.map(Cow::Owned),
        })
        .collect();
    ProduceResponse { responses, node_endpoints, ..ProduceResponse::default() }
}

#[cfg(test)]
mod tests {
    use ottla_broker_metadata::Record;
    use ottla_broker_metadata::record::PartitionChange;
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, Compression};
    use ottla_broker_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use ottla_broker_protocol::{Decode, Reader, Records};
    use ottla_broker_types::NodeId;

    use super::*;
    use crate::listener::{Handled, PeerInfo};
    use crate::testing::{Rig, batch};

    async fn produced(rig: &Rig, batch: &[u8], version: i16) -> ErrorCode {
        produced_to(rig, "t", batch, version).await
    }

    async fn produced_to(rig: &Rig, topic: &str, batch: &[u8], version: i16) -> ErrorCode {
        let partition =
            PartitionProduceData { records: Some(Records::Borrowed(batch)), ..Default::default() };
        let topic = TopicProduceData {
            name: Cow::Borrowed(topic),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request =
            ProduceRequest { acks: 1, timeout_ms: 1_000, topic_data: vec![topic], ..Default::default() };
        let body = rig.ask(&request, version).await.unwrap();
        let response = ProduceResponse::decode(&mut Reader::new(&body), version).unwrap();
        ErrorCode::from_wire(response.responses[0].partition_responses[0].error_code)
    }

    fn moved(leader: i32) -> Record {
        let mut change = PartitionChange::none(TopicId(Uuid([1; 16])), PartitionIndex(0));
        change.leader = Some(Some(NodeId(leader)));
        Record::PartitionChange(change)
    }

    async fn told(rig: &Rig, peer: &PeerInfo, sequence: i32) -> ErrorCode {
        let batch = of_producer(Compression::None, sequence, 10);
        ErrorCode::from_wire(answer_of(rig.handle(peer, &request(&batch), 9)).await.error_code)
    }

    /// The second of two requests under way must not be told that the first is missing, nor take its place.
    #[tokio::test]
    async fn what_was_sent_behind_a_refused_batch_is_refused_alike_until_that_one_comes_again() {
        let mut rig = Rig::new();
        rig.topic("t", &[1, 2]);
        let (this, other) = (Rig::peer(), Rig::peer());
        rig.commit(&[moved(2)]);
        assert_eq!(told(&rig, &this, 0).await, ErrorCode::NotLeaderOrFollower);
        rig.commit(&[moved(1)]);
        assert_eq!(told(&rig, &this, 1).await, ErrorCode::NotLeaderOrFollower);
        assert_eq!(told(&rig, &this, 2).await, ErrorCode::NotLeaderOrFollower);
        for sequence in 0..3 {
            assert_eq!(told(&rig, &this, sequence).await, ErrorCode::None);
        }
        rig.commit(&[moved(2)]);
        assert_eq!(told(&rig, &this, 3).await, ErrorCode::NotLeaderOrFollower);
        rig.commit(&[moved(1)]);
        let gap = told(&rig, &other, 4).await;
        assert_eq!(gap, ErrorCode::OutOfOrderSequenceNumber, "on another connection nothing was refused");
        assert_eq!(told(&rig, &this, 4).await, ErrorCode::NotLeaderOrFollower);
        let again = told(&rig, &this, 4).await;
        assert_eq!(again, ErrorCode::OutOfOrderSequenceNumber, "the producer gave the refused one up");
    }

    #[tokio::test]
    async fn zstd_is_taken_from_the_version_on_that_knows_it() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1]);
        let (zstd, gzip) = (batch(Compression::Zstd), batch(Compression::Gzip));
        assert_eq!(produced(&rig, &zstd, 6).await, ErrorCode::UnsupportedCompressionType);
        assert_eq!(produced(&rig, &gzip, 6).await, ErrorCode::None);
        assert_eq!(produced(&rig, &zstd, 7).await, ErrorCode::None);
        assert_eq!(hosted.read(|replica| replica.log().log_end().get()), Some(2));
    }
    #[tokio::test]
    async fn of_two_batches_for_one_partition_the_last_is_appended() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1]);
        let (first, last) = (batch(Compression::None), of_producer(Compression::None, 0, 10));
        for apart in [false, true] {
            let partition = |batch| PartitionProduceData {
                records: Some(Records::Borrowed(batch)),
                ..Default::default()
            };
            let topic = |partition_data| TopicProduceData {
                name: Cow::Borrowed("t"),
                partition_data,
                ..Default::default()
            };
            let (first, last) = (partition(&first), partition(&last));
            let topic_data = match apart {
                true => vec![topic(vec![first]), topic(vec![last])],
                false => vec![topic(vec![first, last])],
            };
            let request = ProduceRequest { acks: 1, timeout_ms: 1_000, topic_data, ..Default::default() };
            let body = rig.ask(&request, 9).await.unwrap();
            let response = ProduceResponse::decode(&mut Reader::new(&body), 9).unwrap();
            assert_eq!(response.responses.len(), 1);
            let rows = &response.responses[0].partition_responses;
            assert_eq!((rows.len(), rows[0].error_code, rows[0].base_offset), (1, 0, 0));
        }
        // Sent again it is the same batch, because it has a sequence: the first one had none.
        assert_eq!(hosted.read(|replica| replica.log().log_end().get()), Some(1));
    }

    #[tokio::test]
    async fn clients_write_no_internal_topic_and_the_coordinators_do() {
        let mut rig = Rig::new();
        let internal = ["__consumer_offsets", "__transaction_state", "__share_group_state"];
        for name in internal {
            assert_eq!(
                produced_to(&rig, name, &batch(Compression::None), 9).await,
                ErrorCode::UnknownTopicOrPartition
            );
            let hosted = rig.topic(name, &[1]);
            assert_eq!(
                produced_to(&rig, name, &batch(Compression::None), 9).await,
                ErrorCode::InvalidTopicException
            );
            let end = || hosted.read(|replica| replica.log().log_end().get());
            assert_eq!(end(), Some(0));
            let now = rig.broker.clock.now();
            hosted.append(now, &mut batch(Compression::None), RequiredAcks::All).unwrap();
            assert_eq!(end(), Some(1));
        }
        let to_metadata = produced_to(&rig, "__cluster_metadata", &batch(Compression::None), 9).await;
        assert_eq!(to_metadata, ErrorCode::InvalidTopicException);
    }

    /// A batch of producer 7 with one record that unfolds beyond what is checked in passing.
    fn of_producer(compression: Compression, sequence: i32, value_bytes: usize) -> Vec<u8> {
        let options = BatchOptions {
            compression,
            producer_id: 7,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        builder.append(None, Some(&vec![0; value_bytes]), 1);
        builder.build().unwrap().to_vec()
    }

    fn request(batch: &[u8]) -> ProduceRequest<'_> {
        let partition =
            PartitionProduceData { records: Some(Records::Borrowed(batch)), ..Default::default() };
        let topic = TopicProduceData {
            name: Cow::Borrowed("t"),
            partition_data: vec![partition],
            ..Default::default()
        };
        ProduceRequest { acks: 1, timeout_ms: 1_000, topic_data: vec![topic], ..Default::default() }
    }

    async fn answer_of(mut handled: Handled) -> PartitionProduceResponse<'static> {
        let reply = loop {
            match handled {
                Handled::Now(reply) => break reply,
                Handled::Later(reply) => break reply.await,
                Handled::Elsewhere(later) => handled = later.await,
            }
        };
        let body = Rig::body::<ProduceRequest<'_>>(reply, 9).unwrap();
        let response = ProduceResponse::decode(&mut Reader::new(&body), 9).unwrap();
        response.responses[0].partition_responses[0].clone().into_owned()
    }

    #[tokio::test]
    async fn pipelined_batches_of_a_producer_keep_their_order_though_some_take_long_to_check() {
        let mut rig = Rig::new();
        rig.topic("t", &[1]);
        let peer = Rig::peer();
        let large = |sequence| of_producer(Compression::Zstd, sequence, 4 << 20);
        let small = |sequence| of_producer(Compression::None, sequence, 10);
        let mut waiting = Vec::new();
        for sequence in 0..24 {
            let batch = if sequence % 4 == 0 { large(sequence) } else { small(sequence) };
            waiting.push(rig.handle(&peer, &request(&batch), 9));
        }
        assert!(
            waiting.iter().all(|handled| matches!(handled, Handled::Later(_))),
            "none overtakes the first"
        );
        for (sequence, handled) in waiting.into_iter().enumerate() {
            let answer = answer_of(handled).await;
            assert_eq!((answer.error_code, answer.base_offset), (0, sequence as i64));
        }
        assert!(
            matches!(rig.handle(&peer, &request(&small(24)), 9), Handled::Now(_)),
            "the line is empty again"
        );
    }

    #[tokio::test]
    async fn an_answer_names_the_records_because_of_which_a_batch_is_refused() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1]);
        rig.set("t", "cleanup.policy", "compact");
        for compression in [Compression::None, Compression::Gzip] {
            let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
            builder.append(Some(b"k"), None, 1).append(None, None, 1).append(None, None, 1);
            let batch = builder.build().unwrap();
            let answer = answer_of(rig.handle(&Rig::peer(), &request(&batch), 9)).await;
            assert_eq!(ErrorCode::from_wire(answer.error_code), ErrorCode::InvalidRecord);
            let named: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
            assert_eq!(named, [1, 2]);
            let message = answer.record_errors[0].batch_index_error_message.as_deref();
            assert!(message.is_some_and(|message| message.contains("needs a key")), "{message:?}");
        }
        assert_eq!(hosted.read(|replica| replica.log().log_end().get()), Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_that_unfolds_without_end_is_an_invalid_record() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1]);
        let bomb = of_producer(Compression::Zstd, 0, 65 << 20);
        assert!(bomb.len() < 16 << 10);
        let answer = answer_of(rig.handle(&Rig::peer(), &request(&bomb), 9)).await;
        assert_eq!(ErrorCode::from_wire(answer.error_code), ErrorCode::InvalidRecord);
        assert_eq!(hosted.read(|replica| replica.log().log_end().get()), Some(0));
    }
}
