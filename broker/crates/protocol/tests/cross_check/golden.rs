//! Golden bytes, written by hand from the protocol's description, for versions that the reference codec lacks, and
//! for rules about null and versions that no round trip shows.

use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_broker_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use ottla_broker_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use ottla_broker_protocol::messages::fetch_request::FetchRequest;
use ottla_broker_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_broker_protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use ottla_broker_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_broker_protocol::messages::metadata_request::MetadataRequest;
use ottla_broker_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_broker_protocol::messages::offset_commit_value::OffsetCommitValue;
use ottla_broker_protocol::{Encode, EncodeError, Records, Writer};
use ottla_broker_types::Uuid;

fn bytes(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version).unwrap();
    w.into_bytes().unwrap().to_vec()
}

#[test]
fn api_versions_5_adds_cluster_and_node() {
    let request = ApiVersionsRequest {
        client_software_name: "a".into(),
        client_software_version: "1".into(),
        cluster_id: Some("c".into()),
        node_id: 7,
    };
    assert_eq!(bytes(&request, 5), b"\x02a\x021\x02c\x00\x00\x00\x07\x00");
    assert_eq!(bytes(&request, 4), b"\x02a\x021\x00");
    let none = ApiVersionsRequest { cluster_id: None, node_id: -1, ..request };
    assert_eq!(bytes(&none, 5), b"\x02a\x021\x00\xff\xff\xff\xff\x00");
}

#[test]
fn api_versions_response_0_is_an_error_and_a_list() {
    let response = ApiVersionsResponse {
        error_code: 35,
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 5 }],
        ..Default::default()
    };
    assert_eq!(bytes(&response, 0), b"\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x05");
}

#[test]
fn list_offsets_11_has_the_layout_of_10() {
    let partition = ListOffsetsPartition { partition_index: 1, current_leader_epoch: 2, timestamp: -6 };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
    let request =
        ListOffsetsRequest { replica_id: -1, isolation_level: 1, topics: vec![topic], timeout_ms: 3 };
    let expected = [
        &b"\xff\xff\xff\xff\x01\x02\x02t\x02"[..],
        b"\x00\x00\x00\x01\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xfa\x00",
        b"\x00\x00\x00\x00\x03\x00",
    ]
    .concat();
    assert_eq!(bytes(&request, 11), expected);
    assert_eq!(bytes(&request, 10), expected);
}

#[test]
fn offset_commit_10_names_topics_by_id() {
    let partition =
        OffsetCommitRequestPartition { partition_index: 1, committed_offset: 2, ..Default::default() };
    let topic = OffsetCommitRequestTopic {
        topic_id: Uuid([9; 16]),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
    let expected = [
        &b"\x02g\xff\xff\xff\xff\x01\x00\x02"[..],
        &[9; 16],
        b"\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00",
    ]
    .concat();
    assert_eq!(bytes(&request, 10), expected);
}

#[test]
fn delete_groups_3_adds_a_message() {
    let result =
        DeletableGroupResult { group_id: "g".into(), error_code: 68, error_message: Some("m".into()) };
    let response = DeleteGroupsResponse { throttle_time_ms: 0, results: vec![result] };
    assert_eq!(bytes(&response, 3), b"\x00\x00\x00\x00\x02\x02g\x00\x44\x02m\x00\x00");
    assert_eq!(bytes(&response, 2), b"\x00\x00\x00\x00\x02\x02g\x00\x44\x00\x00");
}

#[test]
fn committed_offsets_are_written_as_kafka_3_and_4_write_them() {
    let value = OffsetCommitValue {
        offset: 5,
        leader_epoch: 6,
        metadata: "m".into(),
        commit_timestamp: 7,
        ..Default::default()
    };
    let v3 = b"\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x06\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x07";
    assert_eq!(bytes(&value, 3), v3);
    let value = OffsetCommitValue { topic_id: Uuid([3; 16]), ..value };
    let v4 = [
        &b"\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x06\x02m\x00\x00\x00\x00\x00\x00\x00\x07\x01\x00\x10"
            [..],
        &[3; 16],
    ]
    .concat();
    assert_eq!(bytes(&value, 4), v4);
}

#[test]
fn a_group_is_written_as_kafka_3_writes_it() {
    let member = MemberMetadata {
        member_id: "m".into(),
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout: 1,
        session_timeout: 2,
        subscription: b"s"[..].into(),
        assignment: b"a"[..].into(),
        ..Default::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: None,
        current_state_timestamp: 4,
        members: vec![member],
    };
    let expected = [
        &b"\x00\x08consumer\x00\x00\x00\x03\x00\x05range\xff\xff\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x01"[..],
        b"\x00\x01m\xff\xff\x00\x01c\x00\x02/h\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01s\x00\x00\x00\x01a",
    ]
    .concat();
    assert_eq!(bytes(&value, 3), expected);
}

#[test]
fn null_and_empty_topics_of_a_metadata_request_stay_apart() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(bytes(&all, 1), b"\xff\xff\xff\xff");
    let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    assert_eq!(bytes(&none, 1), b"\x00\x00\x00\x00");
    let error = all.encode(&mut Writer::new(), 0).unwrap_err();
    assert_eq!(error, EncodeError::UnexpectedNull { field: "MetadataRequest.topics", version: 0 });
}

#[test]
fn a_value_that_a_version_cannot_carry_is_refused_unless_it_may_be_dropped() {
    let request = FetchRequest { replica_id: 3, rack_id: "r".into(), ..Default::default() };
    let error = request.encode(&mut Writer::new(), 15).unwrap_err();
    assert_eq!(error, EncodeError::UnsupportedField { field: "FetchRequest.replica_id", version: 15 });
    assert!(request.encode(&mut Writer::new(), 4).is_ok());
}

#[test]
fn versions_outside_of_the_spec_are_refused() {
    for version in [-1, 3, 19] {
        let error = FetchRequest::default().encode(&mut Writer::new(), version).unwrap_err();
        assert_eq!(error, EncodeError::UnsupportedVersion { message: "FetchRequest", version });
    }
}

#[test]
fn an_owned_message_has_the_bytes_of_the_borrowed_one() {
    let partition = PartitionData { records: Some(Records::Borrowed(b"batches")), ..Default::default() };
    let topic =
        FetchableTopicResponse { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    let before = bytes(&response, 12);
    assert_eq!(bytes(&response.into_owned(), 12), before);
}
