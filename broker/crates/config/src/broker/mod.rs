//! The settings of one broker: read, checked and typed once at boot.

mod load;
mod net;
mod one_listener;
mod parts;

pub use load::{BrokerConfig, ConfigWarning, load_broker};
pub use parts::{
    DynamicBrokerConfig, FetchConfig, GroupsConfig, LogsConfig, NetworkConfig, QuorumConfig,
    ReplicationConfig, TopicDefaults, TransactionsConfig,
};
