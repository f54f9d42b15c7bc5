//! AllocateProducerIds (key 67): a block of producer ids for one broker. Between brokers only.

use std::sync::Arc;

use ottla_broker_metadata::controller;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_broker_protocol::messages::allocate_producer_ids_response::AllocateProducerIdsResponse;
use ottla_broker_types::{BrokerEpoch, NodeId};

use crate::controller::Active;
use crate::errors::KafkaError;

/// Decides, if this node is the active controller.
pub async fn decide(
    active: &Arc<Active>,
    request: &AllocateProducerIdsRequest,
) -> AllocateProducerIdsResponse {
    let refused =
        |code: ErrorCode| AllocateProducerIdsResponse { error_code: code.code(), ..Default::default() };
    let (Some(node), Some(epoch)) =
        (NodeId::from_wire(request.broker_id), BrokerEpoch::from_wire(request.broker_epoch))
    else {
        return refused(ErrorCode::InvalidRequest);
    };
    let decided =
        active.decide_ahead(|context, _, _| controller::allocate_producer_ids(context, node, epoch));
    match decided.await {
        Err(_) => refused(ErrorCode::NotController),
        Ok(Err(error)) => refused(error.code()),
        Ok(Ok(decided)) => AllocateProducerIdsResponse {
            producer_id_start: decided.reply.first.0,
            producer_id_len: decided.reply.len,
            ..Default::default()
        },
    }
}
