//! Fetches of a client, by the frame.

use std::time::Duration;

use ottla_broker_metadata::Record;
use ottla_broker_metadata::record::{BrokerRegistrationChange, PartitionChange, RegisterBroker};
use ottla_broker_protocol::batch::Compression;
use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use ottla_broker_protocol::{Decode, Reader};

use super::*;
use crate::listener::Handled;
use crate::partitions::{HostedPartition, RequiredAcks};
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
        while (busy.watcher_count(), quiet.watcher_count()) != (1, 1) {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            append(&rig, &busy, Compression::None);
            while busy.watcher_count() == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!((busy.watcher_count(), quiet.watcher_count()), (1, 1));
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
    let peer = Rig::broker_peer();
    let Handled::Later(waiting) = rig.handle(&peer, &asked, 17) else { panic!("the fetch waits") };
    let waiting = tokio::spawn(waiting);
    rig.commit(&leaving(hosted.topic_id));
    append(&rig, &hosted, Compression::None);
    tokio::time::timeout(PATIENCE, waiting).await.expect("an answer in time").unwrap();
    let mut batch = batch(Compression::None);
    let appended = hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::All).unwrap();
    assert!(appended.wait.is_none(), "a producer waits for a broker that has left");
}

/// A request of broker 2 in a session, with what it names of the topics.
fn of_follower(
    session: (i32, i32),
    named: &[(&HostedPartition, i64)],
    wait_ms: i32,
) -> FetchRequest<'static> {
    let topics = named.iter().map(|(hosted, offset)| FetchTopic {
        topic_id: hosted.topic_id.0,
        partitions: vec![FetchPartition {
            fetch_offset: *offset,
            current_leader_epoch: 0,
            last_fetched_epoch: -1,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        }],
        ..Default::default()
    });
    FetchRequest {
        replica_state: ReplicaState { replica_id: 2, replica_epoch: 7, ..Default::default() },
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: topics.collect(),
        ..Default::default()
    }
}

/// The session's id, and of each topic in the answer the bytes of records or the error.
async fn replicate(rig: &Rig, request: &FetchRequest<'_>) -> (i32, Vec<(TopicId, Result<usize, ErrorCode>)>) {
    let peer = Rig::broker_peer();
    let reply = match rig.handle(&peer, request, 17) {
        Handled::Now(reply) => reply,
        Handled::Later(reply) => tokio::time::timeout(PATIENCE, reply).await.expect("an answer in time"),
        Handled::Elsewhere(_) => panic!("a small request is handled in line"),
    };
    let body = Rig::body::<FetchRequest<'_>>(reply, 17).expect("an answer");
    let response = FetchResponse::decode(&mut Reader::new(&body), 17).unwrap();
    let rows = response.responses.iter().map(|topic| {
        let data = &topic.partitions[0];
        let bytes = data.records.as_ref().map_or(0, |records| records.len());
        let result = match ErrorCode::from_wire(data.error_code) {
            ErrorCode::None => Ok(bytes),
            code => Err(code),
        };
        (TopicId(topic.topic_id), result)
    });
    (response.session_id, rows.collect())
}

#[tokio::test]
async fn a_session_of_a_follower_hears_of_what_is_new_and_of_nothing_else() {
    let mut rig = Rig::new();
    rig.commit(&[registered()]);
    let (busy, quiet) = (rig.topic("busy", &[1, 2]), rig.topic("quiet", &[1, 2]));
    let (id, rows) = replicate(&rig, &of_follower((0, 0), &[(&busy, 0), (&quiet, 0)], 0)).await;
    assert_eq!(rows.len(), 2, "the first answer names all");
    let bytes = append(&rig, &busy, Compression::None);
    let ms = PATIENCE.as_millis() as i32;
    let (_, rows) = replicate(&rig, &of_follower((id, 1), &[], ms)).await;
    assert_eq!(rows, [(busy.topic_id, Ok(bytes))]);
    let committed = || busy.read(|replica| replica.high_watermark().get());
    assert_eq!(committed(), Some(0));
    let (_, rows) = replicate(&rig, &of_follower((id, 2), &[(&busy, 1)], 0)).await;
    assert_eq!(committed(), Some(1), "what the request names counts as progress");
    assert_eq!(rows, [(busy.topic_id, Ok(0))], "the high watermark is new");
    assert_eq!(replicate(&rig, &of_follower((id, 3), &[], 0)).await.1, []);
    append(&rig, &quiet, Compression::None);
    assert_eq!(replicate(&rig, &of_follower((id, 4), &[], 0)).await.1, [(quiet.topic_id, Ok(bytes))]);
}

