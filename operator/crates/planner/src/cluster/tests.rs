//! Whole plans of clusters, from observed facts to actions and status.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::conditions::{DEGRADED, READY, RECONCILING, STALLED, UPGRADE_AVAILABLE, holds};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};

use super::{Input, Plan, plan, plan_failed, plan_invalid, question};
use crate::action::{Action, KafkaAction, KubernetesAction};
use crate::facts::{ClaimFacts, KeptPlan, NoAnswer, Observed};
use crate::testing::{build, cluster_of, defaults, healthy, object, partition, topic_partition};

pub(super) const ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";
pub(super) const NOW: TimestampMs = TimestampMs(1_000_000_000);

pub(super) fn running() -> KafkaClusterStatus {
    KafkaClusterStatus {
        cluster_id: Some(ID.to_owned()),
        controllers: Some(vec![0, 1, 2]),
        bootstrapped: true,
        managed_config: vec!["min.insync.replicas".to_owned()],
        ..KafkaClusterStatus::default()
    }
}

pub(super) fn plan_of(cluster: &ValidatedCluster, former: &KafkaClusterStatus, observed: &Observed) -> Plan {
    let defaults = defaults();
    plan(&Input { cluster, former, observed, defaults: &defaults, fresh_cluster_id: ID, now: NOW })
}

pub(super) fn todo(plan: &Plan) -> Vec<String> {
    let rest = plan.actions.iter().filter(|action| {
        !matches!(action, Action::Kubernetes(KubernetesAction::Apply(_)) | Action::Event(_))
    });
    rest.map(Action::to_string).collect()
}

pub(super) fn reason(plan: &Plan) -> &str {
    let ready = plan.status.conditions.iter().find(|condition| condition.type_ == READY);
    ready.map_or("", |condition| condition.reason.as_str())
}

pub(super) fn message(plan: &Plan) -> &str {
    let ready = plan.status.conditions.iter().find(|condition| condition.type_ == READY);
    ready.map_or("", |condition| condition.message.as_str())
}

/// A healthy cluster of the present revision with its status settled.
pub(super) fn at_rest(cluster: &ValidatedCluster) -> (Observed, KafkaClusterStatus) {
    let revision = build(cluster).revision();
    let mut observed = healthy(cluster.replicas, &revision);
    observed.config_maps = BTreeSet::from([build(cluster).config_map_name()]);
    let status = plan_of(cluster, &running(), &observed).status;
    (observed, status)
}

#[test]
fn identity_is_kept_before_anything_is_made() {
    let cluster = cluster_of("");
    let first = plan_of(&cluster, &KafkaClusterStatus::default(), &Observed::default());
    assert!(first.actions.is_empty());
    assert_eq!(first.status.cluster_id.as_deref(), Some(ID));
    assert_eq!(first.status.controllers, Some(vec![0, 1, 2]));
    assert_eq!(first.status.observed_generation, Some(1));
    let second = plan_of(&cluster, &first.status, &Observed::default());
    assert_eq!(second.resources().count(), 10);
    assert_eq!(reason(&second), "Starting");
    assert!(!second.status.bootstrapped);
}

#[test]
fn settings_without_effect_are_told_and_hold_nothing_up() {
    let cluster = cluster_of("config: {num.io.threads: 16, compression.type: zstd, num.network.threads: 3}");
    let (_, status) = at_rest(&cluster);
    assert!(!holds(&status.conditions, STALLED));
    let told: Vec<&str> = status.notes.iter().filter_map(|note| note.split(' ').next()).collect();
    assert_eq!(told, ["compression.type", "num.io.threads"], "{:?}", status.notes);
    let (observed, _) = at_rest(&cluster_of(""));
    assert_eq!(plan_of(&cluster_of(""), &status, &observed).status.notes, [""; 0]);
}

#[test]
fn settings_that_ask_for_what_is_not_there_are_refused_before_anything_rolls() {
    for config in ["create.topic.policy.class.name: X", "remote.log.storage.system.enable: true"] {
        let problems = ValidatedCluster::new(&object(&format!("config: {{{config}}}")));
        let problems = problems.expect_err(config);
        assert!(problems[0].to_string().contains(": drop it"), "{problems:?}");
    }
}

