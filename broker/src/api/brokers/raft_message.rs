//! RaftMessage (own key): what the voters say to each other.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::raft_message_request::RaftMessageRequest;
use ottla_broker_protocol::messages::raft_message_response::RaftMessageResponse;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// Hands a message to the quorum, if this node votes.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: RaftMessageRequest<'_> = call.request()?;
    let (kind, payload) = (request.kind, Bytes::copy_from_slice(&request.payload));
    let Some(log) = broker.controller.log().cloned() else {
        let response =
            RaftMessageResponse { error_code: ErrorCode::NotController.code(), ..Default::default() };
        return Ok(Answer::now(call.reply(&response)));
    };
    Ok(call.later(|call| async move {
        let answer = log.handle_message(kind, payload).await;
        call.reply(&RaftMessageResponse { payload: answer.as_ref().into(), ..Default::default() })
    }))
}
