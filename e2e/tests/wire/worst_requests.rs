//! For each API that clients are served, the request of at most 100 KiB that makes a broker do or say the most: names
//! that are repeated, names that are invented, long lists, and "all".

use std::borrow::Cow;

use anyhow::{Context, Result};
use ottla_broker_protocol::messages::*;
use ottla_broker_protocol::rules::Listeners;
use ottla_broker_protocol::{ApiKey, Request, ServedApi, frame};

/// What a request may take.
const REQUEST_BYTES_MAX: usize = 100 << 10;
/// A topic of one partition that the others' requests use.
pub const QUIET: &str = "quiet";
/// A topic of many partitions, each with records that unfold.
pub const FULL: &str = "full";
/// Partitions of [`FULL`].
pub const FULL_PARTITIONS: i32 = 16;
/// A group with offsets whose metadata is long.
pub const GROUP: &str = "group";
/// Longer than any topic's name may be, as long as an old string can be.
const LONG_NAME_BYTES: usize = 30_000;

/// One request, ready to be sent.
pub struct Worst {
    /// What it asks.
    pub api: ApiKey,
    /// What is bad about it.
    pub why: &'static str,
    /// The whole frame.
    pub frame: Vec<u8>,
}

/// As many items as fit.
fn worst<R: Request>(why: &'static str, version: i16, build: impl Fn(usize) -> R) -> Result<Worst> {
    let encode = |count| frame::encode_request(&build(count), version, 1, Some("worst"));
    let (mut fits, mut exceeds) = (0, REQUEST_BYTES_MAX);
    while exceeds - fits > 1 {
        let count = usize::midpoint(fits, exceeds);
        let len = encode(count).with_context(|| format!("{why}: {count}"))?.len();
        if len <= REQUEST_BYTES_MAX { fits = count } else { exceeds = count }
    }
    Ok(Worst { api: R::KEY, why, frame: encode(fits)?.to_vec() })
}

fn name(text: impl Into<String>) -> Cow<'static, str> {
    Cow::Owned(text.into())
}

fn long_name() -> Cow<'static, str> {
    name("x".repeat(LONG_NAME_BYTES))
}

/// All of them.
pub fn all() -> Result<Vec<Worst>> {
    let mut all = reads()?;
    all.extend(names()?);
    all.extend(writes()?);
    all.extend(members()?);
    all.extend(offsets()?);
    all.extend(groups()?);
    all.extend(topics()?);
    all.extend(settings()?);
    all.extend(placement()?);
    Ok(all)
}

/// The APIs for clients of which none is there.
pub fn missing(all: &[Worst]) -> Vec<ApiKey> {
    let served = ServedApi::ALL.iter().map(|api| api.key());
    let for_clients = served.filter(|key| key.rules().listeners == Listeners::All);
    for_clients.filter(|key| !all.iter().any(|worst| worst.api == *key)).collect()
}

