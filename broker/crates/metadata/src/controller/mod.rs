//! What shall be: one file a decision, each a pure function of the image, the request and its facts.

mod alter_configs;
mod alter_partition;
mod assignment;
mod batches;
mod change;
mod create_partitions;
mod create_topics;
mod decision;
mod delete_topics;
mod elect_leaders;
mod elections;
mod features;
mod fence_broker;
mod heartbeat;
mod isr_updates;
mod list_reassignments;
mod placement;
mod producer_ids;
mod reassign;
mod register_broker;
mod seed;
mod unregister_broker;
mod update_features;

pub use alter_configs::{
    AlterConfigError, ConfigAlteration, ConfigOp, ConfigResult, FullAlteration, IncrementalAlteration,
    TopicConfigError, alter_configs, incremental_alter_configs,
};
pub use alter_partition::{
    AlterPartitionError, AlterPartitionItem, AlterPartitionRequest, AlterPartitionResult, AlteredPartition,
    Ineligible, alter_partition,
};
pub use assignment::AssignmentError;
pub use batches::{BATCH_WEIGHT_MAX, split_batches};
pub use create_partitions::{
    CreatePartitionsError, CreatePartitionsResult, NewPartitions, create_partitions, split_new_partitions,
};
pub use create_topics::{
    CreateTopicError, CreateTopicResult, CreatedTopic, NewTopic, create_topics, split_new_topics,
};
pub use decision::{Context, Decision, RegistrationError};
pub use delete_topics::{DeleteTopicError, DeleteTopicResult, TopicSelector, delete_topics, split_deletions};
pub use elect_leaders::{
    ElectionError, ElectionResult, ElectionType, ReturnedLeaders, elect_leaderless, elect_leaders, electable,
    rebalance_leaders,
};
pub use elections::{Elections, count_elections};
pub use features::{ELR_FEATURE, METADATA_VERSION_FEATURE, bootstrap_records, supported_features};
pub use fence_broker::fence_broker;
pub use heartbeat::{HeartbeatFacts, HeartbeatReply, HeartbeatRequest, heartbeat};
pub use list_reassignments::{Reassignment, list_reassignments};
pub use placement::PlacementError;
pub use producer_ids::{
    AllocateProducerIdsError, PRODUCER_ID_BLOCK_LEN, ProducerIdBlock, allocate_producer_ids,
};
pub use reassign::{
    ReassignmentError, ReassignmentItem, ReassignmentResult, TooManyReassignments,
    alter_partition_reassignments, split_reassignments,
};
pub use register_broker::{RegisterBrokerError, RegisterFacts, RegisterRequest, register_broker};
pub use seed::Seed;
pub use unregister_broker::{UnregisterBrokerError, unregister_broker};
pub use update_features::{FeatureUpdate, FeatureUpgradeType, UpdateFeaturesError, update_features};
