//! One file per Kafka API: check the request, call a core, map its errors to Kafka's codes.

mod admin;
mod answer;
mod authorized_operations;
mod auto_create;
mod brokers;
mod call;
mod data;
mod distinct;
mod groups;
mod route;
mod succession;
mod topic_rows;

pub use answer::{Answer, Malformed};
#[cfg(test)]
pub use call::Call;
pub use route::Api;
