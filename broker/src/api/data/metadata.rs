//! Metadata (key 3): brokers, topics, leaders; makes topics on first use where that is allowed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_metadata::Topic;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::metadata_request::MetadataRequest;
use ottla_broker_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_broker_types::{NodeId, TopicId, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed, authorized_operations, auto_create, succession, topic_rows};
use crate::broker::Broker;
use crate::listener::{Handled, Reply};
use crate::long_work::Kind;
use crate::view::View;

/// From this version on topics may be named by id; the two before have the field, but no meaning for it.
const IDS_FROM_VERSION: i16 = 12;
/// The version in which "all topics" is an empty list rather than none.
const EMPTY_MEANS_ALL_VERSION: i16 = 0;

/// Which of KIP-430's fields the request wants.
#[derive(Clone, Copy)]
struct OperationsAsked {
    cluster: bool,
    topics: bool,
}

/// A topic as the request names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Name(String),
    Id(TopicId),
}

/// Handles a Metadata.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: MetadataRequest<'_> = call.request()?;
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version == EMPTY_MEANS_ALL_VERSION,
    };
    let operations = OperationsAsked {
        cluster: request.include_cluster_authorized_operations,
        topics: request.include_topic_authorized_operations,
    };
    if all {
        return Ok(everything(broker, call, operations));
    }
    if call.version < IDS_FROM_VERSION
        && request.topics.iter().flatten().any(|topic| !topic.topic_id.is_zero())
    {
        return Ok(Answer::now(refused(&call, &request)));
    }
    let mut asked: Vec<Asked> = Vec::new();
    let mut seen = BTreeSet::new();
    for topic in request.topics.iter().flatten() {
        // Of a topic that is named by both, the id decides.
        let one = match &topic.name {
            Some(name) if topic.topic_id.is_zero() => Asked::Name(name.clone().into_owned()),
            _ => Asked::Id(TopicId(topic.topic_id)),
        };
        if seen.insert(one.clone()) {
            asked.push(one);
        }
    }
    let may_create = request.allow_auto_topic_creation && broker.config.topics.auto_create;
    let view = broker.view();
    let missing = if may_create { missing(&view, &asked) } else { Vec::new() };
    let depends = succession::may_ask_again(broker, &call.peer)
        && succession::depends_on_others(broker, &view, topics(&view, &asked));
    if missing.is_empty() && !depends {
        return Ok(Answer::now(answer(broker, &call, &asked, operations)));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(move |call| async move {
        if !missing.is_empty() {
            // Kafka answers "not yet" first and creates in the background; answering with the topic saves a round trip.
            auto_create::create(&broker, &call, missing).await;
        }
        if depends {
            succession::await_leaders(&broker, |view| topics(view, &asked).collect()).await;
        }
        answer(&broker, &call, &asked, operations)
    }))
}

/// The answer about all topics, which a few bytes ask for.
fn everything(broker: &Arc<Broker>, mut call: Call, operations: OperationsAsked) -> Answer {
    call.let_body_go();
    let (broker, listing) = (Arc::clone(broker), Arc::clone(broker));
    let list = move || {
        let (view, suspects) = (listing.view(), listing.peers.suspects());
        let rows = view.topics().map(|topic| row(&view, &suspects, topic, &call, operations)).collect();
        reply(&listing, &call, &view, rows, operations)
    };
    Answer(Handled::Elsewhere(Box::pin(async move {
        let listed = broker.long_work.run(Kind::Listing, list).await;
        Handled::Now(listed.unwrap_or(Reply::Close("the topics could not be listed")))
    })))
}

fn topics<'v>(view: &'v View, asked: &[Asked]) -> impl Iterator<Item = &'v Topic> {
    asked.iter().filter_map(|asked| match asked {
        Asked::Name(name) => view.topic(name),
        Asked::Id(id) => view.topic_by_id(*id),
    })
}

/// The answer to ids in a version that has no meaning for them.
fn refused(call: &Call, request: &MetadataRequest<'_>) -> Reply {
    let topics = request.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(Cow::Owned(topic.name.as_deref().unwrap_or_default().to_owned())),
        topic_id: topic.topic_id,
        ..Default::default()
    });
    call.reply(&MetadataResponse { topics: topics.collect(), ..Default::default() })
}

fn missing(view: &View, asked: &[Asked]) -> Vec<TopicName> {
    let names = asked.iter().filter_map(|asked| match asked {
        Asked::Name(name) if view.topic(name).is_none() => TopicName::new(name).ok(),
        Asked::Name(_) | Asked::Id(_) => None,
    });
    names.collect()
}

