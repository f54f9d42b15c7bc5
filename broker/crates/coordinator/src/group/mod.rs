//! Groups: what they are called, how they are persisted, and the shard that holds those of one partition.

pub(crate) mod classic;
pub(crate) mod consumer;
pub(crate) mod describe;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod limits;
pub(crate) mod member_ids;
pub(crate) mod record;
pub(crate) mod reply;
pub(crate) mod shard;
