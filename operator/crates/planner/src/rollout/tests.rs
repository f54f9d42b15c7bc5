//! The truth table of the restart gate and the order of restarts.

use ottla_broker_types::{NodeId, TimestampMs};
use proptest::prelude::*;

use super::{Rollout, RolloutInput, UNREADY_PATIENCE, next_step, question};
use crate::facts::{NoAnswer, Observed, Safety};
use crate::testing::{healthy, partition, topic_partition};

const NOW: TimestampMs = TimestampMs(1_000_000_000);

fn input(observed: &Observed) -> RolloutInput<'_> {
    RolloutInput {
        observed,
        revision: "new",
        image: "ottla:1",
        replicas: 3,
        last_restarted: None,
        paused: false,
        now: NOW,
    }
}

fn step(observed: &Observed) -> Rollout {
    next_step(&input(observed))
}

fn restarted(step: &Rollout) -> Option<i32> {
    match step {
        Rollout::Restart { broker, .. } => Some(broker.get()),
        _ => None,
    }
}

fn waits_for(step: &Rollout) -> &str {
    match step {
        Rollout::Wait { reason, .. } => reason,
        other => panic!("{other:?} is no wait"),
    }
}

fn with_pod(observed: &mut Observed, broker: i32, change: impl FnOnce(&mut crate::facts::PodFacts)) {
    change(observed.pods.get_mut(&NodeId(broker)).expect("the pod is there"));
}

#[test]
fn nothing_to_do_is_done() {
    assert_eq!(step(&healthy(3, "new")), Rollout::Done);
}

#[test]
fn pods_go_by_id_and_the_active_controller_last() {
    let mut observed = healthy(3, "old");
    let mut order = vec![];
    while let Rollout::Restart { broker, .. } = step(&observed) {
        order.push(broker.get());
        with_pod(&mut observed, broker.get(), |pod| pod.revision = Some("new".to_owned()));
    }
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(step(&observed), Rollout::Done);
}

#[test]
fn no_restart_while_a_partition_is_at_its_minimum() {
    let mut observed = healthy(3, "old");
    observed.safety.insert(NodeId(1), Safety::Unsafe("t-0 stands at its min.insync.replicas".to_owned()));
    let step_at_minimum = step(&observed);
    assert!(waits_for(&step_at_minimum).contains("min.insync.replicas"), "{step_at_minimum:?}");
    observed.safety.insert(NodeId(1), Safety::Safe);
    assert_eq!(restarted(&step(&observed)), Some(1));
}

#[test]
fn without_an_answer_nothing_is_restarted() {
    let mut observed = healthy(3, "old");
    observed.safety.clear();
    assert!(waits_for(&step(&observed)).contains("asking"));
    observed.safety.insert(NodeId(1), Safety::Unknown("time-out".to_owned()));
    assert!(waits_for(&step(&observed)).contains("nobody can say"));
    observed.kafka = Err(NoAnswer("refused".to_owned()));
    assert!(waits_for(&step(&observed)).contains("no broker answers"));
}

#[test]
fn the_one_asked_about_is_the_one_restarted() {
    let observed = healthy(3, "old");
    assert_eq!(question(&input(&observed)), Some(NodeId(1)));
    assert_eq!(restarted(&step(&observed)), Some(1));
}

#[test]
fn a_bad_image_stops_after_one_pod_and_says_so() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| {
        pod.revision = Some("new".to_owned());
        pod.ready = false;
        pod.stuck = Some("ImagePullBackOff".to_owned());
    });
    match step(&observed) {
        Rollout::Wait { reason, stuck: true, .. } => {
            assert!(
                reason.contains("broker 1 cannot start with the new settings (ImagePullBackOff)"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fixed_spec_replaces_the_stuck_pod_at_once_and_goes_on() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| {
        pod.revision = Some("broken".to_owned());
        pod.ready = false;
        pod.stuck = Some("CrashLoopBackOff".to_owned());
    });
    // Nobody can answer for a broker that is down, and nobody has to.
    observed.safety.clear();
    assert_eq!(restarted(&step(&observed)), Some(1));
    with_pod(&mut observed, 1, |pod| {
        *pod = crate::testing::pod(1, "new");
    });
    observed.safety.insert(NodeId(2), Safety::Safe);
    assert_eq!(restarted(&step(&observed)), Some(2));
}

#[test]
fn a_pod_whose_container_never_ran_is_replaced_at_once() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| {
        pod.revision = Some("broken".to_owned());
        pod.ready = false;
        pod.halted = true;
        pod.since = Some(NOW);
    });
    assert_eq!(restarted(&step(&observed)), Some(1));
    with_pod(&mut observed, 1, |pod| pod.revision = Some("new".to_owned()));
    assert!(waits_for(&step(&observed)).contains("broker 1 is not ready"));
}

#[test]
fn a_whole_cluster_that_cannot_start_is_repaired() {
    let mut observed = healthy(3, "broken");
    for pod in observed.pods.values_mut() {
        pod.ready = false;
        pod.stuck = Some("CrashLoopBackOff".to_owned());
    }
    observed.kafka = Err(NoAnswer("refused".to_owned()));
    observed.safety.clear();
    assert_eq!(restarted(&step(&observed)), Some(0));
}

