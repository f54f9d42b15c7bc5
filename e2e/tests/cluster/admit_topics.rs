//! The real API server refuses a KafkaTopic that cannot work, with words that say what to change.

use anyhow::{Result, ensure};
use ottla_e2e::Cluster;

use crate::admission::{Refused, assert_accepted, assert_refused, install_definitions, manifest};

/// A case whose name is as good as any.
const fn bad(what: &'static str, spec: &'static str, says: &'static str) -> Refused {
    Refused { what, name: "flights", spec, says }
}

#[rustfmt::skip] // a table
const BAD: &[Refused] = &[
    bad("no cluster", "{ partitions: 3 }", "spec.cluster: Required value"),
    bad("an empty cluster", "{ cluster: \"\" }", "spec.cluster in body should be at least 1 chars long"),
    bad("a cluster that cannot exist", "{ cluster: Demo_1 }", "cluster must be the name of a KafkaCluster"),
    bad("a namespace that cannot exist", "{ cluster: demo, clusterNamespace: A b }", "must be the name of the KafkaCluster's namespace"),
    bad("a field with a typo", "{ cluster: demo, partition: 3 }", "unknown field \"spec.partition\""),
    bad("no partitions", "{ cluster: demo, partitions: 0 }", "spec.partitions in body should be greater than or equal to 1"),
    bad("partitions in words", "{ cluster: demo, partitions: many }", "spec.partitions in body must be of type integer"),
    bad("too many partitions", "{ cluster: demo, partitions: 100001 }", "spec.partitions in body should be less than or equal to 100000"),
    bad("no copies", "{ cluster: demo, replicationFactor: 0 }", "spec.replicationFactor in body should be greater than or equal to 1"),
    bad("too many copies", "{ cluster: demo, replicationFactor: 33 }", "spec.replicationFactor in body should be less than or equal to 32"),
    bad("a name with a space", "{ cluster: demo, topicName: a b }", "topicName can have letters, digits"),
    bad("a name of dots", "{ cluster: demo, topicName: \"..\" }", "choose another topicName"),
    bad("Kafka's own topic", "{ cluster: demo, topicName: __consumer_offsets }", "choose another topicName"),
    bad("an empty name", "{ cluster: demo, topicName: \"\" }", "spec.topicName in body should be at least 1 chars long"),
    bad("another policy", "{ cluster: demo, deletionPolicy: Keep }", "supported values: \"Retain\", \"Delete\""),
    bad("a list as a value", "{ cluster: demo, config: { retention.ms: [1] } }", "must be of type integer,string"),
    bad("settings that are a number", "{ cluster: demo, config: 3 }", "spec.config in body must be of type object"),
];

const GOOD: &[&str] = &[
    "{ cluster: demo }",
    "{ cluster: demo, clusterNamespace: kafka, topicName: Flights_2013.v1, partitions: 12, replicationFactor: 3 }",
    "{ cluster: demo, config: { retention.ms: 1000, cleanup.policy: \"compact,delete\" }, deletionPolicy: Retain }",
];

#[tokio::test]
async fn topics_that_cannot_work_are_refused_and_others_are_not() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let _chart = install_definitions(&cluster).await?;
    let namespace = cluster.namespace("admit-topics").await?;
    assert_refused(&cluster, namespace.name(), "KafkaTopic", BAD).await?;
    assert_accepted(&cluster, namespace.name(), "KafkaTopic", GOOD).await?;
    cluster.kubectl(&["delete", "kafkatopic", "--all", "--namespace", namespace.name()]).await.map(drop)
}

#[tokio::test]
async fn changes_that_would_lose_records_are_refused_and_others_are_not() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let _chart = install_definitions(&cluster).await?;
    let namespace = cluster.namespace("admit-regrets").await?;
    let old = manifest("KafkaTopic", "flights", "{ cluster: demo, partitions: 12 }");
    let made = cluster.apply(namespace.name(), &old).await?;
    ensure!(made.is_ok(), "{made:?}");
    #[rustfmt::skip] // a table
    let cases = [
        bad("fewer partitions", "{ cluster: demo, partitions: 6 }", "partitions cannot be reduced"),
        bad("another cluster", "{ cluster: other, partitions: 12 }", "cluster cannot be changed"),
        bad("another name", "{ cluster: demo, partitions: 12, topicName: other }", "topicName cannot be changed"),
        bad("another namespace", "{ cluster: demo, partitions: 12, clusterNamespace: other }", "clusterNamespace cannot be changed"),
    ];
    assert_refused(&cluster, namespace.name(), "KafkaTopic", &cases).await?;
    for good in [
        "{ cluster: demo, partitions: 24 }",
        "{ cluster: demo, partitions: 24, topicName: flights, config: { retention.ms: 1000 } }",
    ] {
        let applied = cluster.apply(namespace.name(), &manifest("KafkaTopic", "flights", good)).await?;
        ensure!(applied.is_ok(), "{good}: {applied:?}");
    }
    cluster.kubectl(&["delete", "kafkatopic", "--all", "--namespace", namespace.name()]).await.map(drop)
}
