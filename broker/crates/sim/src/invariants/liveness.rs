//! When the faults stop, the cluster heals: every partition is led, all replicas are in sync and everything is
//! committed, every producer has its answers, also for a batch that it began after the faults, and every consumer has
//! read to the end.
//!
//! Source: an ISR that never grew back, and consumers stuck for ever, were found in peers by their own system tests
//! and by Jepsen. No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, Offset, TopicPartition};

use super::violation::Violation;

/// One replica after the time to heal.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "partition and node are there to be shown with a violation")]
pub struct HealedReplica {
    /// Of which it is a replica.
    pub partition: TopicPartition,
    /// Where it lies.
    pub node: NodeId,
    /// The ISR, if it leads.
    pub isr: Option<BTreeSet<NodeId>>,
    /// First offset that it does not know to be committed.
    pub high_watermark: Offset,
    /// First offset that it does not have.
    pub log_end: Offset,
}

/// Checks one partition's replicas; `replication_factor` of them should be in sync.
pub fn check_healed(replicas: &[HealedReplica], replication_factor: usize) -> Result<(), Violation> {
    let leaders: Vec<_> = replicas.iter().filter(|replica| replica.isr.is_some()).collect();
    let [leader] = leaders[..] else {
        return Err(violation(format!("{} leaders: {replicas:?}", leaders.len())));
    };
    let in_sync = leader.isr.as_ref().map_or(0, BTreeSet::len);
    if in_sync != replication_factor {
        return Err(violation(format!("the ISR has {in_sync} members: {replicas:?}")));
    }
    let settled = |replica: &HealedReplica| {
        replica.high_watermark == leader.log_end && replica.log_end == leader.log_end
    };
    if replicas.iter().all(settled) {
        return Ok(());
    }
    Err(violation(format!("not all is committed everywhere: {replicas:?}")))
}

/// Checks that a consumer, whose next offset is `read_next`, has read all of a log that ends at `log_end`.
pub fn check_reader(
    partition: &TopicPartition,
    read_next: Option<Offset>,
    log_end: Offset,
) -> Result<(), Violation> {
    match read_next {
        Some(next) if next < log_end => {
            Err(violation(format!("{partition}: a consumer waits at {next}, the log ends at {log_end}")))
        }
        _ => Ok(()),
    }
}

/// Checks that every member of the group is at home, with what it owns, and that they own all `partitions` together.
pub fn check_group(
    owned: &[Option<Vec<TopicPartition>>],
    partitions: &[TopicPartition],
) -> Result<(), Violation> {
    let held: Vec<_> = owned.iter().flatten().flatten().collect();
    let all_held = partitions.iter().all(|at| held.iter().filter(|held| **held == at).count() == 1);
    if all_held && owned.iter().all(Option::is_some) {
        return Ok(());
    }
    Err(violation(format!("the members of the group own {owned:?}, of {partitions:?}")))
}

/// Checks that no producer waits any more.
pub fn unanswered(values: &[u64]) -> Result<(), Violation> {
    if values.is_empty() {
        return Ok(());
    }
    Err(violation(format!("never acknowledged: {values:?}")))
}

fn violation(seen: String) -> Violation {
    Violation::new("liveness", seen)
}

#[cfg(test)]
mod tests {
    use super::super::testing::partition;
    use super::*;

    fn replica(node: i32, isr: Option<&[i32]>, high_watermark: i64) -> HealedReplica {
        HealedReplica {
            partition: partition(),
            node: NodeId(node),
            isr: isr.map(|nodes| nodes.iter().copied().map(NodeId).collect()),
            high_watermark: Offset::clamped(high_watermark),
            log_end: Offset::clamped(9),
        }
    }

    #[test]
    fn a_missing_leader_a_short_isr_and_a_late_high_watermark_are_violations() {
        assert!(check_healed(&[replica(1, Some(&[1, 2]), 9), replica(2, None, 9)], 2).is_ok());
        assert!(check_healed(&[replica(1, None, 9), replica(2, None, 9)], 2).is_err());
        assert!(check_healed(&[replica(1, Some(&[1]), 9), replica(2, None, 9)], 2).is_err());
        assert!(check_healed(&[replica(1, Some(&[1, 2]), 9), replica(2, None, 8)], 2).is_err());
    }

    #[test]
    fn a_member_that_is_outside_and_a_partition_without_an_owner_are_violations() {
        let owns = || Some(vec![partition()]);
        assert!(check_group(&[owns(), Some(Vec::new())], &[partition()]).is_ok());
        assert!(check_group(&[owns(), None], &[partition()]).is_err());
        assert!(check_group(&[Some(Vec::new())], &[partition()]).is_err());
        assert!(check_group(&[owns(), owns()], &[partition()]).is_err());
    }

    #[test]
    fn a_consumer_that_is_stuck_before_the_end_is_a_violation() {
        let check = |next| check_reader(&partition(), Some(Offset::clamped(next)), Offset::clamped(9));
        assert!(check(9).is_ok());
        assert!(check(8).is_err());
        assert!(check_reader(&partition(), None, Offset::clamped(9)).is_ok(), "it does not read this one");
    }
}
