//! What a plan may not do.

use ottla_broker_types::{DurationMs, TimestampMs};
use ottla_operator_crd::KafkaClusterStatus;

use super::*;
use crate::facts::{NoAnswer, Observed};
use crate::testing::{build, cluster_of, defaults, healthy, partition, topic_partition};

/// The faults of a plan of `actions` for a cluster of three.
fn faults(observed: &Observed, actions: impl IntoIterator<Item = Action>) -> Vec<Fault> {
    let (cluster, former, defaults) = (cluster_of("replicas: 3"), KafkaClusterStatus::default(), defaults());
    let (actions, status) = (actions.into_iter().collect(), former.clone());
    let plan = Plan { actions, status, requeue: DurationMs(0) };
    let input = Input {
        cluster: &cluster,
        former: &former,
        observed,
        defaults: &defaults,
        fresh_cluster_id: "x",
        now: TimestampMs(0),
    };
    lint(&input, &plan)
}

/// A healthy cluster of `count` without topics, of which nobody said that a broker can be spared.
fn seen(count: i32) -> Observed {
    let mut observed = healthy(count, "r");
    observed.safety.clear();
    observed.kafka.as_mut().expect("brokers answer").partitions.clear();
    observed
}

fn add_partition(observed: &mut Observed, replicas: &[i32]) {
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("t", 0), partition(replicas, replicas));
}

fn restart_of(observed: &Observed, id: i32) -> Action {
    let pod = &observed.pods[&NodeId(id)];
    let (pod, uid, reason) = (pod.name.clone(), pod.uid.clone(), "it is due".to_owned());
    KubernetesAction::RestartBroker { broker: NodeId(id), pod, uid, reason }.into()
}

fn reassign(partition: i32, replicas: &[i32]) -> Action {
    let replicas = replicas.iter().copied().map(NodeId).collect();
    KafkaAction::Reassign(vec![Reassignment { partition: topic_partition("t", partition), replicas }]).into()
}

#[test]
fn only_one_broker_that_can_be_spared_restarts_and_only_the_pod_that_was_seen() {
    let mut observed = seen(3);
    let restart = restart_of(&observed, 1);
    assert_eq!(faults(&observed, [restart.clone()]), [Fault::Unspared(NodeId(1))]);
    observed.safety.insert(NodeId(1), Safety::Safe);
    assert_eq!(faults(&observed, [restart.clone()]), []);
    assert_eq!(faults(&observed, [restart.clone(), restart.clone()]), [Fault::Restarts(2)]);
    observed.pods.get_mut(&NodeId(2)).expect("it is there").terminating = true;
    assert_eq!(faults(&observed, [restart.clone()]), [Fault::Unspared(NodeId(1))]);
    observed.pods.get_mut(&NodeId(1)).expect("it is there").uid = "another".to_owned();
    assert_eq!(faults(&observed, [restart]), [Fault::OtherPod(NodeId(1))]);
}

#[test]
fn a_broker_that_serves_nobody_may_restart_unasked() {
    let mut observed = seen(3);
    observed.pods.get_mut(&NodeId(1)).expect("it is there").ready = false;
    let restart = restart_of(&observed, 1);
    assert_eq!(faults(&observed, [restart]), []);
}

#[test]
fn no_broker_is_given_up_that_holds_replicas_or_of_which_nobody_can_say() {
    let mut observed = seen(5);
    let give_up = |id: i32| {
        let delete = KubernetesAction::DeleteClaim { claim: names::claim("demo", NodeId(id)) };
        [Action::from(KafkaAction::Unregister(NodeId(id))), delete.into()]
    };
    let in_use = || [Fault::InUse(NodeId(4)), Fault::InUse(NodeId(4))];
    assert_eq!(faults(&observed, give_up(4)), in_use(), "it has a pod");
    observed.pods.remove(&NodeId(4));
    assert_eq!(faults(&observed, give_up(4)), []);
    add_partition(&mut observed, &[0, 4]);
    assert_eq!(faults(&observed, give_up(4)), in_use(), "it holds a replica");
    observed.kafka = Err(NoAnswer("none".to_owned()));
    assert_eq!(faults(&observed, give_up(4)), in_use(), "nobody can say");
}

#[test]
fn pods_are_not_taken_from_replicas() {
    let cluster = cluster_of("replicas: 3");
    let mut observed = seen(5);
    let set = build(&cluster).objects().into_iter().find(|o| matches!(o, Resource::StatefulSet(_)));
    let apply = || [Action::from(KubernetesAction::Apply(set.clone().expect("it is made")))];
    assert_eq!(faults(&observed, apply()), []);
    add_partition(&mut observed, &[0, 4]);
    let found = faults(&observed, apply());
    assert!(matches!(&found[..], [Fault::Shrinks { left: 3, why }] if why.contains("broker 4")), "{found:?}");
    observed.kafka = Err(NoAnswer("none".to_owned()));
    let found = faults(&observed, apply());
    assert!(matches!(&found[..], [Fault::Shrinks { left: 3, why }] if why.contains("none")), "{found:?}");
}

#[test]
fn a_reassignment_keeps_the_number_of_replicas_and_goes_to_brokers_that_stay() {
    let mut observed = seen(3);
    add_partition(&mut observed, &[0, 1]);
    assert_eq!(faults(&observed, [reassign(0, &[2, 1])]), []);
    let told = |observed: &Observed, action: Action| -> Vec<String> {
        faults(observed, [action]).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&observed, reassign(0, &[2])), ["t-0 would have 1 replicas instead of 2"]);
    assert_eq!(told(&observed, reassign(7, &[2, 1])), ["t-7 does not exist"]);
    assert_eq!(
        told(&observed, reassign(0, &[1, 9])),
        ["t-0 would go to broker 9, which is not there to stay"]
    );
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.get_mut(&topic_partition("t", 0)).expect("it is there").adding = vec![NodeId(2)];
    assert_eq!(told(&observed, reassign(0, &[2, 1])), ["t-0 is being reassigned by someone else"]);
}

#[test]
fn a_stateful_set_goes_only_while_no_claim_has_a_volume() {
    let mut observed = seen(0);
    let delete = || Action::from(KubernetesAction::DeleteStatefulSet { name: "demo-broker".to_owned() });
    let claim = |unused| crate::facts::ClaimFacts { name: "c0".to_owned(), unused, ..Default::default() };
    let delete_claim = || Action::from(KubernetesAction::DeleteClaim { claim: "c0".to_owned() });
    observed.claims.insert(NodeId(0), claim(true));
    observed.kafka = Err(NoAnswer("silent".to_owned()));
    assert_eq!(faults(&observed, [delete(), delete_claim()]), []);
    observed.claims.insert(NodeId(0), claim(false));
    assert_eq!(faults(&observed, [delete()]), [Fault::HoldsData("demo-broker".to_owned())]);
}
