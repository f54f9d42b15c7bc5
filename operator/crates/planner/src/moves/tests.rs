//! Which moves start, go on and are left alone.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};

use super::{Moves, MovesInput, misled, moves};
use crate::action::{Action, KafkaAction, KubernetesAction, Reassignment};
use crate::facts::{BrokerFacts, KeptPlan, Observed, PartitionFacts};
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

/// The step after a plan was made: it is kept then, and its first moves start.
fn begin(observed: &mut Observed, spec: &str, leaving: &[i32]) -> Moves {
    let made = decide(observed, spec, leaving, None);
    assert!(made.keep.is_some() && started(&made).is_empty(), "it is kept before anything moves: {made:?}");
    keep(observed, &made);
    decide(observed, spec, leaving, made.status.as_ref())
}

fn started(moves: &Moves) -> Vec<Reassignment> {
    let start = moves.actions.iter().find_map(|action| match action {
        Action::Kafka(KafkaAction::Reassign(start)) => Some(start.clone()),
        _ => None,
    });
    start.unwrap_or_default()
}

/// Executes what was started, at once, and keeps what is to be kept. Replicas have grown meanwhile.
fn execute(observed: &mut Observed, moves: &Moves) {
    keep(observed, moves);
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for change in started(moves) {
        let ids: Vec<i32> = change.replicas.iter().map(|id| id.get()).collect();
        let bytes = kafka.partitions[&change.partition].bytes;
        let moved = PartitionFacts { bytes, ..partition(&ids, &ids) };
        kafka.partitions.insert(change.partition, moved);
    }
    for (at, facts) in kafka.partitions.values_mut().enumerate() {
        facts.bytes = facts.bytes.map(|bytes| (bytes + bytes / 3 * (at as u64 % 5)).min(1 << 40));
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
fn sizes_that_grow_while_replicas_move_change_nothing_about_where_they_go() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    for (at, facts) in (1..).zip(kafka.partitions.values_mut()) {
        facts.bytes = Some((at * at) << 20);
    }
    let (status, moved) = run(&mut observed, "replicas: 5", &[]);
    assert_eq!(i64::try_from(moved).ok(), Some(status.moves), "a replica moved twice");
}

#[test]
fn a_scale_up_copies_onto_new_brokers_only() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    // What broker 0 has beside the topic is uneven already.
    for index in 0..6 {
        let facts = PartitionFacts { bytes: Some(1 << 20), ..partition(&[0, 1], &[0, 1]) };
        kafka.partitions.insert(topic_partition("uneven", index), facts);
    }
    let former = RebalanceStatus { balanced_for: Some("0=,1=,2=".to_owned()), ..Default::default() };
    let mut former = Some(former);
    for _ in 0..100 {
        let step = decide(&observed, "replicas: 5", &[], former.as_ref());
        for change in started(&step) {
            let now = &observed.kafka().expect("brokers answer").partitions[&change.partition].replicas;
            let onto: Vec<i32> =
                change.replicas.iter().filter(|id| !now.contains(id)).map(|id| id.get()).collect();
            assert!(onto.iter().all(|id| *id >= 3), "{change:?} from {now:?}");
        }
        execute(&mut observed, &step);
        former = step.status;
        if former.as_ref().is_some_and(|status| status.phase == RebalancePhase::Done) {
            break;
        }
    }
    assert!(counts(&observed, 5)[3..].iter().all(|count| *count >= 9), "{:?}", counts(&observed, 5));
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
    let first = begin(&mut observed, "replicas: 5", &[]);
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
    let step = begin(&mut observed, "replicas: 5", &[]);
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
    let paused = decide(&observed, "replicas: 5\nrollout: {paused: true}", &[], None);
    assert_eq!(paused.status.map(|status| status.phase), Some(RebalancePhase::Paused));
    assert!(paused.actions.is_empty());
}

const MANUAL: &str = "replicas: 5\nrebalance: {mode: Manual}";

