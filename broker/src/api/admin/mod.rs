//! What administrators ask: topics, settings, reassignments, brokers and their directories.

pub(super) mod alter_configs;
mod alter_partition_reassignments;
mod config_requests;
mod create_partitions;
mod create_topics;
pub(super) mod delete_records;
mod delete_topics;
pub(super) mod describe_cluster;
pub(super) mod describe_configs;
pub(super) mod describe_log_dirs;
mod describe_quorum;
pub(super) mod describe_topic_partitions;
mod elect_leaders;
pub(super) mod forward;
pub(super) mod incremental_alter_configs;
pub(super) mod list_partition_reassignments;
mod parts;
mod unregister_broker;
