//! Carries out the actions of many topics' plans with few calls; says which topics failed and why.

use std::collections::BTreeMap;

use ottla_operator_kafka_admin::{AdminClient, ConfigAlteration, ConfigOp, ConfigResource, NewTopic};
use ottla_operator_planner::Reassignment;
use ottla_operator_planner::topics::TopicAction;

use crate::controllers::cluster::reassign;

/// Topics in one call: each may become some hundred records of one atomic batch of 10,000.
const TOPICS_PER_CALL_MAX: usize = 100;

/// Why topics failed, by name: one word and a sentence.
pub type Failures = BTreeMap<String, (&'static str, String)>;

/// The actions of all topics, sorted by call.
#[derive(Debug, Default)]
pub struct Batch {
    create: Vec<NewTopic>,
    grow: BTreeMap<String, i32>,
    configure: Vec<(String, ConfigAlteration)>,
    reassign: Vec<Reassignment>,
}

impl Batch {
    /// Adds the actions of one topic.
    pub fn add(&mut self, topic: &str, actions: &[TopicAction]) {
        for action in actions {
            match action {
                TopicAction::Create { partitions, replication_factor, config } => {
                    self.create.push(NewTopic {
                        name: topic.to_owned(),
                        partitions: *partitions,
                        replication_factor: *replication_factor,
                        config: config.clone(),
                    })
                }
                TopicAction::Grow { partitions } => {
                    self.grow.insert(topic.to_owned(), *partitions);
                }
                TopicAction::Configure { set, delete } => {
                    let values = set.iter().map(|(name, value)| (name.clone(), ConfigOp::Set(value.clone())));
                    let defaults = delete.iter().map(|name| (name.clone(), ConfigOp::Delete));
                    let resource = ConfigResource::Topic(topic.to_owned());
                    let alteration = ConfigAlteration { resource, ops: values.chain(defaults).collect() };
                    self.configure.push((topic.to_owned(), alteration));
                }
                TopicAction::Reassign(changes) => self.reassign.extend(changes.iter().cloned()),
            }
        }
    }

    /// Makes the calls.
    pub async fn execute(self, admin: &AdminClient) -> Failures {
        let mut failures = Failures::new();
        for chunk in self.create.chunks(TOPICS_PER_CALL_MAX) {
            let names = chunk.iter().map(|topic| topic.name.clone());
            match admin.create_topics(chunk, false).await {
                Ok(outcomes) => failures.extend(refused("CreationRefused", outcomes)),
                Err(error) => {
                    failures.extend(names.map(|name| (name, ("CreationFailed", error.to_string()))))
                }
            }
        }
        if !self.grow.is_empty() {
            match admin.create_partitions(&self.grow).await {
                Ok(outcomes) => failures.extend(refused("GrowthRefused", outcomes)),
                Err(error) => {
                    let names = self.grow.into_keys();
                    failures.extend(names.map(|name| (name, ("GrowthFailed", error.to_string()))));
                }
            }
        }
        for chunk in self.configure.chunks(TOPICS_PER_CALL_MAX) {
            failures.extend(configure(admin, chunk).await);
        }
        if !self.reassign.is_empty()
            && let Err(error) = reassign(admin, &self.reassign).await
        {
            let names = self.reassign.iter().map(|change| change.partition.topic.to_string());
            failures.extend(names.map(|name| (name, ("ReassignmentFailed", format!("{error:#}")))));
        }
        failures
    }
}

async fn configure(admin: &AdminClient, chunk: &[(String, ConfigAlteration)]) -> Failures {
    let alterations: Vec<ConfigAlteration> = chunk.iter().map(|(_, alteration)| alteration.clone()).collect();
    let names = chunk.iter().map(|(name, _)| name.clone());
    match admin.alter_configs(&alterations, false).await {
        Ok(outcomes) => refused("ConfigRefused", names.zip(outcomes)).collect(),
        Err(error) => names.map(|name| (name, ("ConfigFailed", error.to_string()))).collect(),
    }
}

fn refused<E: std::fmt::Display>(
    reason: &'static str,
    outcomes: impl IntoIterator<Item = (String, Result<(), E>)>,
) -> impl Iterator<Item = (String, (&'static str, String))> {
    outcomes.into_iter().filter_map(move |(name, outcome)| Some((name, (reason, outcome.err()?.to_string()))))
}
