//! The plan of one topic. Pure.
//!
//! Settings that the object does not name are the user's own and never touched; one that it named before and names no
//! more goes back to its default. Partitions never shrink. Of two objects for one topic the older one decides.

mod deletion;
mod lint;
mod replicas;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, PartitionIndex, TimestampMs};
use ottla_operator_crd::{KafkaTopicStatus, ValidatedTopic};

pub use deletion::Deletion;
pub use lint::{Fault, lint};
pub use status::{Unseen, delayed, denied, invalid, refused, unseen};

use crate::action::Reassignment;
use crate::facts::PartitionFacts;

/// What is seen of a topic in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its id.
    pub id: Option<String>,
    /// Its partitions.
    pub partitions: BTreeMap<PartitionIndex, PartitionFacts>,
    /// Its own settings, by whoever they were made; `None` if they could not be read.
    pub config: Option<BTreeMap<String, String>>,
}

/// A broker that replicas may be put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The broker.
    pub id: NodeId,
    /// Its rack.
    pub rack: Option<String>,
    /// Replicas that it holds.
    pub replicas: usize,
}

/// What is to be done with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicAction {
    /// Make it.
    Create {
        /// Partitions; `None` leaves it to the brokers.
        partitions: Option<i32>,
        /// Copies; `None` leaves it to the brokers.
        replication_factor: Option<i16>,
        /// Settings.
        config: BTreeMap<String, String>,
    },
    /// Raise the number of partitions.
    Grow {
        /// Partitions in all.
        partitions: i32,
    },
    /// Change settings.
    Configure {
        /// New values.
        set: BTreeMap<String, String>,
        /// Back to the default.
        delete: BTreeSet<String>,
    },
    /// Change the number of copies.
    Reassign(Vec<Reassignment>),
}

/// What to do now and what to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicPlan {
    /// In this order.
    pub actions: Vec<TopicAction>,
    /// The status if all of them succeed.
    pub status: KafkaTopicStatus,
    /// Whether something still goes on, so that the next reconcile is due soon.
    pub busy: bool,
}

/// Everything that a topic's plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct TopicInput<'a> {
    /// What is asked for.
    pub topic: &'a ValidatedTopic,
    /// The status as it is.
    pub former: &'a KafkaTopicStatus,
    /// What is seen; `None` if the topic does not exist.
    pub facts: Option<&'a TopicFacts>,
    /// Brokers that take replicas.
    pub hosts: &'a [Host],
    /// The time.
    pub now: TimestampMs,
}

/// Plans the next step of a topic.
pub fn plan(input: &TopicInput<'_>) -> TopicPlan {
    let topic = input.topic;
    let Some(facts) = input.facts else {
        let create = TopicAction::Create {
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            config: topic.config.clone(),
        };
        return TopicPlan { actions: vec![create], status: status::creating(input), busy: true };
    };
    let count = i32::try_from(facts.partitions.len()).unwrap_or(i32::MAX);
    if let Some(wanted) = topic.partitions.filter(|wanted| *wanted < count) {
        let problem = format!(
            "the topic has {count} partitions and cannot go down to {wanted}, records would be lost: set partitions to {count} or make a new topic"
        );
        return TopicPlan {
            actions: vec![],
            status: status::refused(input, "PartitionsShrink", problem),
            busy: false,
        };
    }
    let mut actions = vec![];
    if let Some(partitions) = topic.partitions.filter(|wanted| *wanted > count) {
        actions.push(TopicAction::Grow { partitions });
    }
    actions.extend(configure(input, facts));
    let moving = facts.partitions.values().any(PartitionFacts::moves);
    match replicas::changes(input, facts) {
        Err(problem) => {
            return TopicPlan {
                actions,
                status: status::refused(input, "ReplicationFactorImpossible", problem),
                busy: false,
            };
        }
        Ok(changes) if !changes.is_empty() => actions.push(TopicAction::Reassign(changes)),
        Ok(_) => {}
    }
    let busy = moving || !actions.is_empty();
    TopicPlan { status: status::status(input, facts, &actions, moving), actions, busy }
}

/// Settings that differ, and those of its own that are named no more.
fn configure(input: &TopicInput<'_>, facts: &TopicFacts) -> Option<TopicAction> {
    let current = facts.config.as_ref()?;
    let wanted = &input.topic.config;
    let set: BTreeMap<String, String> = wanted
        .iter()
        .filter(|(name, value)| current.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mine = input.former.managed_config.iter();
    let delete: BTreeSet<String> =
        mine.filter(|name| !wanted.contains_key(*name) && current.contains_key(*name)).cloned().collect();
    (!set.is_empty() || !delete.is_empty()).then_some(TopicAction::Configure { set, delete })
}

/// One of several objects that name the same topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimant {
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Whether it does not manage the topic yet; of two made in the same second, the one that does wins.
    pub newcomer: bool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Who decides about a topic: the oldest.
pub fn owner<'a>(claimants: impl IntoIterator<Item = &'a Claimant>) -> Option<&'a Claimant> {
    claimants.into_iter().min()
}

#[cfg(test)]
mod tests;
