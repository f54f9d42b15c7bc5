//! KafkaCluster: look, validate, plan, act, tell.

mod act;
mod apply;
pub mod facts;
mod observe;
mod reconcile;

pub use reconcile::{Worker, look, preview};
