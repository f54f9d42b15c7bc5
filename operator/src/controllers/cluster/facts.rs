//! From Kubernetes' objects to the planner's facts. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerStateTerminated, ContainerStatus, Event, PersistentVolumeClaim, Pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt};
use ottla_broker_types::TimestampMs;
use ottla_operator_crd::quantity_bytes;
use ottla_operator_planner::facts::{ClaimFacts, KeptPlan, PodFacts, StatefulSetFacts};
use ottla_operator_planner::names;
use ottla_operator_planner::ownership::{Marks, Owner};

/// Reasons for which a container waits that do not pass by themselves.
const STUCK_REASONS: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// A fresh pod may be unschedulable for a moment, while its volume is made.
const UNSCHEDULABLE_MS: i64 = 10_000;
/// The kubelet ends a pod within seconds after its grace period.
const OVERDUE_MS: i64 = 60_000;
/// The last words of a broker that are quoted.
const WORDS_CHARS_MAX: usize = 300;

/// One pod. `rack` is that of its node, if known.
pub fn pod(pod: &Pod, rack: Option<String>, now: TimestampMs) -> PodFacts {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"));
    let since = ready.and_then(|ready| ready.last_transition_time.as_ref());
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.iter().find(|c| c.name == "broker"));
    PodFacts {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get(names::REVISION_LABEL).cloned(),
        image: container.and_then(|container| container.image.clone()),
        ready: ready.is_some_and(|ready| ready.status == "True"),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        overdue: pod.metadata.deletion_timestamp.as_ref().is_some_and(|due| {
            // Kubernetes puts the time by which the pod should be gone here.
            now.0 - timestamp(due).0 > OVERDUE_MS
        }),
        stuck: stuck(pod, now),
        trouble: trouble(pod),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        halted: !runs(pod),
        since: since.or(pod.metadata.creation_timestamp.as_ref()).map(timestamp),
        rack: pod.annotations().get(names::RACK_ANNOTATION).cloned(),
        node_rack: rack,
        restart_asked: pod.annotations().contains_key(names::RESTART_ANNOTATION),
    }
}

/// Whether the broker's container runs.
fn runs(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let running = |container: &ContainerStatus| container.state.as_ref().is_some_and(|s| s.running.is_some());
    containers.into_iter().flatten().any(|container| container.name == "broker" && running(container))
}

/// Why a pod cannot start.
fn stuck(pod: &Pod, now: TimestampMs) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(waiting);
    waiting.or_else(|| {
        let conditions = status.conditions.as_ref()?;
        let unscheduled = conditions.iter().find(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
        })?;
        let made = pod.metadata.creation_timestamp.as_ref().map(timestamp)?;
        let message = unscheduled.message.as_deref().unwrap_or("no node fits");
        (now.0 - made.0 > UNSCHEDULABLE_MS).then(|| format!("Unschedulable: {message}"))
    })
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| STUCK_REASONS.contains(reason))?;
    let words = match last_end(container) {
        Some(ended) => end(container, ended),
        None => waiting.message.as_deref().map(last_line).unwrap_or_default(),
    };
    Some(if words.is_empty() { reason.to_owned() } else { format!("{reason}: {words}") })
}

/// How a container that may still start has ended before, or is just between two starts.
fn trouble(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let container = containers.iter().find(|container| container.name == "broker")?;
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = now.or_else(|| last_end(container))?;
    let word = if ended.reason.as_deref() == Some("OOMKilled") { "OOMKilled" } else { "Exited" };
    Some(format!("{word}: {}", end(container, ended)))
}

fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.last_state.as_ref()?.terminated.as_ref()
}

/// How a broker ended: its last error, the exit code and how often it was started again.
fn end(container: &ContainerStatus, ended: &ContainerStateTerminated) -> String {
    let mut facts = vec![format!("exit code {}", ended.exit_code)];
    let restarts = container.restart_count;
    facts.extend(
        (restarts > 0).then(|| format!("{restarts} restart{}", if restarts == 1 { "" } else { "s" })),
    );
    let facts = facts.join(", ");
    if ended.reason.as_deref() == Some("OOMKilled") {
        return format!("it used more memory than resources.limits.memory allows ({facts})");
    }
    let words = ended.message.as_deref().map(last_error_line).unwrap_or_default();
    if words.is_empty() { facts } else { format!("{words} ({facts})") }
}

/// The last line that tells of an error, else the last line.
fn last_error_line(text: &str) -> String {
    let is_error = |line: &&str| {
        line.contains("ERROR") || line.trim_start().starts_with("Error") || line.contains("panicked at")
    };
    match text.lines().rfind(is_error) {
        Some(line) => line.trim().chars().take(WORDS_CHARS_MAX).collect(),
        None => last_line(text),
    }
}

