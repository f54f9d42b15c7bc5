//! The resource KafkaCluster: what a person asks for, and what the operator answers.

mod rules;
mod spec;
mod status;
mod template;

pub use spec::{
    BudgetSpec, ClusterTopicsSpec, DeletionPolicy, KafkaCluster, KafkaClusterSpec, ListenerSpec, RackSpec,
    RebalanceMode, RebalanceSpec, RolloutSpec, StorageSpec,
};
pub use status::{
    BrokerState, BrokerStatus, DrainStatus, KafkaClusterStatus, RebalancePhase, RebalanceStatus, RollStatus,
};
pub use template::{PodMetadata, ResourcesSpec, Spread, TemplateSpec};
