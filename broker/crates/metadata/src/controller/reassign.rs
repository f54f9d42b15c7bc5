//! AlterPartitionReassignments: replicas move (KIP-455, KIP-860). No I/O.
//!
//! A reassignment starts with `replicas = target ++ removing` and is done once the ISR holds the whole target;
//! that is noticed with the ISR change that brings it about. A pure change of order is done at once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use ottla_broker_types::{NodeId, PartitionIndex};

use super::assignment::{AssignmentError, check_replicas};
use super::batches::{split_batches, whole};
use super::change::{Change, Election};
use super::decision::{Context, Decision};
use super::isr_updates::rules_of;
use crate::image::{Partition, Topic, without};
use crate::record::Record;

/// What is wanted of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignmentItem {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its index as asked; the topic may have no such partition.
    pub partition: PartitionIndex,
    /// The target, in order; `None` cancels the running reassignment.
    pub target: Option<Vec<NodeId>>,
}

/// The whole request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{named} partitions are named, at most {ITEMS_MAX} go at once: split it")]
pub struct TooManyReassignments {
    /// How many partitions it names.
    pub named: usize,
}

/// Why a partition's replicas stay. The topic and the partition are in [`ReassignmentResult`]: a long name must not be
/// told once for each of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReassignmentError {
    /// Nobody can say which of the two is meant.
    #[error("the partition is named twice")]
    NamedTwice,
    /// No topic has the name.
    #[error("there is no such topic")]
    UnknownTopic,
    /// The topic has fewer partitions.
    #[error("the topic has no such partition")]
    UnknownPartition,
    /// The target cannot be.
    #[error(transparent)]
    Target(#[from] AssignmentError),
    /// The request asks that the number of replicas stay (KIP-860).
    #[error("the replication factor would change from {present} to {target}")]
    FactorChange {
        /// How many replicas the partition has, or will have once a running reassignment is over.
        present: usize,
        /// How many the target names.
        target: usize,
    },
    /// There is nothing to cancel.
    #[error("no reassignment is running for the partition")]
    NotReassigning,
    /// Nobody who would stay has all committed records.
    #[error(
        "only replicas that were being added are in sync: cancelling would lose records, and \
         unclean.leader.election.enable is false for the topic"
    )]
    WouldLoseRecords,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignmentResult {
    /// The topic's name as asked.
    pub topic: Arc<str>,
    /// Its index as asked; the topic may have no such partition.
    pub partition: PartitionIndex,
    /// Started, done or cancelled; or why not.
    pub outcome: Result<(), ReassignmentError>,
}

/// Kafka's limit: above it the whole request is refused.
const ITEMS_MAX: usize = 10_000;

/// Starts and cancels reassignments; each partition stands for itself.
///
/// `factor_may_change`: whether a target may have another length than the present replicas (v1).
pub fn alter_partition_reassignments(
    context: Context<'_>,
    items: &[ReassignmentItem],
    factor_may_change: bool,
) -> Result<Decision<Vec<ReassignmentResult>>, TooManyReassignments> {
    if items.len() > ITEMS_MAX {
        return Err(TooManyReassignments { named: items.len() });
    }
    let mut decision = Decision::reply(Vec::with_capacity(items.len()));
    let mut seen = BTreeSet::new();
    for item in items {
        let outcome = if seen.insert((&item.topic, item.partition)) {
            alter_one(context, item, factor_may_change)
        } else {
            Err(ReassignmentError::NamedTwice)
        };
        let outcome = outcome.map(|record| decision.records.extend(record));
        let (topic, partition) = (item.topic.clone(), item.partition);
        decision.reply.push(ReassignmentResult { topic, partition, outcome });
    }
    Ok(decision)
}

/// Cuts a request into parts that are decided one after the other; one that is refused as a whole stays whole.
pub fn split_reassignments(items: &[ReassignmentItem]) -> Vec<Range<usize>> {
    if items.len() > ITEMS_MAX {
        return whole(items);
    }
    split_batches(items, |item| (item.topic.clone(), item.partition), |_| 1)
}

