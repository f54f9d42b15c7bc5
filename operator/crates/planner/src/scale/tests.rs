//! When brokers come, drain and may go.

use std::collections::BTreeSet;

use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::cluster::DrainStatus;

use super::{Scale, ScaleInput, VERIFY, scale};
use crate::action::{Action, KafkaAction, KubernetesAction};
use crate::facts::{BrokerFacts, ClaimFacts, NoAnswer, Observed};
use crate::testing::{cluster, cluster_of, healthy, partition, topic_partition};

const NOW: TimestampMs = TimestampMs(1_000_000);

fn decide(wanted: i32, observed: &Observed, former: Option<&DrainStatus>, now: TimestampMs) -> Scale {
    let cluster = cluster(wanted);
    scale(&ScaleInput { cluster: &cluster, observed, former, now })
}

/// Five brokers of which 3 and 4 are empty, cordoned or not.
fn emptied(cordoned: bool) -> Observed {
    let mut observed = healthy(5, "new");
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.clear();
    kafka.partitions.insert(topic_partition("t", 0), partition(&[0, 1, 2], &[0, 1, 2]));
    for id in [3, 4] {
        let facts =
            BrokerFacts { cordoned: Some(cordoned), replicas_on_disk: Some(0), ..BrokerFacts::default() };
        kafka.brokers.insert(NodeId(id), facts);
    }
    observed
}

#[test]
fn more_brokers_are_simply_made() {
    let scale = decide(5, &healthy(3, "new"), None, NOW);
    assert_eq!((scale.pods, scale.actions.len(), scale.status), (5, 0, None));
}

#[test]
fn leaving_brokers_take_no_new_replicas_and_keep_their_pods() {
    let scale = decide(3, &healthy(5, "new"), None, NOW);
    assert_eq!(scale.pods, 5);
    assert_eq!(scale.leaving, BTreeSet::from([NodeId(3), NodeId(4)]));
    assert_eq!(
        scale.actions,
        [3, 4].map(|id| Action::from(KafkaAction::Cordon { broker: NodeId(id), cordoned: true }))
    );
    let status = scale.status.expect("a drain goes on");
    assert_eq!((status.brokers, status.remaining_replicas, status.empty_since_ms), (vec![3, 4], 6, None));
}

#[test]
fn pods_go_only_after_two_looks_that_found_nothing() {
    let observed = emptied(true);
    let first = decide(3, &observed, None, NOW);
    assert_eq!(first.pods, 5);
    let status = first.status.expect("a drain goes on");
    assert_eq!(status.empty_since_ms, Some(NOW.0));
    let early = TimestampMs(NOW.0 + VERIFY.0.cast_signed() - 1);
    assert_eq!(decide(3, &observed, Some(&status), early).pods, 5);
    let late = TimestampMs(NOW.0 + VERIFY.0.cast_signed());
    assert_eq!(decide(3, &observed, Some(&status), late).pods, 3);
}

#[test]
fn a_topic_made_meanwhile_starts_the_looking_anew() {
    let mut observed = emptied(true);
    let status = decide(3, &observed, None, NOW).status.expect("a drain goes on");
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("late", 0), partition(&[4], &[4]));
    let late = TimestampMs(NOW.0 + VERIFY.0.cast_signed());
    let scale = decide(3, &observed, Some(&status), late);
    assert_eq!((scale.pods, scale.status.and_then(|status| status.empty_since_ms)), (5, None));
}

#[test]
fn a_disk_that_is_not_empty_or_not_known_keeps_the_pod() {
    for on_disk in [Some(1), None] {
        let mut observed = emptied(true);
        let kafka = observed.kafka.as_mut().expect("brokers answer");
        kafka.brokers.get_mut(&NodeId(4)).expect("it is registered").replicas_on_disk = on_disk;
        let former = DrainStatus { brokers: vec![3, 4], empty_since_ms: Some(0), ..DrainStatus::default() };
        assert_eq!(decide(3, &observed, Some(&former), NOW).pods, 5, "{on_disk:?}");
    }
}

