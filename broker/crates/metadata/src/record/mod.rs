//! Metadata records: what the quorum's log holds (KIP-631).

mod codec;
mod types;

pub use codec::{RecordError, decode, encode};
pub use types::{
    BrokerRegistrationChange, ConfigResource, Endpoint, FeatureRange, LeaderRecoveryState, PartitionChange,
    PartitionRecord, Record, RegisterBroker,
};
