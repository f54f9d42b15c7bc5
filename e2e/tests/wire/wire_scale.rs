//! Local mode from a manifest to moved replicas: 3, 5, then 3 brokers again, while a producer writes and a group reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Got, Place, Process, Readers, Waited, binary, checkout, kcat, until};
use ottla_operator_kafka_admin::{AdminClient, Endpoint, TopicDescription};

use crate::clients::{Counter, PATIENCE, read_all};
use crate::turns::beside_others;

/// Zones that local mode gives to brokers in turn.
const ZONES: i32 = 3;

/// The topic of the example's manifest.
const TOPIC: &str = "flights";
/// Consumers that share the partitions all the while.
const MEMBERS: usize = 2;
/// Bases of local mode's ports: below the range from which the system takes those of outgoing connections, and so far
/// apart that the ports of two clusters (three bands of a hundred each) never meet.
const PORT_BASES: std::ops::Range<u16> = 60..100;
const PORT_STEP: u16 = 300;
/// Bands of ports that local mode uses with one listener, and ports of a band that five brokers use.
const BANDS: u16 = 3;
const BAND_STEP: u16 = 100;
const BROKERS_MAX: u16 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn scaling_from_3_to_5_to_3_loses_and_doubles_nothing() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let folder = tempfile::Builder::new().prefix("ottla-scale-").tempdir()?;
    let port = free_port_base()?;
    let mut local = start_local(folder.path(), port, true).await?;
    let bootstrap = format!("127.0.0.1:{port},127.0.0.1:{},127.0.0.1:{}", port + 1, port + 2);
    let client = || kcat.command(&Place::here(), &bootstrap);

    let mut readers = Readers::start(client, "readers", &[TOPIC], MEMBERS).await?;
    let counter = Counter::start(client(), TOPIC, &[])?;
    let mut leaving = Leaving::new(port);
    let mut lower_bound = 0;
    for count in [5, 3] {
        let told = local.log().lines().count();
        set_replicas(folder.path(), count)?;
        until_serving(&mut local, count, told, async || leaving.look().await).await?;
        lower_bound = check_balance(&leaving.admin.describe_topics(None).await?, count)?.max(lower_bound);
    }
    leaving.check(folder.path())?;
    let sent = counter.stop().await?;
    println!("scale: {sent} records were acknowledged while brokers came and went");
    check_stored(&read_all(client(), TOPIC).await?, sent)?;
    readers.until_got(sent, PATIENCE).await?;
    check_read(&readers.stop().await?, sent)?;
    check_moves(&local.log(), lower_bound)?;
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    Ok(())
}

/// A base from which on every port that five brokers need is free now.
pub(crate) fn free_port_base() -> Result<u16> {
    // Two runs at the same time begin at different bases, and so do two tests of one run.
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let turn = usize::try_from(std::process::id())?.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
    let turn = turn % PORT_BASES.len();
    let mut bases = PORT_BASES.cycle().skip(turn).take(PORT_BASES.len()).map(|number| number * PORT_STEP);
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let ports = (0..BANDS).flat_map(|band| (0..BROKERS_MAX).map(move |id| band * BAND_STEP + id));
    bases.find(|base| ports.clone().all(|port| is_free(base + port))).context("no free range of ports")
}

/// Brokers 3 and 4 on their way out: neither may stop serving while it holds a replica.
struct Leaving {
    admin: AdminClient,
    port: u16,
    serving: BTreeSet<u16>,
    ended: BTreeSet<u16>,
}

impl Leaving {
    fn new(port: u16) -> Leaving {
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
        let admin = AdminClient::new(vec![endpoint], Duration::from_secs(10));
        Leaving { admin, port, serving: BTreeSet::new(), ended: BTreeSet::new() }
    }

    /// Panics, since it is no matter of waiting: a broker has ended that held replicas a moment before. A broker that
    /// is found to have ended here held nothing when the metadata was read, since whoever stops it looks twice,
    /// seconds apart, before that.
    async fn look(&mut self) -> Result<()> {
        let topics = self.admin.describe_topics(None).await?;
        for id in 3..BROKERS_MAX {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port + id)).await.is_ok() {
                self.serving.insert(id);
            } else if self.serving.remove(&id) {
                let held = replicas_on(&topics, i32::from(id));
                assert_eq!(held, 0, "broker {id} ended while it held {held} replicas");
                self.ended.insert(id);
            }
        }
        Ok(())
    }

    /// Both were seen to end, and left no partition on their disks but deleted ones, whose files stay for a while.
    fn check(&self, folder: &Path) -> Result<()> {
        ensure!(self.ended == BTreeSet::from([3, 4]), "these brokers ended: {:?}", self.ended);
        for id in &self.ended {
            let data = folder.join(format!("data/demo/broker-{id}/data"));
            for entry in std::fs::read_dir(&data).with_context(|| format!("list {}", data.display()))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let is_left = name.starts_with(TOPIC) && !name.ends_with("-delete");
                ensure!(!is_left, "broker {id} ended with {name} on its disk");
            }
        }
        Ok(())
    }
}

fn replicas_on(topics: &[TopicDescription], broker: i32) -> usize {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    partitions.filter(|partition| partition.replicas.iter().any(|node| node.0 == broker)).count()
}

