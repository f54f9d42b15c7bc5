//! The harness of the end-to-end tests: clusters, faults, foreign clients and local processes.
//!
//! The tests see what a user sees: manifests, binaries, images, the chart and Kafka's wire protocol. What runs below
//! them on the machine (docker, kind, its node image) is the business of the script `run` and of the folders `host`
//! and `node-image` beside it; here is only what happens inside a test.

mod acked_producer;
mod apache;
mod approval;
mod binaries;
mod brokers;
mod cleanup;
mod clients;
mod clock;
mod cluster;
mod command;
mod flights;
mod former;
mod heartbeats;
mod helm;
mod hosts;
mod markdown;
mod namespace;
mod nodes;
mod process;
mod relay;
mod requirement;
mod shares;
mod throttle;
mod usage;
mod wait;

pub use acked_producer::AckedProducer;
pub use apache::ApacheBrokers;
pub use approval::{EditedCluster, approve_plan, until_status};
pub use binaries::{binary, checkout};
pub use brokers::{Brokers, BrokersOptions, Ports, http_get};
pub use clients::{Ack, Got, History, Kafka, Kcat, Load, Place, Readers, kafka, kcat, longest_pause};
pub use clock::{Stopwatch, unix_ms};
pub use cluster::Cluster;
pub use command::{Output, output, run};
pub use flights::{FLIGHTS_COUNT, check_flights, flights_input, keyed_flights};
pub use former::former_broker;
pub use heartbeats::{fencings, heartbeat_p99_s};
pub use helm::Chart;
pub use hosts::Hosts;
pub use markdown::markdown_table;
pub use namespace::Namespace;
pub use nodes::{Fault, Node};
pub use process::Process;
pub use relay::Relays;
pub use requirement::unmet;
pub use shares::{Placed, SIZED_TOPICS, Shares, sized_input};
pub use throttle::Throttle;
pub use wait::{Waited, until};
