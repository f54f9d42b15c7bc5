//! What holds after any sequence of decisions, tried on random ones. No I/O.
//!
//! Beside the image runs a model of the replicas' logs: how many records each holds in common with the leader,
//! and how many were acknowledged with acks=all. It decides whether who leads holds what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{DirectoryId, NodeId, Offset, PartitionIndex, Uuid};
use proptest::prelude::*;

use crate::controller::{
    ConfigAlteration, ConfigOp, ELR_FEATURE, ElectionType, NewPartitions, ReassignmentItem, Seed,
    alter_partition_reassignments, create_partitions, elect_leaderless, elect_leaders,
    incremental_alter_configs, rebalance_leaders, unregister_broker,
};
use crate::image::{Image, Partition, decode_snapshot, encode_snapshot};
use crate::record::{ConfigResource, Record, decode, encode};
use crate::testing::Cluster;

const BROKERS: i32 = 5;
const TOPIC: &str = "t";

#[derive(Clone, Debug)]
enum Step {
    Produce(i32),
    Fence(i32),
    Unfence(i32),
    Restart { broker: i32, clean: bool },
    ReplaceDisk(i32),
    ShutDown(i32),
    Unregister(i32),
    SetIsr { partition: i32, members: u8 },
    Reassign { partition: i32, target: Vec<i32>, factor_may_change: bool },
    Cancel(i32),
    Elect(bool),
    Balance,
    Grow,
    Set { name: &'static str, value: &'static str },
    EligibleReplicas(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let broker = || 1..=BROKERS;
    let partition = || 0..3;
    let target = prop::sample::subsequence((1..=BROKERS).collect::<Vec<_>>(), 1..=4).prop_shuffle();
    prop_oneof![
        6 => partition().prop_map(Step::Produce),
        4 => broker().prop_map(Step::Fence),
        6 => broker().prop_map(Step::Unfence),
        3 => (broker(), any::<bool>()).prop_map(|(broker, clean)| Step::Restart { broker, clean }),
        1 => broker().prop_map(Step::ReplaceDisk),
        2 => broker().prop_map(Step::ShutDown),
        1 => broker().prop_map(Step::Unregister),
        8 => (partition(), any::<u8>()).prop_map(|(partition, members)| Step::SetIsr { partition, members }),
        3 => (partition(), target, any::<bool>()).prop_map(|(partition, target, factor_may_change)| {
            Step::Reassign { partition, target, factor_may_change }
        }),
        1 => partition().prop_map(Step::Cancel),
        1 => any::<bool>().prop_map(Step::Elect),
        1 => Just(Step::Balance),
        1 => Just(Step::Grow),
        1 => prop::sample::select(vec!["1", "2", "3"])
            .prop_map(|value| Step::Set { name: "min.insync.replicas", value }),
        1 => prop::sample::select(vec!["false", "false", "true"])
            .prop_map(|value| Step::Set { name: "unclean.leader.election.enable", value }),
        1 => any::<bool>().prop_map(Step::EligibleReplicas),
    ]
}

#[derive(Clone, Default)]
struct Logs {
    acknowledged: u64,
    held: BTreeMap<NodeId, u64>,
    /// Records may be gone: by an election that was asked for, or since no replica was eligible.
    loss_allowed: bool,
}

struct World {
    cluster: Cluster,
    logs: BTreeMap<PartitionIndex, Logs>,
    run: u8,
    history: Vec<Record>,
}

impl World {
    fn new() -> World {
        let mut cluster = Cluster::of(BROKERS);
        cluster.topic(TOPIC, &[&[1, 2, 3], &[3, 4, 5], &[2, 5, 1]], &[("min.insync.replicas", "2")]);
        World { cluster, logs: BTreeMap::new(), run: 1, history: Vec::new() }
    }

    fn partitions(image: &Image) -> BTreeMap<PartitionIndex, Partition> {
        image.partitions().map(|(_, index, partition)| (index, partition.clone())).collect()
    }

    fn take(&mut self, records: Vec<Record>) {
        self.cluster.commit(&records);
        self.history.extend(records);
    }

