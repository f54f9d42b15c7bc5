//! KafkaCluster: look, validate, plan, act, tell.

pub mod act;
mod apply;
pub mod facts;
mod observe;
mod reconcile;
pub mod safety;

pub use act::reassign;
pub use reconcile::{Worker, look, preview};
