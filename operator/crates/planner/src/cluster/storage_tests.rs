//! What becomes of volumes and names that are there before their cluster, and of edits that come too late.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::conditions::{RECONCILING, STALLED, holds};

use super::tests::{ID, at_rest, message, plan_of, reason, running, todo};
use crate::facts::{ClaimFacts, Observed, StatefulSetFacts};
use crate::names;
use crate::ownership::{Marks, Owner};
use crate::testing::cluster_of;

/// A claim of cluster [`ID`] with a volume of 1 GiB.
fn used(id: i32) -> ClaimFacts {
    ClaimFacts {
        name: names::claim("demo", NodeId(id)),
        requested_bytes: 1 << 30,
        capacity_bytes: Some(1 << 30),
        cluster_id: Some(ID.to_owned()),
        bound: true,
        ..ClaimFacts::default()
    }
}

/// One that never got a volume.
fn unused(id: i32) -> ClaimFacts {
    ClaimFacts { bound: false, unused: true, capacity_bytes: None, ..used(id) }
}

fn with_claims(claims: impl IntoIterator<Item = ClaimFacts>) -> Observed {
    let claims = claims.into_iter().enumerate();
    let claims = claims.map(|(id, claim)| (NodeId(i32::try_from(id).expect("few claims")), claim));
    Observed { claims: claims.collect(), ..Observed::default() }
}

/// A cluster that has made its StatefulSet with this class and size, and has not formed yet.
fn starting(class: Option<&str>, size: &str) -> (KafkaClusterStatus, StatefulSetFacts) {
    let former = KafkaClusterStatus { bootstrapped: false, ..running() };
    let set = StatefulSetFacts {
        replicas: 3,
        claim_size: Some(size.to_owned()),
        claim_class: class.map(str::to_owned),
        ..StatefulSetFacts::default()
    };
    (former, set)
}

#[test]
fn a_cluster_made_again_with_fewer_brokers_than_its_controllers_is_refused_with_the_way_out() {
    let kept = |id| ClaimFacts { bootstrapped: true, controllers: Some(vec![0, 1, 2]), ..used(id) };
    let observed = with_claims((0..3).map(kept));
    let none = KafkaClusterStatus::default();
    let plan = plan_of(&cluster_of("replicas: 1"), &none, &observed);
    assert_eq!((reason(&plan), plan.status.cluster_id.as_deref()), ("InvalidSpec", None));
    let text = message(&plan);
    assert!(text.contains("set spec.replicas to 3 or more") && text.contains("data-demo-broker-0"), "{text}");
    let plan = plan_of(&cluster_of("replicas: 3\ncontrollers: 1"), &none, &observed);
    assert!(message(&plan).contains("set spec.controllers to 3"), "{}", message(&plan));
    let served = plan_of(&cluster_of("replicas: 5"), &none, &observed);
    assert_eq!(
        (served.status.controllers, served.status.cluster_id.as_deref()),
        (Some(vec![0, 1, 2]), Some(ID))
    );
}

#[test]
fn controllers_of_volumes_that_do_not_name_them_are_the_default_of_as_many_brokers() {
    let kept = |id| ClaimFacts { bootstrapped: true, ..used(id) };
    let none = KafkaClusterStatus::default();
    let three = plan_of(&cluster_of("replicas: 2"), &none, &with_claims((0..3).map(kept)));
    assert_eq!(reason(&three), "InvalidSpec");
    let one = plan_of(&cluster_of("replicas: 2"), &none, &with_claims((0..1).map(kept)));
    assert_eq!(one.status.controllers, Some(vec![0]));
}

#[test]
fn volumes_of_two_clusters_under_one_name_are_told_apart() {
    let other = ClaimFacts { cluster_id: Some("other".to_owned()), ..used(1) };
    let plan = plan_of(&cluster_of(""), &KafkaClusterStatus::default(), &with_claims([used(0), other]));
    assert_eq!((reason(&plan), plan.actions.len()), ("VolumesOfAnother", 1), "only the event");
    assert!(message(&plan).contains("data-demo-broker-1 of cluster other"), "{}", message(&plan));
}

#[test]
fn claims_of_an_earlier_cluster_that_never_got_a_volume_do_not_bind_a_new_one() {
    let observed = with_claims((0..3).map(unused));
    let plan =
        plan_of(&cluster_of("storage: {size: 1Gi, class: good}"), &KafkaClusterStatus::default(), &observed);
    assert_eq!(todo(&plan), [0, 1, 2].map(|id| format!("delete claim data-demo-broker-{id}")));
    assert!(holds(&plan.status.conditions, RECONCILING) && plan.status.cluster_id.is_none());
}

#[test]
fn storage_that_was_never_there_can_be_changed() {
    let (former, set) = starting(Some("typo"), "1Gi");
    let mut observed = with_claims((0..3).map(unused));
    observed.stateful_set = Some(set);
    for spec in ["storage: {size: 1Gi, class: good}", "storage: {size: 64Mi, class: typo}"] {
        let plan = plan_of(&cluster_of(spec), &former, &observed);
        assert_eq!(todo(&plan)[0], "delete stateful set demo-broker", "{spec}");
        assert_eq!((todo(&plan).len(), reason(&plan)), (4, "Starting"), "{spec}");
    }
    observed.stateful_set = None;
    observed.claims.values_mut().for_each(|claim| claim.terminating = true);
    let waiting = plan_of(&cluster_of("storage: {size: 1Gi, class: good}"), &former, &observed);
    assert_eq!(waiting.actions.len(), 0, "nothing is made while the old claims are going");
    observed.claims.clear();
    let made = plan_of(&cluster_of("storage: {size: 1Gi, class: good}"), &former, &observed);
    assert!(made.resources().count() > 0);
}