    fn is_registered(&self, id: i32) -> bool {
        self.cluster.image.broker(NodeId(id)).is_some()
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Produce(partition) => self.produce(PartitionIndex(*partition)),
            Step::Fence(id) if self.is_registered(*id) => self.cluster.fence(*id),
            Step::Unfence(id) if self.is_registered(*id) => drop(self.cluster.beat(*id, false, false)),
            Step::Restart { broker, clean } => self.restart(*broker, *clean, false),
            Step::ReplaceDisk(id) => self.restart(*id, false, true),
            Step::ShutDown(id) if self.is_registered(*id) => drop(self.cluster.beat(*id, false, true)),
            Step::Unregister(id) => {
                if let Ok(decision) = unregister_broker(self.cluster.context(), NodeId(*id)) {
                    self.take(decision.records);
                }
            }
            Step::SetIsr { partition, members } => self.set_isr(*partition, *members),
            Step::Reassign { partition, target, factor_may_change } => {
                let target = Some(target.iter().copied().map(NodeId).collect());
                self.reassign(*partition, target, *factor_may_change);
            }
            Step::Cancel(partition) => self.reassign(*partition, None, true),
            Step::Elect(unclean) => {
                let kind = if *unclean { ElectionType::Unclean } else { ElectionType::Preferred };
                let records = elect_leaders(self.cluster.context(), kind, None).records;
                self.take(records);
            }
            Step::Balance => {
                let mut records = rebalance_leaders(self.cluster.context(), 100).records;
                self.take(std::mem::take(&mut records));
                let records = elect_leaderless(self.cluster.context()).records;
                self.take(records);
            }
            Step::Grow => self.grow(),
            Step::Set { name, value } => self.set(name, value),
            Step::EligibleReplicas(on) => {
                let name = ELR_FEATURE.to_owned();
                self.take(vec![Record::FeatureLevel { name, level: i16::from(*on) }]);
            }
            _ => {}
        }
    }

    /// acks=all: every member of the ISR holds the record before it is acknowledged.
    fn produce(&mut self, index: PartitionIndex) {
        let partition = self.cluster.partition(TOPIC, index.0).clone();
        let min_isr = self.cluster.context().min_insync_replicas(TOPIC).min(partition.replicas.len());
        let Some(leader) = partition.leader else { return };
        let logs = self.logs.entry(index).or_default();
        let length = logs.held.get(&leader).copied().unwrap_or(0) + 1;
        if partition.isr.len() >= min_isr {
            partition.isr.iter().for_each(|id| {
                logs.held.insert(*id, length);
            });
            logs.acknowledged = logs.acknowledged.max(length);
        } else {
            logs.held.insert(leader, length);
        }
    }

    fn restart(&mut self, id: i32, clean: bool, empty_disk: bool) {
        self.run += 1;
        let mut request = self.cluster.registration(id, self.run);
        let known =
            self.cluster.image.broker(NodeId(id)).map(|broker| (broker.epoch, broker.log_dirs.clone()));
        if let Some((epoch, log_dirs)) = known {
            request.previous_epoch = clean.then_some(epoch);
            request.log_dirs = log_dirs;
        }
        if empty_disk {
            request.log_dirs = vec![DirectoryId(Uuid([self.run; 16]))];
        }
        let elr_enabled = self.cluster.context().elr_enabled();
        let before = World::partitions(&self.cluster.image);
        self.cluster.register(&request, false).expect("a registration that is well-formed is taken");
        if clean {
            return;
        }
        for (index, logs) in &mut self.logs {
            let others = |p: &Partition| {
                let eligible = p.isr.iter().chain(&p.elr);
                eligible.into_iter().any(|other| *other != NodeId(id))
            };
            let was_eligible =
                before[index].isr.contains(&NodeId(id)) || before[index].elr.contains(&NodeId(id));
            logs.loss_allowed |= was_eligible && (!elr_enabled || !others(&before[index]));
            logs.held.insert(NodeId(id), 0);
        }
    }

    /// Asks for the active replicas of a random choice; those that join hold what the leader holds.
    fn set_isr(&mut self, index: i32, members: u8) {
        let partition = self.cluster.partition(TOPIC, index).clone();
        let Some(leader) = partition.leader else { return };
        let wanted =
            |id: &NodeId| *id == leader || (members >> id.0 & 1 == 1 && self.cluster.image.is_active(*id));
        let isr: Vec<i32> = partition.replicas.iter().copied().filter(wanted).map(|id| id.0).collect();
        let logs = self.logs.entry(PartitionIndex(index)).or_default();
        let length = logs.held.get(&leader).copied().unwrap_or(0);
        for id in isr.iter().copied().map(NodeId).filter(|id| !partition.isr.contains(id)) {
            logs.held.insert(id, length);
        }
        drop(self.cluster.set_isr(TOPIC, index, &isr));
    }

    fn reassign(&mut self, index: i32, target: Option<Vec<NodeId>>, factor_may_change: bool) {
        let partition = PartitionIndex(index);
        let item = ReassignmentItem { topic: TOPIC.into(), partition, target };
        let decision = alter_partition_reassignments(self.cluster.context(), &[item], factor_may_change);
        self.take(decision.expect("one item").records);
    }

