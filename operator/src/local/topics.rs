//! Topics: observe, plan, execute, as on Kubernetes. A topic whose manifest goes while this runs is deleted, unless
//! its policy says otherwise; one that was gone before is let be, since the other manifests may be elsewhere.

use std::collections::BTreeMap;

use anyhow::Context;
use ottla_broker_types::{DurationMs, TimestampMs};
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::{KafkaTopicStatus, ValidatedCluster, ValidatedTopic};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::topics::{TopicAction, Unseen, unseen as unseen_topic};

use crate::brokers::topics as brokers;
use crate::brokers::topics::{Job, Pace};

/// What one reconcile of the topics came to.
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
    cluster: &ValidatedCluster,
    topics: &BTreeMap<String, ValidatedTopic>,
    status: &mut BTreeMap<String, KafkaTopicStatus>,
    now: TimestampMs,
) -> anyhow::Result<Outcome> {
    if topics.is_empty() {
        return Ok(Outcome::default());
    }
    let mut world = brokers::observe(admin, cluster.replicas).await.context("observe topics")?;
    let job = |(name, topic): (&String, &ValidatedTopic)| {
        let former = status.get(name).cloned().unwrap_or_default();
        Job { topic: topic.clone(), former }
    };
    let jobs: Vec<Job> = topics.iter().map(job).collect();
    // On loopback that costs so little that changes by hand are undone at once.
    let resync = true;
    brokers::read_settings(admin, &jobs, &mut world, resync).await;
    let reconciled = brokers::reconcile(admin, &jobs, &world, now).await;
    let mut news = vec![];
    for ((name, topic), outcome) in topics.iter().zip(reconciled.outcomes) {
        news.extend(outcome.done.iter().map(|action| told(topic, action)));
        status.insert(name.clone(), outcome.status);
    }
    Ok(Outcome { news, busy: reconciled.pace != Pace::Idle })
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
) -> String {
    let name = &topic.topic;
    if topic.deletion_policy.unwrap_or(cluster.topic_deletion_policy) == DeletionPolicy::Retain {
        return format!("topic {name} is kept: its deletionPolicy is Retain");
    }
    let problems = brokers::delete(admin, &[name.to_string()]).await;
    match problems.get(name.as_str()) {
        None => format!("topic {name} is deleted: its manifest is gone"),
        Some(problem) => format!("topic {name} is not deleted: {problem}"),
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
