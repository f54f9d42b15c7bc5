//! Fetches of a client, by the frame.

use std::time::Duration;

use ottla_broker_protocol::batch::Compression;
use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use ottla_broker_protocol::{Decode, Reader};

use super::*;
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
