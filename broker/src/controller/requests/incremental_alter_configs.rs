//! IncrementalAlterConfigs (key 44, KIP-339): each resource changes as a whole or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, ConfigAlteration, ConfigOp, Context, IncrementalAlteration};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_broker_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::config_alterations::{Refusal, all_failed, decide_each, invalid, target};
use super::{AdminApi, ConfigApi, Deciding};
use crate::controller::Active;

/// How the active controller decides on it.
pub struct IncrementalAlterConfigs;

impl AdminApi for IncrementalAlterConfigs {
    type Request<'a> = IncrementalAlterConfigsRequest<'a>;
    type Response<'a> = IncrementalAlterConfigsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let decide = |context: Context<'_>, wanted: &[_]| {
                controller::incremental_alter_configs(context, wanted, request.validate_only)
            };
            decide_each::<IncrementalAlterConfigs, _>(
                active,
                &request.resources,
                alteration,
                |settings| settings.len(),
                decide,
            )
            .await
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        all_failed::<IncrementalAlterConfigs>(&request.resources, code)
    }
}

impl ConfigApi for IncrementalAlterConfigs {
    type Resource<'a> = AlterConfigsResource<'a>;
    type Row<'a> = AlterConfigsResourceResponse<'a>;

    fn resources<'r, 'a>(request: &'r mut Self::Request<'a>) -> &'r mut Vec<Self::Resource<'a>> {
        &mut request.resources
    }

    fn resource<'r>(resource: &'r Self::Resource<'_>) -> (i8, &'r str) {
        (resource.resource_type, &resource.resource_name)
    }

    fn row<'a>((resource_type, name): (i8, &str), code: ErrorCode, message: Option<String>) -> Self::Row<'a> {
        AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: message.map(Cow::Owned),
            resource_type,
            resource_name: Cow::Owned(name.to_owned()),
            ..Default::default()
        }
    }

    fn response(responses: Vec<Self::Row<'_>>) -> Self::Response<'_> {
        IncrementalAlterConfigsResponse { responses, ..Default::default() }
    }

    fn rows(response: Self::Response<'_>) -> Vec<Self::Row<'_>> {
        response.responses
    }
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
