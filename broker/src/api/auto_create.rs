//! Topics that come into being by being used: by a client's Metadata, or as one of Kafka's own.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_broker_types::TopicName;

use super::call::Call;
use crate::broker::Broker;
use crate::controller::Asker;
use crate::controller::requests::{self, CreateTopics};
use crate::coordinators::OFFSETS_TOPIC;

/// The version in which the request goes to the controller.
const VERSION: i16 = 7;
/// The name under which the controller is asked for what no client has asked for by name.
const CLIENT_ID: &str = "auto-create";
/// Topics that one request may bring into being; the client asks again for the rest.
const TOPICS_MAX: usize = 100;
/// The setting of the offsets topic's replicas.
const OFFSETS_FACTOR: &str = "offsets.topic.replication.factor";
/// The wire's "as the cluster's default".
const DEFAULT: i16 = -1;

/// Has topics that `call` uses created with the cluster's defaults; what fails is found missing by the caller.
pub async fn create(broker: &Arc<Broker>, call: &Call, names: Vec<TopicName>) {
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
    let body = requests::encode(&request, VERSION);
    let asker = Asker { client_id: CLIENT_ID, ..call.asker() };
    let created = broker.controller.admin::<CreateTopics>(asker, VERSION, &request, body);
    if let Err(code) = created.await {
        tracing::info!(code = code.name(), "topics cannot be created on first use");
    }
}

/// How many replicas the topic of consumer offsets gets. As many as are configured, or it is not made yet (KIP-115).
///
/// Where nothing is configured a small cluster gets as many as it has brokers, those that are down included: a laptop's
/// single broker must serve groups, too. Of one that is still starting the voters tell how large it is at least.
pub fn offsets_replication_factor(broker: &Broker) -> u16 {
    let wanted = broker.config.groups.offsets_replication_factor;
    if broker.config.statics.contains_key(OFFSETS_FACTOR) {
        return wanted;
    }
    let brokers = broker.view().brokers().count().max(broker.config.quorum.voters.len()).max(1);
    wanted.min(u16::try_from(brokers).unwrap_or(u16::MAX))
}

fn offsets_topic(broker: &Broker) -> CreatableTopic<'static> {
    let config = |name, value| CreatableTopicConfig {
        name: Cow::Borrowed(name),
        value: Some(value),
        ..Default::default()
    };
    CreatableTopic {
        name: Cow::Borrowed(OFFSETS_TOPIC),
        num_partitions: i32::try_from(broker.config.groups.offsets_partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(offsets_replication_factor(broker)).unwrap_or(i16::MAX),
        configs: vec![
            config("cleanup.policy", Cow::Borrowed("compact")),
            config("compression.type", Cow::Borrowed("producer")),
            config("segment.bytes", Cow::Owned(broker.config.groups.offsets_segment_bytes.to_string())),
        ],
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_metadata::record::RegisterBroker;
    use ottla_broker_metadata::{Record, record::Endpoint};
    use ottla_broker_types::{NodeId, Uuid};

    use super::*;
    use crate::testing::Rig;

    fn register(rig: &mut Rig, id: i32, fenced: bool) {
        let endpoint = Endpoint {
            listener: "TEST".to_owned(),
            host: "localhost".to_owned(),
            port: 1,
            security_protocol: 0,
        };
        rig.commit(&[Record::RegisterBroker(RegisterBroker {
            broker: NodeId(id),
            incarnation: Uuid([1; 16]),
            epoch: None,
            endpoints: vec![endpoint],
            features: Vec::new(),
            rack: None,
            fenced,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
        })]);
    }

    #[test]
    fn brokers_that_are_down_count_for_the_offsets_topics_copies() {
        let mut rig = Rig::new();
        assert_eq!(offsets_replication_factor(&rig.broker), 1);
        register(&mut rig, 1, false);
        register(&mut rig, 2, false);
        register(&mut rig, 3, true);
        assert_eq!(offsets_topic(&rig.broker).replication_factor, 3);
        register(&mut rig, 4, false);
        assert_eq!(offsets_replication_factor(&rig.broker), 3);
    }
}
