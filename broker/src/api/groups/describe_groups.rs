//! DescribeGroups (key 15).

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_coordinator::{GroupDescription, GroupState};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_broker_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::parts;
use crate::api::call::Call;
use crate::api::distinct::distinct;
use crate::api::{Answer, Malformed, authorized_operations};
use crate::broker::Broker;
use crate::errors::KafkaError;

/// From this version on a missing group is an error of its own; before, it is described as dead.
const GROUP_ID_NOT_FOUND_FROM_VERSION: i16 = 6;
/// From this version on a group's code has a text.
const MESSAGE_FROM_VERSION: i16 = 6;

/// Handles a DescribeGroups.
pub fn handle(broker: &Arc<Broker>, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeGroupsRequest<'_> = call.request()?;
    let mut room = call.key.rules().answer_bytes_max;
    let mut response = DescribeGroupsResponse::default();
    for name in distinct(&request.groups, |name| &**name) {
        let row = match room {
            0 => too_large(call, name),
            _ => describe(broker, call, name),
        };
        room = room.saturating_sub(size_of_row(&row));
        let asked = request.include_authorized_operations && row.error_code == ErrorCode::None.code();
        let authorized_operations = authorized_operations::of_group(asked);
        response.groups.push(DescribedGroup { authorized_operations, ..row });
    }
    Ok(Answer::now(call.reply(&response)))
}

/// What is said of a group beyond what one answer holds.
fn too_large(call: &Call, name: &str) -> DescribedGroup<'static> {
    let message = "the answer would be too large: describe fewer groups in one request";
    DescribedGroup {
        group_id: Cow::Owned(name.to_owned()),
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: (call.version >= MESSAGE_FROM_VERSION).then_some(Cow::Borrowed(message)),
        ..Default::default()
    }
}

/// About what a row takes in the answer.
fn size_of_row(row: &DescribedGroup<'_>) -> usize {
    const FIXED_BYTES: usize = 64;
    let member = |member: &DescribedGroupMember<'_>| {
        let texts = member.member_id.len() + member.client_id.len() + member.client_host.len();
        FIXED_BYTES + texts + member.member_metadata.len() + member.member_assignment.len()
    };
    FIXED_BYTES + row.group_id.len() + row.members.iter().map(member).sum::<usize>()
}

fn describe(broker: &Broker, call: &Call, name: &str) -> DescribedGroup<'static> {
    let described = broker.groups.describe(broker, &parts::any_group(name));
    let mut row = DescribedGroup { group_id: Cow::Owned(name.to_owned()), ..Default::default() };
    match described {
        Ok(Some(description)) => fill(&mut row, description),
        Ok(None) => {
            row.group_state = Cow::Borrowed(GroupState::Dead.name());
            if call.version >= GROUP_ID_NOT_FOUND_FROM_VERSION {
                row.error_code = ErrorCode::GroupIdNotFound.code();
                row.error_message = Some(Cow::Owned(format!("Group {name} not found.")));
            }
        }
        Err(why) => row.error_code = why.code().code(),
    }
    row
}

fn fill(row: &mut DescribedGroup<'static>, description: GroupDescription) {
    row.group_state = Cow::Borrowed(description.state.name());
    row.protocol_type = Cow::Owned(description.protocol_type.to_string());
    row.protocol_data = Cow::Owned(description.protocol.to_string());
    let members = description.members.into_iter().map(|member| DescribedGroupMember {
        member_id: Cow::Owned(member.member.as_str().to_owned()),
        group_instance_id: member.instance.map(|instance| Cow::Owned(instance.as_str().to_owned())),
        client_id: Cow::Owned(member.client_id.to_string()),
        client_host: Cow::Owned(member.client_host.to_string()),
        member_metadata: Cow::Owned(member.metadata.to_vec()),
        member_assignment: Cow::Owned(member.assignment.to_vec()),
    });
    row.members = members.collect();
}
