//! Deletes topics.

use std::collections::BTreeMap;

use ottla_operator_kafka_admin::{AdminClient, ErrorCode};

use super::execute::TOPICS_PER_CALL_MAX;

/// Deletes topics; gives the ones that are still there, each with the reason.
pub async fn delete(admin: &AdminClient, names: &[String]) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    for chunk in names.chunks(TOPICS_PER_CALL_MAX) {
        match admin.delete_topics(chunk).await {
            Ok(outcomes) => problems.extend(outcomes.into_iter().filter_map(|(name, outcome)| {
                let failure =
                    outcome.err().filter(|failure| failure.code != ErrorCode::UnknownTopicOrPartition)?;
                Some((name, failure.to_string()))
            })),
            Err(error) => problems.extend(chunk.iter().map(|name| (name.clone(), error.to_string()))),
        }
    }
    problems
}
