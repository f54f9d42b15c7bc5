//! The custom resources of Ottla (`ottla.dev/v1alpha1`): types, schema, CEL rules, conditions, validation.
//!
//! Owns what a manifest may say and what status says back. Never does I/O. Rules that the schema or CEL can say
//! are there, so that the API server refuses; `validate` says the rest and gives the only types that planners take.

// Derives of kube-derive write `::kube::core`. The crate kube is not used for that: in a build of the whole workspace it
// is linked with a client and its runtime, which whoever only wants the types must not get.
extern crate self as kube;
pub(crate) use kube_core as core;
pub(crate) use kube_derive::KubeSchema;

pub mod cluster;
pub mod conditions;
mod schema;
mod text;
pub mod topic;
pub mod validate;

pub use cluster::{KafkaCluster, KafkaClusterSpec, KafkaClusterStatus};
pub use schema::{API_GROUP, custom_resource_definitions};
pub use text::{QuantityText, ScalarText, quantity_bytes, quantity_milli};
pub use topic::{KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};
pub use validate::{Invalid, ValidatedCluster, ValidatedTopic};
