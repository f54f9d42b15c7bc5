//! The operator: what it does to clusters on Kubernetes and, in local mode, to child processes.
//!
//! Owns the kube client, controllers, leader election and the command line. Decisions are in the crates `planner`
//! and `crd`; code here gathers facts, carries out plans and writes status.

pub mod crdgen;
