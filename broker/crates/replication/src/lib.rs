//! The replication core: leader and follower of one partition, in-sync replicas, high watermark, truncation.
//!
//! Owns: [`Replica`], one hosted partition with its log. Does no I/O but what the log's `Disk` does, never asks for
//! time: every entry takes `now`. Invariants: `log_start <= high_watermark <= log_end`; one leader epoch is led by
//! one node; the high watermark moves down only when an unclean election took committed records away.

mod ack_waits;
mod assignment;
mod codes;
mod effects;
mod errors;
mod facts;
mod fetch;
mod follower;
mod isr;
mod leader;
mod offsets;
mod produce;
mod refusals;
mod remote;
mod replica;
mod upkeep;

pub use ack_waits::AckWaits;
pub use assignment::Assignment;
pub use effects::{Became, Effects, IsrMember, IsrProposal};
pub use errors::{
    DeleteRecordsError, FetchError, FollowError, LeadershipError, ListOffsetsError, ProduceError, Remedy,
};
pub use facts::{Acks, EpochEnd, FetchFacts, FollowerId, Isolation, ReplicationConfig};
pub use fetch::FetchOutcome;
pub use follower::{
    BACK_OFF, FetchPosition, FetchRefusal, FollowerFetched, FollowerStep, LeaderOffsets, NextFetch,
};
pub use isr::{IsrDecided, IsrUnchanged};
pub use offsets::{ListedOffset, OffsetSpec};
pub use produce::{AckState, AckWait, Produced};
pub use refusals::Refusals;
pub use remote::RemoteReplica;
pub use replica::Replica;
