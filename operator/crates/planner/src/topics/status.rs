//! What status says of a topic.

use std::collections::BTreeSet;

use ottla_broker_types::{DurationMs, TimestampMs};
use ottla_operator_crd::KafkaTopicStatus;
use ottla_operator_crd::conditions::{READY, RECONCILING, STALLED, Verdict, merged};
use ottla_operator_crd::validate::{Invalid, joined};

use super::{TopicAction, TopicFacts, TopicInput};
use crate::facts::PartitionFacts;

/// How long brokers may be silent before topics say so: the only broker of a cluster restarts faster, and each change
/// of mind is a write for every topic.
const SILENCE_TOLD: DurationMs = DurationMs(5_000);

/// Why nobody can see how the topics of a cluster do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// No broker has answered for this long.
    Silent(DurationMs),
    /// Too few of the brokers are there that keep the metadata: what others say may be long past.
    QuorumLost,
    /// The cluster's manifest cannot work, so nobody asks.
    Invalid,
}

/// The status while the topic is being made.
pub(super) fn creating(input: &TopicInput<'_>) -> KafkaTopicStatus {
    let status = KafkaTopicStatus { topic_id: None, ..base(input) };
    finish(input, status, working("Creating", "the topic is being made".to_owned()))
}

/// The status once `actions` are done.
pub(super) fn status(
    input: &TopicInput<'_>,
    facts: &TopicFacts,
    actions: &[TopicAction],
    moving: bool,
) -> KafkaTopicStatus {
    let count = |holds: &dyn Fn(&PartitionFacts) -> bool| {
        i32::try_from(facts.partitions.values().filter(|partition| holds(partition)).count()).ok()
    };
    let copies = facts.partitions.values().map(|partition| partition.target().len()).min();
    let status = KafkaTopicStatus {
        topic_id: facts.id.clone(),
        partitions: i32::try_from(facts.partitions.len()).ok(),
        replication_factor: copies.and_then(|copies| i32::try_from(copies).ok()),
        under_replicated_partitions: count(&PartitionFacts::is_under_replicated),
        offline_partitions: count(&|partition| partition.leader.is_none()),
        ..base(input)
    };
    let verdicts = match actions.first() {
        Some(TopicAction::Grow { .. }) => working("Growing", "partitions are being added".to_owned()),
        Some(TopicAction::Configure { .. }) => {
            working("Configuring", "settings are being applied".to_owned())
        }
        Some(_) => working("Moving", "copies are being added or removed".to_owned()),
        None if moving => working("Moving", "copies are being added or removed".to_owned()),
        None => match status.offline_partitions.filter(|offline| *offline > 0) {
            Some(offline) => impaired(offline, facts.partitions.len()),
            None => ready("the topic is as asked for".to_owned()),
        },
    };
    finish(input, status, verdicts)
}

/// The status of a topic that cannot be as asked for.
pub fn refused(input: &TopicInput<'_>, reason: &'static str, problem: String) -> KafkaTopicStatus {
    let known = input.facts.map(|facts| facts.partitions.len()).and_then(|count| i32::try_from(count).ok());
    let status = base(input);
    let status = KafkaTopicStatus { partitions: known.or(status.partitions), ..status };
    finish(input, status, stalled(reason, problem))
}

/// The status of a topic whose change did not work this time and is tried again.
pub fn delayed(input: &TopicInput<'_>, reason: &'static str, problem: String) -> KafkaTopicStatus {
    finish(input, base(input), working(reason, problem))
}

/// The status of a manifest that cannot work.
pub fn invalid(
    former: &KafkaTopicStatus,
    generation: Option<i64>,
    reason: &'static str,
    problems: &[Invalid],
    now: TimestampMs,
) -> KafkaTopicStatus {
    let conditions = merged(&former.conditions, stalled(reason, joined(problems)), generation, now);
    KafkaTopicStatus { observed_generation: generation, conditions, ..former.clone() }
}