#[test]
fn volumes_of_an_earlier_object_give_their_cluster_back() {
    let mut observed = Observed::default();
    let claim = |bootstrapped| ClaimFacts {
        cluster_id: Some("old".to_owned()),
        bootstrapped,
        ..ClaimFacts::default()
    };
    observed.claims.insert(NodeId(0), claim(false));
    let first = plan_of(&cluster_of(""), &KafkaClusterStatus::default(), &observed);
    assert_eq!(first.status.cluster_id.as_deref(), Some("old"));
    assert!(!first.status.bootstrapped, "nothing was ever written to them: a quorum must form");
    observed.claims.insert(NodeId(1), claim(true));
    assert!(plan_of(&cluster_of(""), &KafkaClusterStatus::default(), &observed).status.bootstrapped);
}

#[test]
fn volumes_that_go_with_an_earlier_cluster_are_waited_for() {
    for doomed in [
        ClaimFacts { terminating: true, ..ClaimFacts::default() },
        ClaimFacts { owner_uid: Some("former".to_owned()), ..ClaimFacts::default() },
    ] {
        let claim = ClaimFacts { cluster_id: Some("old".to_owned()), bootstrapped: true, ..doomed };
        let mut observed = Observed::default();
        observed.claims.insert(NodeId(0), claim);
        let first = plan_of(&cluster_of(""), &KafkaClusterStatus::default(), &observed);
        assert_eq!((first.status.cluster_id.as_deref(), first.actions.len()), (None, 0));
        assert!(message(&first).contains("1 volumes of an earlier cluster"), "{}", message(&first));
    }
}

#[test]
fn claims_remember_the_quorum_and_go_with_the_cluster_only_where_asked() {
    let keep = cluster_of("");
    let (mut observed, status) = at_rest(&keep);
    let claim = ClaimFacts { name: "c0".to_owned(), requested_bytes: 1 << 30, ..ClaimFacts::default() };
    observed.claims.insert(NodeId(0), claim);
    let mark = |owned| {
        let (claim, controllers) = ("c0".to_owned(), vec![0, 1, 2]);
        Action::from(KubernetesAction::MarkClaim { claim, owned, bootstrapped: true, controllers })
    };
    assert!(plan_of(&keep, &status, &observed).actions.contains(&mark(false)));
    observed.claims.get_mut(&NodeId(0)).expect("it is there").bootstrapped = true;
    assert!(
        plan_of(&keep, &status, &observed).actions.contains(&mark(false)),
        "it does not name the voters yet"
    );
    observed.claims.get_mut(&NodeId(0)).expect("it is there").controllers = Some(vec![0, 1, 2]);
    assert_eq!(todo(&plan_of(&keep, &status, &observed)), Vec::<String>::new());
    let delete = cluster_of("storage: {size: 1Gi, deletionPolicy: Delete}");
    assert!(plan_of(&delete, &status, &observed).actions.contains(&mark(true)));
    observed.claims.get_mut(&NodeId(0)).expect("it is there").owner_uid = Some("u".to_owned());
    assert_eq!(todo(&plan_of(&delete, &status, &observed)), Vec::<String>::new());
    assert!(plan_of(&keep, &status, &observed).actions.contains(&mark(false)));
}

#[test]
fn only_claims_that_have_a_volume_and_a_broker_grow() {
    let cluster = cluster_of("storage: {size: 2Gi}");
    let (mut observed, status) = at_rest(&cluster);
    for (id, bound) in [(0, false), (1, true), (3, true)] {
        let claim = ClaimFacts {
            name: format!("c{id}"),
            requested_bytes: 1 << 30,
            bound,
            bootstrapped: true,
            controllers: Some(vec![0, 1, 2]),
            ..ClaimFacts::default()
        };
        observed.claims.insert(NodeId(id), claim);
    }
    assert_eq!(todo(&plan_of(&cluster, &status, &observed)), ["grow claim c1 to 2Gi"]);
}

