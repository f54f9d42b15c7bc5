//! Produce (key 0): batches in, verbatim to the logs; acks=all waits for the high watermarks.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::produce_request::ProduceRequest;
use ottla_broker_protocol::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use ottla_broker_types::{PartitionIndex, TopicId, TopicName, Uuid};
use tokio::sync::oneshot;

use super::call::Call;
use super::{Answer, Malformed, old_clients};
use crate::broker::Broker;
use crate::listener::Reply;
use crate::partitions::{AppendFailure, HostedPartition, ProduceWait, RequiredAcks};
use crate::view::View;

/// The longest a producer may ask to wait; Kafka has no limit, a forgotten wait must end some day.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// From this version on an answer names the leader that the client should ask (KIP-951).
const LEADER_NAMED_FROM_VERSION: i16 = 10;

/// One partition's batch: where it lies in the frame, and whom it is for.
struct Part {
    topic: usize,
    index: PartitionIndex,
    target: Result<Arc<HostedPartition>, AppendFailure>,
    records: Option<Range<usize>>,
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
    wait: Option<(Arc<HostedPartition>, oneshot::Receiver<ProduceWait>)>,
}

/// Handles a Produce.
pub fn handle(broker: &Arc<Broker>, mut call: Call) -> Result<Answer, Malformed> {
    let (topics, parts, acks, timeout) = open(broker, &call)?;
    let Some(acks) = acks else {
        let outcomes = parts.iter().map(|part| failed(part, ErrorCode::InvalidRequiredAcks, None)).collect();
        return Ok(Answer::now(call.reply(&response(broker, &call, topics, outcomes))));
    };
    let outcomes: Vec<Outcome> =
        parts.into_iter().map(|part| append(broker, &mut call, &part, acks)).collect();
    if acks == RequiredAcks::None {
        let failed = outcomes.iter().any(|outcome| outcome.response.error_code != 0);
        // Without an answer, a closed connection is the only way to tell the producer (Kafka does the same).
        let reply = if failed { Reply::Close("a produce without acks failed") } else { Reply::None };
        return Ok(Answer::now(reply));
    }
    if outcomes.iter().all(|outcome| outcome.wait.is_none()) {
        return Ok(Answer::now(call.reply(&response(broker, &call, topics, outcomes))));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        let outcomes = wait_for_commit(outcomes, timeout).await;
        call.reply(&response(&broker, &call, topics, outcomes))
    }))
}

type Opened = (Vec<NamedTopic>, Vec<Part>, Option<RequiredAcks>, Duration);

/// Decodes the request and finds its partitions, remembering where in the frame the batches lie.
fn open(broker: &Broker, call: &Call) -> Result<Opened, Malformed> {
    let request: ProduceRequest<'_> = call.request()?;
    let frame_start = call.body.as_ptr() as usize;
    let by_id = call.version >= 13;
    let mut topics = Vec::with_capacity(request.topic_data.len());
    let mut parts = Vec::new();
    for data in &request.topic_data {
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
                None if by_id => Err(AppendFailure { code: ErrorCode::UnknownTopicId, message: None }),
                None => Err(AppendFailure { code: ErrorCode::InvalidTopicException, message: None }),
            };
            let bytes = partition.records.as_ref().and_then(|records| records.as_borrowed());
            let records = bytes.map(|bytes| {
                let start = bytes.as_ptr() as usize - frame_start;
                start..start + bytes.len()
            });
            parts.push(Part { topic: topics.len(), index, target, records });
        }
        topics.push(NamedTopic { name: data.name.clone().into_owned(), id: data.topic_id });
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
        Err(code @ ErrorCode::UnknownTopicOrPartition) => Err(AppendFailure { code, message: None }),
        _ if topic.is_internal() => {
            let message =
                format!("{topic} is written by the coordinators only: clients cannot produce to it");
            Err(AppendFailure { code: ErrorCode::InvalidTopicException, message: Some(message) })
        }
        found => found.map_err(|code| AppendFailure { code, message: None }),
    }
}

fn append(broker: &Broker, call: &mut Call, part: &Part, acks: RequiredAcks) -> Outcome {
    let partition = match &part.target {
        Ok(partition) => partition,
        Err(failure) => return failed(part, failure.code, failure.message.clone()),
    };
    let Some(batch) = part.records.clone().and_then(|range| call.body.get_mut(range)) else {
        return failed(part, ErrorCode::InvalidRecord, Some("a produce needs one record batch".into()));
    };
    if call.version < old_clients::ZSTD_FROM_PRODUCE_VERSION && old_clients::is_zstd(batch) {
        let message = "zstd needs Produce 7: upgrade the client, or let it use another codec";
        return failed(part, ErrorCode::UnsupportedCompressionType, Some(message.to_owned()));
    }
    match partition.append(broker.clock.now(), batch, acks) {
        Ok(appended) => Outcome {
            topic: part.topic,
            response: PartitionProduceResponse {
                index: part.index.0,
                base_offset: appended.base_offset.get(),
                log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.0),
                log_start_offset: appended.log_start.get(),
                ..PartitionProduceResponse::default()
            },
            wait: appended.wait.map(|wait| (Arc::clone(partition), wait)),
        },
        Err(AppendFailure { code, message }) => failed(part, code, message),
    }
}

fn failed(part: &Part, code: ErrorCode, message: Option<String>) -> Outcome {
    let response = PartitionProduceResponse {
        index: part.index.0,
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: message.map(Cow::Owned),
        ..PartitionProduceResponse::default()
    };
    Outcome { topic: part.topic, response, wait: None }
}

async fn wait_for_commit(outcomes: Vec<Outcome>, timeout: Duration) -> Vec<Outcome> {
    let deadline = Box::pin(tokio::time::sleep(timeout));
    let deadline = futures::FutureExt::shared(deadline);
    join_all(outcomes.into_iter().map(|mut outcome| {
        let deadline = deadline.clone();
        async move {
            if let Some((partition, wait)) = outcome.wait.take() {
                let code = tokio::select! {
                    biased;
                    ended = wait => match ended {
                        Ok(ProduceWait::Committed) => partition.check_min_isr_after_commit(),
                        Ok(ProduceWait::LeadershipLost) | Err(_) => ErrorCode::NotLeaderOrFollower,
                    },
                    () = deadline => ErrorCode::RequestTimedOut,
                };
                outcome.response.error_code = code.code();
                if code != ErrorCode::None {
                    outcome.response.base_offset = -1;
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
        .filter_map(|node| view.endpoint(node, &call.peer.listener))
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
    use ottla_broker_protocol::batch::Compression;
    use ottla_broker_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use ottla_broker_protocol::{Decode, Reader, Records};

    use super::*;
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
}
