//! The operator: what it does to clusters on Kubernetes and, in local mode, to child processes.
//!
//! Owns the kube client, watches, leader election and the command line. Decisions are in the crates `planner` and
//! `crd`; code here gathers facts, carries out plans and writes status.

pub mod brokers;
pub mod clock;
pub mod controllers;
pub mod crdgen;
pub mod http;
pub mod leader;
pub mod local;
pub mod metrics;
pub mod plan;
pub mod release;
pub mod run;
mod sentence;
pub mod stores;
pub mod workers;