#[tokio::test]
async fn what_an_answer_had_no_room_for_comes_with_the_next() {
    let mut rig = Rig::new();
    rig.commit(&[registered()]);
    let topics = ["a", "bb", "ccc"].map(|name| rig.topic(name, &[1, 2]));
    let bytes = topics.each_ref().map(|hosted| append(&rig, hosted, Compression::None))[0];
    let mut asked = of_follower((0, 0), &topics.each_ref().map(|hosted| (&**hosted, 0)), 0);
    asked.max_bytes = 1;
    let (id, rows) = replicate(&rig, &asked).await;
    let carried = |rows: Vec<(TopicId, Result<usize, ErrorCode>)>| -> Vec<TopicId> {
        rows.into_iter().filter(|(_, read)| *read == Ok(bytes)).map(|(topic, _)| topic).collect()
    };
    assert_eq!(carried(rows), [topics[0].topic_id]);
    for (epoch, topic) in [(1, 1), (2, 2), (3, 0)] {
        let mut asked = of_follower((id, epoch), &[], 0);
        asked.max_bytes = 1;
        assert_eq!(carried(replicate(&rig, &asked).await.1), [topics[topic].topic_id]);
    }
}

#[tokio::test]
async fn a_follower_that_comes_back_into_service_joins_though_it_has_nothing_to_fetch() {
    let mut rig = Rig::new();
    rig.commit(&[registered()]);
    let hosted = rig.topic("t", &[1, 2]);
    let (id, _) = replicate(&rig, &of_follower((0, 0), &[(&hosted, 0)], 0)).await;
    let fencing = |fenced| {
        let mut change = leaving(hosted.topic_id);
        if let [Record::PartitionChange(isr), Record::BrokerRegistrationChange(broker)] = &mut change {
            (broker.fenced, broker.in_controlled_shutdown) = (Some(fenced), None);
            isr.isr = isr.isr.take().filter(|_| fenced);
        }
        change
    };
    rig.commit(&fencing(true));
    let proposed = || hosted.read(|replica| replica.check_due()).flatten().is_some();
    replicate(&rig, &of_follower((id, 1), &[], 0)).await;
    assert!(!proposed(), "it is out of service");
    rig.commit(&fencing(false));
    assert_eq!(rig.broker.partitions.isr_queue().waiting_count(), 0);
    replicate(&rig, &of_follower((id, 2), &[], 0)).await;
    assert_eq!(rig.broker.partitions.isr_queue().waiting_count(), 1);
}

#[tokio::test]
async fn a_partition_that_leaves_the_broker_is_told_to_the_sessions() {
    let mut rig = Rig::new();
    rig.commit(&[registered()]);
    let hosted = rig.topic("t", &[1, 2]);
    let (id, _) = replicate(&rig, &of_follower((0, 0), &[(&hosted, 0)], 0)).await;
    rig.commit(&[Record::RemoveTopic { id: hosted.topic_id }]);
    for epoch in 1..3 {
        let (_, rows) = replicate(&rig, &of_follower((id, epoch), &[], 0)).await;
        assert_eq!(rows, [(hosted.topic_id, Err(ErrorCode::UnknownTopicId))]);
    }
    let (_, rows) = replicate(&rig, &of_follower((id, 9), &[], 0)).await;
    assert_eq!(rows, [], "another epoch than the session's");
}
