//! ElectLeaders and the elections that happen by themselves (KIP-460). No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_types::PartitionIndex;

use super::change::{Change, Election};
use super::decision::{Context, Decision};
use super::isr_updates::{leaderless, rules_of};
use crate::image::{Image, Partition, Topic};
use crate::record::Record;

/// What kind of election is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica, if it is eligible.
    Preferred,
    /// Any replica, if no eligible one is left; acknowledged records may be lost.
    Unclean,
}

/// Why a partition has no other leader. The topic and the partition are in [`ElectionResult`]: a long name must not be
/// told once for each of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    /// No topic has the name.
    #[error("there is no such topic")]
    UnknownTopic,
    /// The topic has fewer partitions.
    #[error("the topic has no such partition")]
    UnknownPartition,
    /// It is led as asked; also said of a partition that is named a second time.
    #[error("the partition is led as it should be")]
    NotNeeded,
    /// The preferred replica may not lead.
    #[error("the preferred replica is not in sync or not running")]
    PreferredUnavailable,
    /// Nobody is left to lead, not even uncleanly.
    #[error("no replica of the partition is running")]
    NoReplicaRunning,
}

/// What came of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionResult {
    /// The topic's name as asked.
    pub topic: Arc<str>,
    /// Its index as asked; the topic may have no such partition.
    pub partition: PartitionIndex,
    /// Done, or why not.
    pub outcome: Result<(), ElectionError>,
}

/// Elects leaders for the named partitions, or wherever it is needed; without names, partitions that need no election
/// are left out of the reply.
pub fn elect_leaders(
    context: Context<'_>,
    kind: ElectionType,
    partitions: Option<&[(Arc<str>, PartitionIndex)]>,
) -> Decision<Vec<ElectionResult>> {
    let mut decision = Decision::reply(Vec::new());
    let mut take = |topic: Arc<str>, partition: PartitionIndex, outcome: Result<Record, ElectionError>| {
        let outcome = outcome.map(|record| decision.records.push(record));
        decision.reply.push(ElectionResult { topic, partition, outcome });
    };
    match partitions {
        Some(named) => {
            let mut seen = BTreeSet::new();
            for (name, index) in named {
                let first = seen.insert((name, *index));
                let outcome = match first {
                    true => elect_named(context, kind, name, *index),
                    false => Err(ElectionError::NotNeeded),
                };
                take(name.clone(), *index, outcome);
            }
        }
        None => {
            for (topic, index, partition) in context.image.partitions() {
                let outcome = elect_one(context, kind, topic, index, partition);
                if outcome != Err(ElectionError::NotNeeded) {
                    take(topic.name.as_str().into(), index, outcome);
                }
            }
        }
    }
    decision
}

/// The partitions of which an election without names would be, as of an image.
pub fn electable(image: &Image, kind: ElectionType) -> Vec<(Arc<str>, PartitionIndex)> {
    let electable = image.partitions().filter(|(_, _, partition)| !is_led_well(kind, partition));
    electable.map(|(topic, index, _)| (topic.name.as_str().into(), index)).collect()
}

fn is_led_well(kind: ElectionType, partition: &Partition) -> bool {
    match kind {
        ElectionType::Preferred => {
            partition.leader.is_some() && partition.leader == partition.preferred_leader()
        }
        ElectionType::Unclean => partition.leader.is_some(),
    }
}

fn elect_named(
    context: Context<'_>,
    kind: ElectionType,
    name: &str,
    index: PartitionIndex,
) -> Result<Record, ElectionError> {
    let topic = context.image.topic(name).ok_or(ElectionError::UnknownTopic)?;
    let partition = topic.partition(index).ok_or(ElectionError::UnknownPartition)?;
    elect_one(context, kind, topic, index, partition)
}

fn elect_one(
    context: Context<'_>,
    kind: ElectionType,
    topic: &Topic,
    index: PartitionIndex,
    partition: &Partition,
) -> Result<Record, ElectionError> {
    if is_led_well(kind, partition) {
        return Err(ElectionError::NotNeeded);
    }
    let (min_isr, _) = rules_of(context, topic);
    let (election, otherwise) = match kind {
        ElectionType::Preferred => (Election::Preferred, ElectionError::PreferredUnavailable),
        ElectionType::Unclean => (Election::Unclean, ElectionError::NoReplicaRunning),
    };
    Change::new(context, topic, index, partition, min_isr).election(election).build().ok_or(otherwise)
}

/// What came of giving leaderships back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReturnedLeaders {
    /// Partitions that their preferred replica leads again.
    pub elected: usize,
    /// Partitions that another replica still leads.
    pub left: usize,
}

/// Gives at most `limit` partitions back to their preferred leaders (`auto.leader.rebalance.enable`). Partitions that
/// are being reassigned are left alone: their first replica may not have data yet.
pub fn rebalance_leaders(context: Context<'_>, limit: usize) -> Decision<ReturnedLeaders> {
    let away = |p: &Partition| p.leader.is_some() && p.leader != p.preferred_leader() && !p.is_reassigning();
    let (mut records, mut left) = (Vec::new(), 0);
    for (topic, index, partition) in context.image.partitions().filter(|(_, _, p)| away(p)) {
        let returns = records.len() < limit
            && partition.preferred_leader().is_some_and(|preferred| {
                partition.isr.contains(&preferred) && context.image.is_active(preferred)
            });
        let record = returns.then(|| {
            let (min_isr, _) = rules_of(context, topic);
            Change::new(context, topic, index, partition, min_isr).election(Election::Preferred).build()
        });
        match record.flatten() {
            Some(record) => records.push(record),
            None => left += 1,
        }
    }
    let reply = ReturnedLeaders { elected: records.len(), left };
    Decision { records, reply }
}