#[test]
fn pauses_after_failures_grow_to_five_minutes() {
    let pauses: Vec<u64> = [0, 1, 2, 6, 1000].into_iter().map(|times| super::failed_pause(times).0).collect();
    assert_eq!(pauses, [5_000, 10_000, 20_000, 300_000, 300_000]);
}

#[test]
fn a_failure_is_told_and_hides_nothing_else() {
    let cluster = cluster_of("");
    let (observed, status) = at_rest(&cluster);
    let mut planned = plan_of(&cluster, &status, &observed).status;
    planned.ready_replicas = 2;
    let failed = plan_failed(&status, planned.clone(), "grow claim c1: refused", NOW);
    assert_eq!((reason(&failed), message(&failed)), ("ActionFailed", "grow claim c1: refused"));
    assert!(holds(&failed.status.conditions, STALLED));
    assert_eq!(failed.status.ready_replicas, 2);
    let again = plan_failed(&failed.status, planned, "grow claim c1: refused", NOW);
    assert_eq!(again.status, failed.status);
    assert!(again.actions.is_empty());
}

#[test]
fn the_quorum_counts_as_formed_once_all_voters_were_ready() {
    let cluster = cluster_of("");
    let former = KafkaClusterStatus { bootstrapped: false, ..running() };
    let mut observed = healthy(3, &build(&cluster).revision());
    observed.pods.get_mut(&NodeId(2)).expect("it is there").ready = false;
    assert!(!plan_of(&cluster, &former, &observed).status.bootstrapped);
    observed.pods.get_mut(&NodeId(2)).expect("it is there").ready = true;
    assert!(plan_of(&cluster, &former, &observed).status.bootstrapped);
}

#[test]
fn a_cluster_at_rest_is_ready_and_left_alone() {
    let cluster = cluster_of("");
    let (observed, status) = at_rest(&cluster);
    let again = plan_of(&cluster, &status, &observed);
    assert_eq!(todo(&again), Vec::<String>::new());
    assert_eq!(again.status, status);
    assert!(holds(&status.conditions, READY));
    for kind in [RECONCILING, STALLED, DEGRADED] {
        assert!(!holds(&status.conditions, kind), "{kind}");
    }
    assert_eq!((status.replicas, status.ready_replicas), (3, 3));
    assert_eq!(status.bootstrap_servers.as_deref(), Some("demo-bootstrap.default.svc:9092"));
}

#[test]
fn a_static_setting_restarts_one_broker_after_kubernetes_knows() {
    let old = cluster_of("");
    let (mut observed, status) = at_rest(&old);
    let new = cluster_of("config: {num.partitions: 7}");
    let first = plan_of(&new, &status, &observed);
    assert_eq!(todo(&first), Vec::<String>::new());
    assert!(first.status.roll.as_ref().is_some_and(|roll| roll.message.contains("handed to Kubernetes")));
    let revision = build(&new).revision();
    observed.stateful_set.as_mut().expect("it is there").revision = Some(revision);
    let second = plan_of(&new, &first.status, &observed);
    assert_eq!(todo(&second), ["restart broker 1: its settings or its pod changed"]);
    assert_eq!(reason(&second), "Rolling");
    assert_eq!(second.status.roll.and_then(|roll| roll.last_restarted), Some(1));
}

fn upgraded() -> super::Defaults {
    super::Defaults { image: "ottla:2".to_owned(), ..defaults() }
}

fn plan_upgraded(cluster: &ValidatedCluster, former: &KafkaClusterStatus, observed: &Observed) -> Plan {
    let defaults = upgraded();
    plan(&Input { cluster, former, observed, defaults: &defaults, fresh_cluster_id: ID, now: NOW })
}

#[test]
fn another_default_image_restarts_nobody_and_is_told() {
    let cluster = cluster_of("");
    let (observed, status) = at_rest(&cluster);
    assert_eq!(status.image.as_deref(), Some("ottla:1"));
    assert!(!holds(&status.conditions, UPGRADE_AVAILABLE));
    let plan = plan_upgraded(&cluster, &status, &observed);
    assert_eq!((todo(&plan), reason(&plan)), (vec![], "Ready"));
    let told = plan.status.conditions.iter().find(|condition| condition.type_ == UPGRADE_AVAILABLE);
    assert!(
        told.is_some_and(|told| told.status == "True" && told.message.contains("set spec.image to ottla:2"))
    );
    // A status of before images were kept: what the pods are made with counts.
    let older = KafkaClusterStatus { image: None, ..status };
    assert_eq!(todo(&plan_upgraded(&cluster, &older, &observed)), Vec::<String>::new());
}

