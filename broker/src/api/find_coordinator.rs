//! FindCoordinator (key 10): the broker that leads a group's partition of the offsets topic.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_broker_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use ottla_broker_types::TopicName;

use super::call::Call;
use super::{Answer, Malformed, auto_create};
use crate::broker::Broker;
use crate::groups::{self, OFFSETS_TOPIC};
use crate::listener::Reply;

/// The key type of consumer groups; transactions and share groups are not served yet.
const KEY_TYPE_GROUP: i8 = 0;
/// From this version on a request names many keys.
const BATCHED_FROM_VERSION: i16 = 4;

/// Handles a FindCoordinator.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: FindCoordinatorRequest<'_> = call.request()?;
    let keys: Vec<String> = if call.version >= BATCHED_FROM_VERSION {
        request.coordinator_keys.iter().map(|key| key.clone().into_owned()).collect()
    } else {
        vec![request.key.into_owned()]
    };
    let is_group = request.key_type == KEY_TYPE_GROUP;
    if !is_group || broker.view().topic(OFFSETS_TOPIC).is_some() {
        return Ok(Answer::now(answer(broker, &call, &keys, is_group)));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        if let Ok(name) = TopicName::new(OFFSETS_TOPIC) {
            auto_create::create(&broker, vec![name]).await;
        }
        answer(&broker, &call, &keys, is_group)
    }))
}

fn answer(broker: &Broker, call: &Call, keys: &[String], is_group: bool) -> Reply {
    let found: Vec<Coordinator<'static>> = keys.iter().map(|key| find(broker, call, key, is_group)).collect();
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

fn find(broker: &Broker, call: &Call, key: &str, is_group: bool) -> Coordinator<'static> {
    let failed = |code: ErrorCode| Coordinator {
        key: Cow::Owned(key.to_owned()),
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(Cow::Borrowed(code.message())),
        ..Default::default()
    };
    if !is_group {
        // An answer that clients do not retry: they would wait for minutes for what is not served at all.
        let message = "only consumer groups have coordinators here: transactions are not served yet";
        return Coordinator {
            error_message: Some(Cow::Borrowed(message)),
            ..failed(ErrorCode::InvalidRequest)
        };
    }
    let view = broker.view();
    let Some(topic) = view.topic(OFFSETS_TOPIC) else { return failed(ErrorCode::CoordinatorNotAvailable) };
    let index = groups::partition_for(key, topic.partition_count());
    let leader = topic.partition(index).and_then(|partition| partition.leader);
    let endpoint = leader.and_then(|leader| view.endpoint(leader, &call.peer.listener));
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
