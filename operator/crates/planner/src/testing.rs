//! Clusters and facts for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName, TopicPartition};
use ottla_operator_crd::{KafkaCluster, ValidatedCluster};

use crate::facts::{BrokerFacts, KafkaFacts, Observed, PartitionFacts, PodFacts, Safety, StatefulSetFacts};
use crate::resources::{Build, OperatorPods};
use crate::{cluster, names};

/// A KafkaCluster named demo with these lines of spec; replicas 3 and storage 1Gi unless they say otherwise.
pub(crate) fn object(spec: &str) -> KafkaCluster {
    let mut spec: serde_json::Value = if spec.is_empty() {
        serde_json::json!({})
    } else {
        serde_saphyr::from_str(spec).expect("the spec is YAML")
    };
    if spec.get("replicas").is_none() {
        spec["replicas"] = 3.into();
    }
    if spec.get("storage").is_none() {
        spec["storage"] = serde_json::json!({ "size": "1Gi" });
    }
    let object = serde_json::json!({
        "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaCluster", "spec": spec,
        "metadata": { "name": "demo", "namespace": "default", "uid": "u", "generation": 1 },
    });
    serde_json::from_value(object).expect("the spec fits the type")
}

pub(crate) fn cluster_of(spec: &str) -> ValidatedCluster {
    ValidatedCluster::new(&object(spec)).expect("the spec is valid")
}

pub(crate) fn cluster(replicas: i32) -> ValidatedCluster {
    cluster_of(&format!("replicas: {replicas}"))
}

pub(crate) fn address(broker: NodeId) -> (String, u16) {
    (names::host("demo", "default", "cluster.local", broker), names::INTERNAL_PORT)
}

static OPERATOR: LazyLock<OperatorPods> = LazyLock::new(|| OperatorPods {
    namespace: "ottla".to_owned(),
    labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "ottla-operator".to_owned())]),
});

pub(crate) fn defaults() -> cluster::Defaults {
    cluster::Defaults {
        image: "ottla:1".to_owned(),
        image_pull_policy: None,
        cluster_domain: "cluster.local".to_owned(),
        operator: OPERATOR.clone(),
    }
}

pub(crate) fn build(cluster: &ValidatedCluster) -> Build<'_> {
    Build {
        cluster,
        cluster_id: "MkU3OEVBNTcwNTJENDM2Qg",
        bootstrapped: true,
        image: cluster.image.as_deref().unwrap_or("ottla:1"),
        image_pull_policy: None,
        cluster_domain: "cluster.local",
        operator: &OPERATOR,
        replicas: cluster.replicas,
        claim_size: None,
        evictable: true,
    }
}

pub(crate) fn pod(broker: i32, revision: &str) -> PodFacts {
    PodFacts {
        name: names::pod("demo", NodeId(broker)),
        revision: Some(revision.to_owned()),
        image: Some("ottla:1".to_owned()),
        ready: true,
        ..PodFacts::default()
    }
}

pub(crate) fn partition(replicas: &[i32], isr: &[i32]) -> PartitionFacts {
    PartitionFacts {
        replicas: replicas.iter().copied().map(NodeId).collect(),
        isr: isr.iter().copied().map(NodeId).collect(),
        leader: isr.first().copied().map(NodeId),
        ..PartitionFacts::default()
    }
}

pub(crate) fn topic_partition(topic: &str, index: i32) -> TopicPartition {
    let topic = TopicName::new(topic).expect("a good name");
    TopicPartition { topic, partition: PartitionIndex(index) }
}

/// A healthy cluster of `count` brokers with everything at `revision` and partition `t-i` on brokers i, i+1, i+2.
pub(crate) fn healthy(count: i32, revision: &str) -> Observed {
    let ids = || 0..count;
    let partitions = ids().map(|i| {
        let replicas: Vec<i32> = (0..count.min(3)).map(|k| (i + k) % count).collect();
        (topic_partition("t", i), partition(&replicas, &replicas))
    });
    Observed {
        stateful_set: Some(StatefulSetFacts {
            replicas: count,
            claim_size: Some("1Gi".to_owned()),
            claim_class: None,
            image: Some("ottla:1".to_owned()),
            revision: Some(revision.to_owned()),
        }),
        pods: ids().map(|i| (NodeId(i), pod(i, revision))).collect(),
        not_made: BTreeMap::new(),
        claims: BTreeMap::new(),
        config_maps: BTreeSet::new(),
        services: BTreeSet::new(),
        others: BTreeMap::new(),
        growth_refused: BTreeMap::new(),
        plan: None,
        kafka: Ok(KafkaFacts {
            cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".to_owned(),
            controller: Some(NodeId(0)),
            brokers: ids().map(|i| (NodeId(i), BrokerFacts::default())).collect(),
            partitions: partitions.collect(),
            dynamic_config: Some(BTreeMap::from([("min.insync.replicas".to_owned(), "2".to_owned())])),
        }),
        safety: ids().map(|i| (NodeId(i), Safety::Safe)).collect(),
    }
}
