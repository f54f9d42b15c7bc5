//! The CEL rules of the generated definitions, evaluated as the API server does.

use kube_cel::{Validator, analyze_rule, compile_schema};
use ottla_operator_crd::{KafkaCluster, KafkaTopic, custom_resource_definitions, validate};
use serde_json::{Value, json};

fn schema(kind: &str) -> Value {
    let definition = custom_resource_definitions()
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .expect("the kind is defined");
    let schema = definition.spec.versions[0].schema.clone().and_then(|s| s.open_api_v3_schema);
    serde_json::to_value(schema.expect("the version has a schema")).expect("a schema is JSON")
}

/// The messages with which an object is refused, at creation or as a change of `old`.
fn refusals(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(kind), object, old) {
        Ok(()) => vec![],
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

fn cluster(spec: Value) -> Value {
    let mut merged = json!({ "replicas": 3, "storage": { "size": "1Gi" } });
    for (key, value) in spec.as_object().expect("a spec is an object") {
        merged[key] = value.clone();
    }
    json!({ "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaCluster", "metadata": { "name": "demo" }, "spec": merged })
}

fn topic(spec: Value) -> Value {
    let mut merged = json!({ "cluster": "demo" });
    for (key, value) in spec.as_object().expect("a spec is an object") {
        merged[key] = value.clone();
    }
    json!({ "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaTopic", "metadata": { "name": "flights" }, "spec": merged })
}

fn assert_refused(kind: &str, object: &Value, old: Option<&Value>, hint: &str) {
    let messages = refusals(kind, object, old);
    assert!(messages.iter().any(|message| message.contains(hint)), "{object}: {messages:?} lack {hint:?}");
}

#[test]
fn every_rule_compiles_and_is_cheap() {
    fn walk(schema: &Value) {
        let compiled = compile_schema(schema);
        assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
        for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
            let text = rule["rule"].as_str().expect("a rule is a text");
            let warnings = kube_cel::estimate_rule_cost(text, &compiled);
            assert!(warnings.is_empty(), "{text}: {warnings:?}");
            let _ = analyze_rule(text, &compiled, kube_cel::ScopeContext::CrdValidation);
            assert!(rule["message"].as_str().is_some_and(|m| !m.is_empty() && m.len() < 160), "{text}");
        }
        for key in ["properties"] {
            for child in schema.get(key).and_then(Value::as_object).into_iter().flat_map(|map| map.values()) {
                walk(child);
            }
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = schema.get(key).filter(|child| child.is_object()) {
                walk(child);
            }
        }
    }
    walk(&schema("KafkaCluster"));
    walk(&schema("KafkaTopic"));
}

#[test]
fn the_mode_of_rebalancing_is_a_word_or_what_yaml_makes_of_one() {
    let schema = schema("KafkaCluster");
    let mode = &schema["properties"]["spec"]["properties"]["rebalance"]["properties"]["mode"];
    assert_eq!(mode["enum"], json!(["Auto", "Manual", "Off", false]));
    for (mode, text) in [(json!("Off"), "Off"), (json!(false), "Off"), (json!("Manual"), "Manual")] {
        let object = cluster(json!({ "rebalance": { "mode": mode } }));
        let typed: KafkaCluster = serde_json::from_value(object).expect("it fits the type");
        let read = typed.spec.rebalance.and_then(|rebalance| rebalance.mode).expect("it is given");
        assert_eq!(format!("{read:?}"), text);
    }
}

