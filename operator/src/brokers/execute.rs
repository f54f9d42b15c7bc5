//! Carries out Kafka's actions of a plan, by admin calls. Each can be repeated without harm.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::{NodeId, PartitionIndex, TopicPartition};
use ottla_operator_kafka_admin::{
    AdminClient, AdminError, ConfigAlteration, ConfigOp, ConfigResource, Reassignment as AdminReassignment,
    TopicFailure,
};
use ottla_operator_planner::{KafkaAction, Reassignment};

use super::observe::{CORDON_ALL, CORDON_SETTING};

/// Asks brokers to do one thing.
pub async fn execute(admin: &AdminClient, action: &KafkaAction) -> anyhow::Result<()> {
    match action {
        KafkaAction::AlterConfig { set, delete } => {
            alter(admin, ConfigResource::AllBrokers, set, delete).await
        }
        KafkaAction::Cordon { broker, cordoned } => cordon(admin, *broker, *cordoned).await,
        KafkaAction::Reassign(changes) => reassign_all(admin, changes).await,
        KafkaAction::CancelReassignments(partitions) => cancel(admin, partitions).await,
        KafkaAction::ElectLeaders(partitions) => elect(admin, partitions).await,
        KafkaAction::Unregister(broker) => Ok(admin.unregister_broker(*broker).await?),
    }
}

/// Changes settings of one resource.
async fn alter(
    admin: &AdminClient,
    resource: ConfigResource,
    set: &BTreeMap<String, String>,
    delete: &BTreeSet<String>,
) -> anyhow::Result<()> {
    let values = set.iter().map(|(name, value)| (name.clone(), ConfigOp::Set(value.clone())));
    let defaults = delete.iter().map(|name| (name.clone(), ConfigOp::Delete));
    let alteration = ConfigAlteration { resource, ops: values.chain(defaults).collect() };
    for outcome in admin.alter_configs(&[alteration], false).await? {
        outcome?;
    }
    Ok(())
}

/// Keeps new replicas off a broker, or lets them on again.
async fn cordon(admin: &AdminClient, broker: NodeId, cordoned: bool) -> anyhow::Result<()> {
    let op = if cordoned { ConfigOp::Set(CORDON_ALL.to_owned()) } else { ConfigOp::Delete };
    let ops = BTreeMap::from([(CORDON_SETTING.to_owned(), op)]);
    let alteration = ConfigAlteration { resource: ConfigResource::Broker(broker), ops };
    for outcome in admin.alter_configs(&[alteration], false).await? {
        outcome?;
    }
    Ok(())
}

/// Starts moves; a partition that is refused (deleted meanwhile, moved by somebody else) is told and left to the next
/// reconcile.
pub async fn reassign(
    admin: &AdminClient,
    moves: &[Reassignment],
) -> Result<Vec<(TopicPartition, TopicFailure)>, AdminError> {
    let changes: Vec<AdminReassignment> = moves
        .iter()
        .map(|change| AdminReassignment {
            topic: change.partition.topic.to_string(),
            partition: change.partition.partition,
            replicas: Some(change.replicas.clone()),
        })
        .collect();
    let outcomes = admin.alter_reassignments(&changes).await?;
    let failed = moves.iter().filter_map(|change| {
        let key = (change.partition.topic.to_string(), change.partition.partition);
        let failure = outcomes.get(&key)?.as_ref().err()?;
        tracing::warn!(partition = %change.partition, %failure, "a move was refused");
        Some((change.partition.clone(), failure.clone()))
    });
    Ok(failed.collect())
}

/// Starts moves; an error names one that was refused, if any was. The others go on.
async fn reassign_all(admin: &AdminClient, moves: &[Reassignment]) -> anyhow::Result<()> {
    let refused = reassign(admin, moves).await?;
    match refused.first() {
        None => Ok(()),
        Some((partition, failure)) => {
            anyhow::bail!("{} refused, such as {partition}: {failure}", refused.len())
        }
    }
}

/// Stops moves that run. One that has ended meanwhile, or would lose records, is told and left to the next reconcile.
async fn cancel(admin: &AdminClient, partitions: &[TopicPartition]) -> anyhow::Result<()> {
    let cancel = |partition: &TopicPartition| AdminReassignment {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        replicas: None,
    };
    let cancels: Vec<AdminReassignment> = partitions.iter().map(cancel).collect();
    for ((topic, index), outcome) in admin.alter_reassignments(&cancels).await? {
        if let Err(failure) = outcome {
            tracing::info!(topic, %index, %failure, "a move was not cancelled");
        }
    }
    Ok(())
}

/// Gives leadership back to preferred replicas.
async fn elect(admin: &AdminClient, partitions: &[TopicPartition]) -> anyhow::Result<()> {
    let mut by_topic: BTreeMap<String, Vec<PartitionIndex>> = BTreeMap::new();
    for partition in partitions {
        by_topic.entry(partition.topic.to_string()).or_default().push(partition.partition);
    }
    admin.elect_preferred_leaders(Some(&by_topic)).await?;
    Ok(())
}
