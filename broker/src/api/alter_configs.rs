//! AlterConfigs (key 33): replaces all settings of a resource. Clients since Kafka 2.3 use IncrementalAlterConfigs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, ConfigResult, Context, FullAlteration, Refused};
use ottla_broker_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use ottla_broker_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};
use ottla_broker_protocol::{Decode, ErrorCode, Reader};

use super::call::{Call, encode_body};
use super::config_requests::{Refusal, forward, invalid, named_twice, put_back, refusal, take_out, target};
use super::{Answer, Malformed, admin, parts};
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
        return admin::handle(broker, call);
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
    let mut rows = Vec::with_capacity(request.resources.len());
    let mut wanted: Vec<FullAlteration> = Vec::new();
    let mut places = Vec::new();
    let named = request.resources.iter().map(|each| (each.resource_type, &*each.resource_name));
    let twice = named_twice(named);
    for resource in &request.resources {
        let is_twice = twice.contains(&(resource.resource_type, &*resource.resource_name));
        match alteration(resource, is_twice) {
            Ok(alteration) => {
                places.push(rows.len());
                wanted.push(alteration);
                rows.push(row(resource, ErrorCode::None, None));
            }
            Err((code, message)) => rows.push(row(resource, code, Some(message))),
        }
    }
    let decide = |context: Context<'_>, wanted: &[FullAlteration], _| {
        Ok::<_, Infallible>(controller::alter_configs(context, wanted, request.validate_only))
    };
    let lost =
        |wanted: &FullAlteration, refused| ConfigResult { resource: wanted.0.clone(), outcome: Err(refused) };
    let parts =
        controller::split_batches(&wanted, |(resource, _)| resource.clone(), |(_, settings)| settings.len());
    let Ok(results) = parts::decide(broker, &wanted, parts, decide, lost).await?;
    for (result, place) in results.into_iter().zip(places) {
        if let Err(Refused { code, message }) = result.outcome {
            rows[place].error_code = code.code();
            rows[place].error_message = Some(Cow::Owned(message));
        }
    }
    Ok(AlterConfigsResponse { responses: rows, ..Default::default() })
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