#[test]
fn good_manifests_pass() {
    let flights = include_str!("../../../../examples/flights/cluster.yaml");
    let object: Value = serde_saphyr::from_str(flights).expect("the example is YAML");
    assert_eq!(refusals("KafkaCluster", &object, None), Vec::<String>::new());
    let typed: KafkaCluster = serde_json::from_value(object).expect("the example fits the type");
    assert!(validate::ValidatedCluster::new(&typed).is_ok());
    let flights = include_str!("../../../../examples/flights/topic.yaml");
    let object: Value = serde_saphyr::from_str(flights).expect("the example is YAML");
    assert_eq!(refusals("KafkaTopic", &object, None), Vec::<String>::new());
    let typed: KafkaTopic = serde_json::from_value(object).expect("the example fits the type");
    assert!(validate::ValidatedTopic::new(&typed).is_ok());
    let rich = cluster(json!({
        "controllers": 3, "replicas": 5, "version": "0.1", "image": "ottla:dev",
        "config": { "min.insync.replicas": 2, "broker.session.timeout.ms": "9000", "ssl.protocol": "TLSv1.3",
            "sasl.server.max.receive.size": 1000 },
        "listeners": [{ "name": "plain", "port": 9092 }, { "name": "apps", "port": 9094 }],
        "rebalance": { "mode": "Auto", "throttle": 1000 },
    }));
    assert_eq!(refusals("KafkaCluster", &rich, None), Vec::<String>::new());
}

#[test]
fn clusters_that_cannot_work_are_refused_at_creation() {
    for (spec, hint) in [
        (json!({ "replicas": 1, "controllers": 3 }), "controllers cannot exceed replicas"),
        (json!({ "storage": { "size": "1Mi" } }), "at least 64Mi"),
        (json!({ "listeners": [{ "name": "a", "port": 9091 }] }), "9091 and 9404 belong"),
        (json!({ "listeners": [{ "name": "internal", "port": 9093 }] }), "choose another name"),
        (json!({ "listeners": [{ "name": "metrics", "port": 9093 }] }), "choose another name"),
        (json!({ "listeners": [{ "name": "a", "port": 9093 }, { "name": "b", "port": 9093 }] }), "same port"),
        (json!({ "rebalance": { "throttle": "fast" } }), "rebalance.throttle"),
        (json!({ "rebalance": { "throttle": 0 } }), "rebalance.throttle"),
        (json!({ "version": "newest" }), "two numbers"),
        (json!({ "image": "ottla dev" }), "name of an image"),
        (json!({ "storage": { "size": "1GB" } }), "such as 100Gi"),
        (json!({ "storage": { "size": "1Gi", "class": "Fast Disk" } }), "name of a StorageClass"),
        (json!({ "rack": { "topologyKey": "the zone" } }), "label of the nodes"),
        (json!({ "listeners": [{ "name": "PLAIN", "port": 9092 }] }), "lower-case letters"),
        (json!({ "topics": { "allowedNamespaces": ["A b"] } }), "names of namespaces"),
        (json!({ "config": { "listeners": "X://:1" } }), "spec.listeners"),
        (json!({ "config": { "advertised.listeners": "X://:1" } }), "spec.listeners"),
        (json!({ "config": { "listener.security.protocol.map": "X:PLAINTEXT" } }), "spec.listeners"),
        (json!({ "config": { "node.id": 7 } }), "broker ids"),
        (json!({ "config": { "broker.rack": "a" } }), "spec.rack"),
        (json!({ "config": { "process.roles": "broker" } }), "spec.controllers"),
        (json!({ "config": { "controller.quorum.voters": "0@a:1" } }), "spec.controllers"),
        (json!({ "config": { "log.dirs": "/data" } }), "spec.storage"),
        (json!({ "config": { "metadata.log.dir": "/data" } }), "spec.storage"),
        (json!({ "config": { "ssl.keystore.location": "/x" } }), "security settings"),
        (json!({ "config": { "super.users": "User:a" } }), "security settings"),
        (json!({ "config": { "ottla.cluster.id": "x" } }), "ottla.cluster.id"),
    ] {
        assert_refused("KafkaCluster", &cluster(spec), None, hint);
    }
}

#[test]
fn names_that_services_cannot_have_are_refused() {
    for (name, hint) in [("a".repeat(41), "40 characters"), ("a.b".into(), "no dot"), ("1a".into(), "letter")]
    {
        let mut object = cluster(json!({}));
        object["metadata"]["name"] = json!(name);
        assert_refused("KafkaCluster", &object, None, hint);
    }
}

/// A cluster with this storage, which has formed, with volumes of 2 GiB.
fn running(storage: Value) -> Value {
    let mut object = cluster(json!({ "storage": storage }));
    object["status"] = json!({ "bootstrapped": true, "storageSize": "2Gi" });
    object
}