/// What was acknowledged is in the log, once.
fn check_stored(stored: &BTreeMap<i32, Vec<(i64, String)>>, sent: usize) -> Result<()> {
    let records: usize = stored.values().map(Vec::len).sum();
    let different: BTreeSet<&str> = stored.values().flatten().map(|(_, value)| value.as_str()).collect();
    ensure!(different == numbers(sent).iter().map(String::as_str).collect(), "records were lost");
    ensure!(records == sent, "{records} records are stored, {sent} were acknowledged");
    Ok(())
}

/// The group has got it, once.
fn check_read(got: &[Vec<Got>], sent: usize) -> Result<()> {
    let shares: Vec<usize> = got.iter().map(Vec::len).collect();
    let different: BTreeSet<&str> = got.iter().flatten().map(|each| each.value.as_str()).collect();
    println!("scale: the members of the group got {shares:?} records, {} different ones", different.len());
    ensure!(shares.iter().all(|share| *share > 0), "a member got nothing: {shares:?}");
    ensure!(different == numbers(sent).iter().map(String::as_str).collect(), "the group lost records");
    ensure!(shares.iter().sum::<usize>() == different.len(), "the group got records twice: {shares:?}");
    Ok(())
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// No step moved more than a tenth above the lower bound.
fn check_moves(log: &str, lower_bound: usize) -> Result<()> {
    let moves =
        log.lines().filter_map(|line| line.split(" of ").nth(1)?.split(" moves").next()?.parse().ok());
    let most: usize = moves.max().context("no moves were shown")?;
    println!("scale: {most} moves, the lower bound is {lower_bound}");
    ensure!(most * 10 <= lower_bound * 11, "{most} moves, {lower_bound} are enough");
    Ok(())
}

/// Local mode of the example, with its racks or without.
pub(crate) async fn start_local(folder: &Path, port: u16, racks: bool) -> Result<Process> {
    for name in ["cluster.yaml", "topic.yaml"] {
        std::fs::copy(checkout().join("examples/flights").join(name), folder.join(name))
            .context("copy manifests")?;
    }
    if !racks {
        let path = folder.join("cluster.yaml");
        let text = std::fs::read_to_string(&path)?;
        let rack = |line: &&str| !line.trim_start().starts_with("rack:") && !line.contains("topologyKey:");
        let lines: Vec<&str> = text.lines().filter(rack).collect();
        std::fs::write(&path, lines.join("\n") + "\n").context("edit the manifest")?;
    }
    let data = folder.join("data").display().to_string();
    let port = port.to_string();
    let manifests = folder.display().to_string();
    let arguments = ["local", "-f", &manifests, "--data", &data, "--port", &port];
    let mut local = Process::start(&binary("ottla-operator")?, &arguments, &folder.join("log"))?;
    until_serving(&mut local, 3, 0, async || Ok(())).await?;
    until("the topic is ready", PATIENCE, async || match local.log().contains("topic flights: ready") {
        true => Ok(Waited::Done(())),
        false => Ok(Waited::not_yet(local.log())),
    })
    .await?;
    Ok(local)
}

pub(crate) fn set_replicas(folder: &Path, count: usize) -> Result<()> {
    let path = folder.join("cluster.yaml");
    let text = std::fs::read_to_string(&path)?;
    let changed: Vec<String> = text
        .lines()
        .map(|line| match line.starts_with("  replicas:") {
            true => format!("  replicas: {count}"),
            false => line.to_owned(),
        })
        .collect();
    std::fs::write(&path, changed.join("\n") + "\n").context("edit the manifest")
}

/// Waits until local mode has said, after its first `told` lines, that `count` brokers serve and nothing is left to do.
pub(crate) async fn until_scaled(local: &mut Process, count: usize, told: usize) -> Result<()> {
    until_serving(local, count, told, async || Ok(())).await
}

/// The same, and `look` is done, too, as often as that is looked for.
async fn until_serving(
    local: &mut Process,
    count: usize,
    told: usize,
    mut look: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    let expected = format!("demo: {count} brokers serve");
    until(&expected, PATIENCE * 2, async || {
        let log = local.log();
        if let Some(status) = local.ended()? {
            anyhow::bail!("local mode ended with {status}:\n{log}");
        }
        look().await?;
        match log.lines().skip(told).any(|line| line == expected) {
            true => Ok(Waited::Done(())),
            false => Ok(Waited::not_yet(log)),
        }
    })
    .await
}

/// Each partition in three zones, and within a zone the brokers' counts at most one apart. Gives the fewest moves by
/// which the second brokers of two zones can get their half, or give it back.
pub(crate) fn check_balance(topics: &[TopicDescription], brokers: usize) -> Result<usize> {
    let mut counts: BTreeMap<i32, usize> = (0..i32::try_from(brokers)?).map(|id| (id, 0)).collect();
    let partitions: Vec<_> = topics.iter().flat_map(|topic| &topic.partitions).collect();
    for partition in &partitions {
        let zones: BTreeSet<i32> = partition.replicas.iter().map(|node| node.0 % ZONES).collect();
        ensure!(zones.len() == 3 && partition.replicas.len() == 3, "{partition:?} is not in three zones");
        for node in &partition.replicas {
            *counts.get_mut(&node.0).with_context(|| format!("{partition:?} is on a broker that left"))? += 1;
        }
    }
    for zone in 0..ZONES {
        let in_zone = counts.iter().filter(|(id, _)| **id % ZONES == zone).map(|(_, count)| *count);
        let (least, most) = (in_zone.clone().min().unwrap_or(0), in_zone.max().unwrap_or(0));
        ensure!(most - least <= 1, "unbalanced: {counts:?}");
    }
    Ok(2 * (partitions.len() / 2))
}