#[test]
fn a_cluster_that_never_served_takes_the_default_of_the_moment() {
    let cluster = cluster_of("");
    let former = KafkaClusterStatus { bootstrapped: false, ..running() };
    let mut observed = healthy(3, &build(&cluster).revision());
    observed.kafka = Err(NoAnswer("no broker is ready".to_owned()));
    for pod in observed.pods.values_mut() {
        (pod.ready, pod.halted) = (false, true);
        pod.stuck = Some("ImagePullBackOff".to_owned());
    }
    let plan = plan_upgraded(&cluster, &former, &observed);
    assert_eq!(plan.status.image, None);
    assert!(plan.resources().any(|resource| matches!(resource, crate::resources::Resource::StatefulSet(set)
        if set.spec.template.spec.as_ref().is_some_and(|pod| pod.containers[0].image.as_deref() == Some("ottla:2")))));
}

#[test]
fn an_image_that_was_dropped_from_the_spec_is_kept_if_it_served_and_left_if_not() {
    let (mut observed, status) = at_rest(&cluster_of(""));
    let given = cluster_of("image: ottla:3");
    let rolling = plan_of(&given, &status, &observed).status;
    assert_eq!(rolling.image.as_deref(), Some("ottla:1"), "nobody has served with it yet");
    let revert = plan_of(&cluster_of(""), &rolling, &observed);
    assert_eq!((todo(&revert), reason(&revert)), (vec![], "Ready"));
    let revision = build(&given).revision();
    observed.pods.values_mut().for_each(|pod| pod.revision = Some(revision.clone()));
    let served = plan_of(&given, &rolling, &observed).status;
    assert_eq!(served.image.as_deref(), Some("ottla:3"));
    let dropped = plan_of(&cluster_of(""), &served, &observed);
    assert_eq!((todo(&dropped), dropped.status.image.as_deref()), (vec![], Some("ottla:3")));
}

#[test]
fn the_question_is_about_the_broker_that_is_next() {
    let old = cluster_of("");
    let (observed, status) = at_rest(&old);
    let new = cluster_of("config: {num.partitions: 7}");
    let defaults = defaults();
    let input = |cluster| Input {
        cluster,
        former: &status,
        observed: &observed,
        defaults: &defaults,
        fresh_cluster_id: ID,
        now: NOW,
    };
    assert_eq!(question(&input(&new)), Some(NodeId(1)));
    assert_eq!(question(&input(&old)), None);
}

#[test]
fn a_dynamic_setting_restarts_nobody() {
    let (observed, status) = at_rest(&cluster_of(""));
    let plan = plan_of(&cluster_of("config: {min.insync.replicas: 1}"), &status, &observed);
    assert_eq!(todo(&plan), ["change settings of all brokers: min.insync.replicas=1"]);
    assert_eq!(reason(&plan), "Configuring");
}

#[test]
fn only_settings_of_its_own_are_taken_back() {
    let cluster = cluster_of("");
    let (mut observed, mut status) = at_rest(&cluster);
    let theirs = [("message.max.bytes", "9"), ("log.retention.ms", "5"), ("min.insync.replicas", "2")];
    let texts = theirs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    observed.kafka.as_mut().expect("brokers answer").dynamic_config = Some(BTreeMap::from(texts));
    status.managed_config.push("log.retention.ms".to_owned());
    let plan = plan_of(&cluster, &status, &observed);
    assert_eq!(todo(&plan), ["change settings of all brokers: -log.retention.ms"]);
}