#[test]
fn brokers_that_are_not_fenced_off_from_new_replicas_keep_their_pods() {
    let former = DrainStatus { brokers: vec![3, 4], empty_since_ms: Some(0), ..DrainStatus::default() };
    assert_eq!(decide(3, &emptied(false), Some(&former), NOW).pods, 5);
}

#[test]
fn a_leaving_broker_that_is_down_holds_up_nobody() {
    let mut observed = emptied(true);
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    let down = BrokerFacts { fenced: true, ..BrokerFacts::default() };
    kafka.brokers.insert(NodeId(4), down);
    let former = DrainStatus { brokers: vec![3, 4], empty_since_ms: Some(0), ..DrainStatus::default() };
    let scale = decide(3, &observed, Some(&former), NOW);
    assert_eq!((scale.pods, scale.actions), (3, vec![]));
}

#[test]
fn pods_taken_by_hand_come_back_while_replicas_count_on_them() {
    for hand in [Some(3), None] {
        let mut observed = healthy(5, "new");
        match hand {
            Some(pods) => observed.stateful_set.as_mut().expect("it is there").replicas = pods,
            None => observed.stateful_set = None,
        }
        for id in [3, 4].map(NodeId) {
            observed.pods.remove(&id);
            observed.kafka.as_mut().expect("brokers answer").brokers.get_mut(&id).expect("known").fenced =
                true;
            let claim = ClaimFacts { name: format!("claim-{id}"), ..ClaimFacts::default() };
            observed.claims.insert(id, claim);
        }
        let cluster = cluster_of("storage: {size: 1Gi, deletionPolicy: Delete}");
        let scale = scale(&ScaleInput { cluster: &cluster, observed: &observed, former: None, now: NOW });
        assert_eq!((scale.pods, scale.actions), (5, vec![]), "{hand:?}");
        assert_eq!(scale.leaving, BTreeSet::from([NodeId(3), NodeId(4)]), "{hand:?}");
    }
}

#[test]
fn without_an_answer_nobody_leaves() {
    let mut observed = emptied(true);
    observed.kafka = Err(NoAnswer("refused".to_owned()));
    let former = DrainStatus { brokers: vec![3, 4], empty_since_ms: Some(0), ..DrainStatus::default() };
    let scale = decide(3, &observed, Some(&former), NOW);
    assert_eq!((scale.pods, scale.status.and_then(|status| status.empty_since_ms)), (5, None));
}

#[test]
fn reverting_the_spec_lets_brokers_take_replicas_again() {
    let former = DrainStatus { brokers: vec![3, 4], ..DrainStatus::default() };
    let scale = decide(5, &emptied(true), Some(&former), NOW);
    assert_eq!(scale.pods, 5);
    assert_eq!(
        scale.actions,
        [3, 4].map(|id| Action::from(KafkaAction::Cordon { broker: NodeId(id), cordoned: false }))
    );
    assert!(scale.leaving.is_empty());
    let status = scale.status.expect("it is remembered until it is done");
    assert_eq!((status.brokers.len(), &status.returning), (0, &vec![3, 4]));
    let done = decide(5, &emptied(false), Some(&status), NOW);
    assert_eq!((done.actions, done.status), (vec![], None));
}