fn reads() -> Result<Vec<Worst>> {
    use fetch_request::{FetchPartition, FetchRequest, FetchTopic};
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
    let look_up =
        |partition_index| ListOffsetsPartition { partition_index, current_leader_epoch: -1, timestamp: 1 };
    let list_offsets = |topic: &'static str, indexes: Vec<i32>| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: name(topic),
            partitions: indexes.into_iter().map(look_up).collect(),
        }],
        ..Default::default()
    };
    let fetch = |indexes: Vec<i32>| FetchRequest {
        replica_id: -1,
        max_bytes: i32::MAX,
        topics: vec![FetchTopic {
            topic: name(FULL),
            partitions: indexes
                .into_iter()
                .map(|partition| FetchPartition {
                    partition,
                    current_leader_epoch: -1,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: i32::MAX,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    Ok(vec![
        worst("one partition, again and again", 7, |count| list_offsets(FULL, vec![0; count]))?,
        worst("a long name for each of its partitions", 5, |count| ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: long_name(),
                partitions: invented(count).into_iter().map(look_up).collect(),
            }],
            ..Default::default()
        })?,
        worst("a long name for each of its partitions", 11, |count| {
            let mut request = fetch(invented(count));
            request.topics[0].topic = long_name();
            request
        })?,
        worst("records that unfold", 7, |_| list_offsets(FULL, (0..FULL_PARTITIONS).collect()))?,
        worst("invented partitions", 7, |count| list_offsets(FULL, invented(count)))?,
        worst("one partition, again and again", 11, |count| fetch(vec![0; count]))?,
        worst("a session of invented partitions", 11, |count| fetch(invented(count)))?,
    ])
}

fn names() -> Result<Vec<Worst>> {
    use metadata_request::{MetadataRequest, MetadataRequestTopic};
    let metadata = |names: Vec<String>| MetadataRequest {
        // What is asked for in vain must not come into being.
        allow_auto_topic_creation: false,
        topics: Some(
            names
                .into_iter()
                .map(|topic| MetadataRequestTopic { name: Some(name(topic)), ..Default::default() })
                .collect(),
        ),
        ..Default::default()
    };
    Ok(vec![
        worst("all topics", 9, |_| MetadataRequest::default())?,
        worst("invented topics", 9, |count| metadata((0..count).map(|at| at.to_string()).collect()))?,
        worst("names that none can have", 9, |count| {
            metadata((0..count).map(|at| format!("?{at}")).collect())
        })?,
    ])
}

fn writes() -> Result<Vec<Worst>> {
    use offset_for_leader_epoch_request::{
        OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
    };
    use produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
    let produce = |indexes: Vec<i32>| ProduceRequest {
        acks: 1,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: name(QUIET),
            partition_data: indexes
                .into_iter()
                .map(|index| PartitionProduceData { index, records: None })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let ends = |indexes: Vec<i32>| OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: name(FULL),
            partitions: indexes
                .into_iter()
                .map(|partition| OffsetForLeaderPartition {
                    partition,
                    current_leader_epoch: -1,
                    leader_epoch: 0,
                })
                .collect(),
        }],
    };
    Ok(vec![
        worst("one partition without records", 9, |count| produce(vec![0; count]))?,
        worst("invented partitions", 9, |count| produce(invented(count)))?,
        worst("one partition, again and again", 4, |count| ends(vec![0; count]))?,
        worst("nothing but its name", 3, |_| api_versions_request::ApiVersionsRequest {
            client_software_name: name("x".repeat(50_000)),
            client_software_version: name("1"),
            ..Default::default()
        })?,
        worst("ids", 4, |_| init_producer_id_request::InitProducerIdRequest {
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        })?,
    ])
}

fn invented(count: usize) -> Vec<i32> {
    (0..count as i32).map(|at| at + 1_000).collect()
}

fn offsets() -> Result<Vec<Worst>> {
    use offset_commit_request::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    };
    use offset_delete_request::{
        OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    };
    use offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
    let fetched = |topics: Option<Vec<OffsetFetchRequestTopics<'static>>>| OffsetFetchRequestGroup {
        group_id: name(GROUP),
        topics,
        ..Default::default()
    };
    Ok(vec![
        worst("offsets of one partition", 7, |count| OffsetCommitRequest {
            group_id: name("committed"),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: name(QUIET),
                partitions: vec![OffsetCommitRequestPartition::default(); count],
                ..Default::default()
            }],
            ..Default::default()
        })?,
        worst("all of one group, again and again", 8, |count| OffsetFetchRequest {
            groups: vec![fetched(None); count],
            ..Default::default()
        })?,
        worst("a long metadata, again and again", 8, |count| {
            let topic = OffsetFetchRequestTopics {
                name: name(FULL),
                partition_indexes: vec![0; count],
                ..Default::default()
            };
            OffsetFetchRequest { groups: vec![fetched(Some(vec![topic]))], ..Default::default() }
        })?,
        worst("a long name for each of its partitions", 8, |count| {
            let topic = OffsetFetchRequestTopics {
                name: long_name(),
                partition_indexes: (0..count as i32).collect(),
                ..Default::default()
            };
            OffsetFetchRequest { groups: vec![fetched(Some(vec![topic]))], ..Default::default() }
        })?,
        worst("one partition, again and again", 0, |count| OffsetDeleteRequest {
            group_id: name("deleted"),
            topics: vec![OffsetDeleteRequestTopic {
                name: name(FULL),
                partitions: vec![OffsetDeleteRequestPartition::default(); count],
            }],
        })?,
    ])
}

