//! Fencing: a broker whose lease ran out must not lead or count for acks. No I/O.

use ottla_broker_types::{BrokerEpoch, NodeId};

use super::decision::{Context, Decision, RegistrationError};
use super::isr_updates::broker_leaves;
use crate::record::{BrokerRegistrationChange, Record};

/// Fences a broker: it leaves every ISR, and others are elected where it led.
///
/// `epoch` is the registration whose lease ran out. A broker that is fenced already stays so, without a record.
pub fn fence_broker(
    context: Context<'_>,
    broker: NodeId,
    epoch: BrokerEpoch,
) -> Result<Decision<()>, RegistrationError> {
    if context.registered(broker, epoch)?.fenced {
        return Ok(Decision::reply(()));
    }
    Ok(Decision { records: fencing_records(context, broker, epoch), reply: () })
}

pub(crate) fn fencing_records(context: Context<'_>, broker: NodeId, epoch: BrokerEpoch) -> Vec<Record> {
    let mut records = broker_leaves(context, broker, false);
    records.push(Record::BrokerRegistrationChange(BrokerRegistrationChange {
        broker,
        epoch,
        fenced: Some(true),
        in_controlled_shutdown: None,
        log_dirs: None,
    }));
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    #[test]
    fn a_fenced_leader_is_replaced_from_the_isr() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[]);
        let before = cluster.partition("t", 0).clone();
        cluster.fence(1);
        let after = cluster.partition("t", 0);
        assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![2, 3], vec![], Some(2)));
        assert_eq!(after.leader_epoch, before.leader_epoch.next());
        assert_eq!(after.partition_epoch, before.partition_epoch.next());
    }

    #[test]
    fn a_fenced_follower_changes_no_leader_epoch() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        let before = cluster.partition("t", 0).leader_epoch;
        cluster.fence(2);
        assert_eq!(cluster.partition("t", 0).leader_epoch, before);
        assert_eq!(cluster.state("t", 0).1, [1]);
    }

    #[test]
    fn the_last_member_stays_in_the_isr_without_leading() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.fence(2);
        cluster.fence(1);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![1], vec![], None));
        cluster.unfence(2);
        assert_eq!(cluster.state("t", 0).3, None, "2 lacks records");
        cluster.unfence(1);
        assert_eq!(cluster.state("t", 0).3, Some(1));
    }

    #[test]
    fn an_eligible_replica_outside_the_isr_may_lead() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[("min.insync.replicas", "2")]);
        cluster.fence(3);
        cluster.fence(2);
        cluster.fence(1);
        assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![1], vec![2], None));
        cluster.unfence(3);
        assert_eq!(cluster.state("t", 0).3, None, "3 left while the high watermark could move");
        cluster.unfence(2);
        assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![2], vec![1], Some(2)));
    }

    #[test]
    fn unclean_election_happens_only_where_the_topic_allows_it() {
        for (allowed, leader) in [("false", None), ("true", Some(2))] {
            let mut cluster = Cluster::of(2);
            cluster.topic("t", &[&[1, 2]], &[("unclean.leader.election.enable", allowed)]);
            cluster.set_isr("t", 0, &[1]);
            cluster.fence(1);
            assert_eq!(cluster.state("t", 0).3, leader);
        }
    }

    #[test]
    fn fencing_twice_writes_nothing_and_an_old_epoch_is_refused() {
        let mut cluster = Cluster::of(1);
        cluster.fence(1);
        let again = fence_broker(cluster.context(), NodeId(1), cluster.epoch(1)).expect("it is registered");
        assert!(again.records.is_empty());
        let stale = fence_broker(cluster.context(), NodeId(1), BrokerEpoch(0)).expect_err("stale");
        assert!(matches!(stale, RegistrationError::StaleEpoch { given: BrokerEpoch(0), .. }), "{stale}");
        let unknown = fence_broker(cluster.context(), NodeId(9), BrokerEpoch(0)).expect_err("unknown");
        assert_eq!(unknown, RegistrationError::NotRegistered { broker: NodeId(9) });
    }
}
