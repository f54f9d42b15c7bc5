//! DescribeConfigs (key 32): every known setting with value, source, synonyms and documentation.

use std::borrow::Cow;

use ottla_broker_config::{
    ConfigMap, EffectiveConfig, describe_broker, describe_broker_defaults, describe_topic, effective_group,
    group_settings,
};
use ottla_broker_metadata::ConfigResource;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_broker_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use ottla_broker_types::TopicName;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// A refusal: the code, and what to do.
type Refusal = (ErrorCode, String);

/// Handles a DescribeConfigs.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeConfigsRequest<'_> = call.request()?;
    let results = request.resources.iter().map(|resource| result(broker, &request, resource));
    let response = DescribeConfigsResponse { results: results.collect(), ..Default::default() };
    Ok(Answer::now(call.reply(&response)))
}

fn result(
    broker: &Broker,
    request: &DescribeConfigsRequest<'_>,
    resource: &DescribeConfigsResource<'_>,
) -> DescribeConfigsResult<'static> {
    let mut row = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: Cow::Owned(resource.resource_name.clone().into_owned()),
        ..Default::default()
    };
    match describe(broker, resource) {
        Ok(configs) => {
            let wanted = configs.iter().filter(|config| is_asked(resource, config.setting.name));
            row.configs = wanted.map(|config| config_row(request, config)).collect();
        }
        Err((code, message)) => {
            row.error_code = code.code();
            row.error_message = Some(Cow::Owned(message));
        }
    }
    row
}

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource<'_>,
) -> Result<Vec<EffectiveConfig>, Refusal> {
    let view = broker.view();
    let target =
        ConfigResource::from_wire(resource.resource_type, &resource.resource_name).ok_or_else(|| {
            let message = "this kind of resource has no configuration here, or its name is invalid";
            (ErrorCode::InvalidRequest, message.to_owned())
        })?;
    let layers = view.broker_layers(broker.node_id, &broker.config.statics);
    match &target {
        ConfigResource::Topic(name) if TopicName::new(name).is_err() => {
            Err((ErrorCode::InvalidTopicException, format!("no topic can be named {name:?}")))
        }
        ConfigResource::Group(name) if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "the group has no name".to_owned()))
        }
        ConfigResource::Topic(name) if view.topic(name).is_none() => {
            Err((ErrorCode::UnknownTopicOrPartition, format!("topic {name} does not exist")))
        }
        ConfigResource::Topic(name) => Ok(describe_topic(view.topic_config(name), layers)),
        ConfigResource::Broker(None) => Ok(describe_broker_defaults(view.config(&target))),
        ConfigResource::Broker(Some(id)) if *id == broker.node_id => Ok(describe_broker(layers)),
        ConfigResource::Broker(Some(id)) => {
            let message = format!("this is broker {}: ask broker {id} for its own settings", broker.node_id);
            Err((ErrorCode::InvalidRequest, message))
        }
        ConfigResource::Group(_) => {
            let own: &ConfigMap = view.config(&target);
            Ok(group_settings().map(|setting| effective_group(setting, own, layers)).collect())
        }
        ConfigResource::ClientMetrics(_) => Ok(Vec::new()),
    }
}

fn is_asked(resource: &DescribeConfigsResource<'_>, name: &str) -> bool {
    // No names and an empty list of names both mean all.
    let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    keys.is_none_or(|keys| keys.iter().any(|key| key == name))
}

fn config_row(
    request: &DescribeConfigsRequest<'_>,
    config: &EffectiveConfig,
) -> DescribeConfigsResourceResult<'static> {
    let setting = config.setting;
    let synonyms = config.synonyms.iter().filter(|_| request.include_synonyms);
    DescribeConfigsResourceResult {
        name: Cow::Borrowed(setting.name),
        value: config.value.clone().map(Cow::Owned),
        read_only: setting.is_read_only(),
        config_source: config.source.code(),
        is_sensitive: setting.sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: Cow::Borrowed(synonym.name),
                value: synonym.value.clone().map(Cow::Owned),
                source: synonym.source.code(),
                ..Default::default()
            })
            .collect(),
        config_type: setting.value_type.code(),
        documentation: request.include_documentation.then(|| Cow::Owned(setting.documentation())),
        ..Default::default()
    }
}
