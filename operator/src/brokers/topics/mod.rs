//! Kafka's side of topics: observe them together, plan each, execute all plans with few large requests.

mod delete;
mod execute;
mod job;
mod observe;
mod reconcile;

pub use delete::delete;
pub use job::Job;
pub use observe::{TopicWorld, observe, read_settings};
pub use reconcile::{Outcome, Pace, Reconciled, reconcile};
