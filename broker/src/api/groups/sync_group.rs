//! SyncGroup (key 14): answered when the leader's assignment is committed.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_coordinator::{Generation, MemberId, SyncRequest, Synced};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::sync_group_request::SyncGroupRequest;
use ottla_broker_protocol::messages::sync_group_response::SyncGroupResponse;

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;

/// From this version on the member must say which protocol it believes to be chosen (KIP-559).
const PROTOCOL_FROM_VERSION: i16 = 5;

/// Handles a SyncGroup.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: SyncGroupRequest<'_> = call.request()?;
    let sync = sync(&request, call.version);
    match sync.and_then(|sync| broker.groups.sync(broker, sync).map_err(|why| why.code())) {
        Err(code) => Ok(Answer::now(call.reply(&response(Err(code))))),
        Ok(parked) => Ok(call.later(|call| async move {
            let reply = parked.answer().await.map_err(|why| why.code());
            call.reply(&response(reply.and_then(|reply| reply.map_err(|error| error.code()))))
        })),
    }
}

fn sync(request: &SyncGroupRequest<'_>, version: i16) -> Result<SyncRequest, ErrorCode> {
    let group = parts::group(&request.group_id)?;
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= PROTOCOL_FROM_VERSION && !names_protocol {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let assignments = request.assignments.iter().filter_map(|assigned| {
        Some((MemberId::new(&assigned.member_id)?, Bytes::copy_from_slice(&assigned.assignment)))
    });
    Ok(SyncRequest {
        group,
        caller: parts::caller(&request.member_id, request.group_instance_id.as_deref()),
        generation: Generation::from_wire(request.generation_id),
        protocol_type: request.protocol_type.as_deref().map(Into::into),
        protocol: request.protocol_name.as_deref().map(Into::into),
        assignments: assignments.collect(),
    })
}

fn response(reply: Result<Synced, ErrorCode>) -> SyncGroupResponse<'static> {
    let named = |text: Option<&str>| text.map(|text| Cow::Owned(text.to_owned()));
    match reply {
        Ok(synced) => SyncGroupResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            protocol_type: named(synced.protocol_type.as_deref()),
            protocol_name: named(synced.protocol.as_deref()),
            assignment: Cow::Owned(synced.assignment.to_vec()),
        },
        Err(code) => SyncGroupResponse { error_code: code.code(), ..Default::default() },
    }
}
