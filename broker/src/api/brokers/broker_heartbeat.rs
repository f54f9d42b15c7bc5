//! BrokerHeartbeat (key 63, KIP-631), which brokers send: taken in `controller/requests/broker_heartbeat.rs`.

use std::sync::Arc;

use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::broker_heartbeat;

/// Handles the request of another broker.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: BrokerHeartbeatRequest = call.request()?;
    let active = Arc::clone(&broker.controller.active);
    Ok(call.later(|call| async move { call.reply(&broker_heartbeat::answer(&active, &request).await) }))
}