#[test]
fn a_class_is_for_good_once_one_claim_has_a_volume() {
    let (former, set) = starting(Some("fast"), "1Gi");
    let mut observed = with_claims([used(0), unused(1), unused(2)]);
    observed.stateful_set = Some(set);
    let plan = plan_of(&cluster_of("storage: {size: 1Gi, class: slow}"), &former, &observed);
    assert_eq!((reason(&plan), todo(&plan).len()), ("StorageFixed", 0));
    assert!(message(&plan).contains("set spec.storage.class back (fast)"), "{}", message(&plan));
    let same = plan_of(&cluster_of("storage: {size: 2Gi, class: fast}"), &former, &observed);
    assert!(todo(&same).contains(&"grow claim data-demo-broker-0 to 2Gi".to_owned()), "{:?}", todo(&same));
}

#[test]
fn a_volume_that_cannot_grow_is_told_with_the_way_back_and_is_not_tried_all_the_time() {
    let cluster = cluster_of("storage: {size: 5Gi}");
    let (mut observed, status) = at_rest(&cluster);
    let kept = |id| ClaimFacts { bootstrapped: true, controllers: Some(vec![0, 1, 2]), ..used(id) };
    observed.claims = with_claims((0..3).map(kept)).claims;
    let claims = ["data-demo-broker-0", "data-demo-broker-1", "data-demo-broker-2"];
    observed.growth_refused =
        claims.map(|claim| (claim.to_owned(), "the class does not allow it".to_owned())).into();
    let plan = plan_of(&cluster, &status, &observed);
    assert_eq!((reason(&plan), todo(&plan).len()), ("VolumeCannotGrow", 0));
    let text = message(&plan);
    assert!(
        text.contains("PersistentVolumeClaim data-demo-broker-0") && text.contains("the class does not"),
        "{text}"
    );
    assert!(text.contains("set spec.storage.size back to 1Gi"), "{text}");
    assert_eq!(plan.status.storage_size.as_deref(), Some("1Gi"), "the spec may go back to that");
    observed.growth_refused.clear();
    let back = plan_of(&cluster_of("storage: {size: 1Gi}"), &plan.status, &observed);
    assert!(!holds(&back.status.conditions, STALLED) && todo(&back).is_empty());
}

#[test]
fn the_size_in_status_never_exceeds_the_one_asked_for() {
    let (mut observed, status) = at_rest(&cluster_of(""));
    observed.claims.insert(NodeId(0), ClaimFacts { capacity_bytes: Some(7 << 30), ..used(0) });
    let plan = plan_of(&cluster_of("storage: {size: 2Gi}"), &status, &observed);
    assert_eq!(plan.status.storage_size.as_deref(), Some("2Gi"), "a claim was grown by hand");
}

#[test]
fn nothing_is_done_while_somebody_else_has_a_name_that_the_cluster_needs() {
    let cluster = cluster_of("");
    for (label, marks) in [
        ("Service demo-bootstrap", Marks::default()),
        ("ServiceAccount demo-broker", Marks { cluster: Some("demo".to_owned()), ..Marks::default() }),
        ("PersistentVolumeClaim data-demo-broker-2", Marks::default()),
    ] {
        let observed =
            Observed { others: BTreeMap::from([(label.to_owned(), marks)]), ..Observed::default() };
        let former = KafkaClusterStatus { bootstrapped: false, ..running() };
        let plan = plan_of(&cluster, &former, &observed);
        assert_eq!((reason(&plan), todo(&plan).len(), plan.resources().count()), ("NameTaken", 0, 0));
        assert!(
            message(&plan).starts_with(label) && holds(&plan.status.conditions, STALLED),
            "{}",
            message(&plan)
        );
    }
}

#[test]
fn objects_of_an_earlier_cluster_are_waited_for_and_those_handed_over_are_taken() {
    let cluster = cluster_of("");
    let owner =
        Owner { kind: "KafkaCluster".into(), name: "demo".into(), uid: "old".into(), controller: true };
    let of_former = Marks { owners: vec![owner], ..Marks::default() };
    let handed_over = Marks { adopt: Some("demo".to_owned()), ..Marks::default() };
    let of = |marks| {
        let others = BTreeMap::from([("Service demo-bootstrap".to_owned(), marks)]);
        plan_of(&cluster, &running(), &Observed { others, ..Observed::default() })
    };
    let waiting = of(of_former);
    assert_eq!((waiting.resources().count(), holds(&waiting.status.conditions, STALLED)), (0, false));
    assert!(
        message(&waiting).contains("Service demo-bootstrap of an earlier cluster"),
        "{}",
        message(&waiting)
    );
    assert_eq!(of(handed_over).resources().count(), 10);
}
