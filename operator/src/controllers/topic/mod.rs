//! KafkaTopic: all topics of a cluster are looked at together, so that brokers get few large calls.

mod deletion;
mod reconcile;

pub use deletion::{hold, is_held};
pub use reconcile::{Worker, look};
