//! What the built Kubernetes objects contain, and what changes their revision.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PodSpec, Service};
use ottla_operator_crd::ValidatedCluster;

use super::{Build, Resource};
use crate::testing::{build, cluster_of};

fn stateful_set(build: &Build<'_>) -> StatefulSet {
    let object = build.objects().into_iter().find_map(|object| match object {
        Resource::StatefulSet(set) => Some(*set),
        _ => None,
    });
    object.expect("every cluster has a StatefulSet")
}

fn pod(build: &Build<'_>) -> PodSpec {
    stateful_set(build).spec.template.spec.expect("it has pods")
}

fn object_name(service: &Service) -> &str {
    service.metadata.name.as_deref().unwrap_or_default()
}

fn revision(spec: &str) -> String {
    let cluster: ValidatedCluster = cluster_of(spec);
    build(&cluster).revision()
}

#[test]
fn every_object_belongs_to_the_cluster() {
    let cluster = cluster_of("");
    let labels: Vec<String> = build(&cluster).objects().iter().map(Resource::label).collect();
    let config_map = format!("ConfigMap {}", build(&cluster).config_map_name());
    assert_eq!(
        labels,
        [
            "ServiceAccount demo-broker",
            config_map.as_str(),
            "Service demo-brokers",
            "Service demo-bootstrap",
            "Service demo-broker-0",
            "Service demo-broker-1",
            "Service demo-broker-2",
            "NetworkPolicy demo-broker",
            "PodDisruptionBudget demo-broker",
            "StatefulSet demo-broker",
        ]
    );
    let owner = stateful_set(&build(&cluster)).metadata.owner_references.expect("it is owned");
    assert_eq!((owner[0].name.as_str(), owner[0].controller), ("demo", Some(true)));
}

#[test]
fn only_brokers_and_the_operator_reach_the_private_port() {
    let cluster = cluster_of("listeners: [{name: apps, port: 9094}, {name: tools, port: 9095}]");
    let policy = build(&cluster).objects().into_iter().find_map(|object| match object {
        Resource::NetworkPolicy(policy) => Some(*policy),
        _ => None,
    });
    let policy = policy.expect("every cluster has a NetworkPolicy");
    let owner = policy.metadata.owner_references.expect("it is owned");
    assert_eq!((owner[0].kind.as_str(), owner[0].name.as_str()), ("KafkaCluster", "demo"));
    let selector = serde_json::json!({ "matchLabels": {
        "app.kubernetes.io/component": "broker", "ottla.dev/cluster": "demo",
    } });
    let operator = serde_json::json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "ottla" } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "ottla-operator" } },
    });
    let port = |number: u16| serde_json::json!({ "port": number, "protocol": "TCP" });
    let expected = serde_json::json!({
        "podSelector": selector,
        "policyTypes": ["Ingress"],
        "ingress": [
            { "from": [{ "podSelector": selector }, operator], "ports": [port(9091)] },
            { "ports": [port(9094), port(9095), port(9404)] },
        ],
    });
    assert_eq!(serde_json::to_value(policy.spec).expect("it is JSON"), expected);
}

#[test]
fn the_private_port_is_for_pods_that_every_broker_is() {
    let cluster = cluster_of("");
    let pods = stateful_set(&build(&cluster)).spec.template.metadata.and_then(|meta| meta.labels);
    let pods = pods.expect("pods have labels");
    assert!(crate::names::selector("demo").iter().all(|(name, value)| pods.get(name) == Some(value)));
}

#[test]
fn pods_fit_the_restricted_security_profile() {
    let cluster = cluster_of("");
    let spec = pod(&build(&cluster));
    let context = spec.security_context.expect("the pod has a context");
    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!(context.seccomp_profile.map(|profile| profile.type_), Some("RuntimeDefault".to_owned()));
    let container = spec.containers[0].security_context.clone().expect("the container has a context");
    assert_eq!(container.allow_privilege_escalation, Some(false));
    assert_eq!(container.read_only_root_filesystem, Some(true));
    assert_eq!(container.capabilities.and_then(|c| c.drop), Some(vec!["ALL".to_owned()]));
    assert_eq!(spec.automount_service_account_token, Some(false));
}