/// Manual mode with the annotation `approved`.
fn decide_manual(observed: &Observed, approved: Option<&str>, former: Option<&RebalanceStatus>) -> Moves {
    let mut cluster = cluster_of(MANUAL);
    cluster.rebalance.approved = approved.map(str::to_owned);
    let none = &BTreeSet::new();
    moves(&MovesInput { cluster: &cluster, observed, leaving: none, returning: none, staying: 5, former })
}

/// Keeps what is to be kept and lets go of what is not, as the API server does.
fn keep(observed: &mut Observed, moves: &Moves) {
    for action in &moves.actions {
        if let Action::Kubernetes(KubernetesAction::DeleteConfigMap { name }) = action {
            assert!(observed.plan.as_ref().is_some_and(|plan| plan.names.contains(name)), "{name}");
            observed.plan = None;
        }
    }
    if let Some(keep) = &moves.keep {
        observed.plan = Some(KeptPlan {
            hash: keep.hash.clone(),
            count: keep.chunks.len(),
            chunks: keep.chunks.iter().cloned().enumerate().collect(),
            names: (0..keep.chunks.len()).map(|number| crate::names::plan_chunk("demo", number)).collect(),
        });
    }
}

#[test]
fn a_plan_moves_nothing_before_its_own_hash_is_approved() {
    let mut observed = grown();
    let partitions = &mut observed.kafka.as_mut().expect("brokers answer").partitions;
    partitions.values_mut().for_each(|partition| partition.bytes = Some(1 << 30));
    let shown = decide_manual(&observed, None, None);
    let status = shown.status.clone().expect("it is shown");
    assert_eq!((status.phase, shown.actions.len(), shown.busy), (RebalancePhase::ProposalReady, 0, false));
    assert_eq!((status.moves, status.lower_bound_moves), (14, 14));
    assert_eq!((status.bytes, status.lower_bound_bytes), (Some(14 << 30), Some(14 << 30)));
    let hash = status.plan_hash.clone().expect("it has a hash");
    assert!(status.message.contains(&hash) && status.message.contains("14.0 GiB"), "{}", status.message);
    keep(&mut observed, &shown);
    assert_eq!(decide_manual(&observed, None, Some(&status)).status, Some(status.clone()));
    for wrong in ["0000000000000000", "yes"] {
        let refused = decide_manual(&observed, Some(wrong), Some(&status));
        assert!(refused.actions.is_empty() && refused.keep.is_none());
        let told = refused.status.expect("it is told");
        assert_eq!(
            (told.phase, told.refused_approval.as_deref()),
            (RebalancePhase::ProposalReady, Some(wrong))
        );
        assert!(told.message.contains(&format!("the approval of {wrong} is refused")), "{}", told.message);
    }
    let approved = decide_manual(&observed, Some(&hash), Some(&status));
    assert!(!started(&approved).is_empty() && approved.busy, "{approved:?}");
}

#[test]
fn a_plan_that_is_shown_stays_the_same_while_partitions_grow() {
    let mut observed = grown();
    let sizes = |observed: &mut Observed, factor: u64| {
        let partitions = &mut observed.kafka.as_mut().expect("brokers answer").partitions;
        for (at, facts) in (1..).zip(partitions.values_mut()) {
            facts.bytes = Some((1 << 20) + at * at * factor);
        }
    };
    sizes(&mut observed, 1 << 20);
    let shown = decide_manual(&observed, None, None);
    keep(&mut observed, &shown);
    let status = shown.status.expect("it is shown");
    for factor in [1 << 10, 1 << 30, 7] {
        sizes(&mut observed, factor);
        assert_eq!(decide_manual(&observed, None, Some(&status)).status.as_ref(), Some(&status));
    }
    let approved = decide_manual(&observed, status.plan_hash.as_deref(), Some(&status));
    assert!(!started(&approved).is_empty(), "{approved:?}");
    // Replicas that somebody has moved meanwhile make it another plan.
    let partitions = &mut observed.kafka.as_mut().expect("brokers answer").partitions;
    partitions.values_mut().for_each(|facts| facts.replicas.reverse());
    let outdated = decide_manual(&observed, None, Some(&status));
    keep(&mut observed, &outdated);
    let again = decide_manual(&observed, None, outdated.status.as_ref());
    assert!(again.keep.is_some_and(|kept| Some(kept.hash) != status.plan_hash));
}

