//! IncrementalAlterConfigs (key 44, KIP-339): each resource changes as a whole or not at all.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::ConfigResource;
use ottla_broker_metadata::controller::{self, ConfigAlteration, ConfigOp, IncrementalAlteration, Refused};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_broker_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use crate::broker::Broker;
use crate::controller::NotActive;

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &IncrementalAlterConfigsRequest<'_>,
) -> Result<IncrementalAlterConfigsResponse<'static>, NotActive> {
    let mut rows = Vec::with_capacity(request.resources.len());
    let mut wanted: Vec<IncrementalAlteration> = Vec::new();
    let mut places = Vec::new();
    for resource in &request.resources {
        match alteration(resource) {
            Ok(alteration) => {
                places.push(rows.len());
                wanted.push(alteration);
                rows.push(row(resource, ErrorCode::None, None));
            }
            Err(message) => rows.push(row(resource, ErrorCode::InvalidRequest, Some(message.to_owned()))),
        }
    }
    let decided = broker.controller.active.decide(broker, |context, _, _| {
        Ok::<_, Infallible>(controller::incremental_alter_configs(context, &wanted, request.validate_only))
    });
    let Ok(decided) = decided.await?;
    for (result, place) in decided.reply.into_iter().zip(places) {
        if let Err(Refused { code, message }) = result.outcome {
            rows[place].error_code = code.code();
            rows[place].error_message = Some(Cow::Owned(message));
        }
    }
    Ok(IncrementalAlterConfigsResponse { responses: rows, ..Default::default() })
}

/// Every resource failed.
pub fn failed(
    request: &IncrementalAlterConfigsRequest<'_>,
    code: ErrorCode,
) -> IncrementalAlterConfigsResponse<'static> {
    let rows = request.resources.iter().map(|resource| row(resource, code, Some(code.message().to_owned())));
    IncrementalAlterConfigsResponse { responses: rows.collect(), ..Default::default() }
}

fn alteration(resource: &AlterConfigsResource<'_>) -> Result<IncrementalAlteration, &'static str> {
    let target = ConfigResource::from_wire(resource.resource_type, &resource.resource_name)
        .ok_or("this kind of resource has no configuration here, or its name is invalid")?;
    let changes = resource.configs.iter().map(|config| {
        let op = match config.config_operation {
            0 => ConfigOp::Set,
            1 => ConfigOp::Delete,
            2 => ConfigOp::Append,
            3 => ConfigOp::Subtract,
            _ => return Err("the operation must be SET, DELETE, APPEND or SUBTRACT"),
        };
        let value = config.value.as_deref().map(str::to_owned);
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
