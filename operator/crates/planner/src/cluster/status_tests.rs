//! What status and events say while something goes on or fails, read as kstatus reads them.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::cluster::{BrokerState, RollStatus};
use ottla_operator_crd::conditions::{DEGRADED, RECONCILING, STALLED, holds};

use super::tests::{at_rest, message, plan_of, reason};
use super::{Plan, plan_invalid};
use crate::action::{Action, Event};
use crate::facts::{ClaimFacts, Observed};
use crate::testing::{cluster_of, partition, topic_partition};

/// What kstatus (sigs.k8s.io/cli-utils) makes of an object with these conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kstatus {
    InProgress,
    Failed,
    Current,
}

/// kstatus' published rules for objects that it knows nothing else of.
fn kstatus(status: &KafkaClusterStatus, generation: i64) -> Kstatus {
    if status.observed_generation != Some(generation) {
        return Kstatus::InProgress;
    }
    match (holds(&status.conditions, RECONCILING), holds(&status.conditions, STALLED)) {
        (true, _) => Kstatus::InProgress,
        (false, true) => Kstatus::Failed,
        (false, false) => Kstatus::Current,
    }
}

fn events(plan: &Plan) -> Vec<&Event> {
    let actions = plan.actions.iter();
    actions.filter_map(|action| if let Action::Event(event) = action { Some(event) } else { None }).collect()
}

fn pod(observed: &mut Observed, id: i32) -> &mut crate::facts::PodFacts {
    observed.pods.get_mut(&NodeId(id)).expect("it is there")
}

#[test]
fn every_status_from_the_first_on_is_read_by_kstatus_as_what_it_means() {
    let cluster = cluster_of("");
    let none = KafkaClusterStatus::default();
    let first = plan_of(&cluster, &none, &Observed::default()).status;
    assert_eq!(kstatus(&first, 1), Kstatus::InProgress, "the first status");
    let starting = plan_of(&cluster, &first, &Observed::default()).status;
    assert_eq!(kstatus(&starting, 1), Kstatus::InProgress, "no pods yet");
    let (observed, rest) = at_rest(&cluster);
    assert_eq!(kstatus(&plan_of(&cluster, &rest, &observed).status, 1), Kstatus::Current, "at rest");
    let rolling = plan_of(&cluster_of("config: {num.partitions: 3}"), &rest, &observed).status;
    assert_eq!(kstatus(&rolling, 1), Kstatus::InProgress, "a roll");
    let scaling = plan_of(&cluster_of("replicas: 5"), &rest, &observed).status;
    assert_eq!(kstatus(&scaling, 1), Kstatus::InProgress, "more brokers");
    let mut stuck = observed.clone();
    pod(&mut stuck, 1).stuck = Some("ImagePullBackOff: no such image".to_owned());
    pod(&mut stuck, 1).ready = false;
    assert_eq!(kstatus(&plan_of(&cluster, &rest, &stuck).status, 1), Kstatus::Failed, "no image");
    let invalid = plan_invalid(&none, Some(1), &[], super::tests::NOW).status;
    assert_eq!(kstatus(&invalid, 1), Kstatus::Failed, "an invalid spec");
    assert_eq!(kstatus(&rest, 2), Kstatus::InProgress, "a spec that nobody has looked at");
}

#[test]
fn a_planned_restart_is_progress_and_neither_degraded_nor_a_warning() {
    let cluster = cluster_of("config: {num.partitions: 3}");
    let (mut observed, rest) = at_rest(&cluster_of(""));
    let roll = RollStatus { last_restarted: Some(1), ..RollStatus::default() };
    let former = KafkaClusterStatus { roll: Some(roll), ..rest };
    pod(&mut observed, 1).ready = false;
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.brokers.get_mut(&NodeId(1)).expect("it is there").fenced = true;
    kafka.partitions.insert(topic_partition("t", 0), partition(&[0, 1, 2], &[0, 2]));
    let alone = crate::facts::PartitionFacts { leader: None, ..partition(&[1], &[1]) };
    kafka.partitions.insert(topic_partition("alone", 0), alone);
    let plan = plan_of(&cluster, &former, &observed);
    assert!(!holds(&plan.status.conditions, DEGRADED) && holds(&plan.status.conditions, RECONCILING));
    assert!(events(&plan).iter().all(|event| !event.warning), "{:?}", events(&plan));
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("t", 1), partition(&[0, 1, 2], &[0]));
    let plan = plan_of(&cluster, &former, &observed);
    assert!(holds(&plan.status.conditions, DEGRADED), "broker 2 is behind, and nobody restarts it");
}

#[test]
fn a_replica_that_moves_away_is_no_missing_copy() {
    let mut moving = partition(&[0, 1, 2, 3], &[1, 2, 3]);
    moving.removing = vec![NodeId(0)];
    assert!(!moving.is_under_replicated());
    moving.adding = vec![NodeId(3)];
    moving.isr.remove(&NodeId(3));
    assert!(!moving.is_under_replicated());
    moving.isr.remove(&NodeId(2));
    assert!(moving.is_under_replicated());
}

