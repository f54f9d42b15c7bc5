//! Topics: look, plan, act, by the planner's decisions. A topic whose manifest goes while this runs is deleted, unless
//! its policy says otherwise; one that was gone before is let be, since the other manifests may be elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use ottla_broker_types::{DurationMs, NodeId, TimestampMs};
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::{KafkaTopicStatus, ValidatedCluster, ValidatedTopic};
use ottla_operator_kafka_admin::{AdminClient, ConfigResource};
use ottla_operator_planner::facts::KafkaFacts;
use ottla_operator_planner::topics::{
    Host, TopicAction, TopicFacts, TopicInput, Unseen, delayed, plan, refused, unseen as unseen_topic,
};

use crate::controllers::topic::execute::{Batch, Failure};
use crate::kafka::SOURCE_TOPIC;

/// What one look at the topics came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Sentences for a person.
    pub(super) news: Vec<String>,
    /// Whether something goes on.
    pub(super) busy: bool,
}

/// Brings every topic a step nearer to its manifest, and its status with it.
pub(super) async fn step(
    admin: &AdminClient,
    kafka: &KafkaFacts,
    topics: &BTreeMap<String, ValidatedTopic>,
    status: &mut BTreeMap<String, KafkaTopicStatus>,
    leaving: &BTreeSet<NodeId>,
    now: TimestampMs,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let names: Vec<String> = topics.values().map(|topic| topic.topic.to_string()).collect();
    let mut ids = BTreeMap::new();
    if !names.is_empty() {
        for topic in admin.describe_topics(Some(&names)).await.context("look at topics")? {
            ids.insert(topic.name, topic.id.map(|id| id.to_string()));
        }
    }
    let hosts = hosts(kafka, leaving);
    let mut batch = Batch::default();
    let mut planned = Vec::new();
    for (name, topic) in topics {
        let facts = match ids.get(topic.topic.as_str()) {
            Some(id) => Some(facts(admin, kafka, topic, id.clone()).await),
            None => None,
        };
        // Metadata may know it a moment before the partitions that were listed with the brokers.
        if facts.as_ref().is_some_and(|facts| facts.partitions.is_empty()) {
            outcome.busy = true;
            continue;
        }
        let former = status.get(name).cloned().unwrap_or_default();
        let plan = plan(&TopicInput { topic, former: &former, facts: facts.as_ref(), hosts: &hosts, now });
        batch.add(topic.topic.as_str(), &plan.actions);
        planned.push((name, topic, facts, former, plan));
    }
    let failures = batch.execute(admin).await;
    for (name, topic, facts, former, plan) in planned {
        let input = TopicInput { topic, former: &former, facts: facts.as_ref(), hosts: &hosts, now };
        let told = match failures.get(topic.topic.as_str()) {
            Some(Failure { reason, text, passes: true, .. }) => delayed(&input, reason, text.clone()),
            Some(Failure { reason, text, passes: false, .. }) => refused(&input, reason, text.clone()),
            None => {
                outcome.busy |= plan.busy;
                outcome.news.extend(plan.actions.iter().map(|action| told(topic, action)));
                plan.status
            }
        };
        status.insert(name.clone(), told);
    }
    Ok(outcome)
}

/// Says of every topic that nobody can see it; the brokers have been silent for `lasts`.
pub(super) fn unseen(
    cluster: &ValidatedCluster,
    topics: &BTreeMap<String, ValidatedTopic>,
    status: &mut BTreeMap<String, KafkaTopicStatus>,
    lasts: DurationMs,
    now: TimestampMs,
) {
    for (name, topic) in topics {
        let former = status.get(name).cloned().unwrap_or_default();
        let told = unseen_topic(&former, topic.generation, &cluster.name, Unseen::Silent(lasts), now);
        status.insert(name.clone(), told);
    }
}

/// Deletes a topic whose manifest is gone, or not, as its policy says; what became of it.
pub(super) async fn remove(
    admin: &AdminClient,
    cluster: &ValidatedCluster,
    topic: &ValidatedTopic,
) -> anyhow::Result<String> {
    let name = &topic.topic;
    if topic.deletion_policy.unwrap_or(cluster.topic_deletion_policy) == DeletionPolicy::Retain {
        return Ok(format!("topic {name} is kept: its deletionPolicy is Retain"));
    }
    let failure = admin.delete_topics(&[name.to_string()]).await?.into_values().find_map(Result::err);
    Ok(match failure {
        None => format!("topic {name} is deleted: its manifest is gone"),
        Some(failure) => format!("topic {name} is not deleted: {failure}"),
    })
}

/// Brokers that take replicas.
fn hosts(kafka: &KafkaFacts, leaving: &BTreeSet<NodeId>) -> Vec<Host> {
    let serving = kafka.brokers.iter().filter(|(id, facts)| !facts.fenced && !leaving.contains(id));
    serving
        .map(|(id, facts)| Host {
            id: *id,
            rack: facts.rack.clone(),
            replicas: kafka.replicas_on(&BTreeSet::from([*id])),
        })
        .collect()
}

async fn facts(
    admin: &AdminClient,
    kafka: &KafkaFacts,
    topic: &ValidatedTopic,
    id: Option<String>,
) -> TopicFacts {
    let partitions = kafka.partitions.iter().filter(|(partition, _)| partition.topic == topic.topic);
    let config = admin.describe_configs(&ConfigResource::Topic(topic.topic.to_string())).await;
    TopicFacts {
        id,
        partitions: partitions.map(|(partition, facts)| (partition.partition, facts.clone())).collect(),
        config: config.ok().map(|entries| {
            let own = entries.into_iter().filter(|(_, entry)| entry.source == SOURCE_TOPIC);
            own.filter_map(|(name, entry)| Some((name, entry.value?))).collect()
        }),
    }
}

/// What was done, for a person.
fn told(topic: &ValidatedTopic, action: &TopicAction) -> String {
    let name = &topic.topic;
    match action {
        TopicAction::Create { .. } => format!("topic {name} is created"),
        TopicAction::Grow { partitions } => format!("topic {name} grows to {partitions} partitions"),
        TopicAction::Configure { set, delete } => {
            let changed: Vec<&str> = set.keys().chain(delete).map(String::as_str).collect();
            format!("topic {name}: {} changed", changed.join(", "))
        }
        TopicAction::Reassign(moves) => {
            format!("topic {name}: copies of {} partitions change", moves.len())
        }
    }
}
