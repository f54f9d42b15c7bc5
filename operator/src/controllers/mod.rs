//! What is done about each resource: look, plan, act, tell.

pub mod cluster;
pub mod context;
pub mod status;
pub mod topic;
