//! Networks that fail between brokers: whatever is cut, nothing acknowledged is lost or doubled, nobody reads what is
//! taken back, and what can go on goes on.
//!
//! Each broker runs on a host of its own. Producers and readers run on this side and reach every broker that is not
//! unplugged, so that a leader without its followers is asked, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_types::{NodeId, PartitionIndex};
use ottla_e2e::{
    Brokers, BrokersOptions, Hosts, Kcat, Place, Process, Stopwatch, Waited, kcat, output, until,
};
use ottla_operator_kafka_admin::{PartitionDescription, Reassignment};

use crate::clients::{Counter, create_topic, describe, kcat_to, read_all};
use crate::turns::alone;

/// Brokers; the first three vote.
const COUNT: usize = 4;
/// Topics with one partition each, so that order can be told.
const TOPICS: [&str; 3] = ["numbers-0", "numbers-1", "numbers-2"];
/// Its replicas come and go during every fault.
const MOVING: &str = "moving";
/// A topic of its own tells when writes go on; a partition for every broker to lead.
const PROBED: &str = "probed";
/// What every topic of [`BrokersOptions::new`] asks for.
const MIN_IN_SYNC: usize = 2;
/// A lease runs out, then a second passes at most.
const RESUME_MAX: Duration = Duration::from_millis(LEASE_MS + 1_000);
/// The default of `broker.session.timeout.ms`.
const LEASE_MS: u64 = 1_500;
/// From the end of a fault until every replica is in sync.
const IN_SYNC_MAX: Duration = Duration::from_secs(2);
/// For how long faults hold: longer than leases and elections, so that everything they cause happens.
const HOLD: Duration = Duration::from_millis(2_500);
/// A machine that does other things at the same time makes everything slower, but nothing wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// `OTTLA_NETWORK_ROUNDS`: how many times the table of faults is gone through, on a machine that does nothing else, so that
/// the times are held to their limits, too. Without it the table is gone through once, and times are only told.
const ROUNDS: &str = "OTTLA_NETWORK_ROUNDS";

/// What is done to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The one that leads the first topic.
    Leader,
    /// The active controller.
    Controller,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It hears no other broker; clients reach it.
    Isolated,
    /// Nobody reaches it.
    Unplugged,
    /// Others hear it, it hears nobody.
    Deaf,
    /// It hears others, nobody hears it.
    Mute,
    /// Two brokers on each side; two voters are on the victim's.
    Halves,
    /// The victim and one other do not hear each other, the rest hears both.
    Bridge,
    /// Cut and healed ten times in quick succession.
    Flapping,
    /// One packet in five is lost at the victim.
    Loss,
    /// The victim's link carries 2 Mbit/s and delays.
    Slow,
    /// Cut, then killed and started anew before the cut ends.
    Killed,
    /// Cut and stopped (SIGSTOP); it goes on only after the cut has ended.
    Paused,
}

/// Every fault on its most sensitive victim.
const TABLE: [(Fault, Victim); 15] = [
    (Fault::Isolated, Victim::Leader),
    (Fault::Isolated, Victim::Controller),
    (Fault::Unplugged, Victim::Leader),
    (Fault::Unplugged, Victim::Controller),
    (Fault::Deaf, Victim::Leader),
    (Fault::Mute, Victim::Leader),
    (Fault::Deaf, Victim::Controller),
    (Fault::Mute, Victim::Controller),
    (Fault::Halves, Victim::Leader),
    (Fault::Bridge, Victim::Controller),
    (Fault::Flapping, Victim::Leader),
    (Fault::Loss, Victim::Leader),
    (Fault::Slow, Victim::Controller),
    (Fault::Killed, Victim::Leader),
    (Fault::Paused, Victim::Controller),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_nothing_acknowledged_is_lost_or_doubled_and_writes_go_on() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = alone().await;
    let Some(hosts) = Hosts::new(COUNT).await? else { return Ok(()) };
    let brokers = Brokers::start_on(hosts, BrokersOptions::new(COUNT)).await?;
    let mut trial = Trial::start(kcat, brokers).await?;
    let rounds: Option<usize> = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok());
    for round in 0..rounds.unwrap_or(1) {
        for (fault, victim) in TABLE {
            trial.suffer(round, fault, victim).await.with_context(|| format!("{fault:?} {victim:?}"))?;
        }
    }
    trial.judge(rounds.is_some()).await
}