fn last_line(text: &str) -> String {
    text.trim().lines().last().unwrap_or_default().chars().take(WORDS_CHARS_MAX).collect()
}

/// The newest warning about an object, Kubernetes' word first. What is told of restarts and probes is known better from
/// the pod itself, or passes.
pub fn newest_warning<'a>(events: impl IntoIterator<Item = &'a Event>, about: &str) -> Option<String> {
    let told = events.into_iter().filter(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        event.type_.as_deref() == Some("Warning")
            && !UNTOLD_REASONS.contains(&reason)
            && event.message.as_deref().is_some_and(|message| message.contains(about))
    });
    let at = |event: &&Event| {
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
        let micro = series.or(event.event_time.as_ref()).map(|time| time.0);
        event.last_timestamp.as_ref().map(|time| time.0).max(micro)
    };
    let newest = told.max_by_key(at)?;
    let message: String = newest.message.as_deref()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let message: String = message.chars().take(WORDS_CHARS_MAX).collect();
    Some(format!("{}: {message}", newest.reason.as_deref().unwrap_or("Warning")))
}

/// Reasons of warnings that the pod itself tells better, or that every start brings along.
const UNTOLD_REASONS: [&str; 4] = ["BackOff", "Unhealthy", "FailedScheduling", "FailedToUpdateEndpoint"];

/// The StatefulSet; its revision counts once its controller has seen the template.
pub fn stateful_set(set: &StatefulSet) -> StatefulSetFacts {
    let seen = set.status.as_ref().and_then(|status| status.observed_generation);
    let labels = set.spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let revision = labels.and_then(|labels| labels.get(names::REVISION_LABEL)).cloned();
    let claim = set.spec.volume_claim_templates.as_ref().and_then(|claims| claims.first());
    let pod = set.spec.template.spec.as_ref();
    let broker = pod.and_then(|pod| pod.containers.iter().find(|container| container.name == "broker"));
    let size = claim
        .and_then(|claim| claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage"))
        .map(|quantity| quantity.0.clone());
    StatefulSetFacts {
        replicas: set.spec.replicas.unwrap_or(1),
        claim_size: size,
        claim_class: claim.and_then(|claim| claim.spec.as_ref()?.storage_class_name.clone()),
        image: broker.and_then(|container| container.image.clone()),
        revision: revision.filter(|_| seen >= set.metadata.generation),
    }
}

/// One claim.
pub fn claim(claim: &PersistentVolumeClaim) -> ClaimFacts {
    let requests =
        claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|r| r.requests.as_ref());
    let requested = requests.and_then(|requests| requests.get("storage")).and_then(|q| quantity_bytes(&q.0));
    ClaimFacts {
        name: claim.name_any(),
        // A size that cannot be read is none to grow from.
        requested_bytes: requested.unwrap_or(u64::MAX),
        capacity_bytes: capacity(claim),
        cluster_id: claim.annotations().get(names::CLUSTER_ID_ANNOTATION).cloned(),
        bootstrapped: claim.annotations().contains_key(names::BOOTSTRAPPED_ANNOTATION),
        controllers: claim.annotations().get(names::CONTROLLERS_ANNOTATION).and_then(|ids| ids_of(ids)),
        unused: claim
            .spec
            .as_ref()
            .is_none_or(|spec| spec.volume_name.as_deref().unwrap_or_default().is_empty()),
        bound: claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound")),
        owner_uid: owner(claim),
        terminating: claim.metadata.deletion_timestamp.is_some(),
    }
}

