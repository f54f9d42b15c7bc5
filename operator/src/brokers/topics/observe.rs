//! Facts about the topics of a cluster, from its brokers. It changes nothing.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;
use ottla_operator_crd::conditions::{READY, holds};
use ottla_operator_kafka_admin::{AdminClient, AdminError, ConfigResource};
use ottla_operator_planner::facts::PartitionFacts;
use ottla_operator_planner::topics::{Host, TopicFacts};

use super::job::Job;
use crate::brokers::observe::{SOURCE_TOPIC, partitions};

/// What the brokers hold.
pub struct TopicWorld {
    /// Every topic by name.
    pub topics: BTreeMap<String, TopicFacts>,
    /// Brokers that take replicas.
    pub hosts: Vec<Host>,
}

/// Reads every topic; settings are read one by one where they are needed.
pub async fn observe(admin: &AdminClient, brokers: i32) -> Result<TopicWorld, AdminError> {
    let cluster = admin.describe_cluster().await?;
    let described = admin.describe_topics(None).await?;
    let ongoing = admin.list_reassignments().await?;
    let mut topics: BTreeMap<String, TopicFacts> = described
        .iter()
        .map(|topic| {
            let id = topic.id.map(|id| id.to_string());
            (topic.name.clone(), TopicFacts { id, ..TopicFacts::default() })
        })
        .collect();
    let mut held: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (name, facts) in partitions(&described, &ongoing) {
        for id in &facts.replicas {
            *held.entry(*id).or_default() += 1;
        }
        let partitions: Option<&mut BTreeMap<_, PartitionFacts>> =
            topics.get_mut(name.topic.as_str()).map(|topic| &mut topic.partitions);
        if let Some(partitions) = partitions {
            partitions.insert(name.partition, facts);
        }
    }
    // Brokers above the number asked for are on their way out.
    let serving = cluster.brokers.iter().filter(|broker| !broker.fenced && broker.id.get() < brokers);
    let hosts = serving.map(|broker| Host {
        id: broker.id,
        rack: broker.rack.clone(),
        replicas: held.get(&broker.id).copied().unwrap_or(0),
    });
    let hosts = hosts.collect();
    Ok(TopicWorld { topics, hosts })
}

/// Reads the settings of topics that name some, or did, and are not known to be at rest; with `resync` of those, too.
pub async fn read_settings(admin: &AdminClient, jobs: &[Job], world: &mut TopicWorld, resync: bool) {
    for Job { topic, former } in jobs {
        let settled = former.observed_generation == topic.generation && holds(&former.conditions, READY);
        let concerned = !topic.config.is_empty() || !former.managed_config.is_empty();
        if !concerned || (settled && !resync) {
            continue;
        }
        if let Some(facts) = world.topics.get_mut(topic.topic.as_str()) {
            facts.config = settings(admin, topic.topic.as_str()).await;
        }
    }
}

/// A topic's own settings; `None` if they cannot be read now.
async fn settings(admin: &AdminClient, topic: &str) -> Option<BTreeMap<String, String>> {
    let entries = admin.describe_configs(&ConfigResource::Topic(topic.to_owned())).await.ok()?;
    let own = entries.into_iter().filter(|(_, entry)| entry.source == SOURCE_TOPIC);
    Some(own.filter_map(|(name, entry)| Some((name, entry.value?))).collect())
}