struct Trial {
    kcat: Kcat,
    brokers: Brokers,
    counters: BTreeMap<&'static str, Counter>,
    readers: BTreeMap<&'static str, Process>,
    folder: tempfile::TempDir,
    /// What took longer than it may; told together at the end, so that one slow look hides nothing.
    late: Vec<String>,
}

impl Trial {
    async fn start(kcat: Kcat, brokers: Brokers) -> Result<Trial> {
        let folder = tempfile::tempdir().context("make a folder for what readers get")?;
        create_topic(&brokers, PROBED, 8, 3).await?;
        let (mut counters, mut readers) = (BTreeMap::new(), BTreeMap::new());
        for topic in TOPICS.into_iter().chain([MOVING]) {
            create_topic(&brokers, topic, 1, 3).await?;
            // Longer than all faults together: a producer that gives up would tell nothing of the brokers.
            let patient = ["-p", "0", "-X", "message.timeout.ms=900000"];
            counters.insert(topic, Counter::start(kcat_to(&kcat, &brokers), topic, &patient)?);
            let mut reader = kcat_to(&kcat, &brokers);
            reader.args(["-C", "-u", "-t", topic, "-p", "0", "-o", "beginning", "-q", "-f", "%o %s\\n"]);
            readers.insert(topic, Process::start_command(&reader, &folder.path().join(topic))?);
        }
        let trial = Trial { kcat, brokers, counters, readers, folder, late: Vec::new() };
        for counter in trial.counters.values() {
            counter.goes_on(10).await?;
        }
        trial.until_in_sync().await?;
        Ok(trial)
    }

    /// One fault from beginning to end, with a move of replicas meanwhile.
    async fn suffer(&mut self, round: usize, fault: Fault, role: Victim) -> Result<()> {
        let victim = self.victim(role).await?;
        let watch = Stopwatch::start();
        self.begin(fault, victim).await?;
        let written = async {
            match fault {
                // The link works, more or less: nobody has to take over.
                Fault::Flapping | Fault::Loss | Fault::Slow => Ok(None),
                _ => self.until_written(victim, fault, &watch).await.map(Some),
            }
        };
        let (resumed, ()) = tokio::join!(written, self.move_replicas(round, victim));
        let resumed = resumed?;
        tokio::time::sleep(HOLD.saturating_sub(watch.elapsed())).await;
        self.end(fault, victim).await?;
        let healed = Stopwatch::start();
        self.until_in_sync().await?;
        let full = healed.elapsed();
        println!(
            "network: {fault:?} of the {role:?} {victim}: writes go on after {:?} ms, all in sync {} ms after its end",
            resumed.map(|time| time.as_millis()),
            full.as_millis()
        );
        let is_started_anew = matches!(fault, Fault::Killed | Fault::Paused);
        for (what, took, max) in
            [("writes went on", resumed, RESUME_MAX), ("all were in sync", Some(full), IN_SYNC_MAX)]
        {
            if let Some(took) = took.filter(|took| *took > max && !is_started_anew) {
                self.late.push(format!("{fault:?} {role:?}: {what} after {took:?}, {max:?} is the limit"));
            }
        }
        for (topic, counter) in &self.counters {
            counter.goes_on(20).await.with_context(|| format!("after the fault, topic {topic}"))?;
        }
        Ok(())
    }

    fn hosts(&self) -> Result<&Hosts> {
        self.brokers.hosts().context("brokers without hosts")
    }

