//! AlterConfigs (key 33): replaces all settings of a resource. Clients since Kafka 2.3 use IncrementalAlterConfigs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, FullAlteration};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use ottla_broker_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::config_alterations::{Refusal, all_failed, decide_each, invalid, target};
use super::{AdminApi, ConfigApi, Deciding};
use crate::controller::Active;

/// How the active controller decides on it.
pub struct AlterConfigs;

impl AdminApi for AlterConfigs {
    type Request<'a> = AlterConfigsRequest<'a>;
    type Response<'a> = AlterConfigsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let decide = |context: Context<'_>, wanted: &[_]| {
                controller::alter_configs(context, wanted, request.validate_only)
            };
            decide_each::<AlterConfigs, _>(
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
        all_failed::<AlterConfigs>(&request.resources, code)
    }
}

impl ConfigApi for AlterConfigs {
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
        }
    }

    fn response(responses: Vec<Self::Row<'_>>) -> Self::Response<'_> {
        AlterConfigsResponse { responses, ..Default::default() }
    }

    fn rows(response: Self::Response<'_>) -> Vec<Self::Row<'_>> {
        response.responses
    }
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
