//! The checked form of KafkaCluster.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::NodeId;

use super::Invalid;
use super::config::{SUPPORTED_VERSIONS, SplitConfig, broker_config};
use crate::cluster::{
    DeletionPolicy, KafkaCluster, KafkaClusterSpec, RebalanceMode, ResourcesSpec, StorageSpec, TemplateSpec,
};
use crate::text::{quantity_bytes, quantity_milli};

/// How long a broker may take to hand over and flush, if nobody says otherwise.
pub const BROKER_DEFAULT_GRACE_SECONDS: i64 = 60;
/// Ports of the broker itself: between brokers, and HTTP.
const PORTS_RESERVED: [i32; 2] = [9091, 9404];
/// Names of its listeners and ports.
const LISTENERS_RESERVED: [&str; 3] = ["internal", "controller", "metrics"];
/// The port that Kafka clients expect.
const CLIENT_PORT_DEFAULT: i32 = 9092;
/// Names of services and the revision label of pods have 63 characters at most.
const NAME_LEN_MAX: usize = 40;
/// Below this a broker cannot keep its first segments.
const STORAGE_BYTES_MIN: u64 = 64 << 20;

/// A KafkaCluster whose every value is usable.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Name of the object.
    pub name: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Uid of the object; empty where there is no API server.
    pub uid: String,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// Number of brokers, at least 1; their ids are 0 to `replicas - 1`.
    pub replicas: i32,
    /// Brokers that keep the metadata, ascending; never empty.
    pub voters: Vec<NodeId>,
    /// Whether the spec itself says how many keep it.
    pub controllers_given: bool,
    /// Feature level.
    pub version: String,
    /// Image, if the spec names one.
    pub image: Option<String>,
    /// Disks.
    pub storage: Storage,
    /// CPU and memory.
    pub resources: Resources,
    /// Settings that brokers read at boot, defaults of the operator included.
    pub config_fixed: BTreeMap<String, String>,
    /// Settings that are changed through the admin API, defaults of the operator included.
    pub config_dynamic: BTreeMap<String, String>,
    /// Settings that are accepted and change nothing, a sentence each.
    pub notes: Vec<String>,
    /// Client listeners; never empty.
    pub listeners: Vec<ClientListener>,
    /// Node label that names the rack.
    pub rack_topology_key: Option<String>,
    /// How replicas move.
    pub rebalance: Rebalance,
    /// How restarts are carried out.
    pub rollout: Rollout,
    /// Other namespaces whose topics are taken.
    pub topic_namespaces: BTreeSet<String>,
    /// What becomes of topics whose objects are deleted.
    pub topic_deletion_policy: DeletionPolicy,
    /// Settings of the pods.
    pub template: TemplateSpec,
}

/// Disks of the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Size as written.
    pub size: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// StorageClass, if named.
    pub class: Option<String>,
    /// What becomes of volumes.
    pub deletion_policy: DeletionPolicy,
}

/// CPU and memory of each broker, by the names of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// What is set aside.
    pub requests: BTreeMap<String, String>,
    /// What may be used at most.
    pub limits: BTreeMap<String, String>,
}

/// A listener for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientListener {
    /// Name in Kafka's settings, upper case.
    pub kafka_name: String,
    /// Name of the port in Kubernetes.
    pub port_name: String,
    /// Port.
    pub port: u16,
}

/// How replicas move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Whether and when.
    pub mode: RebalanceMode,
    /// How fast.
    pub throttle: Throttle,
    /// Replicas that a plan may move; `None` is no limit.
    pub moves_max: Option<u64>,
    /// Hash of the plan that a person has approved, by the annotation [`APPROVAL_ANNOTATION`].
    pub approved: Option<String>,
}

/// On a KafkaCluster whose `rebalance.mode` is Manual: the hash of the plan that may be carried out.
pub const APPROVAL_ANNOTATION: &str = "ottla.dev/approve-rebalance";

/// How fast replicas are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// The operator chooses.
    Auto,
    /// Bytes per second and broker.
    BytesPerSecond(u64),
}

/// How restarts are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// No restarts and no moves.
    pub paused: bool,
    /// Part of the revision: another text restarts all.
    pub restarted_at: Option<String>,
}

