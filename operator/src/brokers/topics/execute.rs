//! Carries out the actions of many topics' plans with few calls; says which topics failed and why.

use std::collections::BTreeMap;

use ottla_operator_kafka_admin::{
    AdminClient, AdminError, ConfigAlteration, ConfigOp, ConfigResource, ErrorCode, NewTopic, TopicFailure,
};
use ottla_operator_planner::Reassignment;
use ottla_operator_planner::topics::TopicAction;

use crate::brokers::execute::reassign;

/// Topics in one call: each may become some hundred records of one atomic batch of 10,000.
pub const TOPICS_PER_CALL_MAX: usize = 100;

/// Why topics failed, by name.
pub type Failures = BTreeMap<String, Failure>;

/// Why a topic is not as its plan wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub text: String,
    /// Whether it may work the next time, with nothing changed.
    pub passes: bool,
    /// Whether the topic that was to be made is there already.
    exists: bool,
}

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
                // Somebody was faster, or the broker that was asked before lags: the next reconcile sees it.
                Ok(outcomes) => failures
                    .extend(refused("CreationRefused", outcomes).filter(|(_, failure)| !failure.exists)),
                Err(error) => failures.extend(failed("CreationFailed", names, &error)),
            }
        }
        let grow: Vec<(String, i32)> = self.grow.into_iter().collect();
        for chunk in grow.chunks(TOPICS_PER_CALL_MAX) {
            let names = chunk.iter().map(|(name, _)| name.clone());
            match admin.create_partitions(&chunk.iter().cloned().collect()).await {
                Ok(outcomes) => failures.extend(refused("GrowthRefused", outcomes)),
                Err(error) => failures.extend(failed("GrowthFailed", names, &error)),
            }
        }
        for chunk in self.configure.chunks(TOPICS_PER_CALL_MAX) {
            failures.extend(configure(admin, chunk).await);
        }
        failures.extend(copies(admin, &self.reassign).await);
        failures
    }
}

async fn configure(admin: &AdminClient, chunk: &[(String, ConfigAlteration)]) -> Failures {
    let alterations: Vec<ConfigAlteration> = chunk.iter().map(|(_, alteration)| alteration.clone()).collect();
    let names = chunk.iter().map(|(name, _)| name.clone());
    match admin.alter_configs(&alterations, false).await {
        Ok(outcomes) => refused("ConfigRefused", names.zip(outcomes)).collect(),
        Err(error) => failed("ConfigFailed", names, &error).collect(),
    }
}

async fn copies(admin: &AdminClient, changes: &[Reassignment]) -> Failures {
    if changes.is_empty() {
        return Failures::new();
    }
    let names = changes.iter().map(|change| change.partition.topic.to_string());
    match reassign(admin, changes).await {
        Ok(refusals) => {
            let by_topic = refusals.into_iter().map(|(partition, failure)| {
                let text = TopicFailure { message: format!("{partition}: {}", failure.message), ..failure };
                (partition.topic.to_string(), Err(text))
            });
            refused("CopiesRefused", by_topic).collect()
        }
        Err(error) => failed("CopiesFailed", names, &error).collect(),
    }
}

/// What brokers said about single topics.
fn refused(
    reason: &'static str,
    outcomes: impl IntoIterator<Item = (String, Result<(), TopicFailure>)>,
) -> impl Iterator<Item = (String, Failure)> {
    outcomes.into_iter().filter_map(move |(name, outcome)| {
        let failure = outcome.err()?;
        let exists = failure.code == ErrorCode::TopicAlreadyExists;
        Some((
            name,
            Failure { reason, text: failure.to_string(), passes: failure.code.is_retriable(), exists },
        ))
    })
}

/// Calls that failed as a whole: they pass, unless a broker refused.
fn failed(
    reason: &'static str,
    names: impl Iterator<Item = String>,
    error: &AdminError,
) -> impl Iterator<Item = (String, Failure)> {
    let passes = error.code().is_none_or(ErrorCode::is_retriable);
    let failure = Failure { reason, text: error.to_string(), passes, exists: false };
    names.map(move |name| (name, failure.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(code: ErrorCode) -> Option<Failure> {
        let failure = TopicFailure { code, message: "why".to_owned() };
        refused("X", [("t".to_owned(), Err(failure))]).next().map(|(_, failure)| failure)
    }

    #[test]
    fn a_failure_that_passes_is_told_from_one_that_a_person_must_mend() {
        assert!(one(ErrorCode::NotController).is_some_and(|failure| failure.passes));
        let final_one = one(ErrorCode::InvalidReplicationFactor).expect("it is a failure");
        assert_eq!((final_one.passes, final_one.exists), (false, false));
        assert_eq!(final_one.text, "INVALID_REPLICATION_FACTOR: why");
        assert!(one(ErrorCode::TopicAlreadyExists).is_some_and(|failure| failure.exists));
        assert!(refused("X", [("t".to_owned(), Ok(()))]).next().is_none());
    }
}
