//! AlterConfigs (key 33): replaces all settings of a resource. Clients since Kafka 2.3 use IncrementalAlterConfigs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, FullAlteration};
use ottla_broker_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use ottla_broker_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};
use ottla_broker_protocol::{Decode, ErrorCode, Reader};

use super::config_requests::{Refusal, decide_each, forward, invalid, put_back, refusal, take_out, target};
use super::forward;
use crate::api::call::{Call, encode_body};
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::NotActive;
use crate::listener::Reply;

/// Handles the request of a client.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let mut rest: AlterConfigsRequest<'_> = call.request()?;
    let refused = take_out(&mut rest.resources, |resource| {
        let message = refusal(broker.node_id, resource.resource_type, &resource.resource_name)?;
        Some(row(resource, ErrorCode::InvalidRequest, Some(message)))
    });
    if refused.is_empty() {
        return forward::handle(broker, call);
    }
    if rest.resources.is_empty() {
        let mut response = AlterConfigsResponse::default();
        put_back(&mut response.responses, refused);
        return Ok(Answer::now(call.reply(&response)));
    }
    let body = encode_body(&rest, call.version);
    Ok(forward(broker, call, body, |call, body, answer| {
        let rest = match &answer {
            Ok(answer) => AlterConfigsResponse::decode(&mut Reader::new(answer), call.version),
            Err(code) => AlterConfigsRequest::decode(&mut Reader::new(body), call.version)
                .map(|rest| failed(&rest, *code)),
        };
        let Ok(mut response) = rest else { return Reply::Close("the controller's answer is malformed") };
        put_back(&mut response.responses, refused);
        call.reply(&response)
    }))
}

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &AlterConfigsRequest<'_>,
) -> Result<AlterConfigsResponse<'static>, NotActive> {
    let responses = decide_each(
        broker,
        &request.resources,
        |resource| (resource.resource_type, &*resource.resource_name),
        alteration,
        |settings| settings.len(),
        |context, wanted| controller::alter_configs(context, wanted, request.validate_only),
        row,
    );
    Ok(AlterConfigsResponse { responses: responses.await?, ..Default::default() })
}

/// Every resource failed.
pub fn failed(request: &AlterConfigsRequest<'_>, code: ErrorCode) -> AlterConfigsResponse<'static> {
    let rows = request.resources.iter().map(|resource| row(resource, code, Some(code.message().to_owned())));
    AlterConfigsResponse { responses: rows.collect(), ..Default::default() }
}

fn alteration(resource: &AlterConfigsResource<'_>, is_twice: bool) -> Result<FullAlteration, Refusal> {
    let target = target(resource.resource_type, &resource.resource_name, is_twice)?;
    let mut settings = BTreeMap::new();
    for config in &resource.configs {
        let Some(value) = config.value.as_deref() else {
            return Err(invalid(format!("{} has no value: give one, or leave the setting out", config.name)));
        };
        if settings.insert(config.name.clone().into_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("{} is named twice", config.name)));
        }
    }
    Ok((target, settings))
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
    }
}
