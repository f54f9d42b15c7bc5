//! The real API server refuses a KafkaCluster that cannot work, with words that say what to change.

use anyhow::{Result, ensure};
use ottla_e2e::Cluster;

use crate::admission::{Refused, assert_accepted, assert_refused, install_definitions, manifest};

/// A case whose name is as good as any.
const fn bad(what: &'static str, spec: &'static str, says: &'static str) -> Refused {
    Refused { what, name: "demo", spec, says }
}

/// A case about the name.
const fn named(what: &'static str, name: &'static str, says: &'static str) -> Refused {
    Refused { what, name, spec: "{ storage: { size: 1Gi } }", says }
}

#[rustfmt::skip] // a table
const SHAPE: &[Refused] = &[
    bad("no storage", "{ replicas: 3 }", "spec.storage: Required value"),
    bad("no size", "{ storage: {} }", "spec.storage.size: Required value"),
    bad("a field with a typo", "{ replica: 3, storage: { size: 1Gi } }", "unknown field \"spec.replica\""),
    bad("no brokers", "{ replicas: 0, storage: { size: 1Gi } }", "spec.replicas in body should be greater than or equal to 1"),
    bad("too many brokers", "{ replicas: 1000, storage: { size: 1Gi } }", "spec.replicas in body should be less than or equal to 999"),
    bad("a number in words", "{ replicas: three, storage: { size: 1Gi } }", "spec.replicas in body must be of type integer"),
    bad("an even quorum", "{ controllers: 2, storage: { size: 1Gi } }", "supported values: \"1\", \"3\", \"5\""),
    bad("more controllers than brokers", "{ replicas: 3, controllers: 5, storage: { size: 1Gi } }", "raise replicas or lower controllers"),
    bad("a unit that is none", "{ storage: { size: 1GB } }", "such as 100Gi"),
    bad("a negative size", "{ storage: { size: -1Gi } }", "such as 100Gi"),
    bad("a disk for nothing", "{ storage: { size: 1Mi } }", "at least 64Mi"),
    bad("a class with a space", "{ storage: { size: 1Gi, class: Fast Disk } }", "name of a StorageClass"),
    bad("an empty class", "{ storage: { size: 1Gi, class: \"\" } }", "spec.storage.class in body should be at least 1 chars long"),
    bad("another policy", "{ storage: { size: 1Gi, deletionPolicy: Keep } }", "supported values: \"Retain\", \"Delete\""),
    bad("an image with a space", "{ storage: { size: 1Gi }, image: ottla dev }", "image must be the name of an image"),
    bad("a version in words", "{ storage: { size: 1Gi }, version: newest }", "version must be two numbers"),
    bad("a rack without a label", "{ storage: { size: 1Gi }, rack: {} }", "spec.rack.topologyKey: Required value"),
    bad("a rack that is no label", "{ storage: { size: 1Gi }, rack: { topologyKey: the zone } }", "must be a label of the nodes"),
    bad("a mode of no such name", "{ storage: { size: 1Gi }, rebalance: { mode: Disabled } }", "supported values: \"Auto\", \"Manual\", \"Off\""),
    bad("a mode that YAML reads as yes", "{ storage: { size: 1Gi }, rebalance: { mode: On } }", "supported values: \"Auto\", \"Manual\", \"Off\""),
    bad("a throttle in words", "{ storage: { size: 1Gi }, rebalance: { throttle: fast } }", "must be auto or bytes per second"),
    bad("a throttle of nothing", "{ storage: { size: 1Gi }, rebalance: { throttle: 0 } }", "must be auto or bytes per second"),
    bad("a negative budget", "{ storage: { size: 1Gi }, rebalance: { budget: { moves: -1 } } }", "should be greater than or equal to 0"),
    bad("memory with a wrong unit", "{ storage: { size: 1Gi }, resources: { requests: { memory: 1GB } } }", "spec.resources.requests.memory"),
    bad("a pause in words", "{ storage: { size: 1Gi }, rollout: { paused: \"yes\" } }", "spec.rollout.paused in body must be of type boolean"),
    bad("no namespace", "{ storage: { size: 1Gi }, topics: { allowedNamespaces: [A b] } }", "must be names of namespaces"),
    bad("a namespace twice", "{ storage: { size: 1Gi }, topics: { allowedNamespaces: [a, a] } }", "Duplicate value: \"a\""),
    bad("no time to hand over", "{ storage: { size: 1Gi }, template: { terminationGracePeriodSeconds: 1 } }", "should be greater than or equal to 5"),
    bad("another spread", "{ storage: { size: 1Gi }, template: { spread: Strict } }", "supported values: \"Preferred\", \"Required\""),
    named("a name with a dot", "a.b", "contain no dot"),
    named("a name that starts with a digit", "1a", "must start with a letter"),
    named("a name of 41 letters", "abcdefghijabcdefghijabcdefghijabcdefghija", "at most 40 characters"),
];

