//! FindCoordinator (key 10): the broker that leads a group's partition of the offsets topic.
//!
//! Transactions are not served yet: whoever asks for their coordinator is sent to a live broker, whose answer to
//! InitProducerId ends the client at once. Told that there is none, clients would ask for minutes.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_broker_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use ottla_broker_types::{NodeId, TopicName};

use crate::api::call::Call;
use crate::api::distinct::distinct;
use crate::api::{Answer, Malformed, auto_create};
use crate::broker::Broker;
use crate::coordinators::{self, OFFSETS_TOPIC};
use crate::listener::Reply;

/// The key type of consumer groups.
const KEY_TYPE_GROUP: i8 = 0;
/// The key type of transactional ids.
const KEY_TYPE_TRANSACTION: i8 = 1;
/// From this version on a request names many keys.
const BATCHED_FROM_VERSION: i16 = 4;

/// Handles a FindCoordinator.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: FindCoordinatorRequest<'_> = call.request()?;
    let keys: Vec<String> = if call.version >= BATCHED_FROM_VERSION {
        distinct(&request.coordinator_keys, |key| &**key).map(|key| key.clone().into_owned()).collect()
    } else {
        vec![request.key.into_owned()]
    };
    let key_type = request.key_type;
    if key_type != KEY_TYPE_GROUP || broker.view().topic(OFFSETS_TOPIC).is_some() {
        return Ok(Answer::now(answer(broker, &call, &keys, key_type)));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        if let Ok(name) = TopicName::new(OFFSETS_TOPIC) {
            auto_create::create(&broker, &call, vec![name]).await;
        }
        answer(&broker, &call, &keys, key_type)
    }))
}

fn answer(broker: &Broker, call: &Call, keys: &[String], key_type: i8) -> Reply {
    let suspects = broker.peers.suspects();
    let found = keys.iter().map(|key| find(broker, call, &suspects, key, key_type));
    let found: Vec<Coordinator<'static>> = found.collect();
    if call.version >= BATCHED_FROM_VERSION {
        return call.reply(&FindCoordinatorResponse { coordinators: found, ..Default::default() });
    }
    let Some(only) = found.into_iter().next() else { return Reply::Close("no key was given") };
    call.reply(&FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..Default::default()
    })
}

fn find(broker: &Broker, call: &Call, suspects: &[NodeId], key: &str, key_type: i8) -> Coordinator<'static> {
    let failed = |code: ErrorCode| Coordinator {
        key: Cow::Owned(key.to_owned()),
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
        ..Default::default()
    };
    let view = broker.view();
    let coordinator = match key_type {
        KEY_TYPE_GROUP => view.topic(OFFSETS_TOPIC).and_then(|topic| {
            topic.partition(coordinators::partition_for(key, topic.partition_count()))?.leader
        }),
        KEY_TYPE_TRANSACTION => Some(broker.node_id),
        _ => return failed(ErrorCode::InvalidRequest),
    };
    // As with leaders: asked again in a moment, there is a new one.
    let alive = coordinator.filter(|node| !suspects.contains(node));
    let endpoint = alive.and_then(|node| view.endpoint(node, &call.peer.session.listener));
    match endpoint {
        Some(endpoint) => Coordinator {
            key: Cow::Owned(key.to_owned()),
            node_id: endpoint.node.0,
            host: Cow::Owned(endpoint.host),
            port: endpoint.port,
            ..Default::default()
        },
        None => failed(ErrorCode::CoordinatorNotAvailable),
    }
}