impl ValidatedCluster {
    /// Checks a KafkaCluster; on failure all problems at once.
    ///
    /// The voters of a cluster that runs are those of its status: the spec only chooses those of a new one.
    pub fn new(object: &KafkaCluster) -> Result<ValidatedCluster, Vec<Invalid>> {
        let spec = &object.spec;
        let mut problems = Vec::new();
        let name = object.metadata.name.clone().unwrap_or_default();
        check_name(&name, &mut problems);
        check_counts(object, &mut problems);
        let voters = voters(object);
        let storage = storage(&spec.storage, &mut problems);
        let resources = resources(spec.resources.as_ref(), &mut problems);
        let split = with_defaults(broker_config(&spec.config, &mut problems), voters.len());
        check_replication(spec.replicas, &split, &mut problems);
        let version = version(spec.version.as_deref(), &mut problems);
        let listeners = listeners(spec, &mut problems);
        let rebalance = rebalance(object, &mut problems);
        let rollout = spec.rollout.clone().unwrap_or_default();
        let topics = spec.topics.clone().unwrap_or_default();
        let (Some(storage), true) = (storage, problems.is_empty()) else { return Err(problems) };
        Ok(ValidatedCluster {
            name,
            namespace: object.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation,
            replicas: spec.replicas,
            voters,
            controllers_given: spec.controllers.is_some(),
            version,
            image: spec.image.clone(),
            storage,
            resources,
            config_fixed: split.fixed,
            config_dynamic: split.dynamic,
            notes: split.notes,
            listeners,
            rack_topology_key: spec.rack.as_ref().map(|rack| rack.topology_key.clone()),
            rebalance,
            rollout: Rollout { paused: rollout.paused, restarted_at: rollout.restarted_at },
            topic_namespaces: topics.allowed_namespaces.into_iter().collect(),
            topic_deletion_policy: topics.deletion_policy.unwrap_or(DeletionPolicy::Delete),
            template: spec.template.clone().unwrap_or_default(),
        })
    }

    /// Whether topics of `namespace` are taken.
    pub fn takes_topics_of(&self, namespace: &str) -> bool {
        namespace == self.namespace
            || self.topic_namespaces.contains(namespace)
            || self.topic_namespaces.contains("*")
    }
}

fn check_name(name: &str, problems: &mut Vec<Invalid>) {
    let label = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !label || name.len() > NAME_LEN_MAX {
        let problem = format!(
            "{name:?} cannot name a cluster: use up to {NAME_LEN_MAX} lower-case letters, digits and '-', a letter first"
        );
        problems.push(Invalid::new("metadata.name", problem));
    }
}

fn check_counts(object: &KafkaCluster, problems: &mut Vec<Invalid>) {
    let spec = &object.spec;
    if !(1..=999).contains(&spec.replicas) {
        problems.push(Invalid::new("spec.replicas", "give a number of brokers from 1 to 999"));
    }
    let Some(wanted) = spec.controllers else { return };
    if ![1, 3, 5].contains(&wanted) {
        problems.push(Invalid::new("spec.controllers", "give 1, 3 or 5"));
    } else if wanted > spec.replicas {
        let problem = "controllers cannot exceed replicas: raise replicas or lower controllers";
        problems.push(Invalid::new("spec.controllers", problem));
    }
    let running = object.status.as_ref().and_then(|status| status.controllers.as_ref());
    if running.is_some_and(|ids| ids.len() != wanted as usize) {
        let problem =
            "controllers cannot be changed once the cluster runs: make a new cluster with the number wanted";
        problems.push(Invalid::new("spec.controllers", problem));
    }
}

/// The voters that the status remembers, else the lowest ids.
fn voters(object: &KafkaCluster) -> Vec<NodeId> {
    let remembered = object.status.as_ref().and_then(|status| status.controllers.clone());
    if let Some(ids) = remembered.filter(|ids| !ids.is_empty()) {
        return ids.into_iter().map(NodeId).collect();
    }
    let default = if object.spec.replicas < 3 { 1 } else { 3 };
    let count = object.spec.controllers.unwrap_or(default).clamp(1, 5);
    (0..count).map(NodeId).collect()
}

fn storage(spec: &StorageSpec, problems: &mut Vec<Invalid>) -> Option<Storage> {
    let Some(size_bytes) = quantity_bytes(&spec.size) else {
        let problem = format!("{:?} is no size: write it like 100Gi", spec.size);
        problems.push(Invalid::new("spec.storage.size", problem));
        return None;
    };
    if size_bytes < STORAGE_BYTES_MIN {
        problems.push(Invalid::new("spec.storage.size", "too small for a broker: give at least 64Mi"));
    }
    Some(Storage {
        size: spec.size.clone(),
        size_bytes,
        class: spec.class.clone(),
        deletion_policy: spec.deletion_policy.unwrap_or(DeletionPolicy::Retain),
    })
}

fn resources(spec: Option<&ResourcesSpec>, problems: &mut Vec<Invalid>) -> Resources {
    const FIELD: &str = "spec.resources";
    let Some(spec) = spec else { return Resources::default() };
    for (name, quantity) in spec.requests.iter().chain(&spec.limits) {
        if quantity_milli(quantity.as_str()).is_none() {
            let problem = format!("{name} cannot be {:?}: write it like 500m or 2Gi", quantity.as_str());
            problems.push(Invalid::new(FIELD, problem));
        }
    }
    for (name, request) in &spec.requests {
        let limit = spec.limits.get(name);
        let exceeds = limit.is_some_and(|limit| {
            quantity_milli(request.as_str()).zip(quantity_milli(limit.as_str())).is_some_and(|(r, l)| r > l)
        });
        if exceeds {
            let problem =
                format!("the request of {name} exceeds its limit: lower the request or raise the limit");
            problems.push(Invalid::new(FIELD, problem));
        }
    }
    let texts = |map: &BTreeMap<String, crate::text::QuantityText>| {
        map.iter().map(|(name, quantity)| (name.clone(), quantity.as_str().to_owned())).collect()
    };
    Resources { requests: texts(&spec.requests), limits: texts(&spec.limits) }
}

