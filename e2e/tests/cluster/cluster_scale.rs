//! Brokers come and go under load: replicas move by themselves, and nobody has to do anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{Stopwatch, Waited, until};
use ottla_operator_crd::{KafkaClusterStatus, conditions};

use crate::demo::{Demo, Metadata};
use crate::watch::Watch;

/// A step of scaling with little data takes half a minute, ten seconds of which verify that brokers are empty.
const STEP_LIMIT: Duration = Duration::from_secs(240);
/// Records a second.
const RATE: u32 = 300;
/// Partitions of the topic under load; others (the group's own) move, too.
const PARTITIONS: u32 = 12;

/// Replicas of every partition.
type Homes = BTreeMap<(String, i32), BTreeSet<i32>>;

/// Counts replicas that arrive, from one look at the metadata to the next: one that goes on to a third broker counts
/// twice.
struct Moves {
    homes: Homes,
    count: usize,
}

impl Moves {
    fn look(&mut self, metadata: &Metadata) {
        let homes = homes(metadata);
        for (key, brokers) in &homes {
            // A topic that is new has moved nothing.
            let Some(former) = self.homes.get(key) else { continue };
            self.count += brokers.difference(former).count();
        }
        self.homes = homes;
    }
}

fn homes(metadata: &Metadata) -> Homes {
    let each = metadata.partitions();
    each.map(|(topic, each)| ((topic.to_owned(), each.partition), each.replicas().into_iter().collect()))
        .collect()
}

#[tokio::test]
async fn brokers_come_and_go_under_load_and_nothing_is_lost_or_doubled() -> Result<()> {
    let Some(demo) = Demo::start("scale").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.create_topic("load", PARTITIONS).await?;
    let load = demo.load("load", RATE).await?;
    let mut readers = demo.readers("scaling", &["load"], 1).await?;
    let pods = Watch::start(&demo, 3).await?;
    let mut zones = BTreeMap::new();
    for replicas in [5, 3] {
        let before = demo.metadata().await?;
        let clock = Stopwatch::start();
        let moved = scale(&demo, replicas, &before, &pods).await?;
        let after = demo.until_in_sync(STEP_LIMIT).await?;
        println!("{replicas} brokers after {:.1?}", clock.elapsed());
        zones.extend(demo.zones().await?);
        check_balance(&after, &zones, replicas)?;
        let fewest = fewest_moves(&before, &zones, replicas);
        println!("{moved} replicas moved where {fewest} are the fewest possible");
        ensure!(fewest > 0 && moved * 10 <= fewest * 11, "more than 1.10 times the fewest possible moves");
        let gone = (0..5).filter(|id| *id >= replicas).map(|id| format!("demo-broker-{id}"));
        let ended = pods.ended()?;
        ensure!(ended == gone.collect::<BTreeSet<_>>(), "these pods ended: {ended:?}");
    }
    load.goes_on(1_000, STEP_LIMIT).await?;
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed: {:?}", history.failures.first());
    history.check(demo.kcat()).await?;
    readers.until_got(history.acks.len(), STEP_LIMIT).await?;
    let got = readers.stop().await?;
    let values: BTreeSet<&str> = got.iter().flatten().map(|each| each.value.as_str()).collect();
    let (all, different) = (got.iter().map(Vec::len).sum::<usize>(), values.len());
    println!("the group got {different} records, {} of them more than once", all - different);
    ensure!(all == different && different == history.acks.len(), "the group lost or doubled records");
    demo.remove().await
}

