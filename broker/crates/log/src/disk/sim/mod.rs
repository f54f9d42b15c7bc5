//! A disk in memory that loses what was not synced, and fails when told to. Deterministic: a seed in the
//! constructor, a seed per power cut, no other source of chance.

mod crash;
mod disk;
mod fault;
mod file;
mod names;
mod rng;

pub use disk::SimDisk;
pub use fault::{SimError, SimFault, SimOp};