    async fn begin(&mut self, fault: Fault, victim: usize) -> Result<()> {
        let others: Vec<usize> = (0..COUNT).filter(|id| *id != victim).collect();
        let hosts = self.brokers.hosts().context("brokers without hosts")?;
        match fault {
            Fault::Isolated => hosts.isolate(victim).await,
            Fault::Unplugged => hosts.unplug(victim).await,
            Fault::Deaf => try_all(others.iter().map(|other| hosts.cut(*other, victim))).await,
            Fault::Mute => try_all(others.iter().map(|other| hosts.cut(victim, *other))).await,
            Fault::Halves => {
                let beside = beside(victim);
                let far = others.iter().filter(|other| **other != beside);
                try_all(
                    far.flat_map(|other| [hosts.cut_both(victim, *other), hosts.cut_both(beside, *other)]),
                )
                .await
            }
            Fault::Bridge => hosts.cut_both(victim, others[0]).await,
            Fault::Flapping => {
                for _ in 0..10 {
                    hosts.isolate(victim).await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    hosts.heal().await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok(())
            }
            Fault::Loss => hosts.lose(victim, 5).await,
            Fault::Slow => hosts.slow(victim, 2_000).await,
            Fault::Killed => {
                hosts.isolate(victim).await?;
                self.brokers.kill(victim).await?;
                self.brokers.start_broker(victim)
            }
            Fault::Paused => {
                hosts.isolate(victim).await?;
                self.brokers.process(victim)?.signal("STOP").await
            }
        }
    }

    async fn end(&mut self, fault: Fault, victim: usize) -> Result<()> {
        self.hosts()?.heal().await?;
        if fault == Fault::Paused {
            self.brokers.process(victim)?.signal("CONT").await?;
        }
        Ok(())
    }

    async fn victim(&self, role: Victim) -> Result<usize> {
        let id = match role {
            Victim::Leader => {
                describe(&self.brokers, TOPICS[0]).await?.partitions[0].leader.context("no leader")?
            }
            Victim::Controller => {
                self.brokers.admin().describe_quorum().await?.leader.context("no controller")?
            }
        };
        Ok(usize::try_from(id.get())?)
    }

    /// Takes a replica of the moving topic away or gives one back, through whoever can decide; a refusal is no fault.
    async fn move_replicas(&self, round: usize, victim: usize) {
        let count = COUNT as i32;
        let first = (victim as i32 + round as i32) % count;
        let admin = self.brokers.admin_of((0..COUNT).filter(|id| *id != victim));
        let described = admin.describe_topics(Some(&[MOVING.to_owned()])).await.unwrap_or_default();
        let has_three = described.first().is_some_and(|topic| topic.partitions[0].replicas.len() > 2);
        let factor = if has_three { 2 } else { 3 };
        let replicas = (0..factor).map(|step| NodeId((first + step) % count)).collect();
        let change =
            Reassignment { topic: MOVING.to_owned(), partition: PartitionIndex(0), replicas: Some(replicas) };
        let asked = tokio::time::timeout(Duration::from_secs(3), admin.alter_reassignments(&[change])).await;
        println!("network: replicas of {MOVING} move: {}", asked.is_ok_and(|answer| answer.is_ok()));
    }

    /// Waits until clients that know only brokers of the majority have written to every partition that has enough
    /// replicas there.
    async fn until_written(&self, victim: usize, fault: Fault, watch: &Stopwatch) -> Result<Duration> {
        let away = |id: usize| id == victim || (fault == Fault::Halves && id == beside(victim));
        let reachable: Vec<usize> = (0..COUNT).filter(|id| !away(*id)).collect();
        let bootstrap = self.brokers.bootstrap_of(reachable.iter().copied());
        let described = self.brokers.admin_of(reachable.iter().copied());
        let described = described.describe_topics(Some(&[PROBED.to_owned()])).await?;
        let partitions = &described.first().context("the probed topic is gone")?.partitions;
        let is_served = |partition: &&PartitionDescription| {
            partition.replicas.iter().filter(|id| !away(id.get() as usize)).count() >= MIN_IN_SYNC
        };
        let writes = partitions.iter().filter(is_served).map(|partition| {
            let command = || {
                let mut command = self.kcat.command(&Place::here(), &bootstrap);
                command.args(["-P", "-t", PROBED, "-p", &partition.index.get().to_string()]);
                command.args(["-X", "acks=all", "-X", "message.timeout.ms=400", "-X", "retry.backoff.ms=20"]);
                command
            };
            until("a write to every partition", PATIENCE, async move || {
                let said = output(command(), b"written\n", Duration::from_secs(5)).await?;
                Ok(if said.status.success() { Waited::Done(()) } else { Waited::NotYet(said.stderr) })
            })
        });
        futures::future::try_join_all(writes).await?;
        Ok(watch.elapsed())
    }

    async fn until_in_sync(&self) -> Result<()> {
        for topic in TOPICS.into_iter().chain([PROBED]) {
            until("every replica in sync", PATIENCE, async || {
                let described = describe(&self.brokers, topic).await?;
                let behind = described.partitions.iter().find(|each| each.isr.len() < each.replicas.len());
                Ok(behind.map_or(Waited::Done(()), |each| Waited::not_yet(format!("{topic}: {each:?}"))))
            })
            .await?;
        }
        Ok(())
    }

    /// What is in the logs is what was acknowledged and what was read, and every replica has the same bytes.
    async fn judge(mut self, times_count: bool) -> Result<()> {
        for (topic, counter) in std::mem::take(&mut self.counters) {
            let sent = counter.stop().await.with_context(|| topic.to_owned())?;
            let found = read_all(kcat_to(&self.kcat, &self.brokers), topic).await?;
            let stored: Vec<(i64, String)> = found.into_values().flatten().collect();
            let values: Vec<&str> = stored.iter().map(|(_, value)| value.as_str()).collect();
            let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
            println!("network: {topic}: {sent} acknowledged, {} in the log", values.len());
            ensure!(values == expected, "{topic}: {}", difference(&values, &expected));
            self.check_readers(topic, &stored).await?;
        }
        for id in 0..COUNT {
            self.brokers.stop(id).await?;
        }
        for topic in TOPICS.into_iter().chain([MOVING]) {
            self.check_replicas(topic)?;
        }
        let late = self.late.join("\n");
        println!("network: {} of the times are beyond their limits\n{late}", self.late.len());
        ensure!(!times_count || self.late.is_empty(), "too late:\n{late}");
        Ok(())
    }

    /// A reader that ran all the time has got what is in the log, and nothing else.
    async fn check_readers(&self, topic: &str, stored: &[(i64, String)]) -> Result<()> {
        let reader = &self.readers[topic];
        let expected: Vec<String> =
            stored.iter().map(|(offset, value)| format!("{offset} {value}")).collect();
        until("the reader to have everything", PATIENCE, async || {
            let got = reader.log().lines().count();
            Ok(if got >= expected.len() { Waited::Done(()) } else { Waited::not_yet(got) })
        })
        .await
        .with_context(|| format!("{topic}: {}", reader.errors()))?;
        let log = reader.log();
        let got: Vec<&str> = log.lines().collect();
        ensure!(got == expected, "{topic} as it was read: {}", difference(&got, &expected));
        Ok(())
    }

    fn check_replicas(&self, topic: &str) -> Result<()> {
        let mut seen: Option<(usize, Vec<u8>)> = None;
        let mut copies = 0;
        for id in 0..COUNT {
            let Some(bytes) = log_bytes(self.brokers.folder(id).join("data").join(format!("{topic}-0")))?
            else {
                continue;
            };
            copies += 1;
            match &seen {
                None => seen = Some((id, bytes)),
                Some((first, expected)) => {
                    ensure!(bytes == *expected, "{topic}: brokers {first} and {id} hold different bytes");
                }
            }
        }
        ensure!(copies >= 2, "{topic} has {copies} copies on disk");
        Ok(())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("network: what readers got is in {}", self.folder.path().display());
        }
    }
}

