//! A broker dies or is stopped: writes go on, and nothing that was acknowledged is lost or doubled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{
    Ack, Brokers, BrokersOptions, Kafka, Load, Place, Stopwatch, Waited, kafka, kcat, longest_pause, until,
};

use crate::clients::{Counter, PATIENCE, create_topic, describe, kcat_to, read_all, until_in_sync};
use crate::turns::{alone, beside_others};

/// From a kill to the next acknowledged write of the partition that waits longest.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Records a second, over all partitions.
const RATE: u32 = 500;
/// Partitions under load; one for each broker to lead.
const PARTITIONS: i32 = 3;
/// Acknowledged records of each partition after a kill, more than were in flight when it came.
const AFTER_KILL: usize = 100;
/// Records before a kill, so that the last one before it of every partition is among them.
const BEFORE_KILL: usize = 300;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// A broker that leads a partition and is not the active controller.
    Leader,
    /// The active controller.
    Controller,
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_within_3_s_of_a_kill_and_nothing_acknowledged_is_lost_or_doubled() -> Result<()> {
    let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(()) };
    let _turn = alone().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "load", PARTITIONS, 3).await?;
    create_topic(&brokers, "numbers", 1, 3).await?;
    let load = start_load(&kafka, &brokers).await?;
    let counter = Counter::start(kcat_to(&kcat, &brokers), "numbers", &["-p", "0"])?;
    counter.goes_on(1).await?;
    for role in [Role::Leader, Role::Controller] {
        for topic in ["load", "numbers"] {
            until_in_sync(&brokers, topic).await?;
        }
        let victim = victim(&brokers, role).await?;
        let from = load.acks().len();
        brokers.kill(victim).await?;
        if matches!(role, Role::Controller) {
            administers(&brokers).await?;
        }
        until_each_partition_goes_on(&load, from).await?;
        counter.goes_on(AFTER_KILL).await?;
        let (partition, pause) = longest_pause(&load.acks()[from.saturating_sub(BEFORE_KILL)..]);
        println!(
            "failover: {role:?}, broker {victim}, killed; partition {partition} paused longest, {} ms",
            pause.as_millis()
        );
        ensure!(pause <= PAUSE_MAX, "{role:?}: writes paused for {pause:?}");
        brokers.start_broker(victim)?;
        brokers.until_ready(victim).await?;
    }
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed produces: {:?}", history.failures.first());
    history.check(kcat_to(&kcat, &brokers)).await?;
    let sent = counter.stop().await?;
    let found = read_all(kcat_to(&kcat, &brokers), "numbers").await?;
    check_in_order(&found, sent)?;
    for topic in ["load", "numbers"] {
        until_in_sync(&brokers, topic).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_of_each_broker_loses_nothing() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "t", 1, 3).await?;
    let counter = Counter::start(kcat_to(&kcat, &brokers), "t", &["-p", "0"])?;
    for id in 0..3 {
        counter.goes_on(100).await?;
        until_in_sync(&brokers, "t").await?;
        brokers.stop(id).await?;
        counter.goes_on(100).await?;
        brokers.start_broker(id)?;
        brokers.until_ready(id).await?;
    }
    let sent = counter.stop().await?;
    check_in_order(&read_all(kcat_to(&kcat, &brokers), "t").await?, sent)
}

async fn start_load(kafka: &Kafka, brokers: &Brokers) -> Result<Load> {
    let mut command = kafka.tool(&Place::here(), "kafka-verifiable-producer")?;
    command.args(["--bootstrap-server", &brokers.bootstrap()]);
    Load::start(command, "load", RATE).await
}

async fn victim(brokers: &Brokers, role: Role) -> Result<usize> {
    let controller = brokers.admin().describe_quorum().await?.leader.context("no controller")?;
    let victim = match role {
        Role::Controller => controller,
        Role::Leader => {
            let partitions = describe(brokers, "load").await?.partitions;
            let mut leaders = partitions.iter().filter_map(|partition| partition.leader);
            leaders.find(|leader| *leader != controller).context("the active controller leads everything")?
        }
    };
    Ok(usize::try_from(victim.0)?)
}

/// What only an active controller can do is done in time, too.
async fn administers(brokers: &Brokers) -> Result<()> {
    let watch = Stopwatch::start();
    create_topic(brokers, "after", 1, 2).await?;
    let took = watch.elapsed();
    println!("failover: a topic was created {} ms after the kill of the active controller", took.as_millis());
    ensure!(took <= PAUSE_MAX, "the controller's work went on after {took:?}");
    Ok(())
}

async fn until_each_partition_goes_on(load: &Load, from: usize) -> Result<()> {
    until("acknowledged records of every partition", PATIENCE, async || {
        let mut counts: BTreeMap<i32, usize> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        for Ack { partition, .. } in &load.acks()[from..] {
            *counts.entry(*partition).or_default() += 1;
        }
        let goes_on = counts.values().all(|count| *count >= AFTER_KILL);
        Ok(if goes_on { Waited::Done(()) } else { Waited::not_yet(format!("{counts:?}")) })
    })
    .await
}

/// All numbers that were sent, each once and in order, in the one partition.
fn check_in_order(found: &BTreeMap<i32, Vec<(i64, String)>>, sent: usize) -> Result<()> {
    let values: Vec<&str> = found.values().flatten().map(|(_, value)| value.as_str()).collect();
    let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
    println!("failover: {sent} numbers were acknowledged, {} are in the log", values.len());
    ensure!(found.len() == 1 && values == expected, "numbers are lost, doubled or in another order");
    Ok(())
}
