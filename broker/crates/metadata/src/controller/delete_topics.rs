//! DeleteTopics. No I/O.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::TopicId;

use super::decision::{Context, Decision, Refused};
use crate::record::Record;

/// A topic by name or by id (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSelector {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// What was asked for.
    pub topic: TopicSelector,
    /// The deleted topic's name and id, or why it stays.
    pub outcome: Result<(String, TopicId), Refused>,
}

/// Deletes topics, with their settings.
///
/// Errors of one topic: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, TOPIC_DELETION_DISABLED, INVALID_REQUEST
/// (named twice).
pub fn delete_topics(context: Context<'_>, topics: &[TopicSelector]) -> Decision<Vec<DeleteTopicResult>> {
    let mut decision = Decision::reply(Vec::new());
    for selector in topics {
        let outcome = find(context, selector).and_then(|(name, id)| {
            let record = Record::RemoveTopic { id };
            if decision.records.contains(&record) {
                return Err(Refused::new(ErrorCode::InvalidRequest, format!("topic {name} is named twice")));
            }
            decision.records.push(record);
            Ok((name, id))
        });
        decision.reply.push(DeleteTopicResult { topic: selector.clone(), outcome });
    }
    decision
}

fn find(context: Context<'_>, selector: &TopicSelector) -> Result<(String, TopicId), Refused> {
    if !context.config.topics.delete_enabled {
        let message = "topics cannot be deleted here: delete.topic.enable is false";
        return Err(Refused::new(ErrorCode::TopicDeletionDisabled, message));
    }
    let found = match selector {
        TopicSelector::Name(name) => context.image.topic(name).ok_or_else(|| {
            Refused::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"))
        }),
        TopicSelector::Id(id) => context
            .image
            .topic_by_id(*id)
            .ok_or_else(|| Refused::new(ErrorCode::UnknownTopicId, format!("no topic has the id {id}"))),
    };
    found.map(|topic| (topic.name.to_string(), topic.id))
}
