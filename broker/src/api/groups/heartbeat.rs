//! Heartbeat (key 12).

use std::sync::Arc;

use ottla_broker_coordinator::Generation;
use ottla_broker_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_broker_protocol::messages::heartbeat_response::HeartbeatResponse;

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;

/// Handles a Heartbeat.
pub fn handle(broker: &Arc<Broker>, call: &Call) -> Result<Answer, Malformed> {
    let request: HeartbeatRequest<'_> = call.request()?;
    let caller = parts::caller(&request.member_id, request.group_instance_id.as_deref());
    let generation = Generation::from_wire(request.generation_id);
    let taken = parts::group(&request.group_id).and_then(|group| {
        broker.groups.heartbeat(broker, &group, &caller, generation).map_err(|error| error.code())
    });
    let code = parts::code(taken);
    Ok(Answer::now(call.reply(&HeartbeatResponse { error_code: code.code(), ..Default::default() })))
}