/// `kubectl scale`, and watching until nothing is left to do; gives the replicas that moved.
async fn scale(demo: &Demo, replicas: i32, before: &Metadata, pods: &Watch) -> Result<usize> {
    demo.kubectl(&["scale", "kafkacluster/demo", &format!("--replicas={replicas}")]).await?;
    let mut moves = Moves { homes: homes(before), count: 0 };
    until(&format!("{replicas} balanced brokers"), STEP_LIMIT, async || {
        // In this order: a pod that is found ending here held nothing when the metadata was read, since the
        // operator looks twice, ten seconds apart, before it lets go.
        let metadata = demo.metadata().await?;
        moves.look(&metadata);
        ending_pods_are_empty(&metadata, &pods.ended()?);
        let (object, status) = demo.status().await?;
        let current = status.observed_generation == object.metadata.generation;
        Ok(if current && at_rest(&status, replicas) {
            Waited::Done(())
        } else {
            Waited::NotYet(format!("{:?} {:?} {:?}", status.conditions, status.rebalance, status.drain))
        })
    })
    .await?;
    moves.look(&demo.metadata().await?);
    Ok(moves.count)
}

/// Panics, since it is no matter of waiting: a pod was asked to end while it held replicas.
fn ending_pods_are_empty(metadata: &Metadata, ended: &BTreeSet<String>) {
    let held = metadata.replicas_by_broker();
    for name in ended {
        let id: Option<i32> = name.rsplit('-').next().and_then(|id| id.parse().ok());
        let replicas = id.and_then(|id| held.get(&id)).copied().unwrap_or_default();
        assert_eq!(replicas, 0, "{name} was deleted while it held replicas");
    }
}

pub(crate) fn at_rest(status: &KafkaClusterStatus, replicas: i32) -> bool {
    conditions::holds(&status.conditions, conditions::READY)
        && !conditions::holds(&status.conditions, conditions::RECONCILING)
        && status.ready_replicas == replicas
        && status.replicas == replicas
        && status.drain.is_none()
}

/// The fewest copies that bring `before` into balance over `replicas` brokers. Three copies over three zones: each
/// zone keeps one of every partition, so its brokers only pass replicas to each other, and each that is above its
/// share, or below, costs one.
fn fewest_moves(before: &Metadata, zones: &BTreeMap<i32, String>, replicas: i32) -> usize {
    let (partitions, held) = (before.partitions().count(), before.replicas_by_broker());
    let names: BTreeSet<&String> = zones.values().collect();
    let in_zone = |name: &String| -> usize {
        let brokers = || zones.iter().filter(|(_, zone)| *zone == name).map(|(id, _)| *id);
        let sharing = brokers().filter(|id| *id < replicas).count().max(1);
        let has = |id: i32| held.get(&id).copied().unwrap_or_default();
        let share = |id: i32, full: usize| if id < replicas { full } else { 0 };
        let over: usize =
            brokers().map(|id| has(id).saturating_sub(share(id, partitions.div_ceil(sharing)))).sum();
        let under: usize = brokers().map(|id| share(id, partitions / sharing).saturating_sub(has(id))).sum();
        over.max(under)
    };
    names.into_iter().map(in_zone).sum()
}

/// Three copies over three zones: each zone has one of every partition, evenly over its brokers.
fn check_balance(metadata: &Metadata, zones: &BTreeMap<i32, String>, replicas: i32) -> Result<()> {
    let zones: BTreeMap<i32, &String> =
        zones.iter().filter(|(id, _)| **id < replicas).map(|(id, zone)| (*id, zone)).collect();
    ensure!(zones.len() == usize::try_from(replicas)?, "brokers: {zones:?}");
    for (topic, partition) in metadata.partitions() {
        let held: BTreeSet<Option<&&String>> =
            partition.replicas().iter().map(|broker| zones.get(broker)).collect();
        ensure!(held.len() == 3 && !held.contains(&None), "{topic}: not in three zones: {partition:?}");
    }
    let partitions = metadata.partitions().count();
    let counts = metadata.replicas_by_broker();
    println!("replicas by broker: {counts:?}; zones: {zones:?}");
    for (broker, zone) in &zones {
        let sharing = zones.values().filter(|other| *other == zone).count();
        let count = counts.get(broker).copied().unwrap_or_default();
        let balanced = partitions / sharing..=partitions.div_ceil(sharing);
        ensure!(
            balanced.contains(&count),
            "broker {broker} has {count} replicas, balanced would be {balanced:?}"
        );
    }
    Ok(())
}
