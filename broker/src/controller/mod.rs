//! The metadata side of a broker: following the metadata log, being registered, and, on the quorum's leader, deciding.

mod active;
mod client;
mod duties;
mod follow;
mod hosting;
mod notes;
mod raft_transport;
mod registration;

pub mod requests;

pub use active::{Active, ActiveParts, Decided, NotActive};
pub use client::{Asker, Controller};
pub use raft_transport::RaftTransport;
pub use registration::Standing;
pub use {duties::run as run_duties, follow::run as run_follow, registration::run as run_registration};
