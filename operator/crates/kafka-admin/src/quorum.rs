//! The metadata quorum.

use std::borrow::Cow;

use ottla_broker_protocol::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use ottla_broker_protocol::messages::describe_quorum_response::{DescribeQuorumResponse, ReplicaState};
use ottla_broker_types::{NodeId, TimestampMs};

use crate::client::AdminClient;
use crate::error::AdminError;

/// The name by which DescribeQuorum knows the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// One member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub node: NodeId,
    /// Exclusive end of its log; `None` if the leader does not know.
    pub log_end: Option<i64>,
    /// When it last held everything that the leader held.
    pub last_caught_up: Option<TimestampMs>,
}

/// The quorum as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The active controller.
    pub leader: Option<NodeId>,
    /// Its epoch.
    pub leader_epoch: i32,
    /// The committed end of the metadata log.
    pub high_watermark: i64,
    /// Those who vote.
    pub voters: Vec<QuorumReplica>,
    /// Those who follow.
    pub observers: Vec<QuorumReplica>,
}

impl AdminClient {
    /// The metadata quorum.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, AdminError> {
        let partition = PartitionData { partition_index: 0, ..Default::default() };
        let topic = TopicData {
            topic_name: Cow::Borrowed(METADATA_TOPIC),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic], ..Default::default() };
        self.call_any(&request, |response: DescribeQuorumResponse<'_>| {
            AdminError::check(response.error_code, response.error_message.as_deref())?;
            let partition = response.topics.first().and_then(|topic| topic.partitions.first());
            let Some(partition) = partition else { return Ok(QuorumDescription::default()) };
            AdminError::check(partition.error_code, partition.error_message.as_deref())?;
            Ok(QuorumDescription {
                leader: NodeId::from_wire(partition.leader_id),
                leader_epoch: partition.leader_epoch,
                high_watermark: partition.high_watermark,
                voters: partition.current_voters.iter().filter_map(replica).collect(),
                observers: partition.observers.iter().filter_map(replica).collect(),
            })
        })
        .await?
    }
}

fn replica(state: &ReplicaState) -> Option<QuorumReplica> {
    Some(QuorumReplica {
        node: NodeId::from_wire(state.replica_id)?,
        log_end: (state.log_end_offset >= 0).then_some(state.log_end_offset),
        last_caught_up: (state.last_caught_up_timestamp >= 0)
            .then_some(TimestampMs(state.last_caught_up_timestamp)),
    })
}
