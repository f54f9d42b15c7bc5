//! What brokers ask of each other, on the private listener only. The controller's part answers the broker that runs it,
//! too, without a connection.

pub(super) mod allocate_producer_ids;
pub(super) mod alter_partition;
pub(super) mod broker_heartbeat;
pub(super) mod broker_registration;
pub(super) mod forward_admin;
pub(super) mod metadata_fetch;
pub(super) mod raft_message;
