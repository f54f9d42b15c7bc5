//! The end of a KafkaTopic: its topic goes first if that is asked for, and nothing is ever held up for long.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use ottla_broker_types::TimestampMs;
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::{KafkaTopic, ValidatedTopic};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::names::TOPIC_FINALIZER;

/// After this long an object is let go although its topic could not be deleted: a namespace must be able to end.
const HOLD_MAX: Duration = Duration::from_secs(120);

/// Whether an object has our finalizer.
pub fn is_held(object: &KafkaTopic) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == TOPIC_FINALIZER)
}

/// What is asked to happen with a topic whose object goes.
pub fn policy(topic: &ValidatedTopic, cluster: DeletionPolicy) -> DeletionPolicy {
    topic.deletion_policy.unwrap_or(cluster)
}

/// Adds or removes our finalizer, if nobody changed the object meanwhile.
pub async fn hold(client: &Client, object: &KafkaTopic, held: bool) -> Result<(), kube::Error> {
    if is_held(object) == held {
        return Ok(());
    }
    let mut finalizers: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != TOPIC_FINALIZER);
    if held {
        finalizers.push(TOPIC_FINALIZER);
    }
    let api: Api<KafkaTopic> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": object.metadata.resource_version },
    });
    match api.patch_metadata(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        // Somebody was faster, or the object is gone: the next look sees it as it is.
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes topics and lets their objects go. `admin` is `None` if there is no cluster any more.
pub async fn finish(client: &Client, admin: Option<&AdminClient>, ending: &[Ending], now: TimestampMs) {
    let names: Vec<String> = ending.iter().filter_map(|ending| ending.delete.clone()).collect();
    let outcomes = match admin {
        Some(admin) if !names.is_empty() => {
            admin.delete_topics(&names).await.map_err(|error| error.to_string())
        }
        _ => Ok(std::collections::BTreeMap::new()),
    };
    for ending in ending {
        let problem = match (&ending.delete, &outcomes) {
            (Some(name), Ok(outcomes)) => match outcomes.get(name) {
                Some(Err(failure)) if !is_gone(failure) => Some(failure.to_string()),
                _ => None,
            },
            (Some(_), Err(error)) => Some(error.clone()),
            (None, _) => None,
        };
        if let Some(problem) = &problem {
            let name = ending.object.name_any();
            if held_for(&ending.object, now) < HOLD_MAX {
                tracing::warn!(topic = name, problem, "the topic was not deleted yet");
                continue;
            }
            tracing::error!(topic = name, problem, "the topic stays: its object is let go after a long wait");
        }
        if let Err(error) = hold(client, &ending.object, false).await {
            tracing::warn!(topic = ending.object.name_any(), %error, "the finalizer was not removed");
        }
    }
}

/// An object that goes, and the topic to delete first.
pub struct Ending {
    /// The object.
    pub object: Arc<KafkaTopic>,
    /// The topic in Kafka; `None` keeps it.
    pub delete: Option<String>,
}

fn is_gone(failure: &ottla_operator_kafka_admin::TopicFailure) -> bool {
    failure.code.name() == "UNKNOWN_TOPIC_OR_PARTITION"
}

fn held_for(object: &KafkaTopic, now: TimestampMs) -> Duration {
    let since = object.metadata.deletion_timestamp.as_ref().map_or(now.0, |time| time.0.as_millisecond());
    Duration::from_millis(u64::try_from(now.0 - since).unwrap_or(0))
}