fn answer(broker: &Broker, call: &Call, asked: &[Asked], operations: OperationsAsked) -> Reply {
    let (view, suspects) = (broker.view(), broker.peers.suspects());
    let rows = asked.iter().map(|asked| match asked {
        Asked::Name(name) => match view.topic(name) {
            Some(topic) => row(&view, &suspects, topic, call, operations),
            None => {
                let code = match TopicName::new(name) {
                    Ok(_) => ErrorCode::UnknownTopicOrPartition,
                    Err(_) => ErrorCode::InvalidTopicException,
                };
                MetadataResponseTopic {
                    error_code: code.code(),
                    name: Some(Cow::Owned(name.clone())),
                    topic_authorized_operations: authorized_operations::of_topic(operations.topics),
                    ..Default::default()
                }
            }
        },
        Asked::Id(id) => match view.topic_by_id(*id) {
            Some(topic) => row(&view, &suspects, topic, call, operations),
            None => MetadataResponseTopic {
                error_code: ErrorCode::UnknownTopicId.code(),
                name: (call.version < 12).then_some(Cow::Borrowed("")),
                topic_id: id.0,
                topic_authorized_operations: authorized_operations::of_topic(false),
                ..Default::default()
            },
        },
    });
    let rows = rows.collect();
    reply(broker, call, &view, rows, operations)
}

fn row(
    view: &View,
    suspects: &[NodeId],
    topic: &Topic,
    call: &Call,
    operations: OperationsAsked,
) -> MetadataResponseTopic<'static> {
    let partitions = topic.partitions.iter().map(|(index, partition)| {
        let (leader_id, code) = topic_rows::leader(view, partition, &call.peer.session.listener, suspects);
        MetadataResponsePartition {
            error_code: code.code(),
            partition_index: index.0,
            leader_id,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: topic_rows::ids(&partition.replicas),
            isr_nodes: topic_rows::ids(&partition.isr),
            offline_replicas: topic_rows::offline(view, partition),
            ..Default::default()
        }
    });
    MetadataResponseTopic {
        name: Some(Cow::Owned(topic.name.as_str().to_owned())),
        topic_id: topic.id.0,
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: authorized_operations::of_topic(operations.topics),
        ..Default::default()
    }
}

fn reply(
    broker: &Broker,
    call: &Call,
    view: &View,
    topics: Vec<MetadataResponseTopic<'static>>,
    operations: OperationsAsked,
) -> Reply {
    let brokers = view.endpoints(&call.peer.session.listener).filter(|endpoint| !endpoint.fenced);
    let response = MetadataResponse {
        brokers: brokers
            .map(|endpoint| MetadataResponseBroker {
                node_id: endpoint.node.0,
                host: Cow::Owned(endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.map(Cow::Owned),
                ..Default::default()
            })
            .collect(),
        cluster_id: Some(Cow::Owned(broker.cluster_id.0.clone())),
        controller_id: controller_for_clients(broker, view, &call.peer.session.listener),
        topics,
        cluster_authorized_operations: authorized_operations::of_cluster(operations.cluster),
        ..Default::default()
    };
    call.reply(&response)
}

/// Any live broker takes what only the controller decides, so a client is sent to one that it can reach.
pub fn controller_for_clients(broker: &Broker, view: &View, listener: &str) -> i32 {
    let active = broker.controller.active_id();
    let live = |node| view.endpoint(node, listener).is_some_and(|endpoint| !endpoint.fenced);
    match active.filter(|node| live(*node)) {
        Some(node) => node.0,
        None if live(broker.node_id) => broker.node_id.0,
        None => -1,
    }
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::Uuid;

    use super::*;
    use crate::testing::Rig;

    #[test]
    fn the_metadata_log_is_no_topic_that_comes_into_being_by_being_asked_for() {
        let mut rig = Rig::new();
        let asked =
            ["t", "__cluster_metadata", "__consumer_offsets", "a b"].map(|name| Asked::Name(name.to_owned()));
        let named = missing(&rig.broker.view(), &asked);
        assert_eq!(named.iter().map(TopicName::as_str).collect::<Vec<_>>(), ["t", "__consumer_offsets"]);
        let quorum = rig.dir().join("__cluster_metadata-0");
        std::fs::create_dir(&quorum).unwrap();
        std::fs::write(quorum.join("vote"), b"vote").unwrap();
        let id = TopicId(Uuid([7; 16]));
        rig.record_topic("__cluster_metadata", id, &[1]);
        assert_eq!(rig.broker.partitions.all().len(), 0, "a record of earlier opens no log there");
        rig.commit(&[ottla_broker_metadata::Record::RemoveTopic { id }]);
        assert!(rig.broker.partitions.set_strays_aside(rig.broker.clock.now().mono).unwrap());
        let mut rig = rig.restart();
        rig.commit(&[]);
        let files: Vec<_> = std::fs::read_dir(rig.dir().join("__cluster_metadata-0")).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
    }
}