#[test]
fn a_pod_that_cannot_be_made_is_told_by_condition_and_event_and_only_once_it_was_awaited() {
    let cluster = cluster_of("");
    let (mut observed, rest) = at_rest(&cluster);
    observed.pods.remove(&NodeId(2));
    let why = "FailedCreate: pods \"demo-broker-2\" is forbidden: no PriorityClass with name fast was found";
    observed.not_made = BTreeMap::from([(NodeId(2), why.to_owned())]);
    let gone = plan_of(&cluster, &rest, &observed);
    assert!(!holds(&gone.status.conditions, STALLED), "it may be coming back: the event may be an old one");
    let told = plan_of(&cluster, &gone.status, &observed);
    assert!(holds(&told.status.conditions, STALLED));
    assert_eq!(message(&told), format!("broker 2 has no pod: {why}"));
    let about: Vec<_> = events(&told).into_iter().filter(|event| event.reason == "FailedCreate").collect();
    assert_eq!(
        (about.len(), about[0].warning, about[0].subject.as_deref()),
        (1, true, Some("demo-broker-2"))
    );
    assert!(events(&plan_of(&cluster, &told.status, &observed)).is_empty(), "it is said once");
}

#[test]
fn each_broker_in_trouble_has_an_event_of_its_own_and_the_condition_names_the_first() {
    let cluster = cluster_of("");
    let (mut observed, rest) = at_rest(&cluster);
    for id in [0, 1] {
        pod(&mut observed, id).ready = false;
        pod(&mut observed, id).trouble = Some(format!("OOMKilled: too little memory for {id}"));
    }
    let plan = plan_of(&cluster, &rest, &observed);
    assert!(message(&plan).contains("broker 0 is starting: OOMKilled: too little"), "{}", message(&plan));
    let told = events(&plan).into_iter().filter(|event| event.reason == "OOMKilled");
    let subjects: Vec<_> = told.map(|event| event.subject.as_deref().unwrap_or_default()).collect();
    assert_eq!(subjects, ["demo-broker-0", "demo-broker-1"]);
    assert_eq!(plan.status.brokers[1].problem.as_deref(), Some("OOMKilled: too little memory for 1"));
}

#[test]
fn a_broker_whose_lease_has_ended_is_named_with_its_node_at_once() {
    let cluster = cluster_of("");
    let (mut observed, rest) = at_rest(&cluster);
    pod(&mut observed, 2).node = Some("worker-7".to_owned());
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.brokers.get_mut(&NodeId(2)).expect("it is there").fenced = true;
    let plan = plan_of(&cluster, &rest, &observed);
    assert_eq!(plan.status.brokers[2].state, BrokerState::Silent);
    assert!(message(&plan).contains("broker 2 does not answer") && message(&plan).contains("node worker-7"));
    assert!(events(&plan).iter().any(|event| event.reason == "NotAnswering" && event.warning));
    pod(&mut observed, 2).terminating = true;
    let stopping = plan_of(&cluster, &plan.status, &observed);
    assert!(message(&stopping).contains("broker 2 is stopping on node worker-7"), "{}", message(&stopping));
}

#[test]
fn a_lost_quorum_names_the_missing_and_what_to_keep() {
    let cluster = cluster_of("");
    let (mut observed, rest) = at_rest(&cluster);
    let claim = |bootstrapped| ClaimFacts { bootstrapped, bound: true, ..ClaimFacts::default() };
    observed.claims = (0..3).map(|id| (NodeId(id), claim(id == 0))).collect();
    for id in [1, 2] {
        pod(&mut observed, id).ready = false;
    }
    let plan = plan_of(&cluster, &rest, &observed);
    assert_eq!(reason(&plan), "QuorumLost");
    for part in [
        "of the brokers 0, 1, 2",
        "1, 2 are missing",
        "2 are needed",
        "volumes of 1, 2 are new",
        "keep the volumes of 0",
    ] {
        assert!(message(&plan).contains(part), "{part}: {}", message(&plan));
    }
    assert!(holds(&plan.status.conditions, DEGRADED));
    let marks = plan.actions.iter().filter(|action| action.to_string().contains("claim"));
    assert!(marks.map(Action::to_string).all(|mark| !mark.contains("data-demo-broker-1")));
    pod(&mut observed, 1).ready = true;
    observed.claims.insert(NodeId(1), claim(true));
    assert_ne!(reason(&plan_of(&cluster, &rest, &observed)), "QuorumLost");
}

#[test]
fn the_planned_restart_of_the_only_controller_is_no_lost_quorum() {
    let rest = KafkaClusterStatus { controllers: Some(vec![0]), ..at_rest(&cluster_of("replicas: 1")).1 };
    let (mut observed, _) = at_rest(&cluster_of("replicas: 1"));
    observed.pods.remove(&NodeId(0));
    observed.kafka = Err(crate::facts::NoAnswer("no broker is ready".to_owned()));
    let roll = RollStatus { last_restarted: Some(0), ..RollStatus::default() };
    let rolling = KafkaClusterStatus { roll: Some(roll), ..rest.clone() };
    let planned = plan_of(&cluster_of("replicas: 1\nconfig: {num.partitions: 3}"), &rolling, &observed);
    assert_ne!(reason(&planned), "QuorumLost");
    assert!(
        !holds(&planned.status.conditions, DEGRADED) && events(&planned).iter().all(|event| !event.warning)
    );
    assert_eq!(reason(&plan_of(&cluster_of("replicas: 1"), &rest, &observed)), "QuorumLost");
}
