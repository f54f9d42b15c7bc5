//! Which moves start, go on and are left alone.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};

use super::{Moves, MovesInput, misled, moves};
use crate::action::{Action, Reassignment};
use crate::facts::{BrokerFacts, Observed};
use crate::testing::{cluster_of, healthy, partition, topic_partition};

/// Three brokers with twelve partitions of three replicas, and two new brokers without any.
fn grown() -> Observed {
    let mut observed = healthy(5, "new");
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.clear();
    for index in 0..12 {
        let replicas = [index % 3, (index + 1) % 3, (index + 2) % 3];
        kafka.partitions.insert(topic_partition("t", index), partition(&replicas, &replicas));
    }
    observed
}

fn decide(observed: &Observed, spec: &str, leaving: &[i32], former: Option<&RebalanceStatus>) -> Moves {
    let cluster = cluster_of(spec);
    let leaving: BTreeSet<NodeId> = leaving.iter().copied().map(NodeId).collect();
    let (staying, returning) = (cluster.replicas, &BTreeSet::new());
    moves(&MovesInput { cluster: &cluster, observed, leaving: &leaving, returning, staying, former })
}

fn started(moves: &Moves) -> Vec<Reassignment> {
    match moves.actions.as_slice() {
        [] => vec![],
        [Action::Reassign(start)] => start.clone(),
        other => panic!("{other:?}"),
    }
}

/// Executes what was started, at once.
fn execute(observed: &mut Observed, moves: &Moves) {
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for change in started(moves) {
        let ids: Vec<i32> = change.replicas.iter().map(|id| id.get()).collect();
        kafka.partitions.insert(change.partition, partition(&ids, &ids));
    }
}

/// Runs to the end; gives the last status and how many replicas moved.
fn run(observed: &mut Observed, spec: &str, leaving: &[i32]) -> (RebalanceStatus, usize) {
    let mut former = None;
    let mut moved = 0;
    for _ in 0..100 {
        let step = decide(observed, spec, leaving, former.as_ref());
        let kafka = observed.kafka().expect("brokers answer");
        moved += started(&step)
            .iter()
            .flat_map(|change| {
                let now = &kafka.partitions[&change.partition].replicas;
                change.replicas.iter().filter(move |id| !now.contains(id))
            })
            .count();
        execute(observed, &step);
        former = step.status;
        if former.as_ref().is_some_and(|status| status.phase == RebalancePhase::Done) {
            return (former.expect("there is a status"), moved);
        }
    }
    panic!("it never ends: {former:?}");
}

fn counts(observed: &Observed, brokers: i32) -> Vec<usize> {
    let kafka = observed.kafka().expect("brokers answer");
    (0..brokers).map(|id| kafka.replicas_on(&BTreeSet::from([NodeId(id)]))).collect()
}

#[test]
fn new_brokers_get_their_share_with_the_fewest_moves() {
    let mut observed = grown();
    let (status, moved) = run(&mut observed, "replicas: 5", &[]);
    let counts = counts(&observed, 5);
    assert!(counts.iter().all(|count| (7..=8).contains(count)), "{counts:?}");
    assert_eq!(i64::try_from(moved).ok(), Some(status.moves));
    assert_eq!(status.lower_bound_moves, status.moves);
    assert_eq!((status.percent, status.moves_done), (100, status.moves));
    let again = decide(&observed, "replicas: 5", &[], Some(&status));
    assert!(again.actions.is_empty() && !again.busy);
}

#[test]
fn leaving_brokers_end_empty() {
    let mut observed = healthy(5, "new");
    run(&mut observed, "replicas: 3", &[3, 4]);
    assert_eq!(counts(&observed, 5)[3..], [0, 0]);
}

