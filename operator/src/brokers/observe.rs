//! Facts from the brokers, by admin calls. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, PartitionIndex, TopicName, TopicPartition};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_kafka_admin::{
    AdminClient, AdminError, ConfigResource, OngoingReassignment, TopicDescription,
};
use ottla_operator_planner::facts::{BrokerFacts, KafkaFacts, NoAnswer, PartitionFacts, PodFacts};

/// Kafka's number of the dynamic settings of all brokers together (DYNAMIC_DEFAULT_BROKER_CONFIG).
const SOURCE_ALL_BROKERS: i8 = 3;
/// Kafka's number of a topic's own settings (DYNAMIC_TOPIC_CONFIG).
pub const SOURCE_TOPIC: i8 = 1;
/// The setting by which a broker gets no new replicas (KIP-1066).
pub const CORDON_SETTING: &str = "cordoned.log.dirs";
/// Its value for all folders.
pub const CORDON_ALL: &str = "*";

/// Asks the brokers of a cluster for what its plan needs. `pods` are those that run, `running` how many there shall be
/// now.
pub async fn observe(
    admin: &AdminClient,
    cluster: &ValidatedCluster,
    former: &KafkaClusterStatus,
    pods: &BTreeMap<NodeId, PodFacts>,
    running: i32,
) -> Result<KafkaFacts, NoAnswer> {
    if !pods.values().any(|pod| pod.ready) {
        return Err(NoAnswer("no broker is ready".to_owned()));
    }
    let mut leaving: BTreeSet<NodeId> = (cluster.replicas..running).map(NodeId).collect();
    let former = former.drain.iter().flat_map(|drain| drain.brokers.iter().chain(&drain.returning));
    leaving.extend(former.copied().map(NodeId));
    gather(admin, &leaving).await.map_err(|error| NoAnswer(error.to_string()))
}

/// Gathers the facts. `leaving` are brokers whose cordon matters.
async fn gather(admin: &AdminClient, leaving: &BTreeSet<NodeId>) -> Result<KafkaFacts, AdminError> {
    let cluster = admin.describe_cluster().await?;
    let topics = admin.describe_topics(None).await?;
    let ongoing = admin.list_reassignments().await?;
    let settings = admin.describe_configs(&ConfigResource::AllBrokers).await;
    let mut brokers = BTreeMap::new();
    let mut sizes: BTreeMap<(String, PartitionIndex), u64> = BTreeMap::new();
    for broker in &cluster.brokers {
        let mut facts =
            BrokerFacts { rack: broker.rack.clone(), fenced: broker.fenced, ..BrokerFacts::default() };
        if !broker.fenced {
            let dirs = admin.describe_log_dirs(broker.id).await.ok();
            facts.bytes = dirs.as_ref().map(|dirs| dirs.replicas.values().map(|replica| replica.bytes).sum());
            facts.replicas_on_disk = dirs.as_ref().and_then(|dirs| u64::try_from(dirs.replicas.len()).ok());
            facts.volume_bytes = dirs.as_ref().and_then(|dirs| dirs.total_bytes);
            facts.usable_bytes = dirs.as_ref().and_then(|dirs| dirs.usable_bytes);
            for (partition, replica) in dirs.into_iter().flat_map(|dirs| dirs.replicas) {
                // A replica that still arrives is smaller than it will be.
                let size = sizes.entry(partition).or_default();
                *size = replica.bytes.max(*size);
            }
        }
        if leaving.contains(&broker.id) {
            facts.cordoned = cordoned(admin, broker.id).await;
        }
        brokers.insert(broker.id, facts);
    }
    let mut partitions = partitions(&topics, &ongoing);
    for (name, facts) in &mut partitions {
        facts.bytes = sizes.get(&(name.topic.to_string(), name.partition)).copied();
    }
    Ok(KafkaFacts {
        cluster_id: cluster.cluster_id,
        controller: cluster.controller,
        brokers,
        partitions,
        dynamic_config: settings.ok().map(|settings| {
            let own = settings.into_iter().filter(|(_, entry)| entry.source == SOURCE_ALL_BROKERS);
            own.filter_map(|(name, entry)| Some((name, entry.value?))).collect()
        }),
    })
}

async fn cordoned(admin: &AdminClient, broker: NodeId) -> Option<bool> {
    let settings = admin.describe_configs(&ConfigResource::Broker(broker)).await.ok()?;
    let value = settings.get(CORDON_SETTING).and_then(|entry| entry.value.as_deref());
    Some(value == Some(CORDON_ALL))
}

/// Every partition with what moves.
pub fn partitions(
    topics: &[TopicDescription],
    ongoing: &[OngoingReassignment],
) -> BTreeMap<TopicPartition, PartitionFacts> {
    let moving: BTreeMap<(&str, _), &OngoingReassignment> =
        ongoing.iter().map(|moving| ((moving.topic.as_str(), moving.partition), moving)).collect();
    let mut facts = BTreeMap::new();
    for topic in topics {
        // A name that Kafka's own rules refuse cannot be asked about either.
        let Ok(name) = TopicName::new(&topic.name) else { continue };
        for partition in &topic.partitions {
            let moving = moving.get(&(topic.name.as_str(), partition.index));
            facts.insert(
                TopicPartition { topic: name.clone(), partition: partition.index },
                PartitionFacts {
                    replicas: partition.replicas.clone(),
                    isr: partition.isr.iter().copied().collect(),
                    leader: partition.leader,
                    adding: moving.map(|moving| moving.adding.clone()).unwrap_or_default(),
                    removing: moving.map(|moving| moving.removing.clone()).unwrap_or_default(),
                    bytes: None,
                },
            );
        }
    }
    facts
}