/// The plan of moves that is kept in some of `maps`.
pub fn kept_plan<'a>(maps: impl IntoIterator<Item = &'a ConfigMap>) -> Option<KeptPlan> {
    let chunks = maps.into_iter().filter_map(|map| {
        let hash = map.labels().get(names::PLAN_LABEL)?.clone();
        let number = names::chunk_of(&map.name_any());
        let count = map.data.as_ref().and_then(|data| data.get(names::PLAN_COUNT)?.parse().ok());
        let bytes = map.binary_data.as_ref().and_then(|data| data.get(names::PLAN_CHUNK));
        Some((map.name_any(), hash, number, count, bytes.map(|bytes| bytes.0.clone()).unwrap_or_default()))
    });
    let chunks: Vec<_> = chunks.collect();
    let first = chunks.iter().find(|(_, _, number, ..)| *number == Some(0)).or(chunks.first())?;
    let mut plan = KeptPlan { hash: first.1.clone(), count: first.3.unwrap_or(0), ..KeptPlan::default() };
    for (name, hash, number, _, bytes) in chunks {
        plan.names.insert(name);
        if let Some(number) = number.filter(|number| hash == plan.hash && *number < plan.count) {
            plan.chunks.insert(number, bytes);
        }
    }
    Some(plan)
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<u64> {
    let capacity = claim.status.as_ref()?.capacity.as_ref()?;
    quantity_bytes(&capacity.get("storage")?.0)
}

/// Ids with commas between them; `None` if they are anything else.
fn ids_of(text: &str) -> Option<Vec<i32>> {
    text.split(',').map(|id| id.parse().ok()).collect()
}

/// What an object says about whose it is.
pub fn marks<K: Resource>(object: &K) -> Marks {
    let owners = object.owner_references().iter().map(|owner| Owner {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: owner.controller == Some(true),
    });
    Marks {
        owners: owners.collect(),
        cluster: object.labels().get(names::CLUSTER_LABEL).cloned(),
        cluster_id: object.annotations().get(names::CLUSTER_ID_ANNOTATION).cloned(),
        adopt: object.annotations().get(names::ADOPT_ANNOTATION).cloned(),
    }
}

/// The KafkaCluster with which a claim goes.
fn owner(claim: &PersistentVolumeClaim) -> Option<String> {
    let mut owners = claim.owner_references().iter();
    owners.find(|owner| owner.kind == "KafkaCluster").map(|owner| owner.uid.clone())
}

/// Kubernetes' time as milliseconds.
pub fn timestamp(time: &Time) -> TimestampMs {
    TimestampMs(time.0.as_millisecond())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod_of(status: serde_json::Value) -> Pod {
        let object = json!({
            "metadata": {
                "name": "demo-broker-1", "uid": "u", "creationTimestamp": "1970-01-01T00:00:00Z",
                "labels": { "ottla.dev/revision": "abc" },
            },
            "spec": { "containers": [{ "name": "broker", "image": "ottla:1" }] },
            "status": status,
        });
        serde_json::from_value(object).expect("it is a pod")
    }

    #[test]
    fn a_serving_pod_is_ready_and_not_stuck() {
        let status = json!({
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:05Z" }],
            "containerStatuses": [{
                "name": "broker", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": {} },
            }],
        });
        let facts = pod(&pod_of(status), Some("a".to_owned()), TimestampMs(60_000));
        assert!(facts.ready && !facts.terminating && !facts.halted && facts.stuck.is_none());
        assert_eq!(facts.revision.as_deref(), Some("abc"));
        assert_eq!((facts.since, facts.node_rack.as_deref()), (Some(TimestampMs(5_000)), Some("a")));
        assert_eq!(facts.image.as_deref(), Some("ottla:1"));
    }

    #[test]
    fn a_crashing_broker_is_stuck_and_its_last_words_are_told() {
        let status = json!({ "containerStatuses": [{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": { "exitCode": 1, "message": "start\nlog.dirs: the disk is full\n" } },
        }] });
        let stuck = pod(&pod_of(status), None, TimestampMs(0)).stuck;
        assert_eq!(
            stuck.as_deref(),
            Some("CrashLoopBackOff: log.dirs: the disk is full (exit code 1, 3 restarts)")
        );
    }

    #[test]
    fn the_error_of_a_broker_is_told_rather_than_its_last_line() {
        let message = "start\nERROR log.dirs: no space\nINFO stopping\n";
        let status = json!({ "containerStatuses": [{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 1,
            "state": { "terminated": { "exitCode": 1, "reason": "Error", "message": message } },
        }] });
        let facts = pod(&pod_of(status), None, TimestampMs(0));
        assert_eq!(facts.stuck, None, "it may start yet");
        let told = "Exited: ERROR log.dirs: no space (exit code 1, 1 restart)";
        assert_eq!(facts.trouble.as_deref(), Some(told));
    }

    #[test]
    fn a_broker_without_memory_is_told_which_field_to_raise() {
        let ended = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        for state in [json!({ "running": {} }), json!({ "waiting": { "reason": "CrashLoopBackOff" } })] {
            let status = json!({ "containerStatuses": [{
                "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                "state": state, "lastState": ended,
            }] });
            let facts = pod(&pod_of(status), None, TimestampMs(0));
            let told = facts.stuck.or(facts.trouble).expect("it is in trouble");
            assert!(
                told.contains("resources.limits.memory") && told.contains("exit code 137, 2 restarts"),
                "{told}"
            );
        }
    }

    #[test]
    fn the_newest_warning_about_a_pod_is_told_with_its_reason() {
        let event = |reason: &str, message: &str, time: &str, kind: &str| -> Event {
            let object = json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": message, "type": kind,
                "lastTimestamp": time,
            });
            serde_json::from_value(object).expect("it is an event")
        };
        let create = "create Pod demo-broker-1 in StatefulSet demo-broker failed error: no PriorityClass";
        let events = [
            event(
                "FailedCreate",
                "create Pod demo-broker-1 failed: quota",
                "2026-01-01T00:00:01Z",
                "Warning",
            ),
            event("FailedCreate", create, "2026-01-01T00:00:02Z", "Warning"),
            event("FailedCreate", "create Pod demo-broker-0 failed", "2026-01-01T00:00:03Z", "Warning"),
            event("SuccessfulCreate", "create Pod demo-broker-1", "2026-01-01T00:00:04Z", "Normal"),
            event("BackOff", "demo-broker-1", "2026-01-01T00:00:05Z", "Warning"),
        ];
        let told = newest_warning(&events, "Pod demo-broker-1 in StatefulSet");
        assert_eq!(told, Some(format!("FailedCreate: {create}")));
        assert_eq!(newest_warning(&events, "Pod demo-broker-2 in StatefulSet"), None);
    }

    #[test]
    fn a_pod_that_is_being_made_is_not_stuck() {
        let creating = json!({ "containerStatuses": [{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ContainerCreating" } },
        }] });
        let facts = pod(&pod_of(creating), None, TimestampMs(0));
        assert!(facts.halted && facts.stuck.is_none());
        let unscheduled = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu" },
        ] });
        assert_eq!(pod(&pod_of(unscheduled.clone()), None, TimestampMs(5_000)).stuck, None);
        let later = pod(&pod_of(unscheduled), None, TimestampMs(60_000)).stuck;
        assert_eq!(later.as_deref(), Some("Unschedulable: no cpu"));
    }

    #[test]
    fn a_pod_that_outlives_its_time_to_stop_is_overdue() {
        let mut ending = pod_of(json!({}));
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("1970-01-01T00:01:00Z")).expect("it is a time");
        assert!(!pod(&ending, None, TimestampMs(120_000)).overdue);
        assert!(pod(&ending, None, TimestampMs(120_001)).overdue);
    }

    #[test]
    fn a_claim_tells_whose_data_it_holds_and_with_whom_it_goes() {
        let object = json!({
            "metadata": {
                "name": "data-demo-broker-0",
                "annotations": { "ottla.dev/cluster-id": "x", "ottla.dev/bootstrapped": "true" },
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "demo-broker", "uid": "s" },
                    { "apiVersion": "ottla.dev/v1alpha1", "kind": "KafkaCluster", "name": "demo", "uid": "u" },
                ],
            },
            "spec": { "resources": { "requests": { "storage": "1Gi" } } },
            "status": { "phase": "Bound" },
        });
        let facts = claim(&serde_json::from_value(object).expect("it is a claim"));
        assert_eq!((facts.cluster_id.as_deref(), facts.owner_uid.as_deref()), (Some("x"), Some("u")));
        assert!(facts.bootstrapped && facts.bound);
        let fresh = claim(&PersistentVolumeClaim::default());
        assert!(!fresh.bootstrapped && !fresh.bound && fresh.owner_uid.is_none());
    }

    #[test]
    fn a_plan_is_read_from_its_own_chunks_only() {
        let map = |name: &str, hash: &str| {
            let object = json!({
                "metadata": { "name": name, "labels": { "ottla.dev/rebalance-plan": hash } },
                "data": { "chunks": "2" }, "binaryData": { "chunk": "AQI=" },
            });
            serde_json::from_value::<ConfigMap>(object).expect("it is a ConfigMap")
        };
        let (first, second) = (map("demo-plan-0", "a"), map("demo-plan-1", "a"));
        let (other, third) = (map("demo-plan-1", "b"), map("demo-plan-2", "a"));
        let plan = kept_plan([&first, &second, &third]).expect("there is one");
        assert_eq!((plan.hash.as_str(), plan.count, plan.names.len()), ("a", 2, 3));
        assert_eq!(plan.chunks.into_values().collect::<Vec<_>>(), [[1, 2], [1, 2]]);
        assert_eq!(kept_plan([&first, &other]).expect("there is one").chunks.len(), 1);
        assert_eq!(kept_plan([&ConfigMap::default()]), None);
    }

    #[test]
    fn a_template_counts_once_its_controller_has_seen_it() {
        let set = |seen: i64| {
            let object = json!({
                "metadata": { "generation": 2 },
                "spec": {
                    "replicas": 3, "selector": {}, "serviceName": "",
                    "template": {
                        "metadata": { "labels": { "ottla.dev/revision": "abc" } },
                        "spec": { "containers": [{ "name": "broker", "image": "ottla:1" }] },
                    },
                    "volumeClaimTemplates": [{ "spec": { "resources": { "requests": { "storage": "1Gi" } } } }],
                },
                "status": { "observedGeneration": seen, "replicas": 3 },
            });
            stateful_set(&serde_json::from_value(object).expect("it is a StatefulSet"))
        };
        assert_eq!(set(1).revision, None);
        assert_eq!(set(2).revision.as_deref(), Some("abc"));
        assert_eq!(set(2).image.as_deref(), Some("ottla:1"));
        assert_eq!((set(2).replicas, set(2).claim_size.as_deref()), (3, Some("1Gi")));
    }
}
