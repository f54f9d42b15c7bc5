//! JoinGroup (key 11): answered when the members of the group are together.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_coordinator::{JoinRequest, Joined, Protocol};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_broker_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_broker_types::DurationMs;

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// From this version on the rebalance timeout has a field of its own.
const REBALANCE_TIMEOUT_FROM_VERSION: i16 = 1;
/// From this version on new members get their id before they are let in (KIP-394).
const KNOWN_MEMBER_FROM_VERSION: i16 = 4;
/// From this version on the protocol may be null.
const NULL_PROTOCOL_FROM_VERSION: i16 = 7;
/// From this version on a leader may be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_FROM_VERSION: i16 = 9;

/// Handles a JoinGroup.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: JoinGroupRequest<'_> = call.request()?;
    let member_id = request.member_id.clone().into_owned();
    let parked = join(&call, &request).and_then(|join| broker.groups.join(broker, &join));
    match parked {
        Err(code) => Ok(Answer::now(call.reply(&failed(&call, code, &member_id)))),
        Ok(parked) => Ok(call.later(|call| async move {
            match parked.answer().await {
                Ok(Ok(joined)) => call.reply(&response(&call, &joined)),
                Ok(Err(refused)) => {
                    let member = refused.member.as_ref().map_or("", |member| member.as_str());
                    call.reply(&failed(&call, refused.code, member))
                }
                Err(code) => call.reply(&failed(&call, code, &member_id)),
            }
        })),
    }
}

fn join(call: &Call, request: &JoinGroupRequest<'_>) -> Result<JoinRequest, ErrorCode> {
    let group = parts::group(&request.group_id)?;
    let milliseconds = |value: i32| DurationMs(u64::try_from(value).unwrap_or(0));
    let rebalance_timeout = if call.version >= REBALANCE_TIMEOUT_FROM_VERSION {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    let protocols = request.protocols.iter().map(|offered| Protocol {
        name: (*offered.name).into(),
        metadata: Bytes::copy_from_slice(&offered.metadata),
    });
    Ok(JoinRequest {
        group,
        caller: parts::caller(&request.member_id, request.group_instance_id.as_deref()),
        client_id: call.client_id.as_str().into(),
        // As Java prints an address.
        client_host: format!("/{}", call.peer.address.ip()).into(),
        session_timeout: milliseconds(request.session_timeout_ms),
        rebalance_timeout: milliseconds(rebalance_timeout),
        protocol_type: (*request.protocol_type).into(),
        protocols: protocols.collect(),
        requires_known_member: call.version >= KNOWN_MEMBER_FROM_VERSION,
        can_skip_assignment: call.version >= SKIP_ASSIGNMENT_FROM_VERSION,
    })
}

fn failed(call: &Call, code: ErrorCode, member: &str) -> JoinGroupResponse<'static> {
    JoinGroupResponse {
        error_code: code.code(),
        generation_id: -1,
        protocol_name: (call.version < NULL_PROTOCOL_FROM_VERSION).then_some(Cow::Borrowed("")),
        member_id: Cow::Owned(member.to_owned()),
        ..Default::default()
    }
}

fn response(call: &Call, joined: &Joined) -> JoinGroupResponse<'static> {
    let protocol = joined.protocol.as_deref().map(|name| Cow::Owned(name.to_owned()));
    let may_be_null = call.version >= NULL_PROTOCOL_FROM_VERSION;
    let members = joined.members.iter().map(|member| JoinGroupResponseMember {
        member_id: Cow::Owned(member.member.as_str().to_owned()),
        group_instance_id: member.instance.as_ref().map(|instance| Cow::Owned(instance.as_str().to_owned())),
        metadata: Cow::Owned(member.metadata.to_vec()),
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None.code(),
        generation_id: joined.generation.0,
        protocol_type: joined
            .protocol_type
            .as_deref()
            .filter(|_| may_be_null)
            .map(|kind| Cow::Owned(kind.to_owned())),
        protocol_name: if may_be_null { protocol } else { Some(protocol.unwrap_or_default()) },
        leader: Cow::Owned(joined.leader.as_ref().map_or("", |leader| leader.as_str()).to_owned()),
        skip_assignment: joined.skip_assignment,
        member_id: Cow::Owned(joined.member.as_str().to_owned()),
        members: members.collect(),
    }
}
