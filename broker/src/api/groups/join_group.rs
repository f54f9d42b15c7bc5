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
use crate::client_memory::Charge;
use crate::errors::KafkaError;

/// From this version on the rebalance timeout has a field of its own.
const REBALANCE_TIMEOUT_FROM_VERSION: i16 = 1;
/// From this version on new members get their id before they are let in (KIP-394).
const KNOWN_MEMBER_FROM_VERSION: i16 = 4;
/// From this version on the protocol may be null.
const NULL_PROTOCOL_FROM_VERSION: i16 = 7;
/// From this version on a leader may be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_FROM_VERSION: i16 = 9;

/// What a member may offer, names and metadata of all its protocols: what is chosen of it must fit into a record of
/// the offsets topic. Kafka refuses what does not, too, with UNKNOWN_SERVER_ERROR, which tells nobody what to do.
const MEMBER_BYTES_MAX: usize = 1 << 20;
/// What a member takes beside that, generously.
const MEMBER_BYTES: usize = 1 << 10;

/// Handles a JoinGroup.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: JoinGroupRequest<'_> = call.request()?;
    let member_id = request.member_id.clone().into_owned();
    let parked = join(broker, &call, &request)
        .and_then(|join| broker.groups.join(broker, &join).map_err(|why| why.code()));
    match parked {
        Err(code) => Ok(Answer::now(call.reply(&failed(&call, code, &member_id)))),
        Ok(parked) => Ok(call.later(|call| async move {
            match parked.answer().await {
                Ok(Ok(joined)) => call.reply(&response(&call, &joined)),
                Ok(Err(refused)) => {
                    let member = refused.member.as_ref().map_or("", |member| member.as_str());
                    call.reply(&failed(&call, refused.error.code(), member))
                }
                Err(why) => call.reply(&failed(&call, why.code(), &member_id)),
            }
        })),
    }
}

/// Bytes that are counted for who sent them as long as the group holds them.
struct Charged {
    bytes: Box<[u8]>,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts what the group would keep of a member: for as long as it is one, which is its choice of up to half an hour
/// after it went away.
fn charge(broker: &Broker, call: &Call, request: &JoinGroupRequest<'_>) -> Result<Arc<Charge>, ErrorCode> {
    let each = request.protocols.iter().map(|offered| offered.name.len() + offered.metadata.len());
    let bytes: usize = each.sum();
    if bytes > MEMBER_BYTES_MAX {
        return Err(ErrorCode::MessageTooLarge);
    }
    let charge = broker.member_memory.charge(call.peer.address.ip(), MEMBER_BYTES + bytes);
    charge.map(Arc::new).ok_or(ErrorCode::CoordinatorNotAvailable)
}

fn join(broker: &Broker, call: &Call, request: &JoinGroupRequest<'_>) -> Result<JoinRequest, ErrorCode> {
    let group = parts::group(&request.group_id)?;
    let milliseconds = |value: i32| DurationMs(u64::try_from(value).unwrap_or(0));
    let rebalance_timeout = if call.version >= REBALANCE_TIMEOUT_FROM_VERSION {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    let charge = charge(broker, call, request)?;
    let protocols = request.protocols.iter().map(|offered| Protocol {
        name: (*offered.name).into(),
        metadata: Bytes::from_owner(Charged {
            bytes: (*offered.metadata).into(),
            _charge: Arc::clone(&charge),
        }),
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

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::messages::join_group_request::JoinGroupRequestProtocol;

    use super::*;
    use crate::testing::{KEPT_BYTES_MAX, Rig};

    fn request(metadata: &[u8]) -> JoinGroupRequest<'_> {
        let offered = JoinGroupRequestProtocol { name: Cow::Borrowed("range"), metadata: metadata.into() };
        JoinGroupRequest {
            group_id: Cow::Borrowed("g"),
            session_timeout_ms: 1_800_000,
            protocol_type: Cow::Borrowed("consumer"),
            protocols: vec![offered],
            ..Default::default()
        }
    }

    #[test]
    fn what_members_offer_is_bounded_each_and_together() {
        let rig = Rig::new();
        let try_join = |request: &JoinGroupRequest<'_>| join(&rig.broker, &rig.call(request, 3), request);
        let large = vec![7; MEMBER_BYTES_MAX];
        assert_eq!(try_join(&request(&large)).unwrap_err(), ErrorCode::MessageTooLarge);
        let half = &large[..MEMBER_BYTES_MAX / 2];
        let mut held = Vec::new();
        let refused = loop {
            match try_join(&request(half)) {
                Ok(join) => held.push(join),
                Err(code) => break code,
            }
        };
        assert_eq!(refused, ErrorCode::CoordinatorNotAvailable);
        assert_eq!(
            held.len(),
            KEPT_BYTES_MAX / 2 / (half.len() + "range".len() + MEMBER_BYTES),
            "half is for others"
        );
        held.pop();
        assert!(try_join(&request(half)).is_ok(), "it is given back when the member is gone");
    }
}
