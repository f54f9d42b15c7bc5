//! A simulator: from a seed, a cluster of the shipped cores on a false network, disk and clock.
//!
//! Runs the log, the replicas and the controller's decisions as they are shipped; models what is around them: the
//! network, the metadata quorum, the shell's loops, and clients. One thread, one queue of events ordered by (time,
//! sequence number), all chance from the seed: the same seed gives the same events, bit for bit.

mod client;
mod cluster;
mod faults;
mod invariants;
mod judge;
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
