//! What topics are created, grown, configured, left alone or refused.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{DurationMs, NodeId, PartitionIndex, TimestampMs};
use ottla_operator_crd::conditions::{READY, RECONCILING, STALLED, holds};
use ottla_operator_crd::{KafkaTopicStatus, ValidatedTopic};

use super::{Claimant, Host, TopicAction, TopicFacts, TopicInput, TopicPlan, Unseen, owner, plan, unseen};
use crate::testing::partition;

fn topic(spec: &str) -> ValidatedTopic {
    let mut spec: serde_json::Value =
        if spec.is_empty() { serde_json::json!({}) } else { serde_saphyr::from_str(spec).expect("YAML") };
    spec["cluster"] = "demo".into();
    let object = serde_json::json!({
        "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaTopic", "spec": spec,
        "metadata": { "name": "flights", "namespace": "default", "generation": 1 },
    });
    ValidatedTopic::new(&serde_json::from_value(object).expect("it fits the type")).expect("it is valid")
}

fn hosts(racks: &[&str]) -> Vec<Host> {
    let hosts = racks.iter().enumerate().map(|(id, rack)| Host {
        id: NodeId(i32::try_from(id).expect("few hosts")),
        rack: Some((*rack).to_owned()),
        replicas: 0,
    });
    hosts.collect()
}

fn facts(replicas: &[&[i32]]) -> TopicFacts {
    let partitions = replicas
        .iter()
        .enumerate()
        .map(|(index, ids)| (PartitionIndex(i32::try_from(index).expect("few")), partition(ids, ids)));
    TopicFacts { id: Some("x".to_owned()), partitions: partitions.collect(), config: Some(BTreeMap::new()) }
}

fn plan_of(spec: &str, former: &KafkaTopicStatus, facts: Option<&TopicFacts>) -> TopicPlan {
    let hosts = hosts(&["a", "b", "c", "a"]);
    plan(&TopicInput { topic: &topic(spec), former, facts, hosts: &hosts, now: TimestampMs(0) })
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_missing_topic_is_made_as_asked() {
    let plan = plan_of("partitions: 2\nreplicationFactor: 3", &KafkaTopicStatus::default(), None);
    let create =
        TopicAction::Create { partitions: Some(2), replication_factor: Some(3), config: BTreeMap::new() };
    assert_eq!(plan.actions, [create]);
    assert!(plan.busy && !holds(&plan.status.conditions, READY));
}

#[test]
fn settings_of_a_topic_without_effect_are_told() {
    let spec = "config: {cleanup.policy: compact, compression.type: gzip, retention.ms: 5}";
    let plan = plan_of(spec, &KafkaTopicStatus::default(), None);
    let [note] = plan.status.notes.as_slice() else { panic!("{:?}", plan.status.notes) };
    assert!(note.starts_with("compression.type has no effect: "), "{note}");
}

#[test]
fn a_topic_as_asked_is_ready_and_left_alone() {
    let facts = facts(&[&[0, 1, 2], &[1, 2, 0]]);
    let former = KafkaTopicStatus::default();
    let first = plan_of("partitions: 2\nreplicationFactor: 3", &former, Some(&facts));
    assert!(first.actions.is_empty() && !first.busy && holds(&first.status.conditions, READY));
    assert_eq!((first.status.partitions, first.status.replication_factor), (Some(2), Some(3)));
    let second = plan_of("partitions: 2\nreplicationFactor: 3", &first.status, Some(&facts));
    assert_eq!(first, second);
}

#[test]
fn adoption_keeps_settings_made_by_hand() {
    let mut facts = facts(&[&[0]]);
    facts.config = Some(texts(&[("retention.ms", "5"), ("segment.ms", "7")]));
    let former = KafkaTopicStatus::default();
    assert_eq!(plan_of("", &former, Some(&facts)).actions, []);
    let plan = plan_of("config: {retention.ms: 6}", &former, Some(&facts));
    let set = texts(&[("retention.ms", "6")]);
    assert_eq!(plan.actions, [TopicAction::Configure { set, delete: BTreeSet::new() }]);
    assert_eq!(plan.status.managed_config, ["retention.ms"]);
}

#[test]
fn a_setting_named_no_more_goes_back_to_its_default() {
    let mut facts = facts(&[&[0]]);
    facts.config = Some(texts(&[("retention.ms", "5"), ("segment.ms", "7")]));
    let former =
        KafkaTopicStatus { managed_config: vec!["retention.ms".to_owned()], ..KafkaTopicStatus::default() };
    let plan = plan_of("", &former, Some(&facts));
    let delete = BTreeSet::from(["retention.ms".to_owned()]);
    assert_eq!(plan.actions, [TopicAction::Configure { set: BTreeMap::new(), delete }]);
    assert_eq!(plan.status.managed_config, ["retention.ms"]);
    facts.config = Some(texts(&[("segment.ms", "7")]));
    let after = plan_of("", &plan.status, Some(&facts));
    assert!(after.actions.is_empty() && after.status.managed_config.is_empty());
}

#[test]
fn partitions_grow_and_never_shrink() {
    let facts = facts(&[&[0], &[1]]);
    let former = KafkaTopicStatus::default();
    assert_eq!(
        plan_of("partitions: 3", &former, Some(&facts)).actions,
        [TopicAction::Grow { partitions: 3 }]
    );
    let shrink = plan_of("partitions: 1", &former, Some(&facts));
    assert!(shrink.actions.is_empty() && holds(&shrink.status.conditions, STALLED));
    assert_eq!(shrink.status.partitions, Some(2));
}

#[test]
fn more_copies_go_to_new_racks_first() {
    let facts = facts(&[&[0]]);
    let plan = plan_of("replicationFactor: 3", &KafkaTopicStatus::default(), Some(&facts));
    let [TopicAction::Reassign(changes)] = plan.actions.as_slice() else { panic!("{:?}", plan.actions) };
    assert_eq!(changes[0].replicas, [0, 1, 2].map(NodeId));
}

#[test]
fn fewer_copies_keep_the_leader_and_the_racks() {
    let facts = facts(&[&[0, 3, 1, 2]]);
    let plan = plan_of("replicationFactor: 3", &KafkaTopicStatus::default(), Some(&facts));
    let [TopicAction::Reassign(changes)] = plan.actions.as_slice() else { panic!("{:?}", plan.actions) };
    assert_eq!(changes[0].replicas, [0, 1, 2].map(NodeId));
}

#[test]
fn more_copies_than_brokers_are_refused_with_the_way_out() {
    let facts = facts(&[&[0]]);
    let plan = plan_of("replicationFactor: 5", &KafkaTopicStatus::default(), Some(&facts));
    assert!(plan.actions.is_empty() && holds(&plan.status.conditions, STALLED));
    assert!(plan.status.conditions[0].message.contains("lower it or add brokers"));
}

#[test]
fn a_running_change_of_copies_is_waited_for() {
    let mut facts = facts(&[&[0, 1]]);
    let moving = facts.partitions.get_mut(&PartitionIndex(0)).expect("it is there");
    moving.adding = vec![NodeId(1)];
    moving.isr = BTreeSet::from([NodeId(0)]);
    let plan = plan_of("replicationFactor: 2", &KafkaTopicStatus::default(), Some(&facts));
    assert!(plan.actions.is_empty() && plan.busy && !holds(&plan.status.conditions, READY));
}

fn ready(status: &KafkaTopicStatus) -> (&str, &str, Option<i64>) {
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY).expect("it is said");
    (&ready.status, &ready.reason, ready.observed_generation)
}

