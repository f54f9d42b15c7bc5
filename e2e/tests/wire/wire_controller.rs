//! Who is alive and who decides: pauses, cuts and large requests take nobody out of service but whom they hit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Stopwatch, Waited, fencings, heartbeat_p99_s, http_get, until};
use ottla_operator_kafka_admin::NewTopic;

use crate::clients::{PATIENCE, create_topic, describe, until_in_sync};
use crate::turns::alone;

/// The line of a broker that hears from no controller.
const CUT_OFF: &str = "cut off: no controller answers";
/// From the healing of a cut to full ISRs.
const HEAL_MAX: Duration = Duration::from_secs(2);

/// Whom a fault hits.
#[derive(Clone, Copy, Debug)]
enum Role {
    Controller,
    Leader,
    Follower,
}

const ROLES: [Role; 3] = [Role::Controller, Role::Leader, Role::Follower];

/// How many faults a test makes: a few in every run, as many as wanted by hand.
fn rounds(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is no number")),
        Err(_) => Ok(default),
    }
}

/// Brokers that were fenced between two counts.
fn fenced_since(before: &BTreeMap<usize, usize>, after: &BTreeMap<usize, usize>) -> BTreeSet<usize> {
    after.iter().filter(|(id, count)| before.get(id) != Some(count)).map(|(id, _)| *id).collect()
}