/// Defaults that fit the number of voters, which never changes, so that scaling never restarts a broker.
fn with_defaults(mut split: SplitConfig, voters: usize) -> SplitConfig {
    let (copies, in_sync) = if voters >= 3 { ("3", "2") } else { ("1", "1") };
    for name in [
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
    ] {
        split.fixed.entry(name.to_owned()).or_insert_with(|| copies.to_owned());
    }
    split.fixed.entry("transaction.state.log.min.isr".to_owned()).or_insert_with(|| in_sync.to_owned());
    split.dynamic.entry("min.insync.replicas".to_owned()).or_insert_with(|| {
        let copies =
            split.fixed.get("default.replication.factor").and_then(|copies| copies.parse::<i32>().ok());
        if copies.is_some_and(|copies| copies >= 3) { "2" } else { "1" }.to_owned()
    });
    split
}

fn check_replication(replicas: i32, split: &SplitConfig, problems: &mut Vec<Invalid>) {
    const FIELD: &str = "spec.config";
    let number = |map: &BTreeMap<String, String>, name: &str| {
        map.get(name).and_then(|value| value.trim().parse::<i32>().ok())
    };
    for name in [
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
    ] {
        if number(&split.fixed, name).is_some_and(|copies| copies > replicas) {
            let problem = format!("{name} exceeds the {replicas} brokers: lower it or raise spec.replicas");
            problems.push(Invalid::new(FIELD, problem));
        }
    }
    let copies = number(&split.fixed, "default.replication.factor");
    let in_sync = number(&split.dynamic, "min.insync.replicas");
    if copies.zip(in_sync).is_some_and(|(copies, in_sync)| in_sync > copies) {
        let problem = "min.insync.replicas exceeds default.replication.factor, so no acks=all write could succeed: lower it";
        problems.push(Invalid::new(FIELD, problem));
    }
}

fn version(version: Option<&str>, problems: &mut Vec<Invalid>) -> String {
    let newest = SUPPORTED_VERSIONS.last().copied().unwrap_or_default();
    let version = version.unwrap_or(newest);
    if !SUPPORTED_VERSIONS.contains(&version) {
        let problem = format!(
            "{version} is not supported by this operator: use {}, or drop the field",
            SUPPORTED_VERSIONS.join(", ")
        );
        problems.push(Invalid::new("spec.version", problem));
    }
    version.to_owned()
}

fn listeners(spec: &KafkaClusterSpec, problems: &mut Vec<Invalid>) -> Vec<ClientListener> {
    const FIELD: &str = "spec.listeners";
    if spec.listeners.is_empty() {
        return vec![listener("plaintext", CLIENT_PORT_DEFAULT as u16)];
    }
    let mut ports = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for given in &spec.listeners {
        let named = given.name.starts_with(|c: char| c.is_ascii_lowercase())
            && given.name.len() <= 15
            && given.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !named || LISTENERS_RESERVED.contains(&given.name.as_str()) {
            let problem =
                format!("{:?} cannot name a listener: use other lower-case letters and digits", given.name);
            problems.push(Invalid::new(FIELD, problem));
        }
        if PORTS_RESERVED.contains(&given.port) {
            let problem = format!("port {} belongs to the brokers themselves: choose another", given.port);
            problems.push(Invalid::new(FIELD, problem));
        }
        if !names.insert(&given.name) || !ports.insert(given.port) {
            let problem = format!("{} repeats a name or a port: give each listener its own", given.name);
            problems.push(Invalid::new(FIELD, problem));
        }
        match u16::try_from(given.port).ok().filter(|port| *port >= 1024) {
            Some(port) => checked.push(listener(&given.name, port)),
            None => problems.push(Invalid::new(FIELD, "give a port from 1024 to 65535")),
        }
    }
    checked
}

fn listener(name: &str, port: u16) -> ClientListener {
    ClientListener { kafka_name: name.to_ascii_uppercase(), port_name: name.to_owned(), port }
}

fn rebalance(object: &KafkaCluster, problems: &mut Vec<Invalid>) -> Rebalance {
    let spec = object.spec.rebalance.clone().unwrap_or_default();
    let approved = object.metadata.annotations.as_ref().and_then(|all| all.get(APPROVAL_ANNOTATION));
    let approved = approved.map(|hash| hash.trim().to_owned()).filter(|hash| !hash.is_empty());
    let throttle = match spec.throttle.as_ref().map(|text| text.as_str()) {
        None | Some("auto") => Throttle::Auto,
        Some(text) => match quantity_bytes(text).filter(|bytes| *bytes > 0) {
            Some(bytes) => Throttle::BytesPerSecond(bytes),
            None => {
                let problem = format!("{text:?} must be auto or bytes per second such as 50Mi");
                problems.push(Invalid::new("spec.rebalance.throttle", problem));
                Throttle::Auto
            }
        },
    };
    let moves_max = spec.budget.and_then(|budget| budget.moves).and_then(|moves| u64::try_from(moves).ok());
    Rebalance { mode: spec.mode.unwrap_or_default(), throttle, moves_max, approved }
}
