//! The groups coordinated here: one shard a partition of the offsets topic that this broker leads.

mod commit;
mod hosted_shard;
mod load;
mod metrics;
mod registry;
mod requests;
mod timers;

pub use hosted_shard::Answered;
pub use registry::{Groups, OFFSETS_TOPIC, partition_for};
pub use timers::run as run_timers;
