//! UnregisterBroker (key 64): a broker that is gone for good leaves the cluster's metadata.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_metadata::controller;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_broker_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_broker_types::NodeId;

use crate::broker::Broker;
use crate::controller::NotActive;
use crate::errors::KafkaError;

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &UnregisterBrokerRequest,
) -> Result<UnregisterBrokerResponse<'static>, NotActive> {
    let Some(node) = NodeId::from_wire(request.broker_id) else {
        return Ok(failed(request, ErrorCode::BrokerIdNotRegistered));
    };
    let active = &broker.controller.active;
    let decided = active.decide(broker, |context, _, _| controller::unregister_broker(context, node));
    Ok(match decided.await? {
        Ok(_) => {
            active.leases(|leases| leases.forget(node));
            UnregisterBrokerResponse::default()
        }
        Err(error) => UnregisterBrokerResponse {
            error_code: error.code().code(),
            error_message: Some(Cow::Owned(error.to_string())),
            ..Default::default()
        },
    })
}

/// The request failed.
pub fn failed(_request: &UnregisterBrokerRequest, code: ErrorCode) -> UnregisterBrokerResponse<'static> {
    UnregisterBrokerResponse {
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
        ..Default::default()
    }
}
