//! What the brokers' pods did, from a watch of the API server that misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use ottla_e2e::{Process, Waited, until};
use serde::Deserialize;
use tempfile::TempDir;

use crate::demo::{Demo, TOOL_LIMIT};

/// An event of `kubectl get --watch`.
#[derive(Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Pod,
}

impl Event {
    /// The pod's name; empty for events that are about no pod.
    pub(crate) fn pod(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether the pod was asked to end, or is gone.
    pub(crate) fn ends(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some() || self.kind == "DELETED"
    }

    fn serves(&self) -> bool {
        let conditions = self.object.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions.into_iter().any(|each| each.type_ == "Ready" && each.status == "True");
        ready && !self.ends()
    }
}

/// The watch, running.
pub(crate) struct Watch {
    process: Process,
    _folder: TempDir,
}

impl Watch {
    /// Starts to watch and waits until every pod of `pods` was seen once.
    pub(crate) async fn start(demo: &Demo, pods: usize) -> Result<Watch> {
        let folder = TempDir::new().context("make a folder for the pods' events")?;
        let arguments = "get pods --selector=app.kubernetes.io/component=broker --watch \
                         --output-watch-events --output=json --namespace";
        let arguments: Vec<&str> = arguments.split_whitespace().chain([demo.namespace()]).collect();
        let process = Process::start(Path::new("kubectl"), &arguments, &folder.path().join("log"))?;
        let watch = Watch { process, _folder: folder };
        until("the pods in the watch", TOOL_LIMIT, async || {
            let events = watch.events()?;
            let seen: BTreeSet<&str> = events.iter().map(Event::pod).collect();
            Ok(if seen.len() >= pods { Waited::Done(()) } else { Waited::not_yet(format!("{seen:?}")) })
        })
        .await?;
        Ok(watch)
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Result<Vec<Event>> {
        let log = self.process.log();
        serde_json::Deserializer::from_str(&log)
            .into_iter()
            // The last one may be half written.
            .take_while(|event| !event.as_ref().is_err_and(serde_json::Error::is_eof))
            .collect::<Result<_, _>>()
            .context("read what kubectl tells")
    }

    /// Names of the pods that were asked to end so far.
    pub(crate) fn ended(&self) -> Result<BTreeSet<String>> {
        Ok(self.events()?.iter().filter(|event| event.ends()).map(|event| event.pod().to_owned()).collect())
    }

    /// Waits until the watch has told that `pods` pods serve, each replaced once, and checks that never two of them
    /// were away at the same time.
    pub(crate) async fn until_replaced_one_by_one(&self, pods: usize) -> Result<()> {
        until("the last pod to be back in the watch", TOOL_LIMIT, async || {
            let events = self.events()?;
            let lives = lives(&events);
            let up = replay(&events)?;
            let all = lives.len() == pods && lives.values().all(|uids| uids.len() == 2);
            Ok(if all && up.values().all(|up| *up) {
                Waited::Done(())
            } else {
                Waited::not_yet(format!("serving: {up:?}; uids: {lives:?}"))
            })
        })
        .await
    }
}

/// The uids that each pod has had.
fn lives(events: &[Event]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut lives: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in events {
        if let Some(uid) = &event.object.metadata.uid {
            lives.entry(event.pod()).or_default().insert(uid);
        }
    }
    lives
}

/// Which pods serve at the end; an error if ever two were away together.
fn replay(events: &[Event]) -> Result<BTreeMap<&str, bool>> {
    let mut up: BTreeMap<&str, bool> = BTreeMap::new();
    let mut order = Vec::new();
    for event in events {
        if up.insert(event.pod(), event.serves()) == Some(true) && !event.serves() {
            order.push(event.pod());
        }
        let away: Vec<&str> = up.iter().filter(|(_, up)| !**up).map(|(name, _)| *name).collect();
        ensure!(away.len() <= 1, "{away:?} were away at the same time; they went in the order {order:?}");
    }
    Ok(up)
}
