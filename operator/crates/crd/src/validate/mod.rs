//! From what a person wrote to what planners take: every value checked, every default filled in. Pure.

mod cluster;
mod config;
mod topic;

pub use cluster::{
    APPROVAL_ANNOTATION, BROKER_DEFAULT_GRACE_SECONDS, ClientListener, Rebalance, Resources, Rollout,
    Storage, Throttle, ValidatedCluster,
};
pub use config::SUPPORTED_VERSIONS;
pub use topic::ValidatedTopic;

/// Something in a manifest that cannot work, in words that say what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field.
    pub field: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Invalid {
        Invalid { field, problem: problem.into() }
    }
}

/// All problems of a manifest as one message.
pub fn joined(problems: &[Invalid]) -> String {
    problems.iter().map(Invalid::to_string).collect::<Vec<_>>().join("; ")
}
