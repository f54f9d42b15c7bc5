//! Real Kubernetes: what a user installs, applies, breaks and expects. Modules `cluster_*` and `admit_*`.
//!
//! Run by `make e2e`, one test at a time: they share the cluster, and some break its nodes.

mod admission;
mod admit_chart;
mod admit_clusters;
mod admit_topics;
mod cluster_approval;
mod cluster_failover;
mod cluster_flights;
mod cluster_roll;
mod cluster_scale;
mod cluster_scale_shares;
mod cluster_strangers;
mod cluster_uninstall;
mod demo;
mod faults;
mod network;
mod release;
mod watch;
