//! From a running cluster to a model: Metadata, log directories, reassignments and cordons, by admin calls only.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use futures::StreamExt;
use ottla_broker_types::{NodeId, PartitionIndex, TopicName, TopicPartition};
use ottla_operator_kafka_admin::{
    AdminClient, AdminError, BrokerLogDirs, ClusterDescription, ConfigResource, TopicDescription,
};
use ottla_operator_planner::rebalance::{Broker, BrokerState, Capacity, Model, Partition};

use super::adjust::list;
use crate::brokers::observe::{CORDON_ALL, CORDON_SETTING};

/// Brokers asked at one time: enough to hide their answering times, few enough for everybody's sockets.
const ASKED_MAX: usize = 16;

/// What a running cluster tells.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Brokers that are down are in it as dead.
    pub(super) model: Model,
    /// Brokers that are down and have replicas.
    pub(super) down: BTreeSet<NodeId>,
    /// Brokers that take no new replicas.
    pub(super) cordoned: BTreeSet<NodeId>,
    /// Replicas on brokers that serve, but not in sync.
    pub(super) behind: BTreeSet<(TopicPartition, NodeId)>,
    /// What a reader of the plan should know.
    pub(super) remarks: Vec<String>,
}

/// What one broker tells of itself.
struct Told {
    id: NodeId,
    dirs: Result<BrokerLogDirs, AdminError>,
    is_cordoned: bool,
}

/// Reassignments that go on, with the brokers that each takes a replica from.
type Moving = BTreeMap<(String, PartitionIndex), Vec<NodeId>>;

/// Asks the cluster.
pub(super) async fn observe(admin: &AdminClient) -> anyhow::Result<Live> {
    let cluster = admin.describe_cluster().await.context("find the cluster's brokers")?;
    let topics = admin.describe_topics(None).await.context("list the topics")?;
    let ongoing = admin.list_reassignments().await.context("list reassignments that are going on")?;
    let serving = cluster.brokers.iter().filter(|broker| !broker.fenced).map(|broker| broker.id);
    let mut told: Vec<Told> =
        futures::stream::iter(serving).map(|id| ask(admin, id)).buffer_unordered(ASKED_MAX).collect().await;
    told.sort_by_key(|told| told.id);
    let moving: Moving =
        ongoing.into_iter().map(|moving| ((moving.topic, moving.partition), moving.removing)).collect();
    Ok(gather(&cluster, &topics, &moving, &told))
}

async fn ask(admin: &AdminClient, id: NodeId) -> Told {
    let dirs = admin.describe_log_dirs(id).await;
    let settings = admin.describe_configs(&ConfigResource::Broker(id)).await.unwrap_or_default();
    let cordon = settings.get(CORDON_SETTING).and_then(|entry| entry.value.as_deref());
    Told { id, dirs, is_cordoned: cordon == Some(CORDON_ALL) }
}

