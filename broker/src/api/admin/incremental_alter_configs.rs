//! IncrementalAlterConfigs (key 44, KIP-339): each resource changes as a whole or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, ConfigAlteration, ConfigOp, IncrementalAlteration};
use ottla_broker_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_broker_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use ottla_broker_protocol::{Decode, ErrorCode, Reader};
use ottla_broker_types::NodeId;

use super::config_requests::{Refusal, decide_each, forward, invalid, put_back, refusal, take_out, target};
use super::forward;
use crate::api::call::{Call, encode_body};
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::NotActive;
use crate::listener::Reply;

/// Handles the request of a client.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let mut rest: IncrementalAlterConfigsRequest<'_> = call.request()?;
    let refused = split(&mut rest, broker.node_id);
    if refused.is_empty() {
        return forward::handle(broker, call);
    }
    if rest.resources.is_empty() {
        let mut response = IncrementalAlterConfigsResponse::default();
        put_back(&mut response.responses, refused);
        return Ok(Answer::now(call.reply(&response)));
    }
    let body = encode_body(&rest, call.version);
    Ok(forward(broker, call, body, |call, body, answer| {
        let rest = match &answer {
            Ok(answer) => IncrementalAlterConfigsResponse::decode(&mut Reader::new(answer), call.version),
            Err(code) => IncrementalAlterConfigsRequest::decode(&mut Reader::new(body), call.version)
                .map(|rest| failed(&rest, *code)),
        };
        let Ok(mut response) = rest else { return Reply::Close("the controller's answer is malformed") };
        put_back(&mut response.responses, refused);
        call.reply(&response)
    }))
}

/// A refused resource's answer, and its place among all of the request.
type RefusedRow = (usize, AlterConfigsResourceResponse<'static>);

/// Takes the settings of other brokers out of a request.
fn split(request: &mut IncrementalAlterConfigsRequest<'_>, self_id: NodeId) -> Vec<RefusedRow> {
    take_out(&mut request.resources, |resource| {
        let message = refusal(self_id, resource.resource_type, &resource.resource_name)?;
        Some(row(resource, ErrorCode::InvalidRequest, Some(message)))
    })
}

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &IncrementalAlterConfigsRequest<'_>,
) -> Result<IncrementalAlterConfigsResponse<'static>, NotActive> {
    let responses = decide_each(
        broker,
        &request.resources,
        |resource| (resource.resource_type, &*resource.resource_name),
        alteration,
        |settings| settings.len(),
        |context, wanted| controller::incremental_alter_configs(context, wanted, request.validate_only),
        row,
    );
    Ok(IncrementalAlterConfigsResponse { responses: responses.await?, ..Default::default() })
}

/// Every resource failed.
pub fn failed(
    request: &IncrementalAlterConfigsRequest<'_>,
    code: ErrorCode,
) -> IncrementalAlterConfigsResponse<'static> {
    let rows = request.resources.iter().map(|resource| row(resource, code, Some(code.message().to_owned())));
    IncrementalAlterConfigsResponse { responses: rows.collect(), ..Default::default() }
}

fn alteration(resource: &AlterConfigsResource<'_>, is_twice: bool) -> Result<IncrementalAlteration, Refusal> {
    let target = target(resource.resource_type, &resource.resource_name, is_twice)?;
    let changes = resource.configs.iter().map(|config| {
        let op = match config.config_operation {
            0 => ConfigOp::Set,
            1 => ConfigOp::Delete,
            2 => ConfigOp::Append,
            3 => ConfigOp::Subtract,
            _ => return Err(invalid("the operation must be SET, DELETE, APPEND or SUBTRACT")),
        };
        let value = config.value.as_deref().map(str::to_owned);
        if value.is_none() && op != ConfigOp::Delete {
            return Err(invalid(format!("{} has no value: give one, or use DELETE", config.name)));
        }
        Ok(ConfigAlteration { name: config.name.clone().into_owned(), op, value })
    });
    Ok((target, changes.collect::<Result<_, _>>()?))
}

fn row(
    resource: &AlterConfigsResource<'_>,
    code: ErrorCode,
    message: Option<String>,
) -> AlterConfigsResourceResponse<'static> {
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message: message.map(Cow::Owned),
        resource_type: resource.resource_type,
        resource_name: Cow::Owned(resource.resource_name.clone().into_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rig;

    fn request(resources: &[(i8, &'static str)]) -> IncrementalAlterConfigsRequest<'static> {
        let resources = resources.iter().map(|(resource_type, name)| AlterConfigsResource {
            resource_type: *resource_type,
            resource_name: Cow::Borrowed(*name),
            ..Default::default()
        });
        IncrementalAlterConfigsRequest { resources: resources.collect(), ..Default::default() }
    }

    #[tokio::test]
    async fn settings_of_another_broker_are_refused() {
        let body = Rig::new().ask(&request(&[(4, "2")]), 1).await.unwrap();
        let response = IncrementalAlterConfigsResponse::decode(&mut Reader::new(&body), 1).unwrap();
        let row = &response.responses[0];
        assert_eq!((row.error_code, &*row.resource_name), (ErrorCode::InvalidRequest.code(), "2"));
        let message = row.error_message.as_deref();
        assert_eq!(message, Some("this is broker 1: ask broker 2 to alter its own settings"));
    }

    #[test]
    fn everything_else_of_the_request_is_answered_in_its_place() {
        let all = [(2, "t"), (4, "2"), (4, ""), (4, "1"), (4, "3"), (4, "x")];
        let mut rest = request(&all);
        let refused = split(&mut rest, NodeId(1));
        assert_eq!(rest, request(&[(2, "t"), (4, ""), (4, "1"), (4, "x")]));
        let mut merged = failed(&rest, ErrorCode::None);
        put_back(&mut merged.responses, refused);
        let rows =
            merged.responses.iter().map(|row| (row.resource_type, &*row.resource_name, row.error_code));
        let refused =
            |name| if matches!(name, "2" | "3") { ErrorCode::InvalidRequest } else { ErrorCode::None };
        assert!(rows.eq(all.map(|(kind, name)| (kind, name, refused(name).code()))));
    }
}
