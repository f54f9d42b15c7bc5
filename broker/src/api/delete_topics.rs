//! DeleteTopics (key 20): by name, from version 6 on also by id.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, DeleteTopicResult, Refused, TopicSelector};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_broker_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use ottla_broker_types::TopicId;

use super::parts;
use crate::broker::Broker;
use crate::controller::NotActive;

/// Decides as the active controller.
pub async fn decide(
    broker: &Arc<Broker>,
    request: &DeleteTopicsRequest<'_>,
) -> Result<DeleteTopicsResponse<'static>, NotActive> {
    let selectors = selectors(request);
    let decide = |context: Context<'_>, selectors: &[TopicSelector], _| {
        Ok::<_, Infallible>(controller::delete_topics(context, selectors))
    };
    let lost =
        |topic: &TopicSelector, refused| DeleteTopicResult { topic: topic.clone(), outcome: Err(refused) };
    let parts = controller::split_deletions(&broker.controller.active.view(), &selectors);
    let Ok(results) = parts::decide(broker, &selectors, parts, decide, lost).await?;
    let rows = results.into_iter().map(|result| match result.outcome {
        Ok((name, id)) => {
            DeletableTopicResult { name: Some(Cow::Owned(name)), topic_id: id.0, ..Default::default() }
        }
        Err(Refused { code, message }) => failed_row(&result.topic, code, message),
    });
    Ok(DeleteTopicsResponse { responses: rows.collect(), ..Default::default() })
}

/// Every topic failed.
pub fn failed(request: &DeleteTopicsRequest<'_>, code: ErrorCode) -> DeleteTopicsResponse<'static> {
    let rows =
        selectors(request).into_iter().map(|topic| failed_row(&topic, code, code.message().to_owned()));
    DeleteTopicsResponse { responses: rows.collect(), ..Default::default() }
}

fn selectors(request: &DeleteTopicsRequest<'_>) -> Vec<TopicSelector> {
    let by_state = request.topics.iter().map(|topic| match &topic.name {
        Some(name) => TopicSelector::Name(name.clone().into_owned()),
        None => TopicSelector::Id(TopicId(topic.topic_id)),
    });
    let by_name = request.topic_names.iter().map(|name| TopicSelector::Name(name.clone().into_owned()));
    by_state.chain(by_name).collect()
}

fn failed_row(topic: &TopicSelector, code: ErrorCode, message: String) -> DeletableTopicResult<'static> {
    let (name, topic_id) = match topic {
        TopicSelector::Name(name) => (Some(Cow::Owned(name.clone())), Default::default()),
        TopicSelector::Id(id) => (None, id.0),
    };
    DeletableTopicResult {
        name,
        topic_id,
        error_code: code.code(),
        error_message: Some(Cow::Owned(message)),
        ..Default::default()
    }
}