    fn grow(&mut self) {
        let count = self.cluster.image.topic(TOPIC).expect("it exists").partition_count();
        if count < 6 {
            let request =
                NewPartitions { topic: TOPIC.to_owned(), count: count as i32 + 1, assignments: None };
            let decision = create_partitions(self.cluster.context(), &[request], false, Seed(count as u64));
            self.take(decision.records);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        let change = ConfigAlteration { name, op: ConfigOp::Set, value };
        let alteration = (ConfigResource::Topic(TOPIC.to_owned()), vec![change]);
        let decision = incremental_alter_configs(self.cluster.context(), &[alteration], false);
        self.take(decision.records);
    }

    /// Compares the partitions before and after a step.
    fn check(&mut self, step: &Step, before: &BTreeMap<PartitionIndex, Partition>, unclean_allowed: bool) {
        for (index, after) in World::partitions(&self.cluster.image) {
            check_shape(&self.cluster.image, &after);
            if let Some(before) = before.get(&index) {
                check_step(step, index, before, &after);
                self.check_leader(step, index, before, &after, unclean_allowed);
            }
        }
    }

    fn check_leader(
        &mut self,
        step: &Step,
        index: PartitionIndex,
        before: &Partition,
        after: &Partition,
        unclean_allowed: bool,
    ) {
        let Some(leader) = after.leader else { return };
        let logs = self.logs.entry(index).or_default();
        if after.leader != before.leader {
            // A reassignment may have ended in the same step, so those who just joined count too.
            let joined = matches!(step, Step::SetIsr { .. }) && after.isr.contains(&leader);
            let eligible = before.isr.contains(&leader) || before.elr.contains(&leader) || joined;
            let asked_for = unclean_allowed || matches!(step, Step::Elect(true));
            assert!(
                eligible || asked_for,
                "{leader} was elected without being eligible: {before:?} {after:?}"
            );
            logs.loss_allowed |= !eligible;
            let length = logs.held.get(&leader).copied().unwrap_or(0);
            logs.held.values_mut().for_each(|held| *held = (*held).min(length));
        }
        let length = logs.held.get(&leader).copied().unwrap_or(0);
        if logs.loss_allowed && length < logs.acknowledged {
            *logs = Logs { acknowledged: length, held: std::mem::take(&mut logs.held), loss_allowed: false };
        }
        assert!(length >= logs.acknowledged, "{leader} lacks acknowledged records: {before:?} {after:?}");
    }
}

fn check_shape(image: &Image, p: &Partition) {
    let distinct = |list: &[NodeId]| list.iter().collect::<BTreeSet<_>>().len() == list.len();
    let within = |list: &[NodeId]| distinct(list) && list.iter().all(|id| p.replicas.contains(id));
    assert!(!p.replicas.is_empty() && distinct(&p.replicas), "{p:?}");
    assert!(!p.isr.is_empty() && within(&p.isr), "{p:?}");
    assert!(within(&p.elr) && !p.elr.iter().any(|id| p.isr.contains(id)), "{p:?}");
    assert!(within(&p.adding) && within(&p.removing), "{p:?}");
    assert!(!p.adding.iter().any(|id| p.removing.contains(id)), "{p:?}");
    assert_eq!(p.directories.len(), p.replicas.len(), "{p:?}");
    if let Some(leader) = p.leader {
        assert!(p.isr.contains(&leader) && image.is_active(leader), "{p:?}");
        assert!(p.isr.iter().all(|id| image.is_active(*id)), "{p:?}");
    }
}

fn check_step(step: &Step, index: PartitionIndex, before: &Partition, after: &Partition) {
    assert!(after.leader_epoch >= before.leader_epoch && after.partition_epoch >= before.partition_epoch);
    if before != after {
        assert!(after.partition_epoch > before.partition_epoch);
    }
    if before.leader != after.leader {
        assert!(after.leader_epoch > before.leader_epoch);
    }
    match step {
        Step::Reassign { partition, target, factor_may_change } if *partition == index.0 => {
            let target: Vec<NodeId> = target.iter().copied().map(NodeId).collect();
            let asked = after.target_replicas() == target;
            let same_factor = after.target_replicas().len() == before.settled_replicas().len();
            assert!(
                before == after || (asked && (*factor_may_change || same_factor)),
                "{before:?} {after:?}"
            );
        }
        Step::Cancel(partition) if *partition == index.0 => {
            assert!(before == after || after.replicas == before.settled_replicas(), "{before:?} {after:?}");
        }
        // The end of a reassignment leaves the target, in its order; nothing else changes who shall hold it.
        _ => assert_eq!(after.target_replicas(), before.target_replicas()),
    }
    if !after.is_reassigning() {
        assert_eq!(after.replicas, after.target_replicas());
    }
}

fn check_codec(image: &Image, history: &[Record]) {
    for record in history.iter().chain(&image.snapshot_records()) {
        let bytes = encode(record).expect("every record can be written");
        assert_eq!(decode(&bytes).as_ref(), Ok(record));
    }
    let snapshot = encode_snapshot(image).expect("every image can be written");
    assert_eq!(decode_snapshot(&snapshot, image.applied_end()).as_ref(), Ok(image));
    assert_eq!(
        Image::from_snapshot_records(&image.snapshot_records(), image.applied_end()).as_ref(),
        Ok(image)
    );
}

proptest! {
    #[test]
    fn any_sequence_of_decisions_keeps_the_invariants(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            let before = World::partitions(&world.cluster.image);
            let unclean_allowed = world.cluster.context().unclean_allowed(TOPIC);
            world.run(step);
            world.check(step, &before, unclean_allowed);
        }
        check_codec(&world.cluster.image, &world.history);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes));
        drop(decode_snapshot(&bytes, Offset::ZERO));
    }
}
