//! Fetches of a client, by the frame.

use std::time::Duration;

use ottla_broker_metadata::Record;
use ottla_broker_metadata::record::{BrokerRegistrationChange, PartitionChange, RegisterBroker};
use ottla_broker_protocol::batch::Compression;
use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use ottla_broker_protocol::{Decode, Reader};

use super::*;
use crate::listener::{Handled, PeerInfo};
use crate::partitions::RequiredAcks;
use crate::testing::{Rig, batch};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches the first partition of each topic from the start, by name.
fn request<'a>(topics: &[&'a str], bytes_min: i32) -> FetchRequest<'a> {
    let topics = topics.iter().map(|topic| FetchTopic {
        topic: Cow::Borrowed(*topic),
        partitions: vec![FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
        ..Default::default()
    });
    FetchRequest {
        replica_id: -1,
        max_wait_ms: PATIENCE.as_millis() as i32,
        min_bytes: bytes_min,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: topics.collect(),
        ..Default::default()
    }
}

/// Code and bytes of records of each partition that is in the answer.
async fn fetch(rig: &Rig, request: &FetchRequest<'_>, version: i16) -> Vec<(ErrorCode, usize)> {
    let answer = tokio::time::timeout(PATIENCE, rig.ask(request, version));
    let body = answer.await.expect("an answer in time").expect("an answer");
    let response = FetchResponse::decode(&mut Reader::new(&body), version).unwrap();
    let bytes = |data: &PartitionData<'_>| data.records.as_ref().map_or(0, |records| records.len());
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|data| (ErrorCode::from_wire(data.error_code), bytes(data))).collect()
}

fn append(rig: &Rig, hosted: &HostedPartition, compression: Compression) -> usize {
    let mut batch = batch(compression);
    hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::Leader).unwrap();
    batch.len()
}

#[tokio::test]
async fn a_waiting_fetch_is_armed_once_on_each_partition_and_answers_with_all_of_them() {
    let mut rig = Rig::new();
    let (busy, quiet) = (rig.topic("busy", &[1]), rig.topic("quiet", &[1]));
    let bytes = batch(Compression::None).len();
    let asked = request(&["busy", "quiet"], 11 * bytes as i32);
    let appends = async {
        while (busy.armed_count(), quiet.armed_count()) != (1, 1) {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            append(&rig, &busy, Compression::None);
            while busy.armed_count() == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!((busy.armed_count(), quiet.armed_count()), (1, 1));
        }
        append(&rig, &quiet, Compression::None);
    };
    let (found, ()) = tokio::join!(fetch(&rig, &asked, 12), appends);
    assert_eq!(found, [(ErrorCode::None, 10 * bytes), (ErrorCode::None, bytes)]);
}

#[tokio::test]
async fn a_name_that_no_topic_can_have_is_unknown() {
    let mut rig = Rig::new();
    let hosted = rig.topic("t", &[1]);
    let bytes = append(&rig, &hosted, Compression::None);
    let mut asked = request(&["", "a/b", "t"], 1);
    let unknown = (ErrorCode::UnknownTopicOrPartition, 0);
    for session_epoch in [-1, 0] {
        asked.session_epoch = session_epoch;
        assert_eq!(fetch(&rig, &asked, 12).await, [unknown, unknown, (ErrorCode::None, bytes)]);
    }
}

#[tokio::test]
async fn old_clients_get_what_lies_in_front_of_zstd() {
    let mut rig = Rig::new();
    let hosted = rig.topic("t", &[1]);
    let gzip = append(&rig, &hosted, Compression::Gzip) + append(&rig, &hosted, Compression::Gzip);
    let zstd = append(&rig, &hosted, Compression::Zstd);
    let mut asked = request(&["t"], 1);
    assert_eq!(fetch(&rig, &asked, 9).await, [(ErrorCode::None, gzip)]);
    assert_eq!(fetch(&rig, &asked, 10).await, [(ErrorCode::None, gzip + zstd)]);
    asked.topics[0].partitions[0].fetch_offset = 2;
    assert_eq!(fetch(&rig, &asked, 9).await, [(ErrorCode::UnsupportedCompressionType, 0)]);
    assert_eq!(fetch(&rig, &asked, 10).await, [(ErrorCode::None, zstd)]);
}

/// Broker 2, in service.
fn registered() -> Record {
    Record::RegisterBroker(RegisterBroker {
        broker: NodeId(2),
        incarnation: Uuid([2; 16]),
        epoch: Some(BrokerEpoch(7)),
        endpoints: Vec::new(),
        features: Vec::new(),
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        log_dirs: Vec::new(),
    })
}

/// It is about to stop, and so the leader alone is in sync.
fn leaving(topic: TopicId) -> [Record; 2] {
    let change =
        PartitionChange { isr: Some(vec![NodeId(1)]), ..PartitionChange::none(topic, PartitionIndex(0)) };
    let leaves = BrokerRegistrationChange {
        broker: NodeId(2),
        epoch: BrokerEpoch(7),
        fenced: None,
        in_controlled_shutdown: Some(true),
        log_dirs: None,
    };
    [Record::PartitionChange(change), Record::BrokerRegistrationChange(leaves)]
}

#[tokio::test]
async fn producers_do_not_wait_for_a_follower_that_leaves_while_its_fetch_waits() {
    let mut rig = Rig::new();
    rig.commit(&[registered()]);
    let hosted = rig.topic("t", &[1, 2]);
    let mut asked = request(&["t"], 1);
    asked.replica_state = ReplicaState { replica_id: 2, replica_epoch: 7, ..Default::default() };
    asked.topics[0].topic_id = hosted.topic_id.0;
    let peer = PeerInfo { internal: true, ..Rig::peer() };
    let Handled::Later(waiting) = rig.handle(&peer, &asked, 17) else { panic!("the fetch waits") };
    let waiting = tokio::spawn(waiting);
    rig.commit(&leaving(hosted.topic_id));
    append(&rig, &hosted, Compression::None);
    tokio::time::timeout(PATIENCE, waiting).await.expect("an answer in time").unwrap();
    let mut batch = batch(Compression::None);
    let appended = hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::All).unwrap();
    assert!(appended.wait.is_none(), "a producer waits for a broker that has left");
}
