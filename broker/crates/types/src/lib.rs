//! Ids, offsets, epochs and times that every part of the broker shares.
//!
//! Owns: the newtypes and their checked arithmetic. Never does I/O, never allocates on a hot path.
//! Kafka's `-1` for "none" never enters these types: the protocol edge turns it into `Option`.

mod ids;
mod offsets;
mod time;
mod uuid;

pub use ids::{
    BrokerEpoch, InvalidTopicName, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerEpoch,
    ProducerId, Sequence, TopicName, TopicPartition,
};
pub use offsets::Offset;
pub use time::{DurationMs, MonotonicMs, Now, TimestampMs};
pub use uuid::{ClusterId, DirectoryId, InvalidUuid, TopicId, Uuid};
