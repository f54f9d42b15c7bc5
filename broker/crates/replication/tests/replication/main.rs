//! Several replicas of one partition on simulated disks, driven step by step: the known failures of replication
//! protocols by name, and random histories.

mod deletion;
mod durability;
mod failover;
mod harness;
mod histories;
mod isr;
mod pipeline;
mod truncation;