#[test]
fn changes_that_would_lose_data_are_refused() {
    let old = running(json!({ "size": "2Gi", "class": "fast" }));
    for (storage, hint) in [
        (json!({ "size": "1Gi", "class": "fast" }), "cannot shrink"),
        (json!({ "size": "2Gi", "class": "slow" }), "storage.class cannot be changed"),
        (json!({ "size": "2Gi" }), "storage.class cannot be changed"),
    ] {
        assert_refused("KafkaCluster", &running(storage), Some(&old), hint);
    }
    let grown = running(json!({ "size": "2048Mi", "class": "fast" }));
    assert_eq!(refusals("KafkaCluster", &grown, Some(&old)), Vec::<String>::new());
}

#[test]
fn what_no_volume_holds_yet_can_be_changed_and_growth_can_be_taken_back() {
    let mut typo = cluster(json!({ "storage": { "size": "9Ti", "class": "fsat" } }));
    let mut mended = cluster(json!({ "storage": { "size": "1Gi", "class": "fast" } }));
    for status in [json!(null), json!({ "bootstrapped": false })] {
        typo["status"] = status.clone();
        mended["status"] = status;
        assert_eq!(refusals("KafkaCluster", &mended, Some(&typo)), Vec::<String>::new());
    }
    let (grown, back) = (running(json!({ "size": "5Gi" })), running(json!({ "size": "2Gi" })));
    assert_eq!(refusals("KafkaCluster", &back, Some(&grown)), Vec::<String>::new());
}

#[test]
fn controllers_stay_once_the_cluster_runs() {
    let mut old = cluster(json!({ "replicas": 5 }));
    old["status"] = json!({ "controllers": [0, 1, 2] });
    for (spec, hint) in [
        (json!({ "replicas": 2 }), "replicas cannot go below"),
        (json!({ "replicas": 5, "controllers": 5 }), "controllers cannot be changed"),
    ] {
        let mut new = cluster(spec);
        new["status"] = old["status"].clone();
        assert_refused("KafkaCluster", &new, Some(&old), hint);
    }
    let mut new = cluster(json!({ "replicas": 3, "controllers": 3 }));
    new["status"] = old["status"].clone();
    assert_eq!(refusals("KafkaCluster", &new, Some(&old)), Vec::<String>::new());
}

#[test]
fn topics_that_cannot_work_are_refused() {
    assert_refused(
        "KafkaTopic",
        &topic(json!({ "topicName": "__consumer_offsets" })),
        None,
        "belongs to Kafka",
    );
    for (spec, hint) in [
        (json!({ "cluster": "Demo" }), "name of a KafkaCluster"),
        (json!({ "clusterNamespace": "A b" }), "KafkaCluster's namespace"),
        (json!({ "topicName": "a b" }), "letters, digits"),
    ] {
        assert_refused("KafkaTopic", &topic(spec), None, hint);
    }
    let old = topic(json!({ "partitions": 12 }));
    for (spec, hint) in [
        (json!({ "partitions": 6 }), "partitions cannot be reduced"),
        (json!({ "partitions": 12, "cluster": "other" }), "cluster cannot be changed"),
        (json!({ "partitions": 12, "topicName": "other" }), "topicName cannot be changed"),
        (json!({ "partitions": 12, "clusterNamespace": "other" }), "clusterNamespace cannot be changed"),
    ] {
        assert_refused("KafkaTopic", &topic(spec), Some(&old), hint);
    }
    for spec in [json!({ "partitions": 24 }), json!({ "partitions": 12, "topicName": "flights" })] {
        assert_eq!(refusals("KafkaTopic", &topic(spec), Some(&old)), Vec::<String>::new());
    }
    let mut long = topic(json!({}));
    long["metadata"]["name"] = json!("a".repeat(250));
    assert_refused("KafkaTopic", &long, None, "249 characters");
}

#[test]
fn a_typo_in_a_setting_is_explained_before_anything_restarts() {
    let object = cluster(json!({ "config": { "min.insync.replica": "2", "log.retention.ms": "soon" } }));
    let typed: KafkaCluster = serde_json::from_value(object).expect("the object fits the type");
    let problems = validate::ValidatedCluster::new(&typed).expect_err("two settings are wrong");
    let message = validate::joined(&problems);
    assert!(message.contains("did you mean \"min.insync.replicas\""), "{message}");
    assert!(message.contains("log.retention.ms cannot be \"soon\""), "{message}");
}

