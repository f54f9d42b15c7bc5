//! The image: what is, as of one offset of the metadata log.

mod apply;
mod broker;
mod changes;
mod chunk_map;
mod core;
mod partition;
mod snapshot;
mod topic;

pub use apply::ApplyError;
pub use broker::Broker;
pub use changes::{ImageChanges, PartitionRef};
pub use chunk_map::ChunkMap;
pub use core::Image;
pub(crate) use partition::without;
pub use partition::{Partition, UNASSIGNED_DIRECTORY};
pub use snapshot::{SnapshotError, decode_snapshot, encode_snapshot};
pub use topic::Topic;