#[test]
fn clients_get_names_whose_addresses_outlive_pods() {
    let cluster = cluster_of("");
    let arguments = pod(&build(&cluster)).containers[0].args.clone().unwrap_or_default();
    let advertised = arguments.last().cloned().unwrap_or_default();
    assert_eq!(
        advertised,
        "advertised.listeners=INTERNAL://$(POD_NAME).demo-brokers.default.svc.cluster.local:9091,\
         PLAINTEXT://$(POD_NAME).default.svc.cluster.local:9092"
    );
    let service = build(&cluster).objects().into_iter().find_map(|object| match object {
        Resource::Service(service) if object_name(&service) == "demo-broker-1" => service.spec,
        _ => None,
    });
    let service = service.expect("each broker has a Service");
    assert_eq!(service.type_.as_deref(), Some("ClusterIP"));
    assert_eq!(service.publish_not_ready_addresses, Some(true));
    let selector = service.selector.expect("it selects its pod");
    assert_eq!(selector["statefulset.kubernetes.io/pod-name"], "demo-broker-1");
    assert_eq!(selector["ottla.dev/cluster"], "demo");
}

#[test]
fn what_needs_a_restart_changes_the_revision() {
    let base = revision("");
    for spec in [
        "image: other:1",
        "config: {num.partitions: 7}",
        "resources: {requests: {cpu: 1}}",
        "rollout: {restartedAt: today}",
        "listeners: [{name: apps, port: 9094}]",
        "rack: {topologyKey: zone}",
        "template: {priorityClassName: high}",
    ] {
        assert_ne!(revision(spec), base, "{spec}");
    }
}

#[test]
fn what_needs_no_restart_leaves_the_revision() {
    let base = revision("");
    for spec in [
        "replicas: 5",
        "config: {min.insync.replicas: 1}",
        "storage: {size: 2Gi}",
        "rollout: {paused: true}",
        "rebalance: {mode: Off}",
        "template: {metadata: {labels: {team: a}, annotations: {note: b}}}",
    ] {
        assert_eq!(revision(spec), base, "{spec}");
    }
}

/// An operator that builds pods otherwise restarts every broker of every cluster: never by accident. Whoever changes
/// this on purpose says so in the changelog.
#[test]
fn an_upgrade_of_the_operator_alone_restarts_nobody() {
    assert_eq!(revision(""), "541a99fc0d");
}

#[test]
fn what_the_operator_alone_decides_leaves_the_revision() {
    let cluster = cluster_of("");
    let base = build(&cluster);
    let other = Build {
        bootstrapped: !base.bootstrapped,
        evictable: !base.evictable,
        replicas: 9,
        image_pull_policy: Some("Always"),
        ..base.clone()
    };
    assert_eq!(base.revision(), other.revision());
    assert_ne!(base.objects(), other.objects());
}

#[test]
fn strict_spread_lets_brokers_wait() {
    let cluster = cluster_of("rack: {topologyKey: zone}\ntemplate: {spread: Required}");
    let spec = pod(&build(&cluster));
    let anti = spec.affinity.and_then(|affinity| affinity.pod_anti_affinity).expect("there is anti-affinity");
    assert!(anti.required_during_scheduling_ignored_during_execution.is_some());
    let constraints = spec.topology_spread_constraints.unwrap_or_default();
    assert_eq!(constraints[0].when_unsatisfiable, "DoNotSchedule");
    assert_eq!(constraints[0].topology_key, "zone");
    let cluster = cluster_of("");
    let spec = pod(&build(&cluster));
    let constraints = spec.topology_spread_constraints.unwrap_or_default();
    assert!(constraints.iter().all(|constraint| constraint.when_unsatisfiable == "ScheduleAnyway"));
}

#[test]
fn the_claim_template_keeps_its_first_size() {
    let cluster = cluster_of("storage: {size: 4Gi}");
    let build = Build { claim_size: Some("1Gi"), ..build(&cluster) };
    let claims = stateful_set(&build).spec.volume_claim_templates.unwrap_or_default();
    let size = claims[0].spec.clone().and_then(|spec| spec.resources).and_then(|r| r.requests);
    assert_eq!(size.and_then(|sizes| sizes.get("storage").map(|q| q.0.clone())), Some("1Gi".to_owned()));
}
