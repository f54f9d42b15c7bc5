//! DeleteTopics. No I/O.

use std::collections::BTreeSet;
use std::ops::Range;

use ottla_broker_types::{TopicId, TopicName};

use super::batches::split_batches;
use super::decision::{Context, Decision};
use crate::image::{Image, Topic};
use crate::record::Record;

/// A topic by name or by id (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSelector {
    /// All that versions up to 5 have.
    Name(String),
    /// Deletes no topic that was made anew under the same name.
    Id(TopicId),
}

/// Why a topic stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicError {
    /// `delete.topic.enable` is false.
    #[error("topics cannot be deleted here: delete.topic.enable is false")]
    Disabled,
    /// No topic has the name.
    #[error("there is no topic {name}")]
    UnknownName {
        /// The name as asked.
        name: String,
    },
    /// No topic has the id.
    #[error("no topic has the id {id}")]
    UnknownId {
        /// The id as asked.
        id: TopicId,
    },
    /// The request names it before, perhaps by its id: that deletes it.
    #[error("topic {name} is named twice")]
    NamedTwice {
        /// The topic's name.
        name: TopicName,
    },
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// What was asked for.
    pub topic: TopicSelector,
    /// The deleted topic's name and id, or why it stays.
    pub outcome: Result<(TopicName, TopicId), DeleteTopicError>,
}

/// Deletes topics, with their settings.
pub fn delete_topics(context: Context<'_>, topics: &[TopicSelector]) -> Decision<Vec<DeleteTopicResult>> {
    let mut decision = Decision::reply(Vec::new());
    let mut removed = BTreeSet::new();
    for selector in topics {
        let outcome = find(context, selector).and_then(|Topic { name, id, .. }| {
            if !removed.insert(*id) {
                return Err(DeleteTopicError::NamedTwice { name: name.clone() });
            }
            decision.records.push(Record::RemoveTopic { id: *id });
            Ok((name.clone(), *id))
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

fn find<'a>(context: Context<'a>, selector: &TopicSelector) -> Result<&'a Topic, DeleteTopicError> {
    if !context.config.topics.delete_enabled {
        return Err(DeleteTopicError::Disabled);
    }
    match selector {
        TopicSelector::Name(name) => {
            context.image.topic(name).ok_or_else(|| DeleteTopicError::UnknownName { name: name.clone() })
        }
        TopicSelector::Id(id) => {
            context.image.topic_by_id(*id).ok_or(DeleteTopicError::UnknownId { id: *id })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;
    use ottla_broker_types::Uuid;

    fn refusals(cluster: &mut Cluster, topics: &[TopicSelector]) -> Vec<Option<DeleteTopicError>> {
        let decision = delete_topics(cluster.context(), topics);
        cluster.take(decision).into_iter().map(|result| result.outcome.err()).collect()
    }

    #[test]
    fn topics_go_by_name_or_id_with_their_settings() {
        let mut cluster = Cluster::of(1);
        cluster.topic("a", &[&[1]], &[("retention.ms", "1")]);
        cluster.topic("b", &[&[1]], &[]);
        let b = TopicSelector::Id(cluster.image.topic("b").expect("it exists").id);
        let a = TopicSelector::Name("a".into());
        let twice = DeleteTopicError::NamedTwice { name: TopicName::new("a").expect("a name") };
        assert_eq!(refusals(&mut cluster, &[a.clone(), b, a]), [None, None, Some(twice)]);
        assert_eq!(cluster.image.topic_count(), 0);
        assert!(cluster.image.topic_config("a").is_empty());
    }

    #[test]
    fn topics_unknown_by_name_and_by_id_are_told_apart() {
        let mut cluster = Cluster::of(1);
        let id = TopicId(Uuid([1; 16]));
        let unknown = [TopicSelector::Name("x".into()), TopicSelector::Id(id)];
        let expected =
            [DeleteTopicError::UnknownName { name: "x".into() }, DeleteTopicError::UnknownId { id }];
        assert_eq!(refusals(&mut cluster, &unknown), expected.map(Some));
    }

    #[test]
    fn deletion_can_be_switched_off() {
        let mut cluster = Cluster::new(&[("delete.topic.enable", "false")]);
        cluster.join(1);
        cluster.topic("a", &[&[1]], &[]);
        let refused = refusals(&mut cluster, &[TopicSelector::Name("a".into())]);
        assert_eq!(refused, [Some(DeleteTopicError::Disabled)]);
    }
}
