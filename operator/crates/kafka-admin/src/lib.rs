//! The admin calls that the operator makes, to Ottla's brokers or to Apache Kafka's.
//!
//! Owns: connections to brokers, which broker a call must go to, retries after a change of controller.
//! Every call has a deadline; a broker that does not answer costs its time-out and nothing else.

mod client;
mod cluster;
mod configs;
mod connection;
mod error;
mod log_dirs;
mod quorum;
mod reassignments;
mod topics;

pub use client::{AdminClient, Endpoint};
pub use cluster::{BrokerInfo, ClusterDescription};
pub use configs::{ConfigAlteration, ConfigEntry, ConfigOp, ConfigResource};
pub use connection::Connection;
pub use error::{AdminError, CallError};
pub use log_dirs::{BrokerLogDirs, ReplicaSize};
/// Kafka's codes.
pub use ottla_broker_protocol::ErrorCode;
pub use quorum::{QuorumDescription, QuorumReplica};
pub use reassignments::{OngoingReassignment, Reassignment};
pub use topics::{NewTopic, PartitionDescription, TopicDescription, TopicFailure};