#[test]
fn only_a_few_moves_run_at_once() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for index in 12..300 {
        kafka.partitions.insert(topic_partition("t", index), partition(&[0, 1, 2], &[0, 1, 2]));
    }
    let first = decide(&observed, "replicas: 5", &[], None);
    let copies = started(&first).iter().filter(|c| c.replicas.iter().any(|id| id.get() >= 3)).count();
    assert!((1..=10).contains(&copies), "{copies}");
}

#[test]
fn a_partition_that_is_behind_waits() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for facts in kafka.partitions.values_mut() {
        facts.isr.remove(&NodeId(0));
    }
    let step = decide(&observed, "replicas: 5", &[], None);
    for change in started(&step) {
        assert!(!change.replicas.contains(&NodeId(0)), "{change:?}");
    }
}

#[test]
fn nothing_moves_before_every_broker_serves() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.brokers.insert(NodeId(4), BrokerFacts { fenced: true, ..BrokerFacts::default() });
    assert!(decide(&observed, "replicas: 5", &[], None).actions.is_empty());
}

#[test]
fn modes_and_pauses_are_kept() {
    let observed = grown();
    let off = decide(&observed, "replicas: 5\nrebalance: {mode: Off}", &[], None);
    assert_eq!(off, Moves::default());
    let manual = decide(&observed, "replicas: 5\nrebalance: {mode: Manual}", &[], None);
    assert_eq!(manual.status.map(|status| status.phase), Some(RebalancePhase::ProposalReady));
    assert!(manual.actions.is_empty());
    let paused = decide(&observed, "replicas: 5\nrollout: {paused: true}", &[], None);
    assert_eq!(paused.status.map(|status| status.phase), Some(RebalancePhase::Paused));
    assert!(paused.actions.is_empty());
}

#[test]
fn moves_of_others_are_left_alone() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    let mut foreign = partition(&[3, 0, 1, 2], &[0, 1, 2]);
    foreign.adding = vec![NodeId(3)];
    foreign.removing = vec![NodeId(2)];
    kafka.partitions.insert(topic_partition("t", 0), foreign);
    let step = decide(&observed, "replicas: 5", &[], None);
    assert!(started(&step).iter().all(|change| change.partition != topic_partition("t", 0)));
}

#[test]
fn brokers_that_stay_after_all_get_their_share_again() {
    let mut observed = grown();
    let (even, _) = run(&mut observed, "replicas: 5", &[]);
    let drain = decide(&observed, "replicas: 3", &[3, 4], Some(&even));
    execute(&mut observed, &drain);
    let mut former = drain.status;
    for _ in 0..100 {
        let step = decide(&observed, "replicas: 5", &[], former.as_ref());
        execute(&mut observed, &step);
        let busy = step.busy;
        former = step.status;
        if !busy {
            break;
        }
    }
    let counts = counts(&observed, 5);
    assert!(counts.iter().all(|count| (7..=8).contains(count)), "{counts:?}");
}

#[test]
fn nothing_moves_while_only_some_racks_are_known() {
    let mut observed = grown();
    let spec = "replicas: 5\nrack: {topologyKey: zone}";
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for id in 0..4 {
        kafka.brokers.get_mut(&NodeId(id)).expect("it is registered").rack = Some("a".to_owned());
    }
    let step = decide(&observed, spec, &[], None);
    assert!(step.actions.is_empty() && step.busy);
    assert!(step.status.is_some_and(|status| status.message.contains("the rack of broker 4")));
    observed.pods.get_mut(&NodeId(4)).expect("it is there").node_rack = Some("b".to_owned());
    assert!(!decide(&observed, spec, &[], None).actions.is_empty());
}

#[test]
fn preferred_replicas_that_could_lead_are_found() {
    let mut observed = healthy(3, "new");
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    assert_eq!(misled(kafka), []);
    let facts = kafka.partitions.get_mut(&topic_partition("t", 1)).expect("it is there");
    facts.leader = Some(NodeId(0));
    assert_eq!(misled(kafka), [topic_partition("t", 1)]);
}
