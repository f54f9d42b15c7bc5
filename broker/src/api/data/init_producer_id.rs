//! InitProducerId (key 22): an id for an idempotent producer. Transactions are not served yet, so a
//! transactional id is refused in words that every client shows.

use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_broker_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// The wire's "none" for ids and epochs.
const NONE: i64 = -1;

/// Handles an InitProducerId.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: InitProducerIdRequest<'_> = call.request()?;
    let continues = (request.producer_id != NONE, i64::from(request.producer_epoch) != NONE);
    if continues.0 != continues.1 || request.transactional_id.as_deref() == Some("") {
        return Ok(Answer::now(call.reply(&failed(ErrorCode::InvalidRequest))));
    }
    if request.transactional_id.is_some() {
        return Ok(Answer::now(call.reply(&failed(ErrorCode::TransactionalIdAuthorizationFailed))));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        let response = match broker.producer_ids.next(&broker.controller).await {
            // An idempotent producer that asks again starts anew under another id: epochs need no memory.
            Ok(id) => InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..Default::default() },
            Err(code) => failed(code),
        };
        call.reply(&response)
    }))
}

fn failed(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}
