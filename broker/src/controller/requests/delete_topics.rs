//! DeleteTopics (key 20): by name, from version 6 on also by id.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::controller::{self, Context, DeleteTopicResult, TopicSelector};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_broker_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use ottla_broker_types::TopicId;

use super::{AdminApi, Deciding, parts};
use crate::controller::Active;
use crate::errors::KafkaError;
use crate::view::View;

/// A row of the request: what is to go, or the answer that refuses it.
type Wanted = Result<TopicSelector, DeletableTopicResult<'static>>;

/// How the active controller decides on it.
pub struct DeleteTopics;

impl AdminApi for DeleteTopics {
    type Request<'a> = DeleteTopicsRequest<'a>;
    type Response<'a> = DeleteTopicsResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        _version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let wanted = wanted(request, &active.parts.served.view());
            let selectors: Vec<TopicSelector> = wanted.iter().flatten().cloned().collect();
            let decide = |context: Context<'_>, selectors: &[TopicSelector], _| {
                Ok::<_, Infallible>(controller::delete_topics(context, selectors))
            };
            let row = |result: DeleteTopicResult| match result.outcome {
                Ok((name, id)) => DeletableTopicResult {
                    name: Some(Cow::Owned(name.to_string())),
                    topic_id: id.0,
                    ..Default::default()
                },
                Err(error) => failed_row(&result.topic, error.code(), error.to_string()),
            };
            let lost = |topic: &TopicSelector| {
                let code = ErrorCode::NotController;
                failed_row(topic, code, code.message().to_owned())
            };
            let parts = controller::split_deletions(&active.view(), &selectors);
            let Ok(mut responses) = parts::decide(active, &selectors, parts, decide, row, lost).await?;
            responses.extend(wanted.into_iter().filter_map(Result::err));
            Ok(DeleteTopicsResponse { responses, ..Default::default() })
        })
    }

    fn failed(request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        let rows = named(request).map(|(name, id)| {
            let message = Some(Cow::Borrowed(code.message()));
            DeletableTopicResult { error_message: message, ..refused_row(name, id, code) }
        });
        DeleteTopicsResponse { responses: rows.collect(), ..Default::default() }
    }
}

/// Every topic by name and id, of which old versions have only the name.
fn named<'a>(request: &'a DeleteTopicsRequest<'_>) -> impl Iterator<Item = (Option<&'a str>, TopicId)> {
    let by_state = request.topics.iter().map(|topic| (topic.name.as_deref(), TopicId(topic.topic_id)));
    by_state.chain(request.topic_names.iter().map(|name| (Some(&**name), TopicId::default())))
}

/// What can be decided on. A topic that is named twice is refused once, and stays: as by Kafka, who asks so is taken to
/// be mistaken.
fn wanted(request: &DeleteTopicsRequest<'_>, view: &View) -> Vec<Wanted> {
    let mut counts: BTreeMap<(Option<&str>, TopicId), usize> = BTreeMap::new();
    for key in named(request) {
        *counts.entry(key).or_default() += 1;
    }
    let invalid = |name: Option<&str>, id, message| {
        let row = refused_row(name, id, ErrorCode::InvalidRequest);
        Err(DeletableTopicResult { error_message: Some(Cow::Borrowed(message)), ..row })
    };
    let id_of = |name: &str| view.topic(name).map(|topic| topic.id);
    let by_name: BTreeSet<TopicId> = counts.keys().filter_map(|(name, _)| name.and_then(id_of)).collect();
    let rows = counts.iter().filter_map(|((name, id), count)| {
        let is_by_id_too = |name: &str| id_of(name).filter(|id| counts.contains_key(&(None, *id)));
        Some(match name {
            Some(name) if !id.0.is_zero() => {
                invalid(Some(name), *id, "give the topic's name or its id, not both")
            }
            None if id.0.is_zero() => invalid(None, *id, "give the topic's name or its id"),
            name if *count > 1 => invalid(*name, *id, "the topic is named twice"),
            Some(name) => match is_by_id_too(name) {
                Some(id) => invalid(Some(name), id, "the topic is named by its id as well"),
                None => Ok(TopicSelector::Name((*name).to_owned())),
            },
            // The row by name refuses it.
            None if by_name.contains(id) => return None,
            None => Ok(TopicSelector::Id(*id)),
        })
    });
    rows.collect()
}

fn refused_row(name: Option<&str>, id: TopicId, code: ErrorCode) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: name.map(|name| Cow::Owned(name.to_owned())),
        topic_id: id.0,
        error_code: code.code(),
        ..Default::default()
    }
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

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::messages::delete_topics_request::DeleteTopicState;
    use ottla_broker_types::Uuid;

    use super::*;

    /// Work by the square of this size would take minutes.
    #[test]
    fn a_hundred_thousand_ids_beside_as_many_names_are_looked_at_in_one_go() {
        let id = |number: usize| {
            let mut bytes = [1; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Uuid(bytes)
        };
        let by_id = (0..100_000).map(|at| DeleteTopicState { topic_id: id(at), ..Default::default() });
        let by_name = (0..100_000)
            .map(|at| DeleteTopicState { name: Some(Cow::Owned(at.to_string())), ..Default::default() });
        let request = DeleteTopicsRequest { topics: by_id.chain(by_name).collect(), ..Default::default() };
        assert_eq!(wanted(&request, &View::default()).len(), 200_000);
    }
}