#[test]
fn what_was_approved_is_carried_out_whatever_comes_meanwhile_and_once() {
    let mut observed = grown();
    let shown = decide_manual(&observed, None, None);
    keep(&mut observed, &shown);
    let shown = shown.status.expect("it is shown");
    let hash = shown.plan_hash.clone().expect("it has a hash");
    let kept = observed.plan.clone().expect("it is kept");
    let planned = crate::rebalance::load(&kept.chunks.values().collect::<Vec<_>>()).expect("it is whole");
    let partitions = &mut observed.kafka.as_mut().expect("brokers answer").partitions;
    // A topic that would change every plan, and one partition that is gone.
    for index in 0..20 {
        partitions.insert(topic_partition("new", index), partition(&[0, 1], &[0, 1]));
    }
    let gone = planned.iter().find(|step| !step.is_reorder()).expect("something moves");
    partitions.remove(&topic_partition("t", gone.partition.get()));
    let mut former = Some(shown);
    for _ in 0..100 {
        let step = decide_manual(&observed, Some(&hash), former.as_ref());
        for change in started(&step) {
            let asked = planned.iter().any(|step| {
                change.partition == topic_partition("t", step.partition.get())
                    && change.replicas == step.target
            });
            assert!(asked, "{change:?} was not approved");
            let ids: Vec<i32> = change.replicas.iter().map(|id| id.get()).collect();
            let partitions = &mut observed.kafka.as_mut().expect("brokers answer").partitions;
            partitions.insert(change.partition, partition(&ids, &ids));
        }
        keep(&mut observed, &step);
        former = step.status;
        if observed.plan.is_none() {
            break;
        }
    }
    let over = former.expect("there is a status");
    assert_eq!((over.phase, over.executed_hash.as_ref()), (RebalancePhase::Done, Some(&hash)));
    assert!(over.message.contains("1 partitions had changed meanwhile"), "{}", over.message);
    // What is left is another plan, and the approval was of this one.
    let next = decide_manual(&observed, Some(&hash), Some(&over));
    keep(&mut observed, &next);
    let told = next.status.expect("it is shown");
    assert_eq!((told.phase, &told.refused_approval), (RebalancePhase::ProposalReady, &None));
    assert!(started(&decide_manual(&observed, Some(&hash), Some(&told))).is_empty());
}

#[test]
fn an_approval_that_was_used_starts_the_same_plan_not_again() {
    let mut observed = grown();
    let shown = decide_manual(&observed, None, None);
    keep(&mut observed, &shown);
    let shown = shown.status.expect("it is shown");
    let hash = shown.plan_hash.clone();
    let used = RebalanceStatus { executed_hash: hash.clone(), ..shown };
    let again = decide_manual(&observed, hash.as_deref(), Some(&used));
    assert_eq!((again.keep.as_ref(), again.actions.len()), (None, 0));
    let told = again.status.expect("it is told");
    assert!(told.message.contains("its approval has been used"), "{}", told.message);
    // Taken off and set once more, it counts.
    let off = decide_manual(&observed, None, Some(&told)).status.expect("it is shown");
    assert!(!started(&decide_manual(&observed, hash.as_deref(), Some(&off))).is_empty());
}

