//! Topics that come into being by being used: by a client's Metadata, or as one of Kafka's own.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ApiKey;
use ottla_broker_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_broker_types::TopicName;

use super::call::encode_body;
use crate::broker::Broker;
use crate::groups::OFFSETS_TOPIC;

/// The version in which the request goes to the controller.
const VERSION: i16 = 7;
/// Topics that one request may bring into being; the client asks again for the rest.
const TOPICS_MAX: usize = 100;
/// The wire's "as the cluster's default".
const DEFAULT: i16 = -1;

/// Has topics created with the cluster's defaults; what fails is found missing by the caller.
pub async fn create(broker: &Arc<Broker>, names: Vec<TopicName>) {
    let topics = names.iter().take(TOPICS_MAX).map(|name| match name.as_str() {
        OFFSETS_TOPIC => offsets_topic(broker),
        name => CreatableTopic {
            name: Cow::Borrowed(name),
            num_partitions: i32::from(DEFAULT),
            replication_factor: DEFAULT,
            ..Default::default()
        },
    });
    let request = CreateTopicsRequest { topics: topics.collect(), ..Default::default() };
    let body: Bytes = encode_body(&request, VERSION);
    if let Err(code) =
        broker.controller.forward(broker, ApiKey::CreateTopics, VERSION, "auto-create", body).await
    {
        tracing::info!(code = code.name(), "topics cannot be created on first use");
    }
}

/// The topic of consumer offsets. A cluster with fewer brokers than its replication factor gets as many replicas
/// as there are brokers: a laptop's single broker must serve groups, too.
fn offsets_topic(broker: &Broker) -> CreatableTopic<'static> {
    let live = broker.view().brokers().filter(|registered| registered.is_active()).count();
    let wanted = usize::from(broker.config.groups.offsets_replication_factor);
    let config = |name, value| CreatableTopicConfig {
        name: Cow::Borrowed(name),
        value: Some(value),
        ..Default::default()
    };
    CreatableTopic {
        name: Cow::Borrowed(OFFSETS_TOPIC),
        num_partitions: i32::try_from(broker.config.groups.offsets_partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(wanted.min(live.max(1))).unwrap_or(1),
        configs: vec![
            config("cleanup.policy", Cow::Borrowed("compact")),
            config("compression.type", Cow::Borrowed("producer")),
            config("segment.bytes", Cow::Owned(broker.config.groups.offsets_segment_bytes.to_string())),
        ],
        ..Default::default()
    }
}
