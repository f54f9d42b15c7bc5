//! AlterPartition: a leader changes the ISR of its partitions (KIP-497, KIP-704, KIP-903). No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicName,
};

use super::change::Change;
use super::decision::{Context, Decision, RegistrationError};
use super::isr_updates::rules_of;
use crate::image::{Partition, Topic};
use crate::record::{LeaderRecoveryState, Record};

/// A leader's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionRequest {
    /// The leader.
    pub broker: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// What it wants.
    pub items: Vec<AlterPartitionItem>,
}

/// What it wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionItem {
    /// By id: a leader of a former topic of that name must not be heard.
    pub topic: TopicId,
    /// Its index within the topic.
    pub partition: PartitionIndex,
    /// The epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch on which it bases the request.
    pub partition_epoch: PartitionEpoch,
    /// The new ISR, each with the broker epoch that the leader saw it fetch with, if known.
    pub isr: Vec<(NodeId, Option<BrokerEpoch>)>,
    /// Whether it has recovered from an unclean election.
    pub recovery: LeaderRecoveryState,
}

/// Why a leader's ISR is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterPartitionError {
    /// Nobody can say which of the two is meant.
    #[error("partition {partition} of {topic} is named twice")]
    NamedTwice {
        /// By id, as asked.
        topic: TopicId,
        /// Its index, as asked.
        partition: PartitionIndex,
    },
    /// No topic has the id.
    #[error("no topic has the id {topic}")]
    UnknownTopic {
        /// The id as asked.
        topic: TopicId,
    },
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// Found by the id that was asked for.
        topic: TopicName,
        /// The partition as asked.
        partition: PartitionIndex,
    },
    /// The leader has seen metadata that this image lacks: another controller decides by now.
    #[error("the leader knows of later changes than this controller")]
    FromTheFuture,
    /// The leader was replaced.
    #[error("the leader epoch is {present} by now")]
    FencedLeaderEpoch {
        /// The epoch of the leader that there is.
        present: LeaderEpoch,
    },
    /// The epoch is the leader's, the broker is not.
    #[error("broker {broker} does not lead the partition")]
    NotLeader {
        /// Who asked.
        broker: NodeId,
    },
    /// The leader decided on a state that has changed since.
    #[error("the partition epoch is {present} by now")]
    StalePartitionEpoch {
        /// To base another attempt on.
        present: PartitionEpoch,
    },
    /// The ISR repeats members, or has some that are no replicas.
    #[error("the ISR {isr:?} of {topic} is not among its replicas")]
    NotReplicas {
        /// The members as asked.
        isr: BTreeSet<NodeId>,
        /// Found by the id that was asked for.
        topic: TopicName,
    },
    /// A leader cannot leave the ISR that it leads.
    #[error("the ISR must hold its leader")]
    WithoutLeader,
    /// The leader says that it recovers, which its ISR or its state belies.
    #[error("a leader that recovers is alone in the ISR, and recovers once")]
    Recovery,
    /// A member may not join now (KIP-841, KIP-903).
    #[error("broker {broker} {why}")]
    Ineligible {
        /// The member.
        broker: NodeId,
        /// What stands against it.
        why: Ineligible,
    },
    /// The change is made: it ended a reassignment, and the asker does not lead any more.
    #[error("the change ended a reassignment and {} leads now", leader_clause(*.leader))]
    NewLeaderElected {
        /// Who leads now.
        leader: Option<NodeId>,
    },
}

fn leader_clause(leader: Option<NodeId>) -> String {
    leader.map_or("nobody".to_owned(), |id| format!("broker {id}"))
}

/// What keeps a broker out of an ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ineligible {
    /// It was never there, or is gone for good.
    #[error("is not registered")]
    NotRegistered,
    /// It holds no lease.
    #[error("is fenced")]
    Fenced,
    /// It leaves in order.
    #[error("is shutting down")]
    ShuttingDown,
    /// The run that the leader saw fetch is over; the present one may have lost records.
    #[error("has registered again since")]
    OldEpoch,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionResult {
    /// By id: a leader of a former topic of that name must not be heard.
    pub topic: TopicId,
    /// Its index within the topic.
    pub partition: PartitionIndex,
    /// The partition as it is then, or why it is not as the leader wants.
    pub outcome: Result<AlteredPartition, AlterPartitionError>,
}

