//! A simulator: from a seed, a cluster of the shipped cores on a false network, disk and clock.
//!
//! Runs the log, the replicas, the controller's decisions and the groups as they are shipped. Models what is around them:
//! the network, the metadata quorum (the quorum crate tests the real one on virtual time), clients, and the shell's
//! loops, which `node` writes again without sockets and tasks; a mistake in the shell itself is not found here. One thread, one queue of events ordered by (time,
//! sequence number), all chance from the seed: the same seed gives the same events, bit for bit.

mod client;
mod cluster;
mod faults;
mod group_message;
mod invariants;
mod judge;
mod member;
mod message;
mod net;
mod node;
mod queue;
mod quorum;
mod rng;
mod scenario;
mod trace;

pub use cluster::{Finished, Outcome, simulate};
pub use invariants::Violation;