#[test]
fn a_manifest_that_cannot_work_touches_nothing() {
    let mut broken = object("");
    broken.spec.config.insert("min.insync.replica".to_owned(), "2".into());
    let problems = ValidatedCluster::new(&broken).expect_err("the setting is unknown");
    let (_, status) = at_rest(&cluster_of(""));
    let plan = plan_invalid(&status, Some(2), &problems, NOW);
    assert!(plan.actions.iter().all(|action| matches!(action, Action::Event(_))));
    assert_eq!(reason(&plan), "InvalidSpec");
    assert!(holds(&plan.status.conditions, STALLED) && !holds(&plan.status.conditions, READY));
    assert_eq!(plan.status.observed_generation, Some(2));
    assert_eq!(plan.status.ready_replicas, 3);
}

#[test]
fn brokers_of_another_cluster_are_left_alone() {
    let cluster = cluster_of("");
    let (mut observed, status) = at_rest(&cluster);
    observed.kafka.as_mut().expect("brokers answer").cluster_id = "other".to_owned();
    let plan = plan_of(&cluster, &status, &observed);
    assert_eq!((todo(&plan), reason(&plan)), (vec![], "ForeignCluster"));
    assert_eq!(plan.resources().count(), 0);
}

#[test]
fn a_missing_copy_degrades_and_forbids_eviction() {
    let cluster = cluster_of("");
    let (mut observed, status) = at_rest(&cluster);
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions.insert(topic_partition("t", 0), partition(&[0, 1, 2], &[0, 1]));
    let plan = plan_of(&cluster, &status, &observed);
    assert!(holds(&plan.status.conditions, DEGRADED));
    let allowed = plan.resources().find_map(|resource| match resource {
        crate::resources::Resource::PodDisruptionBudget(budget) => budget.spec.clone()?.max_unavailable,
        _ => None,
    });
    assert_eq!(allowed, Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(0)));
}

#[test]
fn scaling_down_says_what_it_waits_for_and_keeps_the_pods() {
    let five = cluster_of("replicas: 5");
    let (observed, status) = at_rest(&five);
    let plan = plan_of(&cluster_of("replicas: 3"), &status, &observed);
    assert_eq!(reason(&plan), "Draining");
    let pods = plan.resources().find_map(|resource| match resource {
        crate::resources::Resource::StatefulSet(set) => set.spec.replicas,
        _ => None,
    });
    assert_eq!(pods, Some(5));
    let mut observed = observed;
    keep(&mut observed, &plan);
    let plan = plan_of(&cluster_of("replicas: 3"), &plan.status, &observed);
    assert!(todo(&plan).iter().any(|action| action.starts_with("move ")), "{:?}", todo(&plan));
}

/// Keeps the plan of moves that was made, as the API server does.
fn keep(observed: &mut Observed, plan: &Plan) {
    let chunks = plan.resources().filter_map(|resource| match resource {
        crate::resources::Resource::ConfigMap(map) => {
            let hash = map.metadata.labels.as_ref()?.get(crate::names::PLAN_LABEL)?.clone();
            let chunk = map.binary_data.as_ref()?.get(crate::names::PLAN_CHUNK)?.0.clone();
            Some((map.metadata.name.clone()?, hash, chunk))
        }
        _ => None,
    });
    let mut kept = KeptPlan::default();
    for (number, (name, hash, chunk)) in chunks.enumerate() {
        kept.names.insert(name);
        kept.chunks.insert(number, chunk);
        (kept.hash, kept.count) = (hash, number + 1);
    }
    observed.plan = Some(kept);
}