fn alter_one(
    context: Context<'_>,
    item: &ReassignmentItem,
    factor_may_change: bool,
) -> Result<Option<Record>, ReassignmentError> {
    let topic = context.image.topic(&item.topic).ok_or(ReassignmentError::UnknownTopic)?;
    let partition = topic.partition(item.partition).ok_or(ReassignmentError::UnknownPartition)?;
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
) -> Result<Option<Record>, ReassignmentError> {
    check_replicas(context, target)?;
    let present = partition.settled_replicas().len();
    if !factor_may_change && target.len() != present {
        return Err(ReassignmentError::FactorChange { present, target: target.len() });
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
) -> Result<Option<Record>, ReassignmentError> {
    if !partition.is_reassigning() {
        return Err(ReassignmentError::NotReassigning);
    }
    let (min_isr, election) = rules_of(context, topic);
    let isr = without(&partition.isr, &partition.adding);
    if isr.is_empty() && election != Election::Unclean {
        return Err(ReassignmentError::WouldLoseRecords);
    }
    let change = Change::new(context, topic, index, partition, min_isr).election(election).isr(isr);
    Ok(change.assignment(partition.settled_replicas(), Vec::new(), Vec::new()).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::list_reassignments;
    use crate::testing::{Cluster, ids};

    fn reassign(
        cluster: &mut Cluster,
        target: Option<&[i32]>,
        factor_may_change: bool,
    ) -> Result<(), ReassignmentError> {
        let target = target.map(ids);
        let item = ReassignmentItem { topic: "t".into(), partition: PartitionIndex(0), target };
        let decision = alter_partition_reassignments(cluster.context(), &[item], factor_may_change);
        cluster.take(decision.expect("one item")).remove(0).outcome
    }

    fn cluster() -> Cluster {
        let mut cluster = Cluster::of(5);
        cluster.topic("t", &[&[1, 2, 3]], &[]);
        cluster
    }

    #[test]
    fn a_start_keeps_the_old_replicas_until_the_new_are_in_sync() {
        let mut cluster = cluster();
        assert_eq!(reassign(&mut cluster, Some(&[4, 5, 1]), true), Ok(()));
        let partition = cluster.partition("t", 0);
        assert_eq!(partition.replicas, ids(&[4, 5, 1, 2, 3]));
        assert_eq!((&partition.adding, &partition.removing), (&ids(&[4, 5]), &ids(&[2, 3])));
        assert_eq!((&partition.isr, partition.leader), (&ids(&[1, 2, 3]), Some(NodeId(1))));
        assert!(!partition.is_under_replicated());
        let listed = list_reassignments(&cluster.image, None);
        assert_eq!((listed.len(), &listed[0].adding), (1, &ids(&[4, 5])));
    }

    #[test]
    fn a_kept_replica_that_lags_blocks_the_end() {
        let mut cluster = cluster();
        assert_eq!(reassign(&mut cluster, Some(&[4, 2, 1]), true), Ok(()));
        cluster.set_isr("t", 0, &[1, 3, 4]).outcome.expect("2 left");
        assert!(cluster.partition("t", 0).is_reassigning());
        cluster.set_isr("t", 0, &[1, 3, 4, 2]).outcome.expect("1 leads on");
        assert_eq!(cluster.state("t", 0), (vec![4, 2, 1], vec![1, 4, 2], vec![], Some(1)));
        assert!(!cluster.partition("t", 0).is_reassigning());
    }

    #[test]
    fn another_order_is_done_at_once_and_moves_no_leader() {
        let mut cluster = cluster();
        assert_eq!(reassign(&mut cluster, Some(&[3, 2, 1]), true), Ok(()));
        assert_eq!(cluster.state("t", 0), (vec![3, 2, 1], vec![1, 2, 3], vec![], Some(1)));
        assert!(!cluster.partition("t", 0).is_reassigning());
    }

    #[test]
    fn fewer_replicas_are_done_at_once_and_raise_the_leader_epoch() {
        let mut cluster = cluster();
        let before = cluster.partition("t", 0).leader_epoch;
        assert_eq!(reassign(&mut cluster, Some(&[2, 3]), true), Ok(()));
        assert_eq!(cluster.state("t", 0), (vec![2, 3], vec![2, 3], vec![], Some(2)));
        assert_eq!(cluster.partition("t", 0).leader_epoch, before.next());
    }

    #[test]
    fn the_factor_changes_only_where_it_may() {
        let mut cluster = cluster();
        let refused = ReassignmentError::FactorChange { present: 3, target: 2 };
        assert_eq!(reassign(&mut cluster, Some(&[1, 2]), false), Err(refused));
        assert_eq!(reassign(&mut cluster, Some(&[1, 2, 4]), false), Ok(()));
    }

    #[test]
    fn a_cancel_restores_the_members() {
        let mut cluster = cluster();
        assert_eq!(reassign(&mut cluster, None, true), Err(ReassignmentError::NotReassigning));
        assert_eq!(reassign(&mut cluster, Some(&[4, 5, 1]), true), Ok(()));
        cluster.set_isr("t", 0, &[1, 2, 3, 4]).outcome.expect("4 caught up");
        assert_eq!(reassign(&mut cluster, None, true), Ok(()));
        assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![1, 2, 3], vec![], Some(1)));
        assert!(!cluster.partition("t", 0).is_reassigning());
    }

    #[test]
    fn a_cancel_that_would_lose_records_is_refused() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1]], &[]);
        assert_eq!(reassign(&mut cluster, Some(&[2, 1]), true), Ok(()));
        assert!(cluster.partition("t", 0).is_reassigning());
        cluster.topic("other", &[&[2]], &[]);
        let mut image = cluster.partition("t", 0).clone();
        (image.isr, image.leader) = (ids(&[2]), Some(NodeId(2)));
        let id = cluster.image.topic("t").expect("it exists").id;
        cluster.commit(&[Record::Partition(image.to_record(id, PartitionIndex(0)))]);
        assert_eq!(reassign(&mut cluster, None, true), Err(ReassignmentError::WouldLoseRecords));
    }

    #[test]
    fn targets_that_cannot_be_are_refused() {
        let mut cluster = cluster();
        let (twice, unknown) = (ids(&[1, 1]), ids(&[1, 9]));
        for (target, refused) in [
            (&[][..], AssignmentError::NoReplicas),
            (&[1, 1], AssignmentError::BrokerTwice { replicas: twice }),
            (&[1, 9], AssignmentError::UnknownBroker { replicas: unknown, broker: NodeId(9) }),
        ] {
            assert_eq!(reassign(&mut cluster, Some(target), true), Err(refused.into()), "{target:?}");
        }
    }

    #[test]
    fn a_new_replica_gets_its_brokers_directory() {
        let mut cluster = cluster();
        assert_eq!(reassign(&mut cluster, Some(&[4, 2, 3]), true), Ok(()));
        let partition = cluster.partition("t", 0);
        assert_eq!(partition.directory_of(NodeId(4)), Some(cluster.registration(4, 1).log_dirs[0]));
        assert_eq!(partition.directories.len(), partition.replicas.len());
    }
}