fn members() -> Result<Vec<Worst>> {
    use join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
    use leave_group_request::{LeaveGroupRequest, MemberIdentity};
    use sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
    Ok(vec![
        worst("metadata that stays for half an hour", 3, |count| JoinGroupRequest {
            group_id: name("joined"),
            session_timeout_ms: 1_800_000,
            rebalance_timeout_ms: 1,
            protocol_type: name("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: name("range"),
                metadata: vec![7; count].into(),
            }],
            ..Default::default()
        })?,
        worst("nobody", 4, |_| heartbeat_request::HeartbeatRequest {
            group_id: name("nobody"),
            ..Default::default()
        })?,
        worst("members that are none", 3, |count| LeaveGroupRequest {
            group_id: name(GROUP),
            members: (0..count)
                .map(|at| MemberIdentity { member_id: name(at.to_string()), ..Default::default() })
                .collect(),
            ..Default::default()
        })?,
        worst("assignments for nobody", 3, |count| SyncGroupRequest {
            group_id: name(GROUP),
            assignments: (0..count)
                .map(|at| SyncGroupRequestAssignment {
                    member_id: name(at.to_string()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })?,
    ])
}

fn groups() -> Result<Vec<Worst>> {
    let keys = |count: usize, key: &dyn Fn(usize) -> String| (0..count).map(|at| name(key(at))).collect();
    let same = |_| GROUP.to_owned();
    Ok(vec![
        worst("one key, again and again", 4, |count| find_coordinator_request::FindCoordinatorRequest {
            coordinator_keys: keys(count, &same),
            ..Default::default()
        })?,
        worst("groups", 4, |count| find_coordinator_request::FindCoordinatorRequest {
            coordinator_keys: keys(count, &|at| at.to_string()),
            ..Default::default()
        })?,
        worst("one group, again and again", 5, |count| describe_groups_request::DescribeGroupsRequest {
            groups: keys(count, &same),
            ..Default::default()
        })?,
        worst("one group, again and again", 1, |count| {
            consumer_group_describe_request::ConsumerGroupDescribeRequest {
                group_ids: keys(count, &same),
                ..Default::default()
            }
        })?,
        worst("a long pattern", 1, |count| consumer_heartbeat("a pattern", Some(count), 0))?,
        worst("many topics", 1, |count| consumer_heartbeat("topics", None, count))?,
        worst("filters", 5, |count| list_groups_request::ListGroupsRequest {
            states_filter: keys(count.min(900), &|at| at.to_string()),
            ..Default::default()
        })?,
        worst("invented groups", 2, |count| delete_groups_request::DeleteGroupsRequest {
            groups_names: keys(count, &|at| at.to_string()),
        })?,
    ])
}

/// A member that joins with a pattern of so many parts, or with so many topics.
fn consumer_heartbeat(
    member: &str,
    parts: Option<usize>,
    topics: usize,
) -> consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest<'static> {
    consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest {
        group_id: name("consumers".to_owned()),
        member_id: name(member.to_owned()),
        rebalance_timeout_ms: 1_000,
        subscribed_topic_names: Some((0..topics).map(|at| name(at.to_string())).collect()),
        subscribed_topic_regex: parts.map(|parts| name("(a*)*".repeat(parts))),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn topics() -> Result<Vec<Worst>> {
    use create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
    use create_topics_request::{CreatableTopic, CreateTopicsRequest};
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
    use delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
    use describe_topic_partitions_request::{DescribeTopicPartitionsRequest, TopicRequest};
    let id = |at: usize| {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&at.to_be_bytes());
        ottla_broker_types::Uuid(bytes)
    };
    Ok(vec![
        worst("topics that are only checked", 5, |count| CreateTopicsRequest {
            topics: (0..count)
                .map(|at| CreatableTopic {
                    name: name(at.to_string()),
                    num_partitions: 1,
                    replication_factor: 1,
                    ..Default::default()
                })
                .collect(),
            timeout_ms: 1_000,
            validate_only: true,
        })?,
        worst("one topic, again and again", 5, |count| CreateTopicsRequest {
            topics: vec![CreatableTopic { name: name(QUIET), ..Default::default() }; count],
            timeout_ms: 1_000,
            ..Default::default()
        })?,
        worst("ids beside names", 6, |count| DeleteTopicsRequest {
            topics: (0..count)
                .map(|at| match at % 2 {
                    0 => DeleteTopicState { topic_id: id(at), ..Default::default() },
                    _ => DeleteTopicState { name: Some(name(at.to_string())), ..Default::default() },
                })
                .collect(),
            timeout_ms: 1_000,
            ..Default::default()
        })?,
        worst("invented partitions", 2, |count| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: name(FULL),
                partitions: invented(count)
                    .into_iter()
                    .map(|partition_index| DeleteRecordsPartition { partition_index, offset: 0 })
                    .collect(),
            }],
            timeout_ms: 1_000,
        })?,
        worst("invented topics", 3, |count| CreatePartitionsRequest {
            topics: (0..count)
                .map(|at| CreatePartitionsTopic { name: name(at.to_string()), count: 2, assignments: None })
                .collect(),
            timeout_ms: 1_000,
            validate_only: false,
        })?,
        worst("one topic, again and again", 0, |count| DescribeTopicPartitionsRequest {
            topics: vec![TopicRequest { name: name(FULL) }; count],
            response_partition_limit: i32::MAX,
            cursor: None,
        })?,
    ])
}

