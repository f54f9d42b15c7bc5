//! AllocateProducerIds (key 67), between brokers only: decided on in `controller/requests/allocate_producer_ids.rs`.

use std::sync::Arc;

use ottla_broker_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::allocate_producer_ids;

/// Handles the request of another broker.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: AllocateProducerIdsRequest = call.request()?;
    let active = Arc::clone(&broker.controller.active);
    Ok(call.later(|call| async move { call.reply(&allocate_producer_ids::decide(&active, &request).await) }))
}
