//! A change that brokers must restart for rolls through them one by one, and no producer notices.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Stopwatch, Waited, longest_pause, until};
use ottla_operator_crd::conditions;

use crate::demo::{Demo, START_LIMIT};
use crate::watch::Watch;

/// Three brokers, one after the other, each back in every ISR before the next.
const ROLL_LIMIT: Duration = Duration::from_secs(240);
/// Records a second.
const RATE: u32 = 300;
/// What the example's cluster asks for.
const MIN_ISR: usize = 2;
/// The longest time that a partition may go without an acknowledged record. Leadership is handed over before a broker
/// stops, so what is left is a client that asks for the new leader on two busy cores; far below the 30 s of one that
/// looks for a broker at its former address.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_setting_and_an_image_roll_one_by_one_and_no_write_fails() -> Result<()> {
    let Some(demo) = Demo::start("roll").await? else { return Ok(()) };
    let next_image = demo.cluster.next_image().await?;
    demo.start_cluster().await?;
    demo.create_topic("load", 12).await?;
    let load = demo.load("load", RATE).await?;
    let mut pauses = Vec::new();
    for (what, spec) in [
        ("a static setting", r#"{"spec":{"config":{"queued.max.requests":"600"}}}"#.to_owned()),
        ("an image", format!(r#"{{"spec":{{"image":"{next_image}"}}}}"#)),
    ] {
        let from = load.acks().len();
        let watch = Watch::start(&demo, 3).await?;
        let clock = Stopwatch::start();
        demo.kubectl(&["patch", "kafkacluster/demo", "--type=merge", "--patch", &spec]).await?;
        until_rolled(&demo).await?;
        println!("{what} rolled through three brokers within {:.1?}", clock.elapsed());
        watch.until_replaced_one_by_one(3).await?;
        load.goes_on(1_000, START_LIMIT).await?;
        let (partition, pause) = longest_pause(&load.acks()[from..]);
        println!("{what}: the longest pause of a partition was {pause:.1?} ({partition})");
        pauses.push((what, pause));
    }
    setting_is_in_force(&demo).await?;
    let images: BTreeSet<Option<String>> = demo
        .pods()
        .await?
        .into_values()
        .map(|pod| pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image))
        .collect();
    ensure!(images == BTreeSet::from([Some(next_image)]), "images: {images:?}");
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed produces: {:?}", history.failures.first());
    history.check(demo.kcat()).await?;
    for (what, pause) in pauses {
        ensure!(pause <= PAUSE_MAX, "{what}: writes paused for {pause:.1?}");
    }
    demo.remove().await
}

/// Waits until all brokers have the new settings. Meanwhile no partition may have fewer copies in sync than acks=all
/// wants, which it would if a broker were taken while one stands at its minimum.
async fn until_rolled(demo: &Demo) -> Result<()> {
    until("all brokers to have the new settings", ROLL_LIMIT, async || {
        let metadata = demo.metadata().await?;
        for (topic, partition) in metadata.partitions() {
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

/// Every broker says that it runs with the setting.
async fn setting_is_in_force(demo: &Demo) -> Result<()> {
    for broker in ["0", "1", "2"] {
        let arguments = ["--describe", "--entity-type", "brokers", "--entity-name", broker, "--all"];
        let said = demo.tool("kafka-configs", &arguments).await?;
        let line = said.lines().find(|line| line.trim_start().starts_with("queued.max.requests="));
        let value = line.and_then(|line| line.split_whitespace().next());
        ensure!(value == Some("queued.max.requests=600"), "broker {broker}: {line:?}");
    }
    Ok(())
}