/// Elects leaders wherever there is none and one may be elected, uncleanly where the topic allows it; the reply
/// says how many.
pub fn elect_leaderless(context: Context<'_>) -> Decision<usize> {
    let records = leaderless(context);
    let count = records.len();
    Decision { records, reply: count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    fn outcomes(decision: &Decision<Vec<ElectionResult>>) -> Vec<Result<(), ElectionError>> {
        decision.reply.iter().map(|result| result.outcome).collect()
    }

    fn named(index: i32) -> Vec<(Arc<str>, PartitionIndex)> {
        vec![("t".into(), PartitionIndex(index))]
    }

    /// Work by the square of this size would take minutes.
    #[test]
    fn a_hundred_thousand_named_partitions_are_answered_in_one_go() {
        let mut cluster = Cluster::of(1);
        cluster.topic("t", &[&[1]], &[]);
        let named: Vec<_> = (0..100_000).map(|at| (Arc::<str>::from("t"), PartitionIndex(at))).collect();
        let decision = elect_leaders(cluster.context(), ElectionType::Preferred, Some(&named));
        assert_eq!(decision.reply.len(), named.len());
    }

    #[test]
    fn a_round_says_how_many_leaders_are_still_away() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2], &[1, 2], &[2, 1]], &[]);
        cluster.fence(1);
        let away = rebalance_leaders(cluster.context(), 9).reply;
        assert_eq!(away, ReturnedLeaders { elected: 0, left: 2 });
        cluster.unfence(1);
        cluster.set_isr("t", 0, &[1, 2]);
        cluster.set_isr("t", 1, &[1, 2]);
        assert_eq!(rebalance_leaders(cluster.context(), 1).reply, ReturnedLeaders { elected: 1, left: 1 });
        assert_eq!(rebalance_leaders(cluster.context(), 9).reply, ReturnedLeaders { elected: 2, left: 0 });
    }

    #[test]
    fn the_preferred_replica_leads_again_once_it_is_in_sync() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.fence(1);
        cluster.unfence(1);
        let elect =
            |cluster: &Cluster| elect_leaders(cluster.context(), ElectionType::Preferred, Some(&named(0)));
        assert_eq!(outcomes(&elect(&cluster)), [Err(ElectionError::PreferredUnavailable)]);
        cluster.set_isr("t", 0, &[2, 1]);
        let decision = elect(&cluster);
        assert_eq!(outcomes(&decision), [Ok(())]);
        cluster.take(decision);
        assert_eq!(cluster.state("t", 0).3, Some(1));
        assert_eq!(outcomes(&elect(&cluster)), [Err(ElectionError::NotNeeded)]);
    }

    #[test]
    fn unclean_election_takes_any_running_replica_and_says_so() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.set_isr("t", 0, &[1]);
        cluster.fence(1);
        let decision = elect_leaders(cluster.context(), ElectionType::Unclean, Some(&named(0)));
        cluster.take(decision);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![2], vec![], Some(2)));
        let recovering = crate::record::LeaderRecoveryState::Recovering;
        assert_eq!(cluster.partition("t", 0).recovery, recovering);
    }

    #[test]
    fn unclean_election_without_running_replicas_is_refused() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1]], &[]);
        cluster.fence(1);
        let decision = elect_leaders(cluster.context(), ElectionType::Unclean, Some(&named(0)));
        assert_eq!(outcomes(&decision), [Err(ElectionError::NoReplicaRunning)]);
    }

    #[test]
    fn unknown_partitions_are_named_and_all_means_those_in_need() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2], &[2, 1]], &[]);
        let decision = elect_leaders(cluster.context(), ElectionType::Preferred, Some(&named(7)));
        assert_eq!(outcomes(&decision), [Err(ElectionError::UnknownPartition)]);
        let decision = elect_leaders(
            cluster.context(),
            ElectionType::Preferred,
            Some(&[("unknown".into(), PartitionIndex(0))]),
        );
        assert_eq!(outcomes(&decision), [Err(ElectionError::UnknownTopic)]);
        assert!(elect_leaders(cluster.context(), ElectionType::Preferred, None).reply.is_empty());
        cluster.fence(1);
        cluster.unfence(1);
        cluster.set_isr("t", 0, &[2, 1]);
        let decision = elect_leaders(cluster.context(), ElectionType::Preferred, None);
        assert_eq!(decision.reply.len(), 1);
    }

    #[test]
    fn rebalancing_stops_at_its_limit() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2], &[1, 2], &[1, 2]], &[]);
        cluster.fence(1);
        cluster.unfence(1);
        (0..3).for_each(|index| drop(cluster.set_isr("t", index, &[2, 1])));
        assert_eq!(rebalance_leaders(cluster.context(), 2).reply.elected, 2);
        let decision = rebalance_leaders(cluster.context(), 100);
        assert_eq!(cluster.take(decision).elected, 3);
        assert_eq!(rebalance_leaders(cluster.context(), 100).reply, ReturnedLeaders::default());
    }

    #[test]
    fn a_leaderless_partition_is_led_once_its_topic_allows_unclean_election() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.set_isr("t", 0, &[1]);
        cluster.fence(1);
        assert_eq!(elect_leaderless(cluster.context()).reply, 0);
        let topic = crate::record::ConfigResource::Topic("t".into());
        cluster.set(topic, "unclean.leader.election.enable", "true");
        assert_eq!(elect_leaderless(cluster.context()).reply, 1);
    }
}
