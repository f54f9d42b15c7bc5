//! Restart safety: what would suffer if a set of brokers stopped now. No I/O.
//!
//! The rule for one partition with `rf` replicas and `min.insync.replicas = min`, where `needed` is
//! `min(min, rf - 1)` and at least 1: the members of the ISR that run on, `rest`, must be `needed` or more.
//! `rf - 1` keeps a partition whose factor is not above its `min` from blocking for ever: it may lose its last
//! spare, never its last copy. A partition with one replica is reported and never blocks.
//!
//! While any partition of the cluster stands at or below what it needs, no running broker may stop, unless all
//! that it could do to that partition is done: it is a replica outside the ISR. A broker that does not run
//! can always be restarted.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, PartitionIndex};

use crate::image::{Image, Partition, Topic};

/// Listed partitions of each kind; the rest is only counted, so that an answer stays small.
const LISTED_MAX: usize = 100;

/// What the quorum's status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumFacts {
    /// All of the quorum, running or not.
    pub voters: BTreeSet<NodeId>,
    /// Those that are not behind the leader, the leader included; empty if there is no leader.
    pub caught_up: BTreeSet<NodeId>,
}

/// A partition that would suffer or already does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionRisk {
    /// By name, for people.
    pub topic: String,
    /// Its index within the topic.
    pub partition: PartitionIndex,
    /// How many members of the ISR would be left.
    pub isr_left: usize,
    /// How many it needs.
    pub isr_needed: usize,
}

/// Partitions of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskList {
    /// How many there are.
    pub count: usize,
    /// The first of them, by topic and partition.
    pub listed: Vec<PartitionRisk>,
}

impl RiskList {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, risk: PartitionRisk) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(risk);
        }
    }
}

/// What the metadata quorum would lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumRisk {
    /// Caught-up voters that would be left.
    pub left: usize,
    /// How many are needed.
    pub needed: usize,
}

/// What would suffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SafetyReport {
    /// Whether the set may stop now.
    pub safe: bool,
    /// Partitions that would have no leader; they block.
    pub offline: RiskList,
    /// Partitions that would refuse acks=all; they block.
    pub under_min_isr: RiskList,
    /// Partitions anywhere that stand at or below what they need already; they block.
    pub at_min_isr: RiskList,
    /// Partitions with one replica that would be away meanwhile; they do not block.
    pub rf1_offline: RiskList,
    /// Partitions whose replication factor is not above `min.insync.replicas`: acks=all would be refused
    /// meanwhile; they do not block.
    pub no_spare: RiskList,
    /// Partitions anywhere with a replica out of sync, blocking or not.
    pub under_replicated: RiskList,
    /// What the quorum would lack; it blocks.
    pub quorum: Option<QuorumRisk>,
}

/// Judges whether `brokers` may stop now, all at once. `min_isr` gives a topic's `min.insync.replicas`.
pub fn restart_safety(
    image: &Image,
    brokers: &BTreeSet<NodeId>,
    min_isr: impl Fn(&Topic) -> usize,
    quorum: &QuorumFacts,
) -> SafetyReport {
    let running = brokers.iter().copied().filter(|id| image.is_active(*id)).collect();
    let report = SafetyReport { quorum: quorum_risk(brokers, quorum), ..SafetyReport::default() };
    let mut judge = Judge { image, running, report };
    for topic in image.topics() {
        let min = min_isr(topic);
        for (index, partition) in &topic.partitions {
            judge.partition(topic, *index, partition, min);
        }
    }
    let mut report = judge.report;
    report.safe = report.offline.is_empty()
        && report.under_min_isr.is_empty()
        && report.at_min_isr.is_empty()
        && report.quorum.is_none();
    report
}

struct Judge<'a> {
    image: &'a Image,
    /// Those of the set that are not down already.
    running: BTreeSet<NodeId>,
    report: SafetyReport,
}

impl Judge<'_> {
    fn partition(&mut self, topic: &Topic, index: PartitionIndex, partition: &Partition, min: usize) {
        let live: Vec<NodeId> =
            partition.isr.iter().copied().filter(|id| self.image.is_active(*id)).collect();
        let left = live.iter().filter(|id| !self.running.contains(id)).count();
        let factor = partition.settled_replicas().len().min(partition.target_replicas().len());
        let isr_needed = min.min(factor.saturating_sub(1)).max(1);
        let topic = topic.name.to_string();
        let risk = PartitionRisk { topic, partition: index, isr_left: left, isr_needed };
        if partition.is_under_replicated() || live.len() < partition.isr.len() {
            self.report.under_replicated.push(risk.clone());
        }
        let loses = left < live.len();
        if factor <= 1 {
            if loses {
                self.report.rf1_offline.push(risk);
            }
            return;
        }
        if loses && factor <= min {
            self.report.no_spare.push(risk.clone());
        }
        if loses && left == 0 {
            self.report.offline.push(risk);
        } else if loses && left < isr_needed {
            self.report.under_min_isr.push(risk);
        } else if live.len() <= isr_needed && live.len() < factor && !self.cannot_harm(partition, &live) {
            self.report.at_min_isr.push(risk);
        }
    }

    /// Whether every broker that would stop is a replica of the partition that is out of sync already.
    fn cannot_harm(&self, partition: &Partition, live: &[NodeId]) -> bool {
        self.running.iter().all(|id| partition.replicas.contains(id) && !live.contains(id))
    }
}