#[test]
fn only_one_pod_is_away_at_a_time() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| pod.terminating = true);
    assert!(waits_for(&step(&observed)).contains("broker 1 is stopping"));
    with_pod(&mut observed, 1, |pod| pod.overdue = true);
    assert!(waits_for(&step(&observed)).contains("kubectl delete pod demo-broker-1 --force"));
    let mut observed = healthy(3, "old");
    observed.pods.remove(&NodeId(2));
    assert!(waits_for(&step(&observed)).contains("broker 2 has no pod"));
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| {
        pod.revision = Some("new".to_owned());
        pod.ready = false;
    });
    assert!(waits_for(&step(&observed)).contains("broker 1 is not ready"));
}

#[test]
fn the_last_one_must_be_back_in_every_isr() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 1, |pod| pod.revision = Some("new".to_owned()));
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("t", 0), partition(&[0, 1, 2], &[0, 2]));
    let after = RolloutInput { last_restarted: Some(NodeId(1)), ..input(&observed) };
    assert!(waits_for(&next_step(&after)).contains("broker 1 still catches up in 1 partitions, such as t-0"));
}

#[test]
fn a_broker_that_recovers_its_log_is_left_alone() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 2, |pod| {
        pod.ready = false;
        pod.since = Some(NOW);
    });
    assert!(waits_for(&step(&observed)).contains("recovering"));
    let long_ago = NOW.minus(UNREADY_PATIENCE);
    with_pod(&mut observed, 2, |pod| pod.since = Some(long_ago));
    assert_eq!(restarted(&step(&observed)), Some(2));
}

#[test]
fn a_cluster_that_never_got_ready_is_repaired_without_anybody_to_ask() {
    let mut observed = healthy(3, "broken");
    for pod in observed.pods.values_mut() {
        pod.ready = false;
        pod.since = Some(NOW.minus(UNREADY_PATIENCE));
    }
    observed.kafka = Err(NoAnswer("refused".to_owned()));
    observed.safety.clear();
    assert_eq!(restarted(&step(&observed)), Some(0));
}

#[test]
fn an_unready_broker_that_still_serves_is_asked_about() {
    let mut observed = healthy(3, "old");
    with_pod(&mut observed, 2, |pod| {
        pod.ready = false;
        pod.since = Some(NOW.minus(UNREADY_PATIENCE));
    });
    observed.safety.insert(NodeId(2), Safety::Unsafe("t-0 would have no leader".to_owned()));
    assert!(waits_for(&step(&observed)).contains("no leader"));
}

#[test]
fn a_person_can_ask_for_one_restart_or_a_pause() {
    let mut observed = healthy(3, "new");
    with_pod(&mut observed, 2, |pod| pod.restart_asked = true);
    match step(&observed) {
        Rollout::Restart { broker, reason, .. } => {
            assert_eq!((broker, reason.as_str()), (NodeId(2), "a person asked for it"));
        }
        other => panic!("{other:?}"),
    }
    let paused = RolloutInput { paused: true, ..input(&observed) };
    assert!(waits_for(&next_step(&paused)).contains("paused"));
}

#[test]
fn brokers_that_leave_are_not_restarted() {
    let mut observed = healthy(5, "new");
    with_pod(&mut observed, 4, |pod| pod.revision = Some("old".to_owned()));
    assert_eq!(step(&observed), Rollout::Done);
}

#[test]
fn the_reason_names_the_image() {
    let observed = healthy(3, "old");
    let other = RolloutInput { image: "ottla:2", ..input(&observed) };
    match next_step(&other) {
        Rollout::Restart { reason, .. } => assert_eq!(reason, "the image changes from ottla:1 to ottla:2"),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_serving_broker_is_restarted_only_alone_and_only_if_safe(
        pods in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0u8..3), 3),
        controller in 0i32..3,
    ) {
        let mut observed = healthy(3, "new");
        observed.kafka.as_mut().expect("brokers answer").controller = Some(NodeId(controller));
        for (id, (ready, terminating, old, stuck, safety)) in pods.iter().enumerate() {
            let broker = i32::try_from(id).expect("three pods");
            with_pod(&mut observed, broker, |pod| {
                pod.ready = *ready;
                pod.terminating = *terminating;
                pod.since = Some(NOW);
                pod.stuck = (*stuck && !*ready).then(|| "Stuck".to_owned());
                pod.revision = Some(if *old { "old" } else { "new" }.to_owned());
            });
            let answer = match safety {
                0 => Some(Safety::Safe),
                1 => Some(Safety::Unsafe("no".to_owned())),
                _ => None,
            };
            observed.safety.remove(&NodeId(broker));
            observed.safety.extend(answer.map(|answer| (NodeId(broker), answer)));
        }
        if let Rollout::Restart { broker, .. } = step(&observed) {
            let pod = &observed.pods[&broker];
            prop_assert!(!pod.terminating && pod.revision.as_deref() == Some("old"));
            if pod.ready {
                prop_assert!(observed.pods.iter().all(|(id, p)| *id == broker || (p.ready && !p.terminating)));
                prop_assert_eq!(observed.safety.get(&broker), Some(&Safety::Safe));
            } else {
                prop_assert!(pod.stuck.is_some() || pod.halted);
            }
        }
    }
}
