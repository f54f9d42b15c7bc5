//! Groups of the consumer protocol (KIP-848): the coordinator assigns, members follow by heartbeats alone.

pub(crate) mod assignors;
pub(crate) mod describe;
pub(crate) mod error;
pub(crate) mod group;
pub(crate) mod heartbeat;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod partitions;
pub(crate) mod reconcile;
pub(crate) mod record;
pub(crate) mod shard;
pub(crate) mod topics;
