//! DescribeQuorum (key 55): the metadata quorum as its leader sees it.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_broker_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use ottla_broker_quorum::{QuorumStatus, ReplicaStatus};
use ottla_broker_types::Uuid;

use super::{AdminApi, Deciding};
use crate::controller::{Active, NotActive};

/// The name by which Kafka knows the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// From this version on the answer has messages, directories and nodes (KIP-853).
const DETAILS_FROM_VERSION: i16 = 2;

/// How the active controller decides on it.
pub struct DescribeQuorum;

impl AdminApi for DescribeQuorum {
    type Request<'a> = DescribeQuorumRequest<'a>;
    type Response<'a> = DescribeQuorumResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let log = active.parts.log.as_ref().ok_or(NotActive)?;
            active.leadership().ok_or(NotActive)?;
            let status = log.status();
            // As by Kafka, who names anything else beside it is told of nothing.
            let is_alone = request.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>() == 1;
            let topics = request.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| {
                    if is_alone && topic.topic_name == METADATA_TOPIC && partition.partition_index == 0 {
                        return described(&status);
                    }
                    let code = ErrorCode::UnknownTopicOrPartition;
                    PartitionData {
                        partition_index: partition.partition_index,
                        error_code: code.code(),
                        error_message: Some(Cow::Borrowed(
                            "only __cluster_metadata, partition 0, is a quorum's log",
                        )),
                        ..Default::default()
                    }
                });
                TopicData {
                    topic_name: Cow::Owned(topic.topic_name.clone().into_owned()),
                    partitions: partitions.collect(),
                    ..Default::default()
                }
            });
            let members = status.voters.iter().chain(&status.observers);
            let nodes =
                members.map(|member| node(member, &active.parts.config.inter_broker_listener_name)).collect();
            let mut response =
                DescribeQuorumResponse { topics: topics.collect(), nodes, ..Default::default() };
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            if !partitions.into_iter().any(|partition| partition.error_code == ErrorCode::None.code()) {
                // Who asks for another log is told nothing of this one.
                response.nodes.clear();
            }
            Ok(in_version(response, version))
        })
    }

    fn failed(_request: &Self::Request<'_>, code: ErrorCode, version: i16) -> Self::Response<'static> {
        let response = DescribeQuorumResponse {
            error_code: code.code(),
            error_message: Some(Cow::Borrowed(code.message())),
            ..Default::default()
        };
        in_version(response, version)
    }
}

/// Leaves out what older versions cannot carry.
fn in_version(
    mut response: DescribeQuorumResponse<'static>,
    version: i16,
) -> DescribeQuorumResponse<'static> {
    if version >= DETAILS_FROM_VERSION {
        return response;
    }
    response.error_message = None;
    response.nodes.clear();
    for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_message = None;
        for replica in partition.current_voters.iter_mut().chain(&mut partition.observers) {
            replica.replica_directory_id = Uuid::ZERO;
        }
    }
    response
}

fn described(status: &QuorumStatus) -> PartitionData<'static> {
    PartitionData {
        partition_index: 0,
        leader_id: status.leader.map_or(-1, |node| node.0),
        leader_epoch: i32::try_from(status.term.0).unwrap_or(i32::MAX),
        high_watermark: status.committed_end.get(),
        current_voters: status.voters.iter().map(replica).collect(),
        observers: status.observers.iter().map(replica).collect(),
        ..Default::default()
    }
}

fn replica(status: &ReplicaStatus) -> ReplicaState {
    ReplicaState {
        replica_id: status.id.node.0,
        replica_directory_id: status.id.directory.0,
        log_end_offset: status.log_end.map_or(-1, |end| end.get()),
        last_fetch_timestamp: status.last_fetch.map_or(-1, |time| time.0),
        last_caught_up_timestamp: status.last_caught_up.map_or(-1, |time| time.0),
        ..Default::default()
    }
}

fn node(status: &ReplicaStatus, listener: &str) -> Node<'static> {
    let (host, port) = status.address.rsplit_once(':').unwrap_or((&status.address, "0"));
    let listener = Listener {
        name: Cow::Owned(listener.to_owned()),
        host: Cow::Owned(host.to_owned()),
        port: port.parse().unwrap_or(0),
        ..Default::default()
    };
    Node { node_id: status.id.node.0, listeners: vec![listener], ..Default::default() }
}
