//! AlterPartition (key 56, KIP-497), between brokers only: decided on in `controller/requests/alter_partition.rs`.

use std::sync::Arc;

use ottla_broker_protocol::messages::alter_partition_request::AlterPartitionRequest;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::alter_partition;

/// Handles the request of another broker.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: AlterPartitionRequest = call.request()?;
    let active = Arc::clone(&broker.controller.active);
    Ok(call.later(|call| async move { call.reply(&alter_partition::decide(&active, &request).await) }))
}