#[rustfmt::skip] // a table
const LISTENERS: &[Refused] = &[
    bad("the brokers' own port", "{ storage: { size: 1Gi }, listeners: [ { name: apps, port: 9091 } ] }", "choose another port"),
    bad("the port of the metrics", "{ storage: { size: 1Gi }, listeners: [ { name: apps, port: 9404 } ] }", "choose another port"),
    bad("a privileged port", "{ storage: { size: 1Gi }, listeners: [ { name: apps, port: 80 } ] }", "should be greater than or equal to 1024"),
    bad("no such port", "{ storage: { size: 1Gi }, listeners: [ { name: apps, port: 65536 } ] }", "should be less than or equal to 65535"),
    bad("no port", "{ storage: { size: 1Gi }, listeners: [ { name: apps } ] }", "spec.listeners[0].port: Required value"),
    bad("a name in capitals", "{ storage: { size: 1Gi }, listeners: [ { name: APPS, port: 9092 } ] }", "lower-case letters and digits"),
    bad("the brokers' own name", "{ storage: { size: 1Gi }, listeners: [ { name: internal, port: 9093 } ] }", "choose another name"),
    bad("the name of the metrics", "{ storage: { size: 1Gi }, listeners: [ { name: metrics, port: 9093 } ] }", "choose another name"),
    bad("a port twice", "{ storage: { size: 1Gi }, listeners: [ { name: a, port: 9093 }, { name: b, port: 9093 } ] }", "two listeners have the same port"),
    bad("a name twice", "{ storage: { size: 1Gi }, listeners: [ { name: a, port: 9093 }, { name: a, port: 9094 } ] }", "Duplicate value"),
];

#[rustfmt::skip] // a table
const SETTINGS: &[Refused] = &[
    bad("listeners", "{ storage: { size: 1Gi }, config: { listeners: \"X://:1\" } }", "use spec.listeners instead"),
    bad("advertised listeners", "{ storage: { size: 1Gi }, config: { advertised.listeners: \"X://:1\" } }", "use spec.listeners instead"),
    bad("an id", "{ storage: { size: 1Gi }, config: { node.id: 7 } }", "drop node.id"),
    bad("a rack", "{ storage: { size: 1Gi }, config: { broker.rack: a } }", "use spec.rack"),
    bad("roles", "{ storage: { size: 1Gi }, config: { process.roles: broker } }", "use spec.controllers instead"),
    bad("voters", "{ storage: { size: 1Gi }, config: { controller.quorum.voters: \"0@a:1\" } }", "use spec.controllers instead"),
    bad("a data folder", "{ storage: { size: 1Gi }, config: { log.dirs: /data } }", "use spec.storage instead"),
    bad("a metadata folder", "{ storage: { size: 1Gi }, config: { metadata.log.dir: /data } }", "use spec.storage instead"),
    bad("a key store", "{ storage: { size: 1Gi }, config: { ssl.keystore.location: /x } }", "security settings belong to the operator"),
    bad("super users", "{ storage: { size: 1Gi }, config: { super.users: \"User:a\" } }", "security settings belong to the operator"),
    bad("another cluster's id", "{ storage: { size: 1Gi }, config: { ottla.cluster.id: x } }", "the operator sets ottla.cluster.id"),
    bad("a list as a value", "{ storage: { size: 1Gi }, config: { min.insync.replicas: [2] } }", "must be of type integer,string"),
];