async fn victim(brokers: &Brokers, role: Role) -> Result<usize> {
    until(&format!("a {role:?}"), PATIENCE, async || {
        let Some(controller) = brokers.admin().describe_quorum().await?.leader else {
            return Ok(Waited::not_yet("no controller"));
        };
        let partitions = describe(brokers, "t").await?.partitions;
        let leads = |id| partitions.iter().any(|partition| partition.leader == Some(id));
        let mut others = partitions[0].replicas.iter().copied().filter(|id| *id != controller);
        let found = match role {
            Role::Controller => Some(controller),
            Role::Leader => others.find(|id| leads(*id)),
            Role::Follower => others.next_back(),
        };
        Ok(match found {
            Some(id) => Waited::Done(usize::try_from(id.0)?),
            None => Waited::not_yet("the controller leads everything"),
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_takes_nobody_out_of_service_but_the_paused() -> Result<()> {
    let _turn = alone().await;
    let count = 3;
    let mut brokers = Brokers::start(BrokersOptions::new(count)).await?;
    create_topic(&brokers, "t", 3, 3).await?;
    until_in_sync(&brokers, "t").await?;
    let mut kept = 0;
    let rounds = rounds("OTTLA_PAUSES", 5)?;
    for round in 0..rounds {
        let role = ROLES[round % ROLES.len()];
        // From a hiccup to far beyond every lease; the remainders of both cycles meet in every combination.
        let pause = Duration::from_millis([100, 300, 450, 700, 1_200, 2_500, 5_000][round * 3 % 7]);
        let victim = victim(&brokers, role).await?;
        let before = fencings(&brokers, count)?;
        let process = brokers.process(victim)?;
        process.signal("STOP").await?;
        tokio::time::sleep(pause).await;
        process.signal("CONT").await?;
        let healed = Stopwatch::start();
        for id in 0..count {
            brokers.until_ready(id).await?;
        }
        until_in_sync(&brokers, "t").await?;
        let healed = healed.elapsed();
        let fenced = fenced_since(&before, &fencings(&brokers, count)?);
        println!("pause: {role:?} {victim} for {pause:?}; fenced {fenced:?}; in sync {healed:?} after it");
        kept += usize::from(fenced.is_empty());
        ensure!(fenced.iter().all(|id| *id == victim), "broker {victim} was paused, {fenced:?} were fenced");
    }
    println!("pause: {kept} of {rounds} pauses took nobody out of service");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_takes_only_the_cut_off_out_of_service_and_heals_at_once() -> Result<()> {
    let _turn = alone().await;
    let count = 3;
    let mut brokers = Brokers::start(BrokersOptions::new(count).relayed()).await?;
    create_topic(&brokers, "t", 3, 3).await?;
    until_in_sync(&brokers, "t").await?;
    let rounds = rounds("OTTLA_CUTS", 2)?;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let role = ROLES[round % ROLES.len()];
        let cut = Duration::from_millis([3_000, 1_500, 700, 8_000, 14_000][round % 5]);
        let victim = victim(&brokers, role).await?;
        let before = fencings(&brokers, count)?;
        let said = brokers.process(victim)?.log().matches(CUT_OFF).count();
        brokers.relays()?.cut(victim);
        tokio::time::sleep(cut).await;
        brokers.relays()?.heal();
        let watch = Stopwatch::start();
        until_full_again(&brokers, victim).await?;
        let healed = watch.elapsed();
        slowest = slowest.max(healed);
        let fenced = fenced_since(&before, &fencings(&brokers, count)?);
        let said = brokers.process(victim)?.log().matches(CUT_OFF).count() - said;
        println!(
            "cut: {role:?} {victim} for {cut:?}; fenced {fenced:?}; full {healed:?} after it; said {said}"
        );
        ensure!(fenced.iter().all(|id| *id == victim), "broker {victim} was cut off, {fenced:?} were fenced");
        ensure!(healed <= HEAL_MAX, "in sync only {healed:?} after the cut of {role:?} {victim} for {cut:?}");
        ensure!(said <= 1, "being cut off was said {said} times");
        for id in 0..count {
            brokers.until_ready(id).await?;
        }
    }
    println!("cut: ISRs were full {slowest:?} after a cut at the latest, in {rounds} rounds");
    Ok(())
}

/// Waits until the metadata of the brokers that were not cut off says that every replica is in sync.
async fn until_full_again(brokers: &Brokers, victim: usize) -> Result<()> {
    until("every replica is in sync again", PATIENCE, async || {
        let page = http_get(brokers.ports((victim + 1) % 3).http, "/metrics").await?;
        let fenced = page.lines().find_map(|line| line.strip_prefix(FENCED_COUNT)).map(str::trim);
        let described = describe(brokers, "t").await?;
        let behind = described.partitions.iter().find(|it| it.isr.len() < it.replicas.len());
        Ok(match (fenced, behind) {
            (Some("0"), None) => Waited::Done(()),
            (fenced, behind) => Waited::not_yet(format!("{fenced:?} fenced, {behind:?}")),
        })
    })
    .await
}

/// How many brokers a broker knows to be out of service.
const FENCED_COUNT: &str = "kafka_controller_kafkacontroller_fencedbrokercount ";

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_thousands_of_partitions_takes_nobody_out_of_service() -> Result<()> {
    let _turn = alone().await;
    let count = 3;
    let brokers = Brokers::start(BrokersOptions::new(count)).await?;
    let partitions = i32::try_from(rounds("OTTLA_PARTITIONS", 1_500)?)?;
    let watch = Stopwatch::start();
    let topic = NewTopic {
        name: "large".to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(3),
        ..NewTopic::default()
    };
    let outcome = brokers.admin().create_topics(&[topic], false).await?;
    outcome.get("large").context("no answer for the topic")?.clone()?;
    let created = watch.elapsed();
    until_in_sync(&brokers, "large").await?;
    let fenced = fencings(&brokers, count)?;
    let mut slowest = 0.0_f64;
    for id in 0..count {
        slowest = slowest.max(heartbeat_p99_s(&http_get(brokers.ports(id).http, "/metrics").await?));
    }
    println!(
        "create: {partitions} partitions answered after {created:?}, served after {:?}; heartbeats' p99 {slowest} s",
        watch.elapsed()
    );
    ensure!(fenced.is_empty(), "{fenced:?} were fenced");
    Ok(())
}
