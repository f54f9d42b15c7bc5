//! The cluster's metadata: what is, and what shall be.
//!
//! Owns: the records of the metadata log, the image that they add up to, and every decision of the controller.
//! Never does I/O: a decision takes the image, the facts of a request and, where needed, a seed, and gives
//! records to propose and a reply to send once they are committed.

pub mod controller;
#[cfg(test)]
mod hostile;
pub mod image;
#[cfg(test)]
mod invariants;
pub mod record;
mod restart_safety;
#[cfg(test)]
mod testing;

pub use image::{Image, ImageChanges, Partition, Topic};
pub use record::{ConfigResource, Record};
pub use restart_safety::{PartitionRisk, QuorumFacts, QuorumRisk, RiskList, SafetyReport, restart_safety};
