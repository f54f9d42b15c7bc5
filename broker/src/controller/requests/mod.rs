//! What the active controller decides, one file an API: a request becomes facts for a decision of
//! `broker/crates/metadata`, which gives records, and its outcome becomes the response.

mod admin;
mod alter_configs;
mod alter_partition_reassignments;
mod config_alterations;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_quorum;
mod elect_leaders;
mod incremental_alter_configs;
mod parts;
mod unregister_broker;

pub mod allocate_producer_ids;
pub mod alter_partition;
pub mod broker_heartbeat;
pub mod broker_registration;

pub use admin::{AdminAnswer, AdminApi, Deciding, decide_encoded, decode, encode};
pub use alter_configs::AlterConfigs;
pub use alter_partition_reassignments::AlterPartitionReassignments;
pub use config_alterations::ConfigApi;
pub use create_partitions::CreatePartitions;
pub use create_topics::CreateTopics;
pub use delete_topics::DeleteTopics;
pub use describe_quorum::DescribeQuorum;
pub use elect_leaders::ElectLeaders;
pub use incremental_alter_configs::IncrementalAlterConfigs;
pub use unregister_broker::UnregisterBroker;
