//! DescribeConfigs (key 32): every known setting with value, source, synonyms and documentation.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use ottla_broker_config::{
    ConfigMap, EffectiveConfig, Setting, broker_settings, describe_broker, describe_broker_defaults,
    describe_topic, effective_group, group_settings, topic_settings,
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
use crate::api::distinct::distinct;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// What is said of resources beyond what one answer holds.
const TOO_LARGE: &str = "the answer would be too large: describe fewer resources in one request";

/// A refusal: the code, and what to do.
type Refusal = (ErrorCode, String);

/// Handles a DescribeConfigs.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeConfigsRequest<'_> = call.request()?;
    let texts: Documentation = match request.include_documentation {
        true => documented().map(|setting| (ptr::from_ref(setting), setting.documentation())).collect(),
        false => BTreeMap::new(),
    };
    let mut room = call.key.rules().answer_bytes_max;
    let mut response = DescribeConfigsResponse::default();
    for resource in distinct(&request.resources, named) {
        let row = match room {
            0 => failed(resource, ErrorCode::InvalidRequest, TOO_LARGE.to_owned()),
            _ => result(broker, &request, resource, &texts),
        };
        room = room.saturating_sub(size_of_row(&row));
        response.results.push(row);
    }
    Ok(Answer::now(call.reply(&response)))
}

/// What makes one part of a request differ from another: the same settings of a resource are described once.
fn named<'a>(resource: &'a DescribeConfigsResource<'_>) -> (i8, &'a str, Option<BTreeSet<&'a str>>) {
    let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let keys = keys.map(|keys| keys.iter().map(|key| &**key).collect());
    (resource.resource_type, &resource.resource_name, keys)
}

/// About what a row takes in the answer: its texts, and a little for each of its fields.
fn size_of_row(row: &DescribeConfigsResult<'_>) -> usize {
    const FIXED_BYTES: usize = 16;
    let text = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
    let configs = row.configs.iter().map(|config| {
        let synonyms = config.synonyms.iter();
        let synonyms: usize = synonyms.map(|one| FIXED_BYTES + one.name.len() + text(&one.value)).sum();
        FIXED_BYTES + config.name.len() + text(&config.value) + text(&config.documentation) + synonyms
    });
    FIXED_BYTES + row.resource_name.len() + text(&row.error_message) + configs.sum::<usize>()
}

fn failed(
    resource: &DescribeConfigsResource<'_>,
    code: ErrorCode,
    message: String,
) -> DescribeConfigsResult<'static> {
    DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: Cow::Owned(resource.resource_name.clone().into_owned()),
        error_code: code.code(),
        error_message: Some(Cow::Owned(message)),
        ..Default::default()
    }
}

/// What is said of each setting, made once for all resources. Settings of topics and of brokers may share a name.
type Documentation = BTreeMap<*const Setting, String>;

fn documented() -> impl Iterator<Item = &'static Setting> {
    topic_settings().chain(broker_settings()).chain(group_settings())
}

fn result<'d>(
    broker: &Broker,
    request: &DescribeConfigsRequest<'_>,
    resource: &DescribeConfigsResource<'_>,
    texts: &'d Documentation,
) -> DescribeConfigsResult<'d> {
    let configs = match describe(broker, resource) {
        Ok(configs) => configs,
        Err((code, message)) => return failed(resource, code, message),
    };
    let (_, _, asked) = named(resource);
    // No names and an empty list of names both mean all.
    let is_asked = |name: &str| asked.as_ref().is_none_or(|asked| asked.contains(name));
    let wanted = configs.iter().filter(|config| is_asked(config.setting.name));
    DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: Cow::Owned(resource.resource_name.clone().into_owned()),
        configs: wanted.map(|config| config_row(request, config, texts)).collect(),
        ..Default::default()
    }
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
            Err((ErrorCode::InvalidTopicException, "no topic can have this name".to_owned()))
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

fn config_row<'d>(
    request: &DescribeConfigsRequest<'_>,
    config: &EffectiveConfig,
    texts: &'d Documentation,
) -> DescribeConfigsResourceResult<'d> {
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
        documentation: texts.get(&ptr::from_ref(setting)).map(|text| Cow::Borrowed(&**text)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::{ApiKey, Decode, Reader};

    use super::*;
    use crate::testing::Rig;

    const VERSION: i16 = 4;

    async fn described(
        rig: &Rig,
        resources: Vec<DescribeConfigsResource<'static>>,
    ) -> (usize, Vec<(String, i16)>) {
        let request =
            DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true };
        let body = rig.ask(&request, VERSION).await.unwrap();
        let response = DescribeConfigsResponse::decode(&mut Reader::new(&body), VERSION).unwrap();
        let rows =
            response.results.iter().map(|row| (row.resource_name.clone().into_owned(), row.error_code));
        (body.len(), rows.collect())
    }

    fn resource(resource_type: i8, name: String) -> DescribeConfigsResource<'static> {
        DescribeConfigsResource { resource_type, resource_name: Cow::Owned(name), configuration_keys: None }
    }

    #[tokio::test]
    async fn a_resource_that_is_named_many_times_is_described_once() {
        let mut rig = Rig::new();
        rig.topic("t", &[1]);
        let (bytes, rows) = described(&rig, vec![resource(2, "t".to_owned()); 10_000]).await;
        assert_eq!(rows, [("t".to_owned(), 0)]);
        assert!(bytes < 64 << 10, "{bytes}");
        let mut one = resource(2, "t".to_owned());
        one.configuration_keys = Some(vec![Cow::Borrowed("retention.ms"); 1_000]);
        let (_, rows) = described(&rig, vec![one, resource(2, "t".to_owned())]).await;
        assert_eq!(rows.len(), 2, "other settings of it are another part of the request");
    }

    #[tokio::test]
    async fn an_answer_ends_where_its_bound_is() {
        let rig = Rig::new();
        let groups = (0..60_000).map(|number| resource(32, format!("{number:05}"))).collect();
        let (bytes, rows) = described(&rig, groups).await;
        let answer_bytes_max = ApiKey::DescribeConfigs.rules().answer_bytes_max;
        assert!((answer_bytes_max / 4..2 * answer_bytes_max).contains(&bytes), "{bytes}");
        assert_eq!(rows.len(), 60_000, "each is answered");
        assert_eq!((rows[0].1, rows[59_999].1), (0, ErrorCode::InvalidRequest.code()));
    }
}
