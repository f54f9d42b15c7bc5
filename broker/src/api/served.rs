//! Which APIs are served, on which listener, in which versions, and by which file.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ottla_broker_protocol::ApiKey;

use super::answer::{Answer, Malformed};
use super::call::Call;
use super::{
    admin, alter_configs, api_versions, delete_records, describe_cluster, describe_configs,
    describe_log_dirs, describe_topic_partitions, fetch, find_coordinator, groups, incremental_alter_configs,
    init_producer_id, internal, list_offsets, list_partition_reassignments, metadata,
    offset_for_leader_epoch, produce,
};
use crate::broker::Broker;

/// What clients are told of, in the order of the keys. A row here means: fully served in all its versions.
pub const FOR_CLIENTS: [ApiKey; 33] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::OffsetDelete,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::UnregisterBroker,
    ApiKey::DescribeTopicPartitions,
];

/// What brokers ask of each other, on the private listener only.
const FOR_BROKERS: [ApiKey; 7] = [
    ApiKey::AlterPartition,
    ApiKey::BrokerRegistration,
    ApiKey::BrokerHeartbeat,
    ApiKey::AllocateProducerIds,
    ApiKey::RaftMessage,
    ApiKey::MetadataFetch,
    ApiKey::ForwardAdmin,
];

/// Whether `api` is answered on the private (`internal`) or the client listener.
pub fn is_served(api: ApiKey, internal: bool) -> bool {
    FOR_CLIENTS.contains(&api) || (internal && FOR_BROKERS.contains(&api))
}

/// Every API of a listener.
pub fn all(internal: bool) -> impl Iterator<Item = ApiKey> {
    let for_brokers: &[ApiKey] = if internal { &FOR_BROKERS } else { &[] };
    FOR_CLIENTS.iter().chain(for_brokers).copied()
}

/// The versions that clients are told of. Produce names older ones than it answers, because librdkafka
/// compresses only when version 0 is listed (KAFKA-18659).
pub fn advertised(api: ApiKey) -> RangeInclusive<i16> {
    api.advertised_versions()
}

/// The versions that are answered.
pub fn versions(api: ApiKey) -> RangeInclusive<i16> {
    api.versions()
}

/// Whether answering may read or write partitions, or wait for who does: groups keep their state in one.
pub fn touches_logs(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::OffsetForLeaderEpoch
            | ApiKey::DescribeLogDirs
            | ApiKey::DeleteRecords
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::JoinGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::SyncGroup
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::DeleteGroups
            | ApiKey::OffsetDelete
    )
}

/// Hands a call to its file.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    match call.key {
        ApiKey::Produce => produce::handle(broker, call),
        ApiKey::Fetch => fetch::handle(broker, call),
        ApiKey::ListOffsets => list_offsets::handle(broker, &call),
        ApiKey::Metadata => metadata::handle(broker, call),
        ApiKey::FindCoordinator => find_coordinator::handle(broker, call),
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete => groups::handle(broker, call),
        ApiKey::ApiVersions => api_versions::handle(broker, &call),
        ApiKey::InitProducerId => init_producer_id::handle(broker, call),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(broker, &call),
        ApiKey::DescribeConfigs => describe_configs::handle(broker, &call),
        ApiKey::DescribeLogDirs => describe_log_dirs::handle(broker, &call),
        ApiKey::ListPartitionReassignments => list_partition_reassignments::handle(broker, &call),
        ApiKey::DescribeCluster => describe_cluster::handle(broker, &call),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::handle(broker, &call),
        ApiKey::CreateTopics
        | ApiKey::DeleteTopics
        | ApiKey::CreatePartitions
        | ApiKey::ElectLeaders
        | ApiKey::AlterPartitionReassignments
        | ApiKey::UnregisterBroker
        | ApiKey::DescribeQuorum => admin::handle(broker, call),
        ApiKey::DeleteRecords => delete_records::handle(broker, call),
        ApiKey::AlterConfigs => alter_configs::handle(broker, call),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs::handle(broker, call),
        ApiKey::AlterPartition
        | ApiKey::BrokerRegistration
        | ApiKey::BrokerHeartbeat
        | ApiKey::AllocateProducerIds
        | ApiKey::RaftMessage
        | ApiKey::MetadataFetch
        | ApiKey::ForwardAdmin => internal::handle(broker, call),
        _ => Ok(Answer::close("the API is not served on this listener")),
    }
}