#[test]
fn a_drain_that_is_taken_back_cancels_what_runs_and_starts_nothing_more() {
    let five = cluster_of("replicas: 5");
    let (mut observed, status) = at_rest(&five);
    let made = plan_of(&cluster_of("replicas: 3"), &status, &observed);
    keep(&mut observed, &made);
    let drain = plan_of(&cluster_of("replicas: 3"), &made.status, &observed);
    let start = drain.actions.iter().find_map(|action| match action {
        Action::Kafka(KafkaAction::Reassign(moves)) => Some(moves.clone()),
        _ => None,
    });
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    let before = kafka.partitions.clone();
    for change in start.expect("moves start") {
        let facts = kafka.partitions.get_mut(&change.partition).expect("it is there");
        let without = |list: &[NodeId], but: &[NodeId]| -> Vec<NodeId> {
            list.iter().copied().filter(|id| !but.contains(id)).collect()
        };
        facts.adding = without(&change.replicas, &facts.replicas);
        facts.removing = without(&facts.replicas, &change.replicas);
        facts.replicas = [change.replicas, facts.removing.clone()].concat();
    }
    for id in [3, 4].map(NodeId) {
        kafka.brokers.get_mut(&id).expect("it is registered").cordoned = Some(true);
    }
    let back = plan_of(&five, &drain.status, &observed);
    let did = todo(&back);
    assert!(did.iter().any(|action| action.starts_with("cancel the moves of")), "{did:?}");
    assert!(did.contains(&"let new replicas on broker 3 again".to_owned()), "{did:?}");
    assert!(!did.iter().any(|action| action.starts_with("move ")), "{did:?}");
    assert!(message(&back).starts_with("brokers 3, 4 stay after all"), "{}", message(&back));
    let kafka = observed.kafka.as_mut().expect("brokers answer");
    kafka.partitions = before;
    for id in [3, 4].map(NodeId) {
        kafka.brokers.get_mut(&id).expect("it is registered").cordoned = Some(false);
    }
    // The plan of the drain is let go, too.
    observed.plan = None;
    let after = plan_of(&five, &back.status, &observed);
    assert_eq!((todo(&after), reason(&after)), (vec![], "Ready"));
    assert_eq!(after.status.drain, None);
}

#[test]
fn racks_are_told_to_pods_and_volumes_grow() {
    let cluster = cluster_of("rack: {topologyKey: zone}\nstorage: {size: 2Gi}");
    let mut observed = healthy(3, &build(&cluster).revision());
    observed.pods.get_mut(&NodeId(1)).expect("it is there").node_rack = Some("b".to_owned());
    let claim =
        ClaimFacts { name: "c0".to_owned(), requested_bytes: 1 << 30, bound: true, ..ClaimFacts::default() };
    observed.claims.insert(NodeId(0), claim);
    let plan = plan_of(&cluster, &running(), &observed);
    let todo = todo(&plan);
    assert!(todo.contains(&"tell pod demo-broker-1 that its rack is b".to_owned()), "{todo:?}");
    assert!(todo.contains(&"grow claim c0 to 2Gi".to_owned()), "{todo:?}");
}

#[test]
fn silence_of_the_brokers_is_said_and_nothing_is_restarted() {
    let (mut observed, status) = at_rest(&cluster_of(""));
    observed.kafka = Err(NoAnswer("connection refused".to_owned()));
    let plan = plan_of(&cluster_of("config: {num.partitions: 7}"), &status, &observed);
    assert_eq!(todo(&plan), Vec::<String>::new());
    assert!(!holds(&plan.status.conditions, READY));
    let degraded = plan.status.conditions.iter().find(|condition| condition.type_ == DEGRADED);
    assert!(degraded.is_some_and(|found| found.reason == "Unreachable" && found.status == "True"));
}

#[test]
fn a_silent_cluster_is_not_called_ready_and_comes_back() {
    let cluster = cluster_of("");
    let (observed, status) = at_rest(&cluster);
    let mut silent = observed.clone();
    silent.kafka = Err(NoAnswer("timed out".to_owned()));
    let told = plan_of(&cluster, &status, &silent);
    assert_eq!((holds(&told.status.conditions, READY), reason(&told)), (false, "Unreachable"));
    assert!(message(&told).contains("timed out; see the brokers' logs"), "{}", message(&told));
    let ready = told.status.conditions.iter().find(|condition| condition.type_ == READY);
    assert_eq!(ready.and_then(|ready| ready.observed_generation), Some(1));
    assert!(holds(&told.status.conditions, RECONCILING) && holds(&told.status.conditions, DEGRADED));
    for broker in &told.status.brokers {
        assert_eq!((broker.leaders, broker.replicas, broker.bytes), (None, None, None));
    }
    let again = plan_of(&cluster, &told.status, &observed);
    assert_eq!((holds(&again.status.conditions, READY), reason(&again)), (true, "Ready"));
}

