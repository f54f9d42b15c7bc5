//! Deletion of a KafkaTopic: its topic is deleted first if that is asked for, and the finalizer never stays for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use ottla_broker_types::TimestampMs;
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::{KafkaCluster, KafkaTopic};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::names::TOPIC_FINALIZER;
use ottla_operator_planner::topics::Deletion;

use crate::brokers::topics::delete;

/// After this long the finalizer is removed although the topic could not be deleted: a namespace must be able to end.
const FINALIZE_MAX: Duration = Duration::from_secs(120);

/// Whether an object has our finalizer.
pub fn has_finalizer(object: &KafkaTopic) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == TOPIC_FINALIZER)
}

/// What is asked to happen with a topic whose object is deleted, also where the rest of a manifest cannot work.
pub fn policy(topic: &KafkaTopic, cluster: &KafkaCluster) -> DeletionPolicy {
    let default = cluster.spec.topics.as_ref().and_then(|topics| topics.deletion_policy);
    topic.spec.deletion_policy.or(default).unwrap_or(DeletionPolicy::Delete)
}

/// The topic to delete before `object` goes, if any. `claimed` says whether an object that stays names it, too.
pub fn topic_to_delete(object: &KafkaTopic, cluster: &KafkaCluster, claimed: bool) -> Option<String> {
    let namespace = object.namespace().unwrap_or_default();
    let allowed = cluster.spec.topics.iter().flat_map(|topics| &topics.allowed_namespaces);
    let deletion = Deletion {
        has_finalizer: has_finalizer(object),
        policy: policy(object, cluster),
        taken: cluster.namespace().as_ref() == Some(&namespace)
            || allowed.into_iter().any(|allowed| *allowed == namespace || allowed == "*"),
        claimed,
    };
    deletion.deletes_topic().then(|| object.spec.topic_name.clone().unwrap_or_else(|| object.name_any()))
}

/// Adds or removes our finalizer, if nobody changed the object meanwhile.
pub async fn set_finalizer(client: &Client, object: &KafkaTopic, wanted: bool) -> Result<(), kube::Error> {
    if has_finalizer(object) == wanted {
        return Ok(());
    }
    let mut finalizers: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
    finalizers.retain(|finalizer| *finalizer != TOPIC_FINALIZER);
    if wanted {
        finalizers.push(TOPIC_FINALIZER);
    }
    let api: Api<KafkaTopic> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "metadata": { "finalizers": finalizers, "resourceVersion": object.metadata.resource_version },
    });
    match api.patch_metadata(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        // Somebody was faster, or the object is gone: the next reconcile sees it as it is.
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes topics and removes the finalizers of their objects. `admin` is `None` if there is no cluster any more.
pub async fn finalize(client: &Client, admin: Option<&AdminClient>, deleted: &[Deleted], now: TimestampMs) {
    let names: Vec<String> = deleted.iter().filter_map(|deleted| deleted.delete.clone()).collect();
    let problems = match admin {
        Some(admin) => delete(admin, &names).await,
        None => BTreeMap::new(),
    };
    for deleted in deleted {
        let problem = deleted.delete.as_ref().and_then(|name| problems.get(name));
        if let Some(problem) = problem {
            let name = deleted.object.name_any();
            if deleted_for(&deleted.object, now) < FINALIZE_MAX {
                tracing::warn!(topic = name, problem, "the topic was not deleted yet");
                continue;
            }
            tracing::error!(
                topic = name,
                problem,
                "the topic stays: the finalizer of its object is removed after a long wait"
            );
        }
        if let Err(error) = set_finalizer(client, &deleted.object, false).await {
            tracing::warn!(topic = deleted.object.name_any(), %error, "the finalizer was not removed");
        }
    }
}

/// An object that is being deleted, and the topic to delete first.
pub struct Deleted {
    /// The object.
    pub object: Arc<KafkaTopic>,
    /// The topic in Kafka; `None` keeps it.
    pub delete: Option<String>,
}

fn deleted_for(object: &KafkaTopic, now: TimestampMs) -> Duration {
    let since = object.metadata.deletion_timestamp.as_ref().map_or(now.0, |time| time.0.as_millisecond());
    Duration::from_millis(u64::try_from(now.0 - since).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topic(namespace: &str, policy: Option<&str>, held: bool) -> KafkaTopic {
        let finalizers = if held { vec![TOPIC_FINALIZER] } else { vec![] };
        let object = json!({
            "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": { "name": "t", "namespace": namespace, "finalizers": finalizers },
            "spec": { "cluster": "demo", "deletionPolicy": policy },
        });
        serde_json::from_value(object).expect("it is a topic")
    }

    fn cluster(topics: serde_json::Value) -> KafkaCluster {
        let object = json!({
            "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": { "name": "demo", "namespace": "kafka" },
            "spec": { "storage": { "size": "1Gi" }, "topics": topics },
        });
        serde_json::from_value(object).expect("it is a cluster")
    }

    #[test]
    fn the_policy_of_the_moment_decides_not_the_one_when_it_got_the_finalizer() {
        let delete = cluster(json!({}));
        let retain = cluster(json!({ "deletionPolicy": "Retain" }));
        let of = |topic: &KafkaTopic, cluster| topic_to_delete(topic, cluster, false);
        assert_eq!(of(&topic("kafka", None, true), &delete).as_deref(), Some("t"));
        assert_eq!(of(&topic("kafka", None, true), &retain), None);
        assert_eq!(of(&topic("kafka", Some("Retain"), true), &delete), None);
        assert_eq!(of(&topic("kafka", Some("Delete"), true), &retain).as_deref(), Some("t"));
        assert_eq!(of(&topic("kafka", None, false), &delete), None);
        assert_eq!(topic_to_delete(&topic("kafka", None, true), &delete, true), None);
    }

    #[test]
    fn a_namespace_that_may_make_no_topics_may_delete_none() {
        let of = |topics| topic_to_delete(&topic("other", None, true), &cluster(topics), false);
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({ "allowedNamespaces": ["other"] })).as_deref(), Some("t"));
        assert_eq!(of(json!({ "allowedNamespaces": ["*"] })).as_deref(), Some("t"));
    }
}