#[test]
fn moves_off_brokers_that_stay_after_all_are_cancelled_until_none_is_left() {
    let mut observed = emptied(true);
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    let mut moving = |index, removing: i32, adding: &[i32]| {
        let mut facts = partition(&[0, 1, 2, removing], &[0, 1, removing]);
        facts.removing = vec![NodeId(removing)];
        facts.adding = adding.iter().copied().map(NodeId).collect();
        kafka.partitions.insert(topic_partition("m", index), facts);
    };
    moving(0, 3, &[2]);
    moving(1, 4, &[2]);
    moving(2, 1, &[2]);
    moving(3, 3, &[]);
    let former = DrainStatus { brokers: vec![3, 4], ..DrainStatus::default() };
    // One stays after all, the other leaves on.
    let scale = decide(4, &observed, Some(&former), NOW);
    assert_eq!(
        (&scale.returning, &scale.leaving),
        (&BTreeSet::from([NodeId(3)]), &BTreeSet::from([NodeId(4)]))
    );
    assert!(scale.actions.contains(&KafkaAction::CancelReassignments(vec![topic_partition("m", 0)]).into()));
    assert!(scale.actions.contains(&KafkaAction::Cordon { broker: NodeId(3), cordoned: false }.into()));
    let status = scale.status.expect("a drain goes on");
    assert_eq!((&status.brokers, &status.returning), (&vec![4], &vec![3]));
    // The call failed, or nobody answers: it is not forgotten.
    assert_eq!(decide(4, &observed, Some(&status), NOW).returning, BTreeSet::from([NodeId(3)]));
    let silent = Observed { kafka: Err(NoAnswer("refused".to_owned())), ..observed.clone() };
    assert_eq!(decide(4, &silent, Some(&status), NOW).returning, BTreeSet::from([NodeId(3)]));
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.brokers.get_mut(&NodeId(3)).expect("it is registered").cordoned = Some(false);
    assert_eq!(decide(4, &observed, Some(&status), NOW).returning, BTreeSet::from([NodeId(3)]));
    observed.kafka.as_mut().expect("brokers answer").partitions.remove(&topic_partition("m", 0));
    assert!(decide(4, &observed, Some(&status), NOW).returning.is_empty());
}

#[test]
fn a_stopped_broker_is_forgotten_and_its_claim_goes_by_policy() {
    let mut observed = emptied(true);
    observed.stateful_set.as_mut().expect("it is there").replicas = 3;
    for id in [3, 4] {
        observed
            .claims
            .insert(NodeId(id), ClaimFacts { name: format!("claim-{id}"), ..ClaimFacts::default() });
    }
    observed.pods.remove(&NodeId(4));
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.brokers.get_mut(&NodeId(4)).expect("it is registered").fenced = true;
    let scale_of = |observed: &Observed, spec: &str| {
        let cluster = cluster_of(spec);
        scale(&ScaleInput { cluster: &cluster, observed, former: None, now: NOW })
    };
    let first = scale_of(&observed, "storage: {size: 1Gi, deletionPolicy: Delete}");
    assert_eq!(first.actions, [Action::from(KafkaAction::Unregister(NodeId(4)))]);
    assert_eq!(first.status.map(|status| status.brokers), Some(vec![3, 4]));
    observed.kafka.as_mut().expect("brokers answer").brokers.remove(&NodeId(4));
    let second = scale_of(&observed, "storage: {size: 1Gi, deletionPolicy: Delete}");
    assert_eq!(second.actions, [Action::from(KubernetesAction::DeleteClaim { claim: "claim-4".to_owned() })]);
    assert_eq!(scale_of(&observed, "").actions, []);
}

#[test]
fn a_removal_that_could_never_end_is_refused_with_the_way_out() {
    let mut observed = healthy(5, "new");
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("wide", 0), partition(&[0, 1, 2, 3], &[0, 1, 2, 3]));
    let refused = decide(3, &observed, None, NOW);
    assert_eq!((refused.pods, refused.leaving.len()), (5, 0));
    assert!(refused.refused.is_some_and(|text| text.contains("lower its replicationFactor")));
    let mut object = crate::testing::object("replicas: 2");
    object.status = Some(ottla_operator_crd::KafkaClusterStatus {
        controllers: Some(vec![0, 1, 2]),
        ..Default::default()
    });
    object.spec.config.insert("default.replication.factor".to_owned(), "1".into());
    object.spec.config.insert("offsets.topic.replication.factor".to_owned(), "1".into());
    object.spec.config.insert("transaction.state.log.replication.factor".to_owned(), "1".into());
    let cluster = ottla_operator_crd::ValidatedCluster::new(&object).expect("the values are good");
    let scale =
        scale(&ScaleInput { cluster: &cluster, observed: &healthy(3, "new"), former: None, now: NOW });
    assert!(scale.refused.is_some_and(|text| text.contains("set replicas to at least 3")));
    assert_eq!(scale.pods, 3);
}
