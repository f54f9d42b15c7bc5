//! BrokerHeartbeat (key 63, KIP-631), as the active controller takes it. One that changes nothing, which is nearly every
//! one, waits for no decision; one that changes something waits for its own, but not for so long that its broker would
//! look for another controller.

use std::sync::Arc;

use ottla_broker_metadata::controller::{
    self, Context, HeartbeatFacts, HeartbeatReply, HeartbeatRequest, RegistrationError,
};
use ottla_broker_node::Heartbeats;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::broker_heartbeat_request::BrokerHeartbeatRequest;
use ottla_broker_protocol::messages::broker_heartbeat_response::BrokerHeartbeatResponse;
use ottla_broker_types::{BrokerEpoch, NodeId, Offset};

use crate::controller::{Active, Decided, NotActive};
use crate::errors::KafkaError;

/// Takes a heartbeat, if this node is the active controller.
pub async fn answer(active: &Arc<Active>, request: &BrokerHeartbeatRequest) -> BrokerHeartbeatResponse {
    let Some(asked) = asked(request) else { return refused(ErrorCode::InvalidRequest) };
    let Some(view) = active.complete_view() else { return refused(ErrorCode::NotController) };
    let now = active.now();
    active.leases(|leases| leases.heartbeat(now.mono, &view, &asked));
    let context = Context { image: &view, config: &active.parts.config };
    match controller::heartbeat(context, &asked, &facts(active, context, asked.broker)) {
        Err(error) => refused(error.code()),
        Ok(decision) if decision.records.is_empty() => response(decision.reply),
        Ok(decision) => {
            let fenced = view.broker(asked.broker).is_none_or(|registered| registered.fenced);
            let meanwhile = HeartbeatReply { fenced, should_shut_down: false, ..decision.reply };
            change(active, asked, meanwhile).await
        }
    }
}

/// Has the change decided; the answer is `meanwhile` while that takes too long, and the next heartbeat learns more.
async fn change(
    active: &Arc<Active>,
    asked: HeartbeatRequest,
    meanwhile: HeartbeatReply,
) -> BrokerHeartbeatResponse {
    if !active.begin_change(asked.broker) {
        return response(meanwhile);
    }
    // A task of its own: its place in the line must not be lost with the heartbeat that asked first.
    let deciding = tokio::spawn({
        let active = Arc::clone(active);
        async move {
            let decided = decide(&active, asked).await;
            active.end_change(asked.broker);
            decided
        }
    });
    let patience = Heartbeats::silence_max(active.parts.config.quorum.broker_lease_ms).to_std() / 2;
    match tokio::time::timeout(patience, deciding).await {
        Err(_) => response(meanwhile),
        Ok(Err(_) | Ok(Err(NotActive))) => refused(ErrorCode::NotController),
        Ok(Ok(Ok(Err(error)))) => refused(error.code()),
        Ok(Ok(Ok(Ok(reply)))) => response(reply),
    }
}

async fn decide(
    active: &Arc<Active>,
    asked: HeartbeatRequest,
) -> Result<Result<HeartbeatReply, RegistrationError>, NotActive> {
    let decided = active.decide_ahead(|context, _, _| {
        controller::heartbeat(context, &asked, &facts(active, context, asked.broker))
    });
    let Decided { reply, at } = match decided.await? {
        Ok(decided) => decided,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Some(at) = at.filter(|_| asked.want_shut_down && !reply.should_shut_down) {
        active.leases(|leases| leases.handed_over(asked.broker, at.next()));
    }
    Ok(Ok(reply))
}

fn asked(request: &BrokerHeartbeatRequest) -> Option<HeartbeatRequest> {
    Some(HeartbeatRequest {
        broker: NodeId::from_wire(request.broker_id)?,
        epoch: BrokerEpoch::from_wire(request.broker_epoch)?,
        applied_end: Offset::clamped(request.current_metadata_offset),
        want_fence: request.want_fence,
        want_shut_down: request.want_shut_down,
    })
}

fn facts(active: &Active, context: Context<'_>, node: NodeId) -> HeartbeatFacts {
    let facts = active.leases(|leases| leases.heartbeat_facts(context.image, node));
    facts.unwrap_or_default()
}

fn response(reply: HeartbeatReply) -> BrokerHeartbeatResponse {
    BrokerHeartbeatResponse {
        is_caught_up: reply.caught_up,
        is_fenced: reply.fenced,
        should_shut_down: reply.should_shut_down,
        ..Default::default()
    }
}

fn refused(code: ErrorCode) -> BrokerHeartbeatResponse {
    BrokerHeartbeatResponse { error_code: code.code(), ..Default::default() }
}
