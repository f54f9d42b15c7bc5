//! KafkaCluster: observe, validate, plan, execute, write status.

mod apply;
mod events;
mod execute;
pub mod facts;
mod observe;
mod reconcile;
mod whose;

pub use reconcile::{Worker, preview, reconcile};
