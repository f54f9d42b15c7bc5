//! Requests that only the active controller decides on. Any broker takes one: it decides itself if it is the
//! controller, or passes the body on and gives the answer back.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::{ApiKey, Decode, ErrorCode, Reader};

use super::{
    alter_configs, alter_partition_reassignments, create_partitions, create_topics, delete_topics,
    describe_quorum, elect_leaders, incremental_alter_configs, unregister_broker,
};
use crate::api::call::{Call, encode_body};
use crate::api::route::LONG_BYTES;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::NotActive;
use crate::listener::Reply;

/// Expands to the same arms for every admin API: each has `decide(broker, &request)` and `failed(&request, code)`, some of them for the version asked.
macro_rules! for_each_admin_api {
    ($key:expr, $version:expr, $with:ident, $otherwise:expr) => {
        match $key {
            ApiKey::CreateTopics => $with!(create_topics),
            ApiKey::DeleteTopics => $with!(delete_topics),
            ApiKey::CreatePartitions => $with!(create_partitions),
            ApiKey::AlterConfigs => $with!(alter_configs),
            ApiKey::IncrementalAlterConfigs => $with!(incremental_alter_configs),
            ApiKey::AlterPartitionReassignments => $with!(alter_partition_reassignments),
            ApiKey::ElectLeaders => $with!(elect_leaders, $version),
            ApiKey::UnregisterBroker => $with!(unregister_broker),
            ApiKey::DescribeQuorum => $with!(describe_quorum, $version),
            _ => $otherwise,
        }
    };
}

/// Routes an admin request to the active controller and answers with what it says.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    // A malformed body must end this client's connection, not the one to the controller.
    failed(&call, ErrorCode::None)?;
    let (is_long, here, broker) = (call.body.len() >= LONG_BYTES, Arc::clone(broker), Arc::clone(broker));
    let decision = async move {
        let body = Bytes::copy_from_slice(&call.body);
        let answer = broker.controller.forward(&broker, call.key, call.version, call.asker(), body).await;
        let body = answer.unwrap_or_else(|code| failed(&call, code).unwrap_or_default());
        call.reply_encoded(body)
    };
    Ok(match is_long {
        true => Answer::later(async move {
            let decided = here.aside.decide(decision).await;
            decided.unwrap_or(Reply::Close("the request could not be decided on"))
        }),
        false => Answer::later(decision),
    })
}

/// Decides on a request, if this node is the active controller; gives the encoded response.
pub async fn decide(
    broker: &Arc<Broker>,
    key: ApiKey,
    version: i16,
    body: &Bytes,
) -> Result<Bytes, ErrorCode> {
    macro_rules! decided_by {
        ($api:ident $(, $version:expr)?) => {{
            let request = decode(body, version).map_err(|_| ErrorCode::InvalidRequest)?;
            let response = $api::decide(broker, &request $(, $version)?).await;
            response.map(|response| encode_body(&response, version))
        }};
    }
    let decided: Result<Bytes, NotActive> =
        for_each_admin_api!(key, version, decided_by, return Err(ErrorCode::InvalidRequest));
    decided.map_err(|NotActive| ErrorCode::NotController)
}

/// The encoded response that says of everything asked that it failed with `code`.
fn failed(call: &Call, code: ErrorCode) -> Result<Bytes, Malformed> {
    macro_rules! failed_by {
        ($api:ident $(, $version:expr)?) => {{
            let request = decode(&call.body, call.version)?;
            encode_body(&$api::failed(&request, code $(, $version)?), call.version)
        }};
    }
    Ok(for_each_admin_api!(call.key, call.version, failed_by, Bytes::new()))
}

fn decode<'a, T: Decode<'a>>(body: &'a [u8], version: i16) -> Result<T, ottla_broker_protocol::DecodeError> {
    T::decode(&mut Reader::new(body), version)
}
