//! The resource KafkaCluster: what a person asks for, and what the operator answers.

mod rebalance_mode;
mod rules;
mod spec;
mod status;
mod template;

pub use rebalance_mode::RebalanceMode;
pub use spec::{
    BudgetSpec, ClusterTopicsSpec, DeletionPolicy, KafkaCluster, KafkaClusterSpec, ListenerSpec, RackSpec,
    RebalanceSpec, RolloutSpec, StorageSpec,
};
pub use status::{
    BrokerState, BrokerStatus, DrainStatus, KafkaClusterStatus, RebalancePhase, RebalanceStatus, RollStatus,
};
pub use template::{PodMetadata, ResourcesSpec, Spread, TemplateSpec};
