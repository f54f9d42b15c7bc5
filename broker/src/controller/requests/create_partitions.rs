//! CreatePartitions (key 37): one row per topic in the answer, also for those that failed.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, CreatePartitionsResult, NewPartitions};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::create_partitions_request::CreatePartitionsRequest;
use ottla_broker_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use ottla_broker_types::NodeId;

use super::{AdminApi, Deciding, parts};
use crate::controller::Active;
use crate::errors::KafkaError;

/// How the active controller decides on it.
pub struct CreatePartitions;

impl AdminApi for CreatePartitions {
    type Request<'a> = CreatePartitionsRequest<'a>;
    type Response<'a> = CreatePartitionsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let wanted = request.topics.iter().map(|topic| {
                let lists = topic.assignments.as_ref();
                NewPartitions {
                    topic: topic.name.clone().into_owned(),
                    count: topic.count,
                    assignments: lists.map(|lists| {
                        lists
                            .iter()
                            .map(|list| list.broker_ids.iter().map(|id| NodeId(*id)).collect())
                            .collect()
                    }),
                }
            });
            let wanted: Vec<NewPartitions> = wanted.collect();
            let decide = |context: Context<'_>, wanted: &[NewPartitions], seed| {
                Ok::<_, Infallible>(controller::create_partitions(
                    context,
                    wanted,
                    request.validate_only,
                    seed,
                ))
            };
            let row = |result: CreatePartitionsResult| match result.outcome {
                Ok(()) => {
                    CreatePartitionsTopicResult { name: Cow::Owned(result.topic), ..Default::default() }
                }
                Err(error) => failed_row(result.topic, error.code(), error.to_string()),
            };
            let lost = |wanted: &NewPartitions| {
                let code = ErrorCode::NotController;
                failed_row(wanted.topic.clone(), code, code.message().to_owned())
            };
            let parts = controller::split_new_partitions(&active.view(), &wanted, request.validate_only);
            let Ok(results) = parts::decide(active, &wanted, parts, decide, row, lost).await?;
            Ok(CreatePartitionsResponse { results, ..Default::default() })
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        let topics = request.topics.iter();
        let rows =
            topics.map(|topic| failed_row(topic.name.clone().into_owned(), code, code.message().to_owned()));
        CreatePartitionsResponse { results: rows.collect(), ..Default::default() }
    }
}

fn failed_row(topic: String, code: ErrorCode, message: String) -> CreatePartitionsTopicResult<'static> {
    CreatePartitionsTopicResult {
        name: Cow::Owned(topic),
        error_code: code.code(),
        error_message: Some(Cow::Owned(message)),
        ..Default::default()
    }
}