/// The status of a topic of `cluster` that nobody can see: what was said of it before may not be true any more. The next
/// plan that is made from facts says again how it is.
pub fn unseen(
    former: &KafkaTopicStatus,
    generation: Option<i64>,
    cluster: &str,
    why: Unseen,
    now: TimestampMs,
) -> KafkaTopicStatus {
    let (reason, what) = match why {
        Unseen::Silent(_) => ("ClusterUnreachable", format!("no broker of KafkaCluster {cluster} answers")),
        Unseen::QuorumLost => (
            "ClusterWithoutController",
            format!("KafkaCluster {cluster} has no controller, so what its brokers say may be long past"),
        ),
        Unseen::Invalid => ("ClusterInvalid", format!("the manifest of KafkaCluster {cluster} cannot work")),
    };
    if former.topic_id.is_none() {
        let text = format!("{what}, so the topic is not made yet: see the conditions of the KafkaCluster");
        let conditions = merged(&former.conditions, working("ClusterNotReady", text), generation, now);
        return KafkaTopicStatus { observed_generation: generation, conditions, ..former.clone() };
    }
    let settled = former.observed_generation == generation && !is_unknown(former);
    if settled && matches!(why, Unseen::Silent(lasts) if lasts < SILENCE_TOLD) {
        return former.clone();
    }
    let text = format!("{what}, so nobody knows how the topic is: see the conditions of the KafkaCluster");
    let verdicts = vec![
        Verdict::unknown(READY, reason, text.clone()),
        Verdict::yes(RECONCILING, reason, text),
        Verdict::no(STALLED, "NotStalled", ""),
    ];
    KafkaTopicStatus {
        observed_generation: generation,
        conditions: merged(&former.conditions, verdicts, generation, now),
        under_replicated_partitions: None,
        offline_partitions: None,
        ..former.clone()
    }
}

fn is_unknown(status: &KafkaTopicStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == READY && condition.status == "Unknown")
}

/// The status of an object that cannot have its topic for a reason outside of it.
pub fn denied(
    former: &KafkaTopicStatus,
    generation: Option<i64>,
    reason: &'static str,
    text: &str,
    now: TimestampMs,
) -> KafkaTopicStatus {
    let conditions = merged(&former.conditions, stalled(reason, text.to_owned()), generation, now);
    KafkaTopicStatus { observed_generation: generation, conditions, ..former.clone() }
}

/// What stays the same, with the settings that this object has made.
fn base(input: &TopicInput<'_>) -> KafkaTopicStatus {
    let current = input.facts.and_then(|facts| facts.config.as_ref());
    let still_set = |name: &&String| current.is_none_or(|current| current.contains_key(*name));
    let mut managed: BTreeSet<String> = input.topic.config.keys().cloned().collect();
    managed.extend(input.former.managed_config.iter().filter(still_set).cloned());
    KafkaTopicStatus {
        topic_name: Some(input.topic.topic.to_string()),
        managed_config: managed.into_iter().collect(),
        notes: input.topic.notes.clone(),
        ..input.former.clone()
    }
}

fn finish(input: &TopicInput<'_>, status: KafkaTopicStatus, verdicts: Vec<Verdict>) -> KafkaTopicStatus {
    let generation = input.topic.generation;
    let conditions = merged(&input.former.conditions, verdicts, generation, input.now);
    KafkaTopicStatus { observed_generation: generation, conditions, ..status }
}

fn ready(text: String) -> Vec<Verdict> {
    vec![
        Verdict::yes(READY, "Ready", text),
        Verdict::no(RECONCILING, "Done", ""),
        Verdict::no(STALLED, "NotStalled", ""),
    ]
}

/// As asked for, and yet clients cannot use all of it. Nobody works on it: the brokers' conditions say who is missing.
fn impaired(offline: i32, partitions: usize) -> Vec<Verdict> {
    let text = format!(
        "{offline} of {partitions} partitions have no leader: see the conditions of the KafkaCluster, and bring a broker that holds them back"
    );
    vec![
        Verdict::no(READY, "OfflinePartitions", text),
        Verdict::no(RECONCILING, "Done", ""),
        Verdict::no(STALLED, "NotStalled", ""),
    ]
}

fn working(reason: &'static str, text: String) -> Vec<Verdict> {
    vec![
        Verdict::no(READY, reason, text.clone()),
        Verdict::yes(RECONCILING, reason, text),
        Verdict::no(STALLED, "NotStalled", ""),
    ]
}

fn stalled(reason: &'static str, text: String) -> Vec<Verdict> {
    vec![
        Verdict::no(READY, reason, text.clone()),
        Verdict::no(RECONCILING, "Done", ""),
        Verdict::yes(STALLED, reason, text),
    ]
}
