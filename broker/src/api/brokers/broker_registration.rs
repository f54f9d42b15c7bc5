//! BrokerRegistration (key 62), between brokers only: decided on in `controller/requests/broker_registration.rs`.

use std::sync::Arc;

use ottla_broker_protocol::messages::broker_registration_request::BrokerRegistrationRequest;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::broker_registration;
use crate::listener::Reply;

/// Handles the request of another broker.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    call.request::<BrokerRegistrationRequest<'_>>()?;
    let active = Arc::clone(&broker.controller.active);
    Ok(Answer::later(async move {
        match call.request::<BrokerRegistrationRequest<'_>>() {
            Ok(request) => call.reply(&broker_registration::decide(&active, &request).await),
            Err(_) => Reply::Close("the request is malformed"),
        }
    }))
}