/// A partition's state after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The asker itself, or the answer would be [`AlterPartitionError::NewLeaderElected`].
    pub leader: Option<NodeId>,
    /// As before the change: an ISR change elects nobody.
    pub leader_epoch: LeaderEpoch,
    /// As committed; without those who were only there for a reassignment that it ended.
    pub isr: Vec<NodeId>,
    /// Whether the leader has recovered.
    pub recovery: LeaderRecoveryState,
    /// The base of the leader's next change.
    pub partition_epoch: PartitionEpoch,
}

/// Takes a leader's changes; each partition stands for itself.
pub fn alter_partition(
    context: Context<'_>,
    request: &AlterPartitionRequest,
) -> Result<Decision<Vec<AlterPartitionResult>>, RegistrationError> {
    context.registered(request.broker, request.epoch)?;
    let mut decision = Decision::reply(Vec::new());
    let mut seen = BTreeSet::new();
    for item in &request.items {
        let outcome = if seen.insert((item.topic, item.partition)) {
            alter_one(context, request.broker, item)
        } else {
            Err(AlterPartitionError::NamedTwice { topic: item.topic, partition: item.partition })
        };
        let outcome = outcome.and_then(|(record, partition)| {
            decision.records.extend(record);
            state_after(request.broker, partition)
        });
        let (topic, partition) = (item.topic, item.partition);
        decision.reply.push(AlterPartitionResult { topic, partition, outcome });
    }
    Ok(decision)
}

fn state_after(broker: NodeId, partition: Partition) -> Result<AlteredPartition, AlterPartitionError> {
    if partition.leader != Some(broker) {
        return Err(AlterPartitionError::NewLeaderElected { leader: partition.leader });
    }
    Ok(AlteredPartition {
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr,
        recovery: partition.recovery,
        partition_epoch: partition.partition_epoch,
    })
}

fn alter_one(
    context: Context<'_>,
    broker: NodeId,
    item: &AlterPartitionItem,
) -> Result<(Option<Record>, Partition), AlterPartitionError> {
    let topic = context.image.topic_by_id(item.topic);
    let topic = topic.ok_or(AlterPartitionError::UnknownTopic { topic: item.topic })?;
    let partition = topic.partition(item.partition).ok_or_else(|| AlterPartitionError::UnknownPartition {
        topic: topic.name.clone(),
        partition: item.partition,
    })?;
    check_epochs(broker, item, partition)?;
    check_isr(context, topic, item, partition)?;
    let (min_isr, election) = rules_of(context, topic);
    let isr = item.isr.iter().map(|(id, _)| *id).collect();
    let change = Change::new(context, topic, item.partition, partition, min_isr);
    let record = change.election(election).isr(isr).recovery(item.recovery).build();
    let after = match &record {
        Some(Record::PartitionChange(change)) => partition.changed(change),
        _ => partition.clone(),
    };
    Ok((record, after))
}

fn check_epochs(
    broker: NodeId,
    item: &AlterPartitionItem,
    partition: &Partition,
) -> Result<(), AlterPartitionError> {
    if item.leader_epoch > partition.leader_epoch || item.partition_epoch > partition.partition_epoch {
        return Err(AlterPartitionError::FromTheFuture);
    }
    if item.leader_epoch < partition.leader_epoch {
        return Err(AlterPartitionError::FencedLeaderEpoch { present: partition.leader_epoch });
    }
    if partition.leader != Some(broker) {
        return Err(AlterPartitionError::NotLeader { broker });
    }
    if item.partition_epoch < partition.partition_epoch {
        return Err(AlterPartitionError::StalePartitionEpoch { present: partition.partition_epoch });
    }
    Ok(())
}

