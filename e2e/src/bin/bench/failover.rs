//! Brokers that end one after the other beneath a steady producer with a client's defaults: for how long its writes
//! stand still. The topic's records carry the time at which a leader appended them, so the log itself tells.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kafka, Kcat, Place, Stopwatch, Waited, run, unix_ms, until};
use ottla_operator_kafka_admin::{NewTopic, TopicDescription};

/// What is written; every broker leads one of its partitions and follows the others.
const TOPIC: &str = "steady";
/// Partitions of the topic, and brokers.
const BROKERS: usize = 3;
/// Records a second over all partitions: a pause is told to within some milliseconds.
const RATE: u64 = 1_000;
/// Bytes of a line for the producer: kcat reads so many at a time, and would wait for more lines if they were shorter.
const LINE_BYTES: usize = 1024;
/// Records of a partition beyond what was in flight at a broker's end.
const GOES_ON: u64 = 100;
/// How long anything may take beside other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two ends of one broker: more than twice the longest back-off of librdkafka, which forgets the former ones only
/// after that: a client that has given a broker up for seconds does not wait for the cluster.
const CALM: Duration = Duration::from_secs(25);
/// A record's time may lie before the end that caused its pause by as much as its producer gathers.
const BEFORE_MS: u64 = 100;

/// The producer.
#[derive(Clone, Debug)]
pub enum Producer {
    /// librdkafka, by kcat.
    Librdkafka(Kcat),
    /// Kafka's own, in Java.
    Java(Kafka),
}

impl Producer {
    /// Its name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Producer::Librdkafka(_) => "librdkafka",
            Producer::Java(_) => "Java",
        }
    }
}

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL.
    Killed,
    /// By SIGTERM.
    Stopped,
}

impl End {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            End::Killed => "killed",
            End::Stopped => "stopped",
        }
    }

    /// The longest pause that users should see.
    pub fn aim(self) -> &'static str {
        match self {
            End::Killed => "p99 ≤ 250",
            End::Stopped => "≤ 100",
        }
    }
}

/// What the broker was to the cluster, beside leading one partition and following the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing else.
    Leader,
    /// The active controller.
    Controller,
}

impl Role {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Role::Leader => "a leader",
            Role::Controller => "the active controller",
        }
    }
}

/// By role, the longest pause of any partition after each end, in milliseconds.
pub type Pauses = BTreeMap<Role, Vec<f64>>;

/// A broker's end, and when it was back.
struct Incident {
    role: Role,
    at_ms: u64,
    back_ms: u64,
}

/// Ends `times` brokers beneath `producer`, the roles in turn.
pub async fn rounds(producer: &Producer, kcat: Kcat, end: End, times: usize) -> Result<Pauses> {
    let mut brokers = Brokers::start(BrokersOptions::new(BROKERS)).await?;
    create(&brokers).await?;
    let command = kcat.command(&Place::here(), &brokers.bootstrap());
    let steady = Steady::start(producer, &brokers)?;
    let mut incidents = Vec::new();
    let mut ended = [None; BROKERS];
    for time in 0..times {
        until_balanced(&brokers).await?;
        let (victim, role) = victim(&brokers, time).await?;
        if let Some(before) = ended[victim].replace(Stopwatch::start()) {
            tokio::time::sleep(CALM.saturating_sub(before.elapsed())).await;
        }
        ended[victim] = Some(Stopwatch::start());
        incidents.push(incident(&mut brokers, kcat, end, (victim, role)).await?);
    }
    drop(steady);
    let times = times_of(command).await?;
    Ok(pauses(&times, &incidents))
}

async fn incident(
    brokers: &mut Brokers,
    kcat: Kcat,
    end: End,
    (victim, role): (usize, Role),
) -> Result<Incident> {
    let at_ms = unix_ms();
    match end {
        End::Killed => brokers.kill(victim).await?,
        End::Stopped => brokers.stop(victim).await?,
    }
    goes_on(brokers, kcat, victim).await?;
    let back_ms = unix_ms();
    brokers.start_broker(victim)?;
    brokers.until_ready(victim).await?;
    Ok(Incident { role, at_ms, back_ms })
}

async fn create(brokers: &Brokers) -> Result<()> {
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(BROKERS as i32),
        replication_factor: Some(BROKERS as i16),
        config: [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into(),
        ..NewTopic::default()
    };
    let outcome = brokers.admin().create_topics(&[topic], false).await?;
    outcome.get(TOPIC).context("no answer for the topic")?.clone()?;
    Ok(())
}

async fn describe(brokers: &Brokers) -> Result<TopicDescription> {
    let found = brokers.admin().describe_topics(Some(&[TOPIC.to_owned()])).await?;
    found.into_iter().next().context("the topic is not there")
}

