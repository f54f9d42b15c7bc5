//! The controllers, one a resource: observe, validate, plan, execute, write status.

pub mod cluster;
pub mod context;
mod events;
pub mod status;
pub mod topic;
