//! The broker's shell: sockets, threads, environment and clock around the cores in `broker/crates`.
//!
//! Owns: connections, the wiring of the parts, and which file answers which Kafka API (`api/`). Decides nothing
//! that a core could decide.

pub mod boot;

mod api;
mod broker;
mod client_memory;
mod clock;
mod controller;
mod coordinators;
mod dir_lock;
mod disk_access;
mod errors;
mod fetch;
#[cfg(test)]
mod frozen_disk;
mod health;
mod http;
mod identity;
mod listener;
mod long_work;
mod membership;
mod memory;
mod metrics;
mod net;
mod partitions;
mod peers;
mod producer_ids;
mod served;
mod stop;
#[cfg(test)]
mod testing;
mod view;
