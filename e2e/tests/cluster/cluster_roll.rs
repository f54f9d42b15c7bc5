//! A change that brokers must restart for rolls through them one by one, and no producer notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use ottla_e2e::{Process, Stopwatch, Waited, until};
use ottla_operator_crd::conditions;
use serde::Deserialize;
use tempfile::TempDir;

use crate::demo::{Demo, START_LIMIT};
use crate::history::{Load, longest_pause};

/// Three brokers, one after the other, each back in every ISR before the next.
const ROLL_LIMIT: Duration = Duration::from_secs(240);
/// Records a second.
const RATE: u32 = 300;
/// What the example's cluster asks for.
const MIN_ISR: usize = 2;

/// An event of `kubectl get --watch`.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Pod,
}

/// What the pods did, from a watch that misses nothing.
struct Watch {
    process: Process,
    _folder: TempDir,
}

#[tokio::test]
async fn a_setting_and_an_image_roll_one_by_one_and_no_write_fails() -> Result<()> {
    let Some(demo) = Demo::start("roll").await? else { return Ok(()) };
    let next_image = demo.cluster.next_image().await?;
    demo.start_cluster().await?;
    demo.create_topic("load", 12).await?;
    let load = Load::start(&demo, "load", RATE).await?;
    for (what, spec) in [
        ("a static setting", r#"{"spec":{"config":{"queued.max.requests":"600"}}}"#.to_owned()),
        ("an image", format!(r#"{{"spec":{{"image":"{next_image}"}}}}"#)),
    ] {
        let from = load.acks().len();
        let watch = Watch::start(&demo)?;
        let clock = Stopwatch::start();
        demo.kubectl(&["patch", "kafkacluster/demo", "--type=merge", "--patch", &spec]).await?;
        until_rolled(&demo).await?;
        println!("{what} rolled through three brokers within {:.1?}", clock.elapsed());
        one_by_one(&watch.events()?)?;
        load.goes_on(1_000, START_LIMIT).await?;
        let (partition, pause) = longest_pause(&load.acks()[from..]);
        println!("{what}: the longest pause of a partition was {pause:.1?} ({partition})");
    }
    let images: BTreeSet<Option<String>> = demo
        .pods()
        .await?
        .into_values()
        .map(|pod| pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image))
        .collect();
    ensure!(images == BTreeSet::from([Some(next_image)]), "images: {images:?}");
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed produces: {:?}", history.failures.first());
    history.check(&demo).await?;
    demo.remove().await
}

/// Waits until all brokers have the new settings. Meanwhile no partition may have fewer copies in sync than acks=all
/// wants, which it would if a broker were taken while one stands at its minimum.
async fn until_rolled(demo: &Demo) -> Result<()> {
    until("all brokers to have the new settings", ROLL_LIMIT, async || {
        let metadata = demo.metadata().await?;
        for (topic, partition) in metadata.partitions().filter(|(topic, _)| *topic == "load") {
            let isr = partition.isr();
            assert!(isr.len() >= MIN_ISR, "{topic}-{} is in sync on {isr:?} only", partition.partition);
        }
        let (object, status) = demo.status().await?;
        let current = status.observed_generation == object.metadata.generation;
        let ready = conditions::holds(&status.conditions, conditions::READY);
        let busy = conditions::holds(&status.conditions, conditions::RECONCILING);
        Ok(if current && ready && !busy {
            Waited::Done(())
        } else {
            Waited::NotYet(format!("{:?}", status.conditions))
        })
    })
    .await
}

impl Watch {
    fn start(demo: &Demo) -> Result<Watch> {
        let folder = TempDir::new().context("make a folder for the pods' events")?;
        let arguments = "get pods --selector=app.kubernetes.io/component=broker --watch \
                         --output-watch-events --output=json --namespace";
        let arguments: Vec<&str> = arguments.split_whitespace().chain([demo.namespace()]).collect();
        let process = Process::start(Path::new("kubectl"), &arguments, &folder.path().join("log"))?;
        Ok(Watch { process, _folder: folder })
    }

    /// All events so far.
    fn events(&self) -> Result<Vec<Event>> {
        let log = self.process.log();
        serde_json::Deserializer::from_str(&log)
            .into_iter()
            // The last one may be half written.
            .take_while(|event| !event.as_ref().is_err_and(serde_json::Error::is_eof))
            .collect::<Result<_, _>>()
            .context("read what kubectl tells")
    }
}

/// Each pod was replaced once, and at no time were two of them away.
fn one_by_one(events: &[Event]) -> Result<()> {
    let mut up: BTreeMap<&str, bool> = BTreeMap::new();
    let mut lives: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut order = Vec::new();
    for event in events {
        let metadata = &event.object.metadata;
        let (Some(name), Some(uid)) = (&metadata.name, &metadata.uid) else { continue };
        lives.entry(name).or_default().insert(uid);
        let ready = event.object.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = ready.into_iter().any(|each| each.type_ == "Ready" && each.status == "True");
        let serves = ready && metadata.deletion_timestamp.is_none() && event.kind != "DELETED";
        if up.insert(name, serves) == Some(true) && !serves {
            order.push(name.as_str());
        }
        let away: Vec<&str> = up.iter().filter(|(_, up)| !**up).map(|(name, _)| *name).collect();
        ensure!(away.len() <= 1, "{away:?} were away at the same time");
    }
    println!("pods went in the order {order:?}");
    ensure!(up.len() == 3 && up.values().all(|up| *up), "not all pods are back: {up:?}");
    ensure!(lives.values().all(|uids| uids.len() == 2), "not each pod was replaced once: {lives:?}");
    Ok(())
}