#[test]
fn a_label_that_no_node_has_is_told() {
    let cluster = cluster_of("rack: {topologyKey: zon}");
    let (observed, status) = at_rest(&cluster);
    let degraded = |status: &KafkaClusterStatus| {
        status.conditions.iter().find(|condition| condition.type_ == DEGRADED).map(|c| c.message.clone())
    };
    assert!(degraded(&status).is_some_and(|text| text.contains("correct spec.rack.topologyKey")));
    let mut labelled = observed;
    labelled.pods.values_mut().for_each(|pod| pod.node_rack = Some("a".to_owned()));
    assert_eq!(degraded(&plan_of(&cluster, &status, &labelled).status).as_deref(), Some(""));
}

#[test]
fn the_same_facts_give_the_same_plan() {
    let cluster = cluster_of("replicas: 5");
    let observed = healthy(5, "old");
    assert_eq!(plan_of(&cluster, &running(), &observed), plan_of(&cluster, &running(), &observed));
}

#[test]
fn services_of_brokers_that_left_are_deleted_and_no_others() {
    let cluster = cluster_of("");
    let (mut observed, status) = at_rest(&cluster);
    let names = ["demo-brokers", "demo-bootstrap", "demo-broker-2", "demo-broker-3", "mine-9"];
    observed.services = names.map(str::to_owned).into();
    assert_eq!(todo(&plan_of(&cluster, &status, &observed)), ["delete service demo-broker-3"]);
    let drained = cluster_of("replicas: 2");
    let leaving = todo(&plan_of(&drained, &status, &observed));
    assert!(!leaving.iter().any(|action| action.starts_with("delete service")), "{leaving:?}");
}

#[test]
fn status_tells_sizes_to_the_hundredth_part() {
    let cluster = cluster_of("");
    let (mut observed, status) = at_rest(&cluster);
    let told = |observed: &Observed, former: &KafkaClusterStatus| {
        let plan = plan_of(&cluster, former, observed);
        (plan.status.brokers[0].bytes, plan.status)
    };
    let mut set = |bytes: u64| {
        let kafka = observed.kafka.as_mut().expect("the brokers answer");
        kafka.brokers.get_mut(&NodeId(0)).expect("broker 0 is registered").bytes = Some(bytes);
        observed.clone()
    };
    let (first, status) = told(&set(1_000_000), &status);
    assert_eq!(first, Some(1_000_000));
    let (grown, status) = told(&set(1_009_999), &status);
    assert_eq!(grown, Some(1_000_000), "a little growth writes no status");
    let (shrunk, _) = told(&set(980_000), &status);
    assert_eq!(shrunk, Some(980_000), "replicas that have left do not count for long");
}

#[test]
fn a_full_disk_is_named_with_what_frees_it_until_there_is_space() {
    let cluster = cluster_of("");
    let (mut observed, status) = at_rest(&cluster);
    let kafka = observed.kafka.as_mut().expect("the brokers answer");
    let broker = kafka.brokers.get_mut(&NodeId(1)).expect("broker 1 is registered");
    (broker.volume_bytes, broker.usable_bytes) = (Some(1 << 30), Some(0));
    let full = plan_of(&cluster, &status, &observed);
    let degraded = |plan: &Plan| {
        let found = plan.status.conditions.iter().find(|condition| condition.type_ == DEGRADED);
        found.map(|found| (found.reason.clone(), found.message.clone()))
    };
    let (reason, message) = degraded(&full).expect("the condition is there");
    assert_eq!(reason, "DiskFull");
    assert!(message.starts_with("broker 1 (1024 MiB): its disk is full"), "{message}");
    assert!(message.contains("retention.bytes") && message.contains("spec.storage.size"), "{message}");
    let told = full.actions.iter().any(|action| matches!(action, Action::Event(event) if event.warning));
    assert!(told, "an event says so, too");
    observed
        .kafka
        .as_mut()
        .expect("the brokers answer")
        .brokers
        .get_mut(&NodeId(1))
        .expect("it")
        .usable_bytes = Some(1);
    assert_eq!(degraded(&plan_of(&cluster, &full.status, &observed)).expect("it").0, "NotDegraded");
}