/// Puts together what was told.
fn gather(cluster: &ClusterDescription, topics: &[TopicDescription], moving: &Moving, told: &[Told]) -> Live {
    let mut live = Live::default();
    let sizes = sizes(told);
    let serving: BTreeSet<NodeId> = told.iter().map(|told| told.id).collect();
    let (mut holders, mut unsized_partitions) = (BTreeSet::new(), 0);
    for topic in topics {
        let Ok(name) = TopicName::new(&topic.name) else {
            live.remarks.push(format!("topic {:?} is left out: its name is not one of Kafka's", topic.name));
            continue;
        };
        for described in &topic.partitions {
            let key = (topic.name.as_str(), described.index);
            let of = |id: NodeId| sizes.get(&key).and_then(|of| of.get(&id)).copied();
            let of_leader = described.leader.and_then(of);
            let bytes = of_leader.or_else(|| described.replicas.iter().filter_map(|id| of(*id)).max());
            unsized_partitions += usize::from(bytes.is_none());
            // What goes on counts as done, so that the plan fits to how it ends.
            let removing = moving.get(&(topic.name.clone(), described.index));
            let stays = |id: &NodeId| removing.is_none_or(|removing| !removing.contains(id));
            let replicas = described.replicas.iter().copied().filter(stays).collect();
            let mut partition = Partition::new(name.clone(), described.index, replicas);
            partition.bytes = bytes.unwrap_or(0);
            partition.reassigning = removing.is_some();
            holders.extend(partition.replicas.iter().copied());
            let behind = described.replicas.iter().filter(|id| serving.contains(id));
            let behind = behind.filter(|id| !described.isr.contains(id));
            let named = || TopicPartition { topic: name.clone(), partition: described.index };
            live.behind.extend(behind.map(|id| (named(), *id)));
            live.model.partitions.push(partition);
        }
    }
    if unsized_partitions > 0 {
        live.remarks
            .push(format!("{unsized_partitions} partitions have a size that no broker told, taken as 0"));
    }
    add_brokers(&mut live, cluster, &holders, told);
    live
}

/// Bytes of each replica, by topic and partition, then broker.
fn sizes(told: &[Told]) -> BTreeMap<(&str, PartitionIndex), BTreeMap<NodeId, i64>> {
    let mut sizes: BTreeMap<(&str, PartitionIndex), BTreeMap<NodeId, i64>> = BTreeMap::new();
    for (id, dirs) in told.iter().filter_map(|told| Some((told.id, told.dirs.as_ref().ok()?))) {
        for ((topic, partition), replica) in &dirs.replicas {
            let bytes = i64::try_from(replica.bytes).unwrap_or(i64::MAX);
            sizes.entry((topic.as_str(), *partition)).or_default().insert(id, bytes);
        }
    }
    sizes
}

fn add_brokers(live: &mut Live, cluster: &ClusterDescription, holders: &BTreeSet<NodeId>, told: &[Told]) {
    let known: BTreeMap<NodeId, _> = cluster.brokers.iter().map(|broker| (broker.id, broker)).collect();
    let told: BTreeMap<NodeId, &Told> = told.iter().map(|told| (told.id, told)).collect();
    let ids: BTreeSet<NodeId> = known.keys().chain(holders).copied().collect();
    let (mut idle, mut silent) = (Vec::new(), Vec::new());
    for id in ids {
        let mut broker = Broker::new(id, known.get(&id).and_then(|broker| broker.rack.clone()));
        match told.get(&id) {
            Some(told) => {
                broker.capacity = Capacity { disk_bytes: disk_bytes(told), ..Capacity::default() };
                live.cordoned.extend(told.is_cordoned.then_some(id));
                silent.extend(told.dirs.as_ref().err().map(|error| (id, error)));
            }
            None => {
                broker.state = BrokerState::Dead;
                if holders.contains(&id) {
                    live.down.insert(id);
                } else {
                    idle.push(id);
                }
            }
        }
        live.model.brokers.push(broker);
    }
    if !idle.is_empty() {
        live.remarks.push(format!("brokers that are down and without replicas get none: {}", list(idle)));
    }
    if let Some((id, error)) = silent.first() {
        let others = silent.len() - 1;
        let others = if others == 0 { String::new() } else { format!(", nor did {others} others") };
        live.remarks.push(format!(
            "broker {id} did not tell its log directories{others} ({error}): sizes are those of other replicas"
        ));
    }
}

