//! Configurations of topics and brokers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ottla_broker_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_broker_protocol::messages::describe_configs_response::DescribeConfigsResponse;
use ottla_broker_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_broker_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;
use ottla_broker_types::NodeId;

use crate::client::AdminClient;
use crate::error::AdminError;
use crate::topics::TopicFailure;

const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker; the call goes to that very broker.
    Broker(NodeId),
    /// The dynamic default of all brokers.
    AllBrokers,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Sets the value.
    Set(String),
    /// Back to the default.
    Delete,
    /// Adds items to a list.
    Append(String),
    /// Removes items from a list.
    Subtract(String),
}

/// Changes of one resource, made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// What is changed.
    pub resource: ConfigResource,
    /// The changes by key.
    pub ops: BTreeMap<String, ConfigOp>,
}

/// One key as DescribeConfigs tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its value; `None` if it is secret or unset.
    pub value: Option<String>,
    /// Kafka's number of the source; 1 = the topic's own, 2 = this broker's dynamic, 3 = all brokers' dynamic.
    pub source: i8,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
}

impl ConfigResource {
    fn wire(&self) -> (i8, Cow<'_, str>) {
        match self {
            ConfigResource::Topic(name) => (RESOURCE_TOPIC, Cow::Borrowed(name)),
            ConfigResource::Broker(id) => (RESOURCE_BROKER, Cow::Owned(id.to_string())),
            ConfigResource::AllBrokers => (RESOURCE_BROKER, Cow::Borrowed("")),
        }
    }
}

impl AdminClient {
    /// Every key of a resource with its value and source.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<BTreeMap<String, ConfigEntry>, AdminError> {
        let (resource_type, resource_name) = resource.wire();
        let asked = DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: None,
            ..Default::default()
        };
        let request = DescribeConfigsRequest { resources: vec![asked], ..Default::default() };
        let read = |response: DescribeConfigsResponse<'_>| {
            let mut entries = BTreeMap::new();
            for result in &response.results {
                AdminError::check(result.error_code, result.error_message.as_deref())?;
                for config in &result.configs {
                    let entry = ConfigEntry {
                        value: config.value.as_deref().map(str::to_owned),
                        source: config.config_source,
                        read_only: config.read_only,
                    };
                    entries.insert(config.name.clone().into_owned(), entry);
                }
            }
            Ok(entries)
        };
        match resource {
            ConfigResource::Broker(id) => self.call_broker(*id, &request, read).await?,
            _ => self.call_any(&request, read).await?,
        }
    }

    /// Changes configurations; each resource as a whole succeeds or fails.
    pub async fn alter_configs(
        &self,
        alterations: &[ConfigAlteration],
        validate_only: bool,
    ) -> Result<Vec<Result<(), TopicFailure>>, AdminError> {
        let mut outcomes = Vec::with_capacity(alterations.len());
        let (own, any): (Vec<_>, Vec<_>) = alterations
            .iter()
            .enumerate()
            .partition(|(_, alteration)| matches!(alteration.resource, ConfigResource::Broker(_)));
        for (index, alteration) in own {
            let ConfigResource::Broker(id) = alteration.resource else { continue };
            let request = request(&[alteration], validate_only);
            let results = self.call_broker(id, &request, read_results).await?;
            outcomes.extend(results.into_iter().map(|result| (index, result)));
        }
        if !any.is_empty() {
            let (indexes, listed): (Vec<usize>, Vec<_>) = any.into_iter().unzip();
            let request = request(&listed, validate_only);
            let results = self.call_any(&request, read_results).await?;
            outcomes.extend(indexes.into_iter().zip(results));
        }
        outcomes.sort_by_key(|(index, _)| *index);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

fn request<'a>(
    alterations: &[&'a ConfigAlteration],
    validate_only: bool,
) -> IncrementalAlterConfigsRequest<'a> {
    let resources = alterations.iter().map(|alteration| {
        let (resource_type, resource_name) = alteration.resource.wire();
        let configs = alteration.ops.iter().map(|(name, op)| {
            let (config_operation, value) = match op {
                ConfigOp::Set(value) => (0, Some(value)),
                ConfigOp::Delete => (1, None),
                ConfigOp::Append(value) => (2, Some(value)),
                ConfigOp::Subtract(value) => (3, Some(value)),
            };
            AlterableConfig {
                name: Cow::Borrowed(name.as_str()),
                config_operation,
                value: value.map(|value| Cow::Borrowed(value.as_str())),
                ..Default::default()
            }
        });
        AlterConfigsResource {
            resource_type,
            resource_name,
            configs: configs.collect(),
            ..Default::default()
        }
    });
    IncrementalAlterConfigsRequest { resources: resources.collect(), validate_only, ..Default::default() }
}

fn read_results(response: IncrementalAlterConfigsResponse<'_>) -> Vec<Result<(), TopicFailure>> {
    let results = response.responses.iter();
    results.map(|result| TopicFailure::check(result.error_code, result.error_message.as_deref())).collect()
}