fn check_isr(
    context: Context<'_>,
    topic: &Topic,
    item: &AlterPartitionItem,
    partition: &Partition,
) -> Result<(), AlterPartitionError> {
    let isr: BTreeSet<NodeId> = item.isr.iter().map(|(id, _)| *id).collect();
    if isr.len() != item.isr.len() || !isr.iter().all(|id| partition.replicas.contains(id)) {
        return Err(AlterPartitionError::NotReplicas { isr, topic: topic.name.clone() });
    }
    if !partition.leader.is_some_and(|leader| isr.contains(&leader)) {
        return Err(AlterPartitionError::WithoutLeader);
    }
    let recovering = item.recovery == LeaderRecoveryState::Recovering;
    if recovering && (isr.len() > 1 || partition.recovery == LeaderRecoveryState::Recovered) {
        return Err(AlterPartitionError::Recovery);
    }
    for (id, epoch) in &item.isr {
        let why = match context.image.broker(*id) {
            None => Ineligible::NotRegistered,
            Some(broker) if broker.fenced => Ineligible::Fenced,
            Some(broker) if broker.in_controlled_shutdown => Ineligible::ShuttingDown,
            Some(broker) if epoch.is_some_and(|epoch| epoch != broker.epoch) => Ineligible::OldEpoch,
            Some(_) => continue,
        };
        return Err(AlterPartitionError::Ineligible { broker: *id, why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{ReassignmentItem, alter_partition_reassignments};
    use crate::testing::{Cluster, ids};
    use ottla_broker_types::Uuid;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[]);
        cluster
    }

    fn refusal(cluster: &Cluster, request: &AlterPartitionRequest) -> AlterPartitionError {
        let decision = alter_partition(cluster.context(), request).expect("the leader is registered");
        decision.reply[0].outcome.clone().expect_err("it is refused")
    }

    fn ineligible(broker: i32, why: Ineligible) -> AlterPartitionError {
        AlterPartitionError::Ineligible { broker: NodeId(broker), why }
    }

    #[test]
    fn a_leader_shrinks_and_grows_the_isr() {
        let mut cluster = cluster();
        let altered = cluster.set_isr("t", 0, &[1, 3]).outcome.expect("it shrinks");
        assert_eq!((altered.isr, altered.leader), (ids(&[1, 3]), Some(NodeId(1))));
        assert_eq!(altered.leader_epoch, LeaderEpoch(0));
        assert_eq!(altered.partition_epoch, PartitionEpoch(1));
        cluster.set_isr("t", 0, &[1, 3, 2]).outcome.expect("it grows");
        assert_eq!(cluster.state("t", 0).1, [1, 3, 2]);
    }

    #[test]
    fn the_same_isr_again_writes_nothing_and_succeeds() {
        let cluster = cluster();
        let request = cluster.isr_request("t", 0, &[1, 2, 3]);
        let decision = alter_partition(cluster.context(), &request).expect("registered");
        assert!(decision.records.is_empty());
        assert!(decision.reply[0].outcome.is_ok());
    }

    #[test]
    fn epochs_decide_before_anything_else() {
        let mut cluster = cluster();
        let good = cluster.isr_request("t", 0, &[1, 2]);
        let with = |edit: fn(&mut AlterPartitionItem)| {
            let mut request = good.clone();
            edit(&mut request.items[0]);
            request
        };
        let later = with(|item| item.leader_epoch = LeaderEpoch(9));
        assert_eq!(refusal(&cluster, &later), AlterPartitionError::FromTheFuture);
        let later = with(|item| item.partition_epoch = PartitionEpoch(9));
        assert_eq!(refusal(&cluster, &later), AlterPartitionError::FromTheFuture);
        cluster.set_isr("t", 0, &[1, 3]);
        let stale = AlterPartitionError::StalePartitionEpoch { present: PartitionEpoch(1) };
        assert_eq!(refusal(&cluster, &good), stale);
        cluster.fence(1);
        let fenced = AlterPartitionError::FencedLeaderEpoch { present: LeaderEpoch(1) };
        assert_eq!(refusal(&cluster, &good), fenced);
    }

    #[test]
    fn only_the_leader_of_a_known_partition_may_ask() {
        let cluster = cluster();
        let good = cluster.isr_request("t", 0, &[1, 2]);
        let follower = AlterPartitionRequest { broker: NodeId(2), epoch: cluster.epoch(2), ..good.clone() };
        assert_eq!(refusal(&cluster, &follower), AlterPartitionError::NotLeader { broker: NodeId(2) });
        let mut unknown = good.clone();
        let topic = TopicId(Uuid([1; 16]));
        unknown.items[0].topic = topic;
        assert_eq!(refusal(&cluster, &unknown), AlterPartitionError::UnknownTopic { topic });
        let mut unknown = good.clone();
        unknown.items[0].partition = PartitionIndex(5);
        let refused = refusal(&cluster, &unknown);
        assert!(matches!(refused, AlterPartitionError::UnknownPartition { .. }), "{refused}");
        let stale = AlterPartitionRequest { epoch: BrokerEpoch(0), ..good };
        let refused = alter_partition(cluster.context(), &stale).expect_err("stale");
        assert!(matches!(refused, RegistrationError::StaleEpoch { .. }), "{refused}");
    }

    #[test]
    fn an_isr_that_cannot_be_is_refused() {
        let cluster = cluster();
        for isr in [&[1, 9][..], &[1, 1]] {
            let refused = refusal(&cluster, &cluster.isr_request("t", 0, isr));
            assert!(matches!(refused, AlterPartitionError::NotReplicas { .. }), "{isr:?}: {refused}");
        }
        for isr in [&[2, 3][..], &[]] {
            let refused = refusal(&cluster, &cluster.isr_request("t", 0, isr));
            assert_eq!(refused, AlterPartitionError::WithoutLeader, "{isr:?}");
        }
        let mut recovering = cluster.isr_request("t", 0, &[1]);
        recovering.items[0].recovery = LeaderRecoveryState::Recovering;
        assert_eq!(refusal(&cluster, &recovering), AlterPartitionError::Recovery);
    }

    #[test]
    fn members_that_do_not_run_as_the_leader_saw_them_are_ineligible() {
        let mut cluster = cluster();
        cluster.set_isr("t", 0, &[1]);
        let mut old_run = cluster.isr_request("t", 0, &[1, 2]);
        old_run.items[0].isr[1].1 = Some(BrokerEpoch(0));
        assert_eq!(refusal(&cluster, &old_run), ineligible(2, Ineligible::OldEpoch));
        cluster.fence(2);
        let fenced = cluster.isr_request("t", 0, &[1, 2]);
        assert_eq!(refusal(&cluster, &fenced), ineligible(2, Ineligible::Fenced));
        cluster.topic("u", &[&[3, 1]], &[]);
        cluster.beat(3, false, true);
        let leaving = cluster.isr_request("t", 0, &[1, 3]);
        assert_eq!(refusal(&cluster, &leaving), ineligible(3, Ineligible::ShuttingDown));
    }

    #[test]
    fn the_isr_change_that_completes_the_target_ends_the_reassignment() {
        let mut cluster = Cluster::of(4);
        cluster.topic("t", &[&[1, 2, 3]], &[]);
        let item = ReassignmentItem {
            topic: "t".into(),
            partition: PartitionIndex(0),
            target: Some(ids(&[4, 2, 3])),
        };
        let decision = alter_partition_reassignments(cluster.context(), &[item], true).expect("it starts");
        cluster.take(decision);
        assert_eq!(cluster.state("t", 0).0, [4, 2, 3, 1]);
        let outcome = cluster.set_isr("t", 0, &[1, 2, 3, 4]).outcome;
        let elected = AlterPartitionError::NewLeaderElected { leader: Some(NodeId(4)) };
        assert_eq!(outcome.expect_err("another leads"), elected);
        assert_eq!(cluster.state("t", 0), (vec![4, 2, 3], vec![2, 3, 4], vec![], Some(4)));
        assert!(!cluster.partition("t", 0).is_reassigning());
        assert_eq!(cluster.partition("t", 0).leader_epoch, LeaderEpoch(1));
    }
}
