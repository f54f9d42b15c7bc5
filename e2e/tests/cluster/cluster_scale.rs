//! Brokers come and go under load: replicas move by themselves, and nobody has to do anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Stopwatch, Waited, until};
use ottla_operator_crd::{KafkaClusterStatus, conditions};

use crate::demo::{Demo, Metadata};
use crate::history::Load;
use crate::readers::Readers;

/// A step of scaling with little data takes half a minute, ten seconds of which verify that brokers are empty.
const STEP_LIMIT: Duration = Duration::from_secs(240);
/// Records a second.
const RATE: u32 = 300;
/// Partitions of the topic under load; others (the group's own) move, too.
const PARTITIONS: u32 = 12;

/// What was seen while a step went on.
#[derive(Default)]
struct Seen {
    /// The largest plan and its lower bound.
    moves: i64,
    bound: i64,
    /// Pods that were asked to end.
    ended: BTreeSet<String>,
}

#[tokio::test]
async fn brokers_come_and_go_under_load_and_nothing_is_lost_or_doubled() -> Result<()> {
    let Some(demo) = Demo::start("scale").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.create_topic("load", PARTITIONS).await?;
    let load = Load::start(&demo, "load", RATE).await?;
    let readers = Readers::start(&demo, "scaling", &["load"], 1).await?;
    for replicas in [5, 3] {
        let before = demo.metadata().await?;
        let watch = Stopwatch::start();
        let seen = scale(&demo, replicas).await?;
        let after = demo.until_in_sync(STEP_LIMIT).await?;
        println!("{replicas} brokers after {:.1?}", watch.elapsed());
        check_moves(&before, &after, &seen)?;
        check_balance(&demo, &after, replicas).await?;
        let gone = (0..5).filter(|id| *id >= replicas).map(|id| format!("demo-broker-{id}"));
        ensure!(seen.ended == gone.collect::<BTreeSet<_>>(), "these pods ended: {:?}", seen.ended);
    }
    load.goes_on(1_000, STEP_LIMIT).await?;
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed: {:?}", history.failures.first());
    history.check(&demo).await?;
    readers.until_got(history.acks.len(), STEP_LIMIT).await?;
    let got = readers.stop().await?;
    let values: BTreeSet<&str> = got.iter().flatten().map(|each| each.value.as_str()).collect();
    let (all, different) = (got.iter().map(Vec::len).sum::<usize>(), values.len());
    println!("the group got {different} records, {} of them more than once", all - different);
    ensure!(all == different && different == history.acks.len(), "the group lost or doubled records");
    demo.remove().await
}

/// `kubectl scale`, and watching until nothing is left to do.
async fn scale(demo: &Demo, replicas: i32) -> Result<Seen> {
    demo.kubectl(&["scale", "kafkacluster/demo", &format!("--replicas={replicas}")]).await?;
    let mut seen = Seen::default();
    until(&format!("{replicas} balanced brokers"), STEP_LIMIT, async || {
        // In this order: a pod that is found ending here held nothing when the metadata was read, since the
        // operator looks twice, ten seconds apart, before it lets go.
        let metadata = demo.metadata().await?;
        ending_pods_are_empty(demo, &metadata, &mut seen).await;
        let (object, status) = demo.status().await?;
        if let Some(plan) = &status.rebalance
            && plan.moves > seen.moves
        {
            (seen.moves, seen.bound) = (plan.moves, plan.lower_bound_moves);
        }
        let current = status.observed_generation == object.metadata.generation;
        Ok(if current && at_rest(&status, replicas) {
            Waited::Done(())
        } else {
            Waited::NotYet(format!("{:?} {:?} {:?}", status.conditions, status.rebalance, status.drain))
        })
    })
    .await?;
    Ok(seen)
}

/// Panics, since it is no matter of waiting: a pod was asked to end while it held replicas.
async fn ending_pods_are_empty(demo: &Demo, metadata: &Metadata, seen: &mut Seen) {
    let held = metadata.replicas_by_broker();
    let Ok(pods) = demo.pods().await else { return };
    for (name, pod) in pods.iter().filter(|(_, pod)| pod.metadata.deletion_timestamp.is_some()) {
        let id: Option<i32> = name.rsplit('-').next().and_then(|id| id.parse().ok());
        let replicas = id.and_then(|id| held.get(&id)).copied().unwrap_or_default();
        assert_eq!(replicas, 0, "{name} was deleted while it held replicas; it is {:?}", pod.status);
        seen.ended.insert(name.clone());
    }
}

fn at_rest(status: &KafkaClusterStatus, replicas: i32) -> bool {
    conditions::holds(&status.conditions, conditions::READY)
        && !conditions::holds(&status.conditions, conditions::RECONCILING)
        && status.ready_replicas == replicas
        && status.replicas == replicas
        && status.drain.is_none()
}

/// The plan is at most a tenth above its lower bound, and what moved is what it said.
fn check_moves(before: &Metadata, after: &Metadata, seen: &Seen) -> Result<()> {
    let homes = |metadata: &Metadata| -> BTreeMap<(String, i32), Vec<i32>> {
        let each = metadata.partitions();
        each.map(|(topic, each)| ((topic.to_owned(), each.partition), each.replicas())).collect()
    };
    let (before, after) = (homes(before), homes(after));
    let moved: usize = after
        .iter()
        .map(|(key, replicas)| {
            let former = before.get(key).cloned().unwrap_or_default();
            replicas.iter().filter(|broker| !former.contains(broker)).count()
        })
        .sum();
    println!("{moved} replicas moved; the plan said {}, its lower bound {}", seen.moves, seen.bound);
    ensure!(seen.bound > 0 && seen.moves * 10 <= seen.bound * 11, "more than 1.10 times the lower bound");
    ensure!(i64::try_from(moved)? <= seen.moves, "more replicas moved than planned");
    Ok(())
}

/// Three copies over three zones: each zone has one of every partition, evenly over its brokers.
async fn check_balance(demo: &Demo, metadata: &Metadata, replicas: i32) -> Result<()> {
    let zones = demo.zones().await?;
    ensure!(zones.len() == usize::try_from(replicas)?, "brokers: {zones:?}");
    let mut brokers_by_zone: BTreeMap<&str, usize> = BTreeMap::new();
    for zone in zones.values() {
        *brokers_by_zone.entry(zone).or_default() += 1;
    }
    for (topic, partition) in metadata.partitions() {
        let held: BTreeSet<Option<&String>> =
            partition.replicas().iter().map(|broker| zones.get(broker)).collect();
        ensure!(held.len() == 3 && !held.contains(&None), "{topic}: not in three zones: {partition:?}");
    }
    let partitions = metadata.partitions().count();
    let counts = metadata.replicas_by_broker();
    println!("replicas by broker: {counts:?}; zones: {zones:?}");
    for (broker, zone) in &zones {
        let (count, sharing) = (counts.get(broker).copied().unwrap_or_default(), brokers_by_zone[&**zone]);
        let balanced = partitions / sharing..=partitions.div_ceil(sharing);
        let near = count + 1 >= *balanced.start() && count <= balanced.end() + 1;
        ensure!(near, "broker {broker} has {count} replicas, balanced would be {balanced:?}");
    }
    Ok(())
}
