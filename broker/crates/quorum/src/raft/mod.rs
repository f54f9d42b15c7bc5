//! The implementation of the metadata log by openraft; nothing outside this folder and `storage` sees it.

mod applied;
mod dial;
mod driver;
mod failover;
mod log_storage;
mod members;
mod messages;
#[cfg(test)]
mod messages_test;
mod node;
mod observe;
mod receive;
mod state_machine;
mod types;
mod wire;

pub use node::{Quorum, QuorumOptions, StartError};
#[cfg(test)]
pub(crate) use types::{Batch, Payload, vote};
pub(crate) use types::{Entry, LogId, SnapshotMeta, Vote, log_id, term_of};
#[cfg(test)]
pub(crate) use wire::FRAME_VERSION;
pub(crate) use wire::{
    put_frame, put_log_id, put_stored_membership, put_vote, take_frame, take_log_id, take_stored_membership,
    take_vote,
};