/// What Kafka's data may fill: what it fills already and what is free. `None` where the broker does not tell.
fn disk_bytes(told: &Told) -> Option<i64> {
    let dirs = told.dirs.as_ref().ok()?;
    let own: u64 = dirs.replicas.values().map(|replica| replica.bytes).fold(0, u64::saturating_add);
    Some(i64::try_from(own.saturating_add(dirs.usable_bytes?)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use ottla_operator_kafka_admin::{BrokerInfo, PartitionDescription, ReplicaSize};

    use super::*;

    fn broker(id: i32, fenced: bool) -> BrokerInfo {
        BrokerInfo { id: NodeId(id), host: "h".into(), port: 1, rack: Some(format!("r{id}")), fenced }
    }

    fn partition(index: i32, replicas: &[i32], isr: &[i32]) -> PartitionDescription {
        let ids = |ids: &[i32]| ids.iter().map(|id| NodeId(*id)).collect::<Vec<_>>();
        PartitionDescription {
            index: PartitionIndex(index),
            leader: isr.first().map(|id| NodeId(*id)),
            leader_epoch: None,
            replicas: ids(replicas),
            isr: ids(isr),
            offline: vec![],
        }
    }

    fn told(id: i32, sizes: &[(i32, u64)]) -> Told {
        let replica = |(index, bytes): &(i32, u64)| {
            (("t".to_owned(), PartitionIndex(*index)), ReplicaSize { bytes: *bytes, offset_lag: 0 })
        };
        let dirs = BrokerLogDirs {
            total_bytes: Some(10_000),
            usable_bytes: Some(1_000),
            replicas: sizes.iter().map(replica).collect(),
        };
        Told { id: NodeId(id), dirs: Ok(dirs), is_cordoned: id == 1 }
    }

    /// Broker 2 is down with a replica, broker 3 without one, broker 9 is forgotten.
    fn live() -> Live {
        let cluster = ClusterDescription {
            brokers: vec![broker(0, false), broker(1, false), broker(2, true), broker(3, true)],
            ..ClusterDescription::default()
        };
        let topic = TopicDescription {
            name: "t".to_owned(),
            id: None,
            internal: false,
            partitions: vec![
                partition(0, &[0, 1], &[0]),
                partition(1, &[2, 1, 0], &[1]),
                partition(2, &[9], &[]),
            ],
        };
        let moving = Moving::from([(("t".to_owned(), PartitionIndex(1)), vec![NodeId(0)])]);
        gather(&cluster, &[topic], &moving, &[told(0, &[(0, 50)]), told(1, &[(0, 70), (1, 30)])])
    }

    #[test]
    fn sizes_are_the_leaders_and_foreign_moves_count_as_done() {
        let partitions = live().model.partitions;
        assert_eq!(partitions.iter().map(|p| p.bytes).collect::<Vec<_>>(), [50, 30, 0]);
        assert_eq!(partitions.iter().map(|p| p.reassigning).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(partitions[1].replicas, [NodeId(2), NodeId(1)]);
    }

    #[test]
    fn brokers_that_are_down_are_dead_and_named_where_they_hold_replicas() {
        let live = live();
        let dead = live.model.brokers.iter().filter(|broker| broker.state == BrokerState::Dead);
        assert_eq!(dead.map(|broker| broker.id.get()).collect::<Vec<_>>(), [2, 3, 9]);
        assert_eq!(live.down, BTreeSet::from([NodeId(2), NodeId(9)]));
        assert_eq!(live.cordoned, BTreeSet::from([NodeId(1)]));
        assert!(live.remarks.iter().any(|remark| remark.contains("get none: 3")), "{:?}", live.remarks);
        assert!(live.remarks.iter().any(|remark| remark.contains("1 partitions")), "{:?}", live.remarks);
    }

    #[test]
    fn a_disk_holds_what_is_there_and_what_is_free() {
        let capacities: Vec<_> = live().model.brokers.iter().map(|b| b.capacity.disk_bytes).collect();
        assert_eq!(capacities, [Some(1_050), Some(1_100), None, None, None]);
    }

    #[test]
    fn a_replica_that_lags_is_remembered() {
        let behind = live().behind;
        assert_eq!(behind.iter().map(|(p, id)| format!("{p} {id}")).collect::<Vec<_>>(), ["t-0 1", "t-1 0"]);
    }
}