#[test]
fn an_approval_taken_back_starts_nothing_more() {
    let mut observed = grown();
    let shown = decide_manual(&observed, None, None);
    keep(&mut observed, &shown);
    let shown = shown.status.expect("it is shown");
    let hash = shown.plan_hash.clone();
    let approved = decide_manual(&observed, hash.as_deref(), Some(&shown));
    let back = decide_manual(&observed, None, approved.status.as_ref());
    assert!(started(&back).is_empty() && !back.actions.is_empty());
    assert!(back.status.as_ref().is_some_and(|told| told.message.contains("was taken back")));
    keep(&mut observed, &back);
    let next = decide_manual(&observed, None, back.status.as_ref());
    assert_eq!(next.status.map(|told| told.phase), Some(RebalancePhase::ProposalReady));
}

#[test]
fn a_plan_of_which_a_chunk_is_missing_is_kept_again_and_a_damaged_one_is_dropped() {
    let mut observed = grown();
    let approved = decide_manual(&observed, None, None);
    keep(&mut observed, &approved);
    let hash = approved.status.as_ref().and_then(|told| told.plan_hash.clone());
    let kept = observed.plan.clone().expect("it is kept");
    observed.plan.as_mut().expect("it is kept").count = 2;
    let again = decide_manual(&observed, hash.as_deref(), approved.status.as_ref());
    assert!(again.keep.is_some() && started(&again).is_empty());
    let mut damaged = kept;
    damaged.chunks.insert(0, vec![1, 2, 3]);
    observed.plan = Some(damaged);
    let dropped = decide_manual(&observed, hash.as_deref(), approved.status.as_ref());
    assert!(started(&dropped).is_empty() && !dropped.actions.is_empty());
    assert!(dropped.status.is_some_and(|told| told.message.contains("cannot be read")));
}

#[test]
fn drains_need_no_approval_and_move_nothing_else() {
    for mode in ["Manual", "Off"] {
        let mut observed = healthy(5, "new");
        let kafka = observed.kafka.as_mut().expect("brokers answer");
        // Uneven beside the drain: broker 0 has everything that 1 and 2 have, and more.
        for index in 0..9 {
            kafka.partitions.insert(topic_partition("uneven", index), partition(&[0], &[0]));
        }
        observed.plan =
            Some(KeptPlan { names: BTreeSet::from(["demo-plan-0".to_owned()]), ..KeptPlan::default() });
        let spec = format!("replicas: 3\nrebalance: {{mode: {mode}}}");
        let first = decide(&observed, &spec, &[3, 4], None);
        assert!(first.keep.is_some(), "it takes the place of the plan that was kept");
        observed.plan = None;
        run(&mut observed, &spec, &[3, 4]);
        assert_eq!(counts(&observed, 5)[3..], [0, 0], "{mode}");
        let partitions = &observed.kafka().expect("brokers answer").partitions;
        assert!((0..9).all(|index| partitions[&topic_partition("uneven", index)].replicas == [NodeId(0)]));
    }
}

#[test]
fn another_mode_lets_go_of_a_plan_that_was_kept() {
    let mut observed = grown();
    observed.plan =
        Some(KeptPlan { names: BTreeSet::from(["demo-plan-0".to_owned()]), ..KeptPlan::default() });
    let off = decide(&observed, "replicas: 5\nrebalance: {mode: Off}", &[], None);
    assert!(
        off.actions.contains(&KubernetesAction::DeleteConfigMap { name: "demo-plan-0".to_owned() }.into())
    );
    // Another plan takes its place at once.
    assert!(decide(&observed, "replicas: 5", &[], None).keep.is_some());
}

#[test]
fn moves_of_others_are_left_alone() {
    let mut observed = grown();
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    let mut foreign = partition(&[3, 0, 1, 2], &[0, 1, 2]);
    foreign.adding = vec![NodeId(3)];
    foreign.removing = vec![NodeId(2)];
    kafka.partitions.insert(topic_partition("t", 0), foreign);
    let step = begin(&mut observed, "replicas: 5", &[]);
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
    assert!(decide(&observed, spec, &[], None).keep.is_some());
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
