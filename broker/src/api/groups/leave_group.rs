//! LeaveGroup (key 13): from version 3 on, several members at once (KIP-345).

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_coordinator::{Leaver, MemberError, PerPart};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::leave_group_request::LeaveGroupRequest;
use ottla_broker_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;
use crate::listener::Reply;

/// From this version on a request names several members.
const BATCHED_FROM_VERSION: i16 = 3;

/// Handles a LeaveGroup.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: LeaveGroupRequest<'_> = call.request()?;
    let leavers: Vec<Leaver> = if call.version >= BATCHED_FROM_VERSION {
        let members = request.members.iter();
        members.map(|member| parts::caller(&member.member_id, member.group_instance_id.as_deref())).collect()
    } else {
        vec![parts::caller(&request.member_id, None)]
    };
    let left = parts::group(&request.group_id)
        .and_then(|group| broker.groups.leave(broker, &group, &leavers).map_err(|error| error.code()));
    match left {
        Err(code) => Ok(Answer::now(answer(&call, &leavers, Err(code)))),
        Ok(left) if left.commit.is_none() => Ok(Answer::now(answer(&call, &leavers, Ok(left.value)))),
        Ok(left) => Ok(call.later(|call| async move {
            let left = left.committed().await.map_err(|why| why.code());
            answer(&call, &leavers, left)
        })),
    }
}

fn answer(call: &Call, leavers: &[Leaver], left: Result<PerPart<MemberError>, ErrorCode>) -> Reply {
    let mut results = match left {
        Ok(results) => results.into_iter().map(|left| left.map_err(|error| error.code())),
        Err(code) => {
            return call.reply(&LeaveGroupResponse { error_code: code.code(), ..Default::default() });
        }
    };
    if call.version < BATCHED_FROM_VERSION {
        let code = parts::code(results.next().unwrap_or(Err(ErrorCode::UnknownMemberId)));
        return call.reply(&LeaveGroupResponse { error_code: code.code(), ..Default::default() });
    }
    let members = leavers.iter().zip(results).map(|(leaver, result)| MemberResponse {
        member_id: Cow::Borrowed(leaver.member.as_ref().map_or("", |member| member.as_str())),
        group_instance_id: leaver.instance.as_ref().map(|instance| Cow::Borrowed(instance.as_str())),
        error_code: parts::code(result).code(),
    });
    call.reply(&LeaveGroupResponse { members: members.collect(), ..Default::default() })
}