#[test]
fn values_are_checked_against_each_other() {
    for (spec, hint) in [
        (json!({ "config": { "default.replication.factor": "5" } }), "exceeds the 3 brokers"),
        (json!({ "config": { "min.insync.replicas": "4" } }), "no acks=all write"),
        (json!({ "version": "9.9" }), "not supported by this operator"),
        (
            json!({ "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } }),
            "exceeds its limit",
        ),
    ] {
        let typed: KafkaCluster = serde_json::from_value(cluster(spec)).expect("the object fits the type");
        let problems = validate::ValidatedCluster::new(&typed).expect_err(hint);
        assert!(validate::joined(&problems).contains(hint), "{problems:?} lack {hint:?}");
    }
}

#[test]
fn two_ways_to_write_a_value_are_one_value() {
    let config = |text: serde_json::Value| {
        let typed: KafkaCluster =
            serde_json::from_value(cluster(json!({ "config": text }))).expect("the object fits the type");
        let cluster = validate::ValidatedCluster::new(&typed).expect("the values are good");
        (cluster.config_fixed, cluster.config_dynamic)
    };
    let plain = json!({ "log.cleanup.policy": "compact,delete", "auto.create.topics.enable": false, "log.cleaner.min.cleanable.ratio": 0.5 });
    let odd = json!({ "log.cleanup.policy": " compact , delete", "auto.create.topics.enable": "FALSE", "log.cleaner.min.cleanable.ratio": "0.50" });
    assert_eq!(config(plain), config(odd));
}

/// What is said of one setting of a cluster or of a topic.
fn problem(kind: &str, name: &str) -> String {
    let config = json!({ "config": { name: "1" } });
    let problems = match kind {
        "KafkaCluster" => {
            let typed: KafkaCluster = serde_json::from_value(cluster(config)).expect("it fits the type");
            validate::ValidatedCluster::new(&typed).err()
        }
        _ => {
            let typed: KafkaTopic = serde_json::from_value(topic(config)).expect("it fits the type");
            validate::ValidatedTopic::new(&typed).err()
        }
    };
    problems.map(|problems| validate::joined(&problems)).unwrap_or_default()
}

#[test]
fn every_key_in_the_wrong_place_names_the_right_one() {
    use ottla_broker_config::{broker_setting, broker_settings, topic_setting, topic_settings};
    for setting in topic_settings().filter(|setting| broker_setting(setting.name).is_none()) {
        let said = problem("KafkaCluster", setting.name);
        let right = setting.synonyms.first().copied().unwrap_or("KafkaTopic");
        assert!(said.contains(right) && said.contains("KafkaTopic"), "{}: {said:?}", setting.name);
    }
    for setting in broker_settings().filter(|setting| topic_setting(setting.name).is_none()) {
        let said = problem("KafkaTopic", setting.name);
        let topic = topic_settings().find(|topic| topic.synonyms.contains(&setting.name));
        let right = topic.map_or("setting of brokers", |topic| topic.name);
        assert!(said.contains(right), "{}: {said:?}", setting.name);
    }
    assert!(problem("KafkaTopic", "log.retention.ms").ends_with("of a topic it is retention.ms"));
}

#[test]
fn keys_of_clients_other_products_and_images_are_told_where_they_belong() {
    for (kind, name, hint) in [
        ("KafkaCluster", "zookeeper.connect", "spec.controllers"),
        ("KafkaCluster", "zookeeper.metadata.migration.enable", "no ZooKeeper"),
        ("KafkaCluster", "auto.offset.reset", "setting of clients"),
        ("KafkaTopic", "linger.ms", "setting of clients"),
        ("KafkaCluster", "confluent.tier.enable", "Confluent's platform"),
        ("KafkaCluster", "KAFKA_LOG_RETENTION_MS", "write log.retention.ms"),
    ] {
        let said = problem(kind, name);
        assert!(said.contains(hint) && !said.contains("did you mean"), "{name}: {said:?}");
    }
}
