//! OffsetDelete (key 47): offsets of topics that no member consumes (KIP-496).

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_broker_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_broker_types::Uuid;

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;
use crate::listener::Reply;

/// Handles an OffsetDelete.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: OffsetDeleteRequest<'_> = call.request()?;
    let view = broker.view();
    let mut response = OffsetDeleteResponse::default();
    let (mut wanted, mut places) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let name = parts::topic(&view, false, &topic.name, Uuid::default());
        let mut rows = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let found = name.clone().and_then(|name| parts::partition(&view, &name, index));
            let code = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
            if let Ok(partition) = found {
                places.push((response.topics.len(), rows.len()));
                wanted.push(partition);
            }
            rows.push(OffsetDeleteResponsePartition { partition_index: index, error_code: code.code() });
        }
        let name = Cow::Owned(topic.name.clone().into_owned());
        response.topics.push(OffsetDeleteResponseTopic { name, partitions: rows });
    }
    let deleted = parts::group(&request.group_id).and_then(|group| {
        broker.groups.delete_offsets(broker, &group, &wanted).map_err(|error| error.code())
    });
    match deleted {
        Err(code) => Ok(Answer::now(refused(&call, code))),
        Ok(deleted) => Ok(call.later(|call| async move {
            match deleted.committed().await {
                Ok(results) => {
                    for ((topic, partition), result) in places.into_iter().zip(results) {
                        let code = parts::code(result.map_err(|error| error.code()));
                        response.topics[topic].partitions[partition].error_code = code.code();
                    }
                    call.reply(&response)
                }
                Err(why) => refused(&call, why.code()),
            }
        })),
    }
}

fn refused(call: &Call, code: ErrorCode) -> Reply {
    call.reply(&OffsetDeleteResponse { error_code: code.code(), ..Default::default() })
}
