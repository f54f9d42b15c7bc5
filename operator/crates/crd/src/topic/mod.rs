//! The resource KafkaTopic.

mod rules;
mod spec;
mod status;

pub use spec::{KafkaTopic, KafkaTopicSpec};
pub use status::KafkaTopicStatus;
