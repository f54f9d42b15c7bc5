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

pub use admin::forward::decide as decide_admin;
pub use answer::{Answer, Malformed};
pub use brokers::allocate_producer_ids::decide as allocate_producer_ids;
pub use brokers::alter_partition::decide as alter_partition;
pub use brokers::broker_heartbeat::answer as heartbeat;
pub use brokers::broker_registration::decide as register_broker;
#[cfg(test)]
pub use call::Call;
pub use call::encode_body;
pub use route::Api;