/// Who is cut off with the victim when the network falls into halves: the broker without a vote, so that the other side
/// has the majority.
fn beside(victim: usize) -> usize {
    if victim == COUNT - 1 { 0 } else { COUNT - 1 }
}

async fn try_all(all: impl IntoIterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    for each in all {
        each.await?;
    }
    Ok(())
}

/// All segments of a partition, one after the other; none if the folder is not there.
fn log_bytes(folder: PathBuf) -> Result<Option<Vec<u8>>> {
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(None) };
    let mut segments: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.context("list a partition's folder")?.path();
        if path.extension().is_some_and(|kind| kind == "log") {
            segments.push(path);
        }
    }
    segments.sort();
    let mut bytes = Vec::new();
    for segment in segments {
        bytes.extend(std::fs::read(&segment).with_context(|| format!("read {}", segment.display()))?);
    }
    Ok(Some(bytes))
}

/// Where two lists part.
fn difference<A: AsRef<str>, B: AsRef<str>>(got: &[A], expected: &[B]) -> String {
    let place = got.iter().zip(expected).position(|(a, b)| a.as_ref() != b.as_ref());
    let at = place.unwrap_or(got.len().min(expected.len()));
    let around =
        |list: Vec<&str>| list.into_iter().skip(at.saturating_sub(2)).take(6).collect::<Vec<_>>().join(", ");
    format!(
        "{} instead of {}; at {at} there is [{}] instead of [{}]",
        got.len(),
        expected.len(),
        around(got.iter().map(AsRef::as_ref).collect()),
        around(expected.iter().map(AsRef::as_ref).collect())
    )
}
