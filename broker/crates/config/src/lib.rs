//! The table of every setting, and everything that reads it.
//!
//! Owns: names, types, defaults, ranges and meanings of topic, group and broker settings; Kafka's file format;
//! the effective value of a setting; typed configurations. Never does I/O. Broker and operator share it, so
//! that what one refuses the other refuses too.

mod broker;
mod effective;
mod listeners;
mod ownership;
mod properties;
mod setting;
mod suggest;
mod table;
mod throttle;
mod topic_config;
mod typed;
mod value;

pub use broker::{
    BrokerConfig, ConfigWarning, DynamicBrokerConfig, FetchConfig, GroupsConfig, LogsConfig, NetworkConfig,
    QuorumConfig, ReplicationConfig, TopicDefaults, TransactionsConfig, load_broker,
};
pub use effective::{
    BrokerLayers, ConfigMap, ConfigSource, EffectiveConfig, Synonym, describe_broker,
    describe_broker_defaults, describe_topic, effective_broker, effective_group, effective_topic,
};
pub use listeners::{
    AddressError, HostPort, Listener, SecurityProtocol, Voter, parse_listeners, parse_protocol_map,
    parse_servers, parse_voters,
};
pub use ownership::owned_by_operator;
pub use properties::{PropertiesError, parse_override, parse_properties};
pub use setting::{Check, Effect, Origin, Setting, Update, ValueType};
pub use table::{
    broker_setting, broker_settings, group_setting, group_settings, quota_settings, removed_broker_setting,
    removed_topic_setting, topic_setting, topic_settings,
};
pub use throttle::ThrottledReplicas;
pub use topic_config::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use value::{
    ConfigError, Value, known_broker, known_group, known_topic, note_broker, note_group, note_topic,
    split_list, validate_broker, validate_topic,
};
