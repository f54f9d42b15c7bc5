//! OffsetCommit (key 8): answered when the offsets are committed records.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_coordinator::{
    ClientOffset, CommitOffsetError, CommitOffsetsError, CommitRequest, DecideError, Generation,
    OffsetToCommit, PerPart,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition,
};
use ottla_broker_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_broker_types::{DurationMs, LeaderEpoch, TopicName};

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;
use crate::listener::Reply;
use crate::view::View;

/// From this version on topics are named by id.
const TOPIC_IDS_FROM_VERSION: i16 = 10;
/// From this version on members of the consumer protocol commit in their epoch.
const STALE_EPOCH_FROM_VERSION: i16 = 9;
/// From this version on clients know GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND_FROM_VERSION: i16 = 9;

/// The answer as it stands before the coordinator has decided: what was refused here has its code already.
struct Draft {
    response: OffsetCommitResponse<'static>,
    /// Where each offset's code goes: topic and partition by position.
    places: Vec<(usize, usize)>,
}

/// Handles an OffsetCommit.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: OffsetCommitRequest<'_> = call.request()?;
    let (draft, offsets) = open(&broker.view(), &call, &request);
    let commit = CommitRequest {
        group: parts::any_group(&request.group_id),
        caller: parts::caller(&request.member_id, request.group_instance_id.as_deref()),
        generation: Generation::from_wire(request.generation_id_or_member_epoch),
        retention: u64::try_from(request.retention_time_ms).ok().map(DurationMs),
        offsets,
    };
    match broker.groups.commit_offsets(broker, &commit) {
        Err(error) => {
            let code = refused(&error, call.version);
            Ok(Answer::now(answer(&call, draft, Err(code))))
        }
        Ok(done) if done.commit.is_none() => Ok(Answer::now(answer(&call, draft, Ok(done.value)))),
        Ok(done) => Ok(call.later(|call| async move {
            let done = done.committed().await.map_err(|why| why.code());
            answer(&call, draft, done)
        })),
    }
}

/// Sorts out what cannot be committed, whoever asks.
fn open(view: &View, call: &Call, request: &OffsetCommitRequest<'_>) -> (Draft, Vec<OffsetToCommit>) {
    let by_id = call.version >= TOPIC_IDS_FROM_VERSION;
    let mut draft = Draft { response: OffsetCommitResponse::default(), places: Vec::new() };
    let mut offsets = Vec::new();
    for topic in &request.topics {
        let name = parts::topic(view, by_id, &topic.name, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let wanted = name.clone().and_then(|name| offset(view, &name, partition));
            let code = match wanted {
                Ok(wanted) => {
                    draft.places.push((draft.response.topics.len(), partitions.len()));
                    offsets.push(wanted);
                    ErrorCode::None
                }
                Err(code) => code,
            };
            partitions.push(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
            });
        }
        draft.response.topics.push(OffsetCommitResponseTopic {
            name: if by_id { Cow::Borrowed("") } else { Cow::Owned(topic.name.clone().into_owned()) },
            topic_id: topic.topic_id,
            partitions,
        });
    }
    (draft, offsets)
}

fn offset(
    view: &View,
    topic: &TopicName,
    partition: &OffsetCommitRequestPartition<'_>,
) -> Result<OffsetToCommit, ErrorCode> {
    Ok(OffsetToCommit {
        at: parts::partition(view, topic, partition.partition_index)?,
        offset: ClientOffset(partition.committed_offset),
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
    })
}

/// What every offset of a request that is refused as a whole is told.
fn refused(error: &DecideError<CommitOffsetsError>, version: i16) -> ErrorCode {
    match error {
        DecideError::Refused(CommitOffsetsError::UnknownGroup)
            if version < GROUP_ID_NOT_FOUND_FROM_VERSION =>
        {
            ErrorCode::IllegalGeneration
        }
        DecideError::Refused(CommitOffsetsError::StaleEpoch) if version < STALE_EPOCH_FROM_VERSION => {
            ErrorCode::UnsupportedVersion
        }
        _ => error.code(),
    }
}

fn answer(call: &Call, mut draft: Draft, done: Result<PerPart<CommitOffsetError>, ErrorCode>) -> Reply {
    let results = match done {
        Ok(results) => results.into_iter().map(|done| done.map_err(|error| error.code())).collect(),
        Err(code) => vec![Err(code); draft.places.len()],
    };
    for ((topic, partition), result) in draft.places.into_iter().zip(results) {
        draft.response.topics[topic].partitions[partition].error_code = parts::code(result).code();
    }
    call.reply(&draft.response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_do_not_know_that_a_group_may_be_unknown_are_told_of_its_generation() {
        let unknown = DecideError::Refused(CommitOffsetsError::UnknownGroup);
        assert_eq!(refused(&unknown, 8), ErrorCode::IllegalGeneration);
        assert_eq!(refused(&unknown, 9), ErrorCode::GroupIdNotFound);
    }
}