#[test]
fn a_topic_of_silent_brokers_is_not_called_ready_and_comes_back() {
    let facts = facts(&[&[0, 1, 2]]);
    let seen = plan_of("", &KafkaTopicStatus::default(), Some(&facts)).status;
    let silent = |former: &KafkaTopicStatus, generation, ms| {
        unseen(former, Some(generation), "default/demo", Unseen::Silent(DurationMs(ms)), TimestampMs(9_000))
    };
    assert_eq!(silent(&seen, 1, 4_999), seen, "a short silence is not worth a write");
    let told = silent(&seen, 1, 5_000);
    assert_eq!(ready(&told), ("Unknown", "ClusterUnreachable", Some(1)));
    assert!(holds(&told.conditions, RECONCILING) && !holds(&told.conditions, STALLED));
    assert!(told.conditions[0].message.contains("see the conditions of the KafkaCluster"));
    assert_eq!(
        (told.partitions, told.offline_partitions, told.under_replicated_partitions),
        (Some(1), None, None)
    );
    assert_eq!(silent(&told, 1, 60_000), told, "a long silence is told once");
    assert_eq!(silent(&told, 1, 0), told, "nobody has answered since");
    let again = plan_of("", &told, Some(&facts)).status;
    assert_eq!(ready(&again), ("True", "Ready", Some(1)));
    assert_eq!((again.offline_partitions, again.under_replicated_partitions), (Some(0), Some(0)));
}

#[test]
fn a_change_that_meets_silence_is_unknown_at_once() {
    let seen = plan_of("", &KafkaTopicStatus::default(), Some(&facts(&[&[0]]))).status;
    let silent = Unseen::Silent(DurationMs(0));
    let told = unseen(&seen, Some(2), "default/demo", silent, TimestampMs(0));
    assert_eq!(ready(&told), ("Unknown", "ClusterUnreachable", Some(2)));
    assert_eq!(told.observed_generation, Some(2));
    let new = unseen(&KafkaTopicStatus::default(), Some(1), "default/demo", silent, TimestampMs(0));
    assert_eq!(ready(&new), ("False", "ClusterNotReady", Some(1)));
}

#[test]
fn topics_of_a_cluster_that_nobody_looks_after_are_unknown() {
    let seen = plan_of("", &KafkaTopicStatus::default(), Some(&facts(&[&[0]]))).status;
    let told = unseen(&seen, Some(1), "default/demo", Unseen::Invalid, TimestampMs(0));
    assert_eq!(ready(&told), ("Unknown", "ClusterInvalid", Some(1)));
}

#[test]
fn a_topic_with_a_partition_that_nobody_leads_is_not_ready() {
    let mut facts = facts(&[&[0, 1], &[1, 2]]);
    facts.partitions.get_mut(&PartitionIndex(1)).expect("it is there").leader = None;
    let plan = plan_of("partitions: 2", &KafkaTopicStatus::default(), Some(&facts));
    assert_eq!(ready(&plan.status), ("False", "OfflinePartitions", Some(1)));
    assert!(plan.status.conditions[0].message.starts_with("1 of 2 partitions have no leader"));
    assert!(plan.actions.is_empty() && !holds(&plan.status.conditions, STALLED));
}

#[test]
fn the_older_object_decides() {
    let claimant = |created_ms, newcomer, name: &str| Claimant {
        created_ms,
        newcomer,
        namespace: "default".to_owned(),
        name: name.to_owned(),
    };
    let all = [claimant(2_000, false, "a"), claimant(1_000, true, "c"), claimant(1_000, false, "b")];
    assert_eq!(owner(&all).map(|claimant| claimant.name.as_str()), Some("b"));
}
