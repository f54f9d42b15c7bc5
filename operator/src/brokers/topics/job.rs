//! What is asked for of one topic, and what was said of it.

use ottla_operator_crd::{KafkaTopicStatus, ValidatedTopic};

/// A topic to reconcile.
pub struct Job {
    /// What is asked for.
    pub topic: ValidatedTopic,
    /// The status as it is.
    pub former: KafkaTopicStatus,
}
