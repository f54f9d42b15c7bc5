//! The coordinators of this broker: one shard for each partition of a coordinator's topic that it leads.
//!
//! The rules are the coordinator crate's runtime; here are the lock around each shard, its partition as the log it
//! writes to, the connections that wait for it, and one task a shard that loads it and lets time pass.

mod answers;
mod groups;
mod hosted_shard;
mod load;
mod metrics;
mod partition_log;
mod registry;
mod run;

pub use answers::Answered;
pub use groups::{Groups, OFFSETS_TOPIC, partition_for};
