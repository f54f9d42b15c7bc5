//! Publishes events. What is said again is counted; anything else, however alike, is an event of its own: its note is
//! that of the moment. I/O: the API server, where a failure is logged, since events are a courtesy.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event as KubernetesEvent, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use ottla_broker_types::{DurationMs, TimestampMs};
use ottla_operator_planner::{Event, names};
use tokio::sync::Mutex;

use crate::clock;

/// The field of events that names what was done.
const ACTION: &str = "Reconcile";
/// The API server refuses longer notes.
const NOTE_CHARS_MAX: usize = 1000;
/// Said again after longer than this, it is news again; the API server forgets events after an hour.
const REMEMBERED: DurationMs = DurationMs(10 * 60 * 1000);
/// Notes that are remembered; more are published anew rather than counted.
const REMEMBERED_MAX: usize = 4096;

/// What makes two events the same: about whom, of whom, and every word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    object_uid: String,
    subject: Option<String>,
    reason: &'static str,
    note: String,
}

/// An event that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    name: String,
    count: i32,
    last: TimestampMs,
}

/// What was published lately.
#[derive(Debug, Default)]
struct Memory(BTreeMap<Said, Published>);

impl Memory {
    /// Notes that something is said now. `Some` is the event that already says it, with how often it has by now.
    fn say(&mut self, said: &Said, name: &str, now: TimestampMs) -> Option<Published> {
        self.0.retain(|_, published| published.last >= now.minus(REMEMBERED));
        if let Some(published) = self.0.get_mut(said) {
            published.count = published.count.saturating_add(1);
            published.last = now;
            return Some(published.clone());
        }
        if self.0.len() < REMEMBERED_MAX {
            self.0.insert(said.clone(), Published { name: name.to_owned(), count: 1, last: now });
        }
        None
    }
}

/// Publishes events about objects.
pub struct Publisher {
    client: Client,
    instance: String,
    memory: Mutex<Memory>,
}

impl Publisher {
    /// A publisher that signs as `instance`.
    pub fn new(client: Client, instance: String) -> Publisher {
        Publisher { client, instance, memory: Mutex::default() }
    }

    /// Publishes an event about `object`.
    pub async fn publish(&self, object: &ObjectReference, event: &Event) {
        if let Err(error) = self.try_to(object, event).await {
            tracing::warn!(%error, reason = event.reason, "the event was not published");
        }
    }

    async fn try_to(&self, object: &ObjectReference, event: &Event) -> Result<(), kube::Error> {
        let now = clock::now();
        let time = Timestamp::from_millisecond(now.0).unwrap_or(Timestamp::UNIX_EPOCH);
        let note: String = event.text.chars().take(NOTE_CHARS_MAX).collect();
        let said = Said {
            object_uid: object.uid.clone().unwrap_or_default(),
            subject: event.subject.clone(),
            reason: event.reason,
            note: note.clone(),
        };
        let name = format!("{}.{}", object.name.as_deref().unwrap_or("ottla"), hex_id());
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let api: Api<KubernetesEvent> = Api::namespaced(self.client.clone(), namespace);
        let again = self.memory.lock().await.say(&said, &name, now);
        if let Some(Published { name, count, .. }) = again {
            let series = EventSeries { count, last_observed_time: MicroTime(time) };
            let patch = serde_json::json!({ "series": series });
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // Somebody deleted it: it is said anew the next time.
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    self.memory.lock().await.0.remove(&said);
                }
                outcome => {
                    outcome?;
                }
            }
            return Ok(());
        }
        let related = event.subject.as_ref().map(|pod| ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.clone()),
            namespace: Some(namespace.to_owned()),
            ..ObjectReference::default()
        });
        let made = KubernetesEvent {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            reason: Some(event.reason.to_owned()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            note: Some(note),
            event_time: Some(MicroTime(time)),
            regarding: Some(object.clone()),
            related,
            reporting_controller: Some(names::FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..KubernetesEvent::default()
        };
        api.create(&PostParams::default(), &made).await?;
        Ok(())
    }
}

/// What makes a name unique, in letters that names may have.
fn hex_id() -> String {
    clock::fresh_id().0.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(subject: &str, note: &str) -> Said {
        Said {
            object_uid: "u".to_owned(),
            subject: Some(subject.to_owned()),
            reason: "BrokerRestarts",
            note: note.to_owned(),
        }
    }

    #[test]
    fn restarts_of_three_brokers_are_three_events_and_one_that_is_said_again_is_counted() {
        let mut memory = Memory::default();
        let now = TimestampMs(1_000_000);
        for (name, subject, note) in [("a", "0", "broker 0 restarts"), ("b", "1", "broker 1 restarts")] {
            assert_eq!(memory.say(&said(subject, note), name, now), None);
        }
        assert_eq!(memory.say(&said("1", "broker 1 restarts: the image changes"), "c", now), None);
        let again = memory.say(&said("1", "broker 1 restarts"), "d", now).expect("it was said before");
        assert_eq!((again.name.as_str(), again.count), ("b", 2));
    }

    #[test]
    fn what_was_said_long_ago_is_news_again() {
        let mut memory = Memory::default();
        let first = TimestampMs(1_000_000);
        assert_eq!(memory.say(&said("0", "x"), "a", first), None);
        let later = TimestampMs(first.0 + i64::try_from(REMEMBERED.0).expect("it is short") + 1);
        assert_eq!(memory.say(&said("0", "x"), "b", later), None);
    }
}
