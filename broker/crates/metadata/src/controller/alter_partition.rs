//! AlterPartition: a leader changes the ISR of its partitions (KIP-497, KIP-704, KIP-903). No I/O.

use std::collections::BTreeSet;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId};

use super::change::Change;
use super::decision::{Context, Decision, Refused};
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
    /// The topic.
    pub topic: TopicId,
    /// The partition.
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

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartitionResult {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The partition as it is then, or why nothing changed.
    pub outcome: Result<AlteredPartition, Refused>,
}

/// A partition's state after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredPartition {
    /// The leader.
    pub leader: Option<NodeId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// The ISR.
    pub isr: Vec<NodeId>,
    /// Whether the leader has recovered.
    pub recovery: LeaderRecoveryState,
    /// The partition's epoch.
    pub partition_epoch: PartitionEpoch,
}

/// Takes a leader's changes; each partition stands for itself.
///
/// Errors of the whole: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH. Of one partition: UNKNOWN_TOPIC_ID,
/// UNKNOWN_TOPIC_OR_PARTITION, NOT_CONTROLLER (it knows later epochs than this image), FENCED_LEADER_EPOCH,
/// INVALID_REQUEST, INVALID_UPDATE_VERSION, INELIGIBLE_REPLICA, NEW_LEADER_ELECTED (the change ended a
/// reassignment after which another leads; it is made all the same).
pub fn alter_partition(
    context: Context<'_>,
    request: &AlterPartitionRequest,
) -> Result<Decision<Vec<AlterPartitionResult>>, Refused> {
    context.registered(request.broker, request.epoch)?;
    let mut decision = Decision::reply(Vec::new());
    let mut seen = BTreeSet::new();
    for item in &request.items {
        let outcome = if seen.insert((item.topic, item.partition)) {
            alter_one(context, request.broker, item)
        } else {
            Err(invalid(format!("partition {} of {} is named twice", item.partition, item.topic)))
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

fn invalid(message: String) -> Refused {
    Refused::new(ErrorCode::InvalidRequest, message)
}

fn state_after(broker: NodeId, partition: Partition) -> Result<AlteredPartition, Refused> {
    if partition.leader != Some(broker) {
        let leader = partition.leader.map_or("nobody".to_owned(), |id| format!("broker {id}"));
        let message = format!("the change ended a reassignment and {leader} leads now");
        return Err(Refused::new(ErrorCode::NewLeaderElected, message));
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
) -> Result<(Option<Record>, Partition), Refused> {
    let Some(topic) = context.image.topic_by_id(item.topic) else {
        let message = format!("no topic has the id {}", item.topic);
        return Err(Refused::new(ErrorCode::UnknownTopicId, message));
    };
    let Some(partition) = topic.partition(item.partition) else {
        let message = format!("topic {} has no partition {}", topic.name, item.partition);
        return Err(Refused::new(ErrorCode::UnknownTopicOrPartition, message));
    };
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

fn check_epochs(broker: NodeId, item: &AlterPartitionItem, partition: &Partition) -> Result<(), Refused> {
    if item.leader_epoch > partition.leader_epoch || item.partition_epoch > partition.partition_epoch {
        let message = "the leader knows of later changes than this controller";
        return Err(Refused::new(ErrorCode::NotController, message));
    }
    if item.leader_epoch < partition.leader_epoch {
        let message = format!("the leader epoch is {} by now", partition.leader_epoch);
        return Err(Refused::new(ErrorCode::FencedLeaderEpoch, message));
    }
    if partition.leader != Some(broker) {
        return Err(invalid(format!("broker {broker} does not lead the partition")));
    }
    if item.partition_epoch < partition.partition_epoch {
        let message = format!("the partition epoch is {} by now", partition.partition_epoch);
        return Err(Refused::new(ErrorCode::InvalidUpdateVersion, message));
    }
    Ok(())
}

fn check_isr(
    context: Context<'_>,
    topic: &Topic,
    item: &AlterPartitionItem,
    partition: &Partition,
) -> Result<(), Refused> {
    let isr: BTreeSet<NodeId> = item.isr.iter().map(|(id, _)| *id).collect();
    if isr.len() != item.isr.len() || !isr.iter().all(|id| partition.replicas.contains(id)) {
        return Err(invalid(format!("the ISR {isr:?} of {} is not among its replicas", topic.name)));
    }
    if !partition.leader.is_some_and(|leader| isr.contains(&leader)) {
        return Err(invalid("the ISR must hold its leader".to_owned()));
    }
    let recovering = item.recovery == LeaderRecoveryState::Recovering;
    if recovering && (isr.len() > 1 || partition.recovery == LeaderRecoveryState::Recovered) {
        return Err(invalid("a leader that recovers is alone in the ISR, and recovers once".to_owned()));
    }
    for (id, epoch) in &item.isr {
        let why = match context.image.broker(*id) {
            None => "is not registered",
            Some(broker) if broker.fenced => "is fenced",
            Some(broker) if broker.in_controlled_shutdown => "is shutting down",
            Some(broker) if epoch.is_some_and(|epoch| epoch != broker.epoch) => "has registered again since",
            Some(_) => continue,
        };
        return Err(Refused::new(ErrorCode::IneligibleReplica, format!("broker {id} {why}")));
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

    fn code(cluster: &Cluster, request: &AlterPartitionRequest) -> ErrorCode {
        let decision = alter_partition(cluster.context(), request).expect("the leader is registered");
        let outcome = &decision.reply[0].outcome;
        outcome.as_ref().map_or_else(|refused| refused.code, |_| ErrorCode::None)
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
        assert_eq!(code(&cluster, &later), ErrorCode::NotController);
        let later = with(|item| item.partition_epoch = PartitionEpoch(9));
        assert_eq!(code(&cluster, &later), ErrorCode::NotController);
        cluster.set_isr("t", 0, &[1, 3]);
        assert_eq!(code(&cluster, &good), ErrorCode::InvalidUpdateVersion);
        cluster.fence(1);
        assert_eq!(code(&cluster, &good), ErrorCode::FencedLeaderEpoch);
    }

    #[test]
    fn only_the_leader_of_a_known_partition_may_ask() {
        let cluster = cluster();
        let good = cluster.isr_request("t", 0, &[1, 2]);
        let follower = AlterPartitionRequest { broker: NodeId(2), epoch: cluster.epoch(2), ..good.clone() };
        assert_eq!(code(&cluster, &follower), ErrorCode::InvalidRequest);
        let mut unknown = good.clone();
        unknown.items[0].topic = TopicId(Uuid([1; 16]));
        assert_eq!(code(&cluster, &unknown), ErrorCode::UnknownTopicId);
        let mut unknown = good.clone();
        unknown.items[0].partition = PartitionIndex(5);
        assert_eq!(code(&cluster, &unknown), ErrorCode::UnknownTopicOrPartition);
        let stale = AlterPartitionRequest { epoch: BrokerEpoch(0), ..good };
        let refused = alter_partition(cluster.context(), &stale).expect_err("stale");
        assert_eq!(refused.code, ErrorCode::StaleBrokerEpoch);
    }

    #[test]
    fn an_isr_that_cannot_be_is_refused() {
        let cluster = cluster();
        for isr in [&[2, 3][..], &[1, 9], &[1, 1], &[]] {
            assert_eq!(
                code(&cluster, &cluster.isr_request("t", 0, isr)),
                ErrorCode::InvalidRequest,
                "{isr:?}"
            );
        }
        let mut recovering = cluster.isr_request("t", 0, &[1]);
        recovering.items[0].recovery = LeaderRecoveryState::Recovering;
        assert_eq!(code(&cluster, &recovering), ErrorCode::InvalidRequest);
    }

    #[test]
    fn members_that_do_not_run_as_the_leader_saw_them_are_ineligible() {
        let mut cluster = cluster();
        cluster.set_isr("t", 0, &[1]);
        let mut old_run = cluster.isr_request("t", 0, &[1, 2]);
        old_run.items[0].isr[1].1 = Some(BrokerEpoch(0));
        assert_eq!(code(&cluster, &old_run), ErrorCode::IneligibleReplica);
        cluster.fence(2);
        assert_eq!(code(&cluster, &cluster.isr_request("t", 0, &[1, 2])), ErrorCode::IneligibleReplica);
        cluster.topic("u", &[&[3, 1]], &[]);
        cluster.beat(3, false, true);
        assert_eq!(code(&cluster, &cluster.isr_request("t", 0, &[1, 3])), ErrorCode::IneligibleReplica);
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
        assert_eq!(outcome.expect_err("another leads").code, ErrorCode::NewLeaderElected);
        assert_eq!(cluster.state("t", 0), (vec![4, 2, 3], vec![2, 3, 4], vec![], Some(4)));
        assert!(!cluster.partition("t", 0).is_reassigning());
        assert_eq!(cluster.partition("t", 0).leader_epoch, LeaderEpoch(1));
    }
}
