//! AlterPartitionReassignments: replicas move (KIP-455, KIP-860). No I/O.
//!
//! A reassignment starts with `replicas = target ++ removing` and is done once the ISR holds the whole target;
//! that is noticed with the ISR change that brings it about. A pure change of order is done at once.

use std::collections::BTreeSet;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{NodeId, PartitionIndex};

use super::change::{Change, Election};
use super::create_topics::check_replicas;
use super::decision::{Context, Decision, Refused};
use super::isr_updates::rules_of;
use crate::image::{Partition, Topic, without};
use crate::record::Record;

/// What is wanted of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignmentItem {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The target, in order; `None` cancels the running reassignment.
    pub target: Option<Vec<NodeId>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignmentResult {
    /// The topic's name as asked.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Started, done or cancelled; or why not.
    pub outcome: Result<(), Refused>,
}

/// Kafka's limit: above it the whole request is refused.
const ITEMS_MAX: usize = 10_000;

/// Starts and cancels reassignments; each partition stands for itself.
///
/// `factor_may_change`: whether a target may have another length than the present replicas (v1).
/// Error of the whole: INVALID_REQUEST (too many). Of one partition: UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST
/// (named twice), INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR, NO_REASSIGNMENT_IN_PROGRESS.
pub fn alter_partition_reassignments(
    context: Context<'_>,
    items: &[ReassignmentItem],
    factor_may_change: bool,
) -> Result<Decision<Vec<ReassignmentResult>>, Refused> {
    if items.len() > ITEMS_MAX {
        let message =
            format!("{} partitions are named, at most {ITEMS_MAX} go at once: split it", items.len());
        return Err(Refused::new(ErrorCode::InvalidRequest, message));
    }
    let mut decision = Decision::reply(Vec::with_capacity(items.len()));
    let mut seen = BTreeSet::new();
    for item in items {
        let outcome = if seen.insert((item.topic.as_str(), item.partition)) {
            alter_one(context, item, factor_may_change)
        } else {
            Err(Refused::new(ErrorCode::InvalidRequest, "the partition is named twice"))
        };
        let outcome = outcome.map(|record| decision.records.extend(record));
        let (topic, partition) = (item.topic.clone(), item.partition);
        decision.reply.push(ReassignmentResult { topic, partition, outcome });
    }
    Ok(decision)
}

fn alter_one(
    context: Context<'_>,
    item: &ReassignmentItem,
    factor_may_change: bool,
) -> Result<Option<Record>, Refused> {
    let unknown = |message: String| Refused::new(ErrorCode::UnknownTopicOrPartition, message);
    let topic = context.image.topic(&item.topic);
    let topic = topic.ok_or_else(|| unknown(format!("there is no topic {}", item.topic)))?;
    let partition = topic.partition(item.partition);
    let partition = partition
        .ok_or_else(|| unknown(format!("topic {} has no partition {}", item.topic, item.partition)))?;
    match &item.target {
        Some(target) => start(context, topic, item.partition, partition, target, factor_may_change),
        None => cancel(context, topic, item.partition, partition),
    }
}

fn start(
    context: Context<'_>,
    topic: &Topic,
    index: PartitionIndex,
    partition: &Partition,
    target: &[NodeId],
    factor_may_change: bool,
) -> Result<Option<Record>, Refused> {
    check_replicas(context, target)?;
    let settled = partition.settled_replicas().len();
    if !factor_may_change && target.len() != settled {
        let message = format!("the replication factor would change from {settled} to {}", target.len());
        return Err(Refused::new(ErrorCode::InvalidReplicationFactor, message));
    }
    let mut removing = without(&partition.replicas, target);
    removing.sort();
    let mut adding = without(target, &partition.replicas);
    adding.sort();
    let replicas = target.iter().chain(&removing).copied().collect();
    let (min_isr, election) = rules_of(context, topic);
    let change = Change::new(context, topic, index, partition, min_isr).election(election);
    Ok(change.assignment(replicas, adding, removing).build())
}

fn cancel(
    context: Context<'_>,
    topic: &Topic,
    index: PartitionIndex,
    partition: &Partition,
) -> Result<Option<Record>, Refused> {
    if !partition.is_reassigning() {
        let message = "no reassignment is running for the partition";
        return Err(Refused::new(ErrorCode::NoReassignmentInProgress, message));
    }
    let (min_isr, election) = rules_of(context, topic);
    let isr = without(&partition.isr, &partition.adding);
    if isr.is_empty() && election != Election::Unclean {
        let message = "only replicas that were being added are in sync: cancelling would lose records, and \
                       unclean.leader.election.enable is false for the topic";
        return Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    let change = Change::new(context, topic, index, partition, min_isr).election(election).isr(isr);
    Ok(change.assignment(partition.settled_replicas(), Vec::new(), Vec::new()).build())
}