const GOOD: &[&str] = &[
    "{ storage: { size: 64Mi } }",
    "{ replicas: 1, storage: { size: 1.5Gi, class: fast-ssd.example, deletionPolicy: Delete } }",
    "{ replicas: 5, controllers: 3, version: \"0.1\", image: \"ottla:dev\", storage: { size: 1Gi } }",
    "{ storage: { size: 1Gi }, config: { min.insync.replicas: 2, log.retention.ms: \"1000\", broker.session.timeout.ms: 9000 } }",
    "{ storage: { size: 1Gi }, listeners: [ { name: plain, port: 9092 }, { name: apps, port: 9094 } ] }",
    "{ storage: { size: 1Gi }, rebalance: { mode: Off, throttle: 50Mi, budget: { moves: 10 } }, rack: { topologyKey: topology.kubernetes.io/zone } }",
    "{ storage: { size: 1Gi }, rebalance: { mode: \"Off\" } }",
    "{ storage: { size: 1Gi }, resources: { requests: { cpu: 500m, memory: 512Mi }, limits: { memory: 1Gi } }, topics: { allowedNamespaces: [\"*\", apps] } }",
];

#[tokio::test]
async fn clusters_that_cannot_work_are_refused_and_others_are_not() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let _chart = install_definitions(&cluster).await?;
    let namespace = cluster.namespace("admit-clusters").await?;
    for cases in [SHAPE, LISTENERS, SETTINGS] {
        assert_refused(&cluster, namespace.name(), "KafkaCluster", cases).await?;
    }
    assert_accepted(&cluster, namespace.name(), "KafkaCluster", GOOD).await?;
    cluster.kubectl(&["delete", "kafkacluster", "--all", "--namespace", namespace.name()]).await.map(drop)
}

#[tokio::test]
async fn changes_that_would_lose_data_are_refused_and_others_are_not() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let _chart = install_definitions(&cluster).await?;
    let namespace = cluster.namespace("admit-changes").await?;
    let old = "{ replicas: 5, storage: { size: 2Gi, class: none-such } }";
    let made = cluster.apply(namespace.name(), &manifest("KafkaCluster", "demo", old)).await?;
    ensure!(made.is_ok(), "{made:?}");
    let status = r#"{"status":{"replicas":5,"controllers":[0,1,2],"bootstrapped":true,"storageSize":"2Gi"}}"#;
    let name = ["kafkacluster/demo", "--namespace", namespace.name()];
    let patch = ["patch", "--subresource=status", "--type=merge", "--patch", status];
    cluster.kubectl(&[&patch[..], &name[..]].concat()).await?;
    #[rustfmt::skip] // a table
    let cases = [
        bad("less disk", "{ replicas: 5, storage: { size: 1Gi, class: none-such } }", "storage.size cannot shrink"),
        bad("another class", "{ replicas: 5, storage: { size: 2Gi, class: slow } }", "storage.class cannot be changed"),
        bad("no class", "{ replicas: 5, storage: { size: 2Gi } }", "storage.class cannot be changed"),
        bad("another quorum", "{ replicas: 5, controllers: 5, storage: { size: 2Gi, class: none-such } }", "controllers cannot be changed"),
        bad("less than the quorum", "{ replicas: 2, storage: { size: 2Gi, class: none-such } }", "replicas cannot go below the number of controllers"),
    ];
    assert_refused(&cluster, namespace.name(), "KafkaCluster", &cases).await?;
    let scale = cluster.kubectl(&[&["scale", "--replicas=2"][..], &name[..]].concat()).await;
    let said = scale.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(said.contains("replicas cannot go below"), "kubectl scale to 2 says {said:?}");
    for good in [
        "{ replicas: 3, storage: { size: 2Gi, class: none-such } }",
        "{ replicas: 7, controllers: 3, storage: { size: 4096Mi, class: none-such } }",
        // No volume has grown yet.
        "{ replicas: 7, controllers: 3, storage: { size: 2Gi, class: none-such } }",
    ] {
        let applied = cluster.apply(namespace.name(), &manifest("KafkaCluster", "demo", good)).await?;
        ensure!(applied.is_ok(), "{good}: {applied:?}");
    }
    cluster.kubectl(&["delete", "kafkacluster", "--all", "--namespace", namespace.name()]).await.map(drop)
}