/// A majority must stay caught up. A quorum of one stops with its voter, and of two one may go while the other
/// is caught up: neither could ever be restarted otherwise.
fn quorum_risk(brokers: &BTreeSet<NodeId>, quorum: &QuorumFacts) -> Option<QuorumRisk> {
    let caught_up = quorum.voters.intersection(&quorum.caught_up);
    let left = caught_up.clone().filter(|id| !brokers.contains(id)).count();
    let needed = match quorum.voters.len() {
        0 | 1 => 0,
        2 => 1,
        voters => voters / 2 + 1,
    };
    (left < caught_up.count() && left < needed).then_some(QuorumRisk { left, needed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, ids};

    fn report(cluster: &Cluster, brokers: &[i32]) -> SafetyReport {
        let context = cluster.context();
        let min_isr = |topic: &Topic| context.min_insync_replicas(topic.name.as_str());
        let brokers = ids(brokers).into_iter().collect();
        restart_safety(&cluster.image, &brokers, min_isr, &QuorumFacts::default())
    }

    fn cluster(replicas: &[i32], min: &str) -> Cluster {
        let mut cluster = Cluster::of(4);
        cluster.topic("t", &[replicas], &[("min.insync.replicas", min)]);
        cluster
    }

    #[test]
    fn one_of_three_may_stop_and_two_may_not() {
        let cluster = cluster(&[1, 2, 3], "2");
        assert!(report(&cluster, &[1]).safe);
        assert!(report(&cluster, &[4]).safe);
        let two = report(&cluster, &[1, 2]);
        assert!(!two.safe);
        assert_eq!((two.under_min_isr.count, two.offline.count), (1, 0));
        assert_eq!(two.under_min_isr.listed[0].isr_left, 1);
        let all = report(&cluster, &[1, 2, 3]);
        assert_eq!((all.under_min_isr.count, all.offline.count), (0, 1));
    }

    #[test]
    fn sets_that_share_no_partition_may_stop_together() {
        let mut cluster = Cluster::of(4);
        let min = [("min.insync.replicas", "1")];
        cluster.topic("a", &[&[1, 2]], &min);
        cluster.topic("b", &[&[3, 4]], &min);
        assert!(report(&cluster, &[1, 3]).safe);
        assert!(!report(&cluster, &[1, 2]).safe);
    }

    #[test]
    fn nobody_who_runs_may_stop_while_something_is_at_its_minimum() {
        let mut cluster = cluster(&[1, 2, 3], "2");
        cluster.fence(3);
        for broker in [1, 2, 4] {
            assert!(!report(&cluster, &[broker]).safe, "{broker}");
        }
        assert!(report(&cluster, &[3]).safe, "it is down already");
        assert_eq!(report(&cluster, &[4]).at_min_isr.count, 1);
        cluster.unfence(3);
        assert!(!report(&cluster, &[1]).safe, "3 is back but not in sync");
        assert!(report(&cluster, &[3]).safe, "3 is out of sync and can do no harm");
        cluster.set_isr("t", 0, &[1, 2, 3]).outcome.expect("3 caught up");
        assert!(report(&cluster, &[1]).safe);
    }

    #[test]
    fn a_single_replica_is_reported_and_never_blocks() {
        for min in ["1", "2"] {
            let found = report(&cluster(&[1], min), &[1]);
            assert!(found.safe);
            assert_eq!(found.rf1_offline.count, 1);
        }
    }

    #[test]
    fn a_factor_not_above_the_minimum_may_lose_its_spare_but_not_its_last() {
        for (replicas, min) in [(&[1, 2][..], "2"), (&[1, 2, 3], "3"), (&[1, 2, 3], "5")] {
            let mut cluster = cluster(replicas, min);
            let one = report(&cluster, &[1]);
            assert!(one.safe, "{replicas:?} {min}");
            assert_eq!(one.no_spare.count, 1);
            cluster.fence(2);
            assert!(!report(&cluster, &[1]).safe, "{replicas:?} {min}");
        }
    }

    #[test]
    fn a_broker_that_is_down_can_always_be_restarted() {
        let mut cluster = cluster(&[1, 2, 3], "2");
        cluster.fence(3);
        cluster.fence(2);
        assert!(report(&cluster, &[2]).safe);
        assert!(report(&cluster, &[2, 3]).safe);
        assert_eq!(report(&cluster, &[2]).under_replicated.count, 1);
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let mut cluster = Cluster::of(1);
        let many = vec![&[1][..]; LISTED_MAX + 5];
        cluster.topic("t", &many, &[]);
        let found = report(&cluster, &[1]).rf1_offline;
        assert_eq!((found.count, found.listed.len()), (LISTED_MAX + 5, LISTED_MAX));
    }

    #[test]
    fn a_majority_of_voters_stays_caught_up() {
        let image = Image::default();
        let risk = |voters: &[i32], caught_up: &[i32], brokers: &[i32]| {
            let facts = QuorumFacts {
                voters: ids(voters).into_iter().collect(),
                caught_up: ids(caught_up).into_iter().collect(),
            };
            !restart_safety(&image, &ids(brokers).into_iter().collect(), |_| 1, &facts).safe
        };
        assert!(!risk(&[1, 2, 3], &[1, 2, 3], &[1]));
        assert!(risk(&[1, 2, 3], &[1, 2], &[1]));
        assert!(!risk(&[1, 2, 3], &[1, 2], &[3]), "it is behind already");
        assert!(risk(&[1, 2, 3], &[1, 2, 3], &[1, 2]));
        assert!(!risk(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], &[1, 2]));
        assert!(!risk(&[1], &[1], &[1]), "a quorum of one stops with its voter");
        assert!(!risk(&[1, 2], &[1, 2], &[1]));
        assert!(risk(&[1, 2], &[1], &[1]));
        assert!(!risk(&[1, 2, 3], &[1, 2], &[7]), "no voter");
    }
}
