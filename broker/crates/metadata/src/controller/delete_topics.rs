//! DeleteTopics. No I/O.

use std::collections::BTreeSet;
use std::ops::Range;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::TopicId;

use super::batches::split_batches;
use super::decision::{Context, Decision, Refused};
use crate::image::{Image, Topic};
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
    let mut removed = BTreeSet::new();
    for selector in topics {
        let outcome = find(context, selector).and_then(|(name, id)| {
            if !removed.insert(id) {
                return Err(Refused::new(ErrorCode::InvalidRequest, format!("topic {name} is named twice")));
            }
            decision.records.push(Record::RemoveTopic { id });
            Ok((name, id))
        });
        decision.reply.push(DeleteTopicResult { topic: selector.clone(), outcome });
    }
    decision
}

/// Cuts a request into parts that are decided one after the other: a deletion weighs its partitions, whose logs go.
pub fn split_deletions(image: &Image, topics: &[TopicSelector]) -> Vec<Range<usize>> {
    let topic = |selector: &TopicSelector| match selector {
        TopicSelector::Name(name) => image.topic(name),
        TopicSelector::Id(id) => image.topic_by_id(*id),
    };
    let name = |selector: &TopicSelector| topic(selector).map(|topic| topic.name.clone());
    split_batches(topics, name, |selector| topic(selector).map_or(1, Topic::partition_count))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;
    use ottla_broker_types::Uuid;

    fn codes(cluster: &mut Cluster, topics: &[TopicSelector]) -> Vec<ErrorCode> {
        let decision = delete_topics(cluster.context(), topics);
        let code = |r: &DeleteTopicResult| r.outcome.as_ref().map_or_else(|e| e.code, |_| ErrorCode::None);
        cluster.take(decision).iter().map(code).collect()
    }

    #[test]
    fn topics_go_by_name_or_id_with_their_settings() {
        let mut cluster = Cluster::of(1);
        cluster.topic("a", &[&[1]], &[("retention.ms", "1")]);
        cluster.topic("b", &[&[1]], &[]);
        let b = TopicSelector::Id(cluster.image.topic("b").expect("it exists").id);
        let a = TopicSelector::Name("a".into());
        assert_eq!(
            codes(&mut cluster, &[a.clone(), b, a]),
            [ErrorCode::None, ErrorCode::None, ErrorCode::InvalidRequest]
        );
        assert_eq!(cluster.image.topic_count(), 0);
        assert!(cluster.image.topic_config("a").is_empty());
    }

    #[test]
    fn unknown_topics_have_different_codes_by_name_and_id() {
        let mut cluster = Cluster::of(1);
        let unknown = [TopicSelector::Name("x".into()), TopicSelector::Id(TopicId(Uuid([1; 16])))];
        let expected = [ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId];
        assert_eq!(codes(&mut cluster, &unknown), expected);
    }

    #[test]
    fn deletion_can_be_switched_off() {
        let mut cluster = Cluster::new(&[("delete.topic.enable", "false")]);
        cluster.join(1);
        cluster.topic("a", &[&[1]], &[]);
        assert_eq!(
            codes(&mut cluster, &[TopicSelector::Name("a".into())]),
            [ErrorCode::TopicDeletionDisabled]
        );
    }
}