/// Waits until every replica is in sync and every broker leads a partition.
async fn until_balanced(brokers: &Brokers) -> Result<()> {
    until("every replica is in sync and every broker leads", PATIENCE, async || {
        let described = describe(brokers).await?;
        let in_sync = described.partitions.iter().all(|partition| partition.isr.len() == BROKERS);
        let leaders: BTreeSet<_> =
            described.partitions.iter().filter_map(|partition| partition.leader).collect();
        if in_sync && leaders.len() == BROKERS {
            return Ok(Waited::Done(()));
        }
        if in_sync {
            brokers.admin().elect_preferred_leaders(None).await?;
        }
        Ok(Waited::not_yet(format!("{described:?}")))
    })
    .await
}

/// The next broker to end: the active controller and another one in turn.
async fn victim(brokers: &Brokers, time: usize) -> Result<(usize, Role)> {
    let controller = brokers.admin().describe_quorum().await?.leader.context("no controller")?;
    let controller = usize::try_from(controller.0)?;
    Ok(match time % 4 {
        0 | 2 => (controller, Role::Controller),
        1 => ((controller + 1) % BROKERS, Role::Leader),
        _ => ((controller + 2) % BROKERS, Role::Leader),
    })
}

/// Waits until every partition has grown, as far as the brokers but `victim` know.
async fn goes_on(brokers: &Brokers, kcat: Kcat, victim: usize) -> Result<()> {
    let bootstrap = brokers.bootstrap_of((0..BROKERS).filter(|id| *id != victim));
    let mut from: BTreeMap<usize, u64> = BTreeMap::new();
    until("every partition grows", PATIENCE, async || {
        let mut grown_least = u64::MAX;
        for partition in 0..BROKERS {
            let mut command = kcat.command(&Place::here(), &bootstrap);
            command.args(["-Q", "-t", &format!("{TOPIC}:{partition}:-1")]);
            let Ok(text) = run(command, PATIENCE).await else { return Ok(Waited::not_yet("no answer")) };
            let end = text.split_whitespace().last().and_then(|word| word.parse::<u64>().ok());
            let Some(end) = end else { return Ok(Waited::not_yet(text)) };
            grown_least = grown_least.min(end.saturating_sub(*from.entry(partition).or_insert(end)));
        }
        Ok(if grown_least >= GOES_ON { Waited::Done(()) } else { Waited::not_yet(grown_least) })
    })
    .await
}

/// A producer that sends at an even rate until it is dropped.
struct Steady {
    child: std::process::Child,
    writing: Arc<AtomicBool>,
}

impl Steady {
    fn start(producer: &Producer, brokers: &Brokers) -> Result<Steady> {
        let bootstrap = brokers.bootstrap();
        let command = match producer {
            Producer::Librdkafka(kcat) => {
                let mut command = kcat.command(&Place::here(), &bootstrap);
                command.args(["-P", "-E", "-t", TOPIC, "-X", "enable.idempotence=true"]);
                command
            }
            Producer::Java(kafka) => {
                let mut command = kafka.tool(&Place::here(), "kafka-verifiable-producer")?;
                command.args(["--bootstrap-server", &bootstrap, "--topic", TOPIC]);
                // Keys, because without them a partition gets nothing while another one's batch is filled.
                command.args(["--throughput", &RATE.to_string(), "--repeating-keys", "100"]);
                command
            }
        };
        let mut command = command.into_std();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("start the producer")?;
        let writing = Arc::new(AtomicBool::new(true));
        let mut input = child.stdin.take().context("no input")?;
        let goes_on = Arc::clone(&writing);
        let width = LINE_BYTES - 1;
        std::thread::spawn(move || {
            let mut number = 0_u64;
            while goes_on.load(Ordering::Acquire) && writeln!(input, "{number:0width$}").is_ok() {
                number += 1;
                std::thread::sleep(Duration::from_micros(1_000_000 / RATE));
            }
        });
        Ok(Steady { child, writing })
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.writing.store(false, Ordering::Release);
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// When each record was appended, by partition and in the log's order, in milliseconds since 1970.
async fn times_of(mut command: tokio::process::Command) -> Result<BTreeMap<u32, Vec<u64>>> {
    command.args(["-C", "-t", TOPIC, "-o", "beginning", "-e", "-q", "-f", "%p %T\\n"]);
    let text = run(command, PATIENCE).await?;
    let mut times: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let (partition, time) = line.split_once(' ').context("kcat prints partition and time")?;
        times.entry(partition.parse()?).or_default().push(time.parse()?);
    }
    ensure!(times.len() == BROKERS, "a partition is empty");
    Ok(times)
}

/// The longest pause of any partition between each end and the broker's return.
fn pauses(times: &BTreeMap<u32, Vec<u64>>, incidents: &[Incident]) -> Pauses {
    let mut found = Pauses::new();
    for incident in incidents {
        let longest = times.values().map(|times| longest_pause(times, incident)).max();
        found.entry(incident.role).or_default().push(longest.unwrap_or(0) as f64);
    }
    found
}

fn longest_pause(times: &[u64], incident: &Incident) -> u64 {
    let from = times.partition_point(|time| time + BEFORE_MS < incident.at_ms).saturating_sub(1);
    let to = times.partition_point(|time| *time < incident.back_ms);
    let pairs = times[from..to].windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    pairs.max().unwrap_or(0)
}