fn settings() -> Result<Vec<Worst>> {
    use alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
    use describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
    use incremental_alter_configs_request as incremental;
    let described = |resource_type, resource_name| DescribeConfigsResource {
        resource_type,
        resource_name,
        configuration_keys: None,
    };
    let describe =
        |resources| DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true };
    let mixed = |at: usize| match at % 2 {
        0 => (4, name("7")),
        _ => (2, name(at.to_string())),
    };
    Ok(vec![
        worst("one topic, again and again", 4, |count| describe(vec![described(2, name(FULL)); count]))?,
        worst("one broker, again and again", 4, |count| describe(vec![described(4, name("1")); count]))?,
        worst("invented groups", 4, |count| {
            describe((0..count).map(|at| described(32, name(at.to_string()))).collect())
        })?,
        worst("another broker's between invented topics", 1, |count| AlterConfigsRequest {
            resources: (0..count)
                .map(|at| {
                    let (resource_type, resource_name) = mixed(at);
                    AlterConfigsResource { resource_type, resource_name, configs: Vec::new() }
                })
                .collect(),
            validate_only: true,
        })?,
        worst("another broker's between invented topics", 1, |count| {
            incremental::IncrementalAlterConfigsRequest {
                resources: (0..count)
                    .map(|at| {
                        let (resource_type, resource_name) = mixed(at);
                        incremental::AlterConfigsResource {
                            resource_type,
                            resource_name,
                            configs: Vec::new(),
                        }
                    })
                    .collect(),
                validate_only: true,
            }
        })?,
    ])
}

fn placement() -> Result<Vec<Worst>> {
    use alter_partition_reassignments_request::{
        AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
    };
    use describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest};
    use describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};
    use elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
    use list_partition_reassignments_request::{
        ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
    };
    Ok(vec![
        worst("a long name for each of its partitions", 1, |count| ElectLeadersRequest {
            topic_partitions: Some(vec![TopicPartitions { topic: long_name(), partitions: invented(count) }]),
            timeout_ms: 1_000,
            ..Default::default()
        })?,
        worst("one partition, again and again", 1, |count| ElectLeadersRequest {
            topic_partitions: Some(vec![TopicPartitions { topic: name(FULL), partitions: vec![0; count] }]),
            timeout_ms: 1_000,
            ..Default::default()
        })?,
        worst("a long name for each of its partitions", 0, |count| AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic {
                name: long_name(),
                partitions: invented(count.min(9_000))
                    .into_iter()
                    .map(|partition_index| ReassignablePartition { partition_index, replicas: None })
                    .collect(),
            }],
            timeout_ms: 1_000,
            allow_replication_factor_change: true,
        })?,
        worst("a long name for each of its partitions", 0, |count| ListPartitionReassignmentsRequest {
            timeout_ms: 1_000,
            topics: Some(vec![ListPartitionReassignmentsTopics {
                name: long_name(),
                partition_indexes: invented(count),
            }]),
        })?,
        worst("invented topics", 2, |count| DescribeLogDirsRequest {
            topics: Some(
                (0..count)
                    .map(|at| DescribableLogDirTopic { topic: name(at.to_string()), partitions: vec![0] })
                    .collect(),
            ),
        })?,
        worst("a long name for each of its partitions", 2, |count| DescribeLogDirsRequest {
            topics: Some(vec![DescribableLogDirTopic { topic: long_name(), partitions: invented(count) }]),
        })?,
        worst("one log, again and again", 1, |count| DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: name("__cluster_metadata"),
                partitions: vec![PartitionData::default(); count],
            }],
        })?,
        worst("nothing but a question", 0, |_| describe_cluster_request::DescribeClusterRequest::default())?,
        worst("nobody", 0, |_| unregister_broker_request::UnregisterBrokerRequest { broker_id: 77 })?,
    ])
}
