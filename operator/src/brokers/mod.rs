//! Kafka's side of every reconcile: what brokers tell, what they are asked to do, and whether one of them may restart.
//! The controllers use it on Kubernetes, and local mode on this machine.
//!
//! I/O: requests to brokers, by Kafka's admin APIs and by HTTP. The API server is none of its business.

pub mod execute;
pub mod observe;
pub mod plan;
mod safety;
pub mod topics;
