//! KafkaTopic: all topics of a cluster are reconciled together, so that brokers get few large calls.

mod deletion;
mod reconcile;

pub use deletion::{has_finalizer, set_finalizer};
pub use reconcile::{Worker, reconcile};
