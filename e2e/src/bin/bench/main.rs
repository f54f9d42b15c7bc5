//! `make bench`: Ottla beside a floor program and Apache Kafka, in one table.
//!
//! All run in turns in the same minutes on loopback, because wall time and CPU time of a shared machine drift; the
//! cost of a process is counted from outside. It writes to one temporary folder, about three times the bytes of all
//! bulk rounds, and leaves nothing behind.

mod beside;
mod client;
mod failover;
mod floor;
mod load;
mod local;
mod meter;
mod partitions;
mod starts;
mod storms;
mod subject;
mod table;
mod throttled;
mod topics;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use beside::Beside;
use failover::{End, Producer};
use load::{Cost, Loaded, Size};
use meter::Unit;
use partitions::Taken;
use starts::Start;
use storms::Storm;
use subject::{Apache, Broker, Ottla};
use table::{Figures, Table};
use throttled::Throttled;
use topics::Made;

/// Clients that come at once.
const STORMS: [usize; 2] = [1_500, 10_000];
/// The largest storm that Apache Kafka takes part in: with its backlog of 50 a larger one takes minutes.
const KAFKA_STORM_MAX: usize = 1_500;
/// Storms of a size; their figures differ by retries of whole seconds, if at all.
const STORM_ROUNDS_MAX: usize = 3;
/// Topics of thousands of partitions; each round makes as many files as it has replicas.
const TOPIC_ROUNDS_MAX: usize = 3;
/// Idle partitions beside a busy one, in clusters of their own.
const IDLE_PARTITIONS: [i32; 3] = [0, 1_000, 10_000];
const USAGE: &str = "bench [--rounds N] [--mib N] [--requests N] [--seconds N] [--ends N] [--partitions N] [--minutes N] [--only PART] [--without-kafka] [--markdown FILE]";

struct Options {
    rounds: usize,
    size: Size,
    kafka: bool,
    /// Seconds of small traffic beside bulk writes.
    seconds: u64,
    /// Brokers killed beneath each producer, and again as many stopped.
    ends: usize,
    /// Numbers of idle partitions in the part of that name.
    partitions: Vec<i32>,
    /// Minutes of brokers whose processor is throttled; that part runs on request only.
    minutes: u64,
    /// The one part that is run: starts, load, beside, storms, topics, partitions, throttled, failover, one of its
    /// parts as Java-killed, or local.
    only: Option<String>,
    markdown: Option<PathBuf>,
}

impl Options {
    fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("floor", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return floor::run(rest);
    }
    let options = options(&arguments)?;
    let folder = tempfile::Builder::new().prefix("ottla-bench-").tempdir().context("make a folder")?;
    let (text, local) = bench(&options, folder.path())?;
    println!("{text}");
    if let Some(file) = &options.markdown {
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    // Last, so that what was measured is seen all the same.
    local.context("start a local cluster")
}

fn options(arguments: &[String]) -> Result<Options> {
    let size = Size { bulk_bytes: 1 << 30, single_requests: 50_000 };
    let mut options = Options {
        rounds: 5,
        size,
        kafka: true,
        seconds: 15,
        ends: 30,
        partitions: IDLE_PARTITIONS.to_vec(),
        minutes: 60,
        only: None,
        markdown: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value; {USAGE}"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse().context(USAGE)?,
            "--mib" => options.size.bulk_bytes = value()?.parse::<u64>().context(USAGE)? << 20,
            "--requests" => options.size.single_requests = value()?.parse().context(USAGE)?,
            "--seconds" => options.seconds = value()?.parse().context(USAGE)?,
            "--ends" => options.ends = value()?.parse().context(USAGE)?,
            "--partitions" => options.partitions = vec![0, value()?.parse().context(USAGE)?],
            "--minutes" => options.minutes = value()?.parse().context(USAGE)?,
            "--only" => options.only = Some(value()?.clone()),
            "--without-kafka" => options.kafka = false,
            "--markdown" => options.markdown = Some(value()?.into()),
            _ => bail!("{argument} is unknown; {USAGE}"),
        }
    }
    Ok(options)
}

/// The table, and how the local cluster went, whose rows are missing where it failed.
fn bench(options: &Options, folder: &Path) -> Result<(String, Result<()>)> {
    let unit = Unit::of_this_machine();
    let apache = if options.kafka { Apache::find() } else { None };
    let mut brokers: Vec<&dyn Broker> = vec![&Ottla];
    match &apache {
        Some(apache) => brokers.push(apache),
        None => eprintln!("SKIPPED Apache Kafka: to run it beside Ottla, e2e/clients/install"),
    }
    let mut table = Table::new();
    if options.runs("starts") {
        starts_rows(options, &brokers, folder, &mut table)?;
    }
    if options.runs("load") {
        load_rows(options, unit, &brokers, folder, &mut table)?;
    }
    if options.runs("beside") {
        beside_rows(options, &brokers, folder, &mut table)?;
    }
    if options.runs("storms") {
        for clients in STORMS {
            storm_rows(options, &brokers, folder, clients, &mut table)?;
        }
    }
    if options.runs("topics") {
        topic_rows(options, &mut table)?;
    }
    if options.runs("partitions") {
        partition_rows(options, &mut table)?;
    }
    if options.only.as_deref() == Some("throttled") {
        throttled_rows(options, &mut table)?;
    }
    failover_rows(options, &mut table)?;
    let local = if options.runs("local") { local_rows(folder, &mut table) } else { Ok(()) };
    let notes = match &local {
        Ok(()) => "The operator's memory is that of local mode, a stand-in for its memory in Kubernetes.",
        Err(_) => "FAILED: the local cluster, whose rows are missing.",
    };
    let text = format!(
        "Medians (least–most) of {} rounds in turns; cost in {}.\n{notes}\n\n{}",
        options.rounds,
        unit.name(),
        table.text()
    );
    Ok((text, local))
}

/// The figures of broker `index`, by one field of what each round gave.
fn pick<T>(rounds: &[Vec<T>], index: usize, field: impl Fn(&T) -> f64) -> Figures {
    Figures(rounds.iter().filter_map(|round| round.get(index)).map(field).collect())
}

fn starts_rows(options: &Options, brokers: &[&dyn Broker], folder: &Path, table: &mut Table) -> Result<()> {
    let none = Figures::default();
    let mut rounds: Vec<Vec<Start>> = Vec::new();
    for round in 0..options.rounds {
        eprintln!("starts, round {} of {}", round + 1, options.rounds);
        let starts = brokers.iter().map(|broker| {
            let place = folder.join(format!("start-{}-{round}", broker.name()));
            starts::round(*broker, &place).with_context(|| format!("start {}", broker.name()))
        });
        rounds.push(starts.collect::<Result<_>>()?);
    }
    let fresh = |start: &Start| start.fresh_ms;
    let again = |start: &Start| start.again_ms;
    let what = "exec to first acked record, empty folder, ms";
    table.row(what, 1, &pick(&rounds, 0, fresh), "≤ 50", &none, &pick(&rounds, 1, fresh));
    let what = "exec to first acked record, after a clean stop, ms";
    table.row(what, 1, &pick(&rounds, 0, again), "≤ 50", &none, &pick(&rounds, 1, again));
    eprintln!("idle memory");
    let mut memory: Vec<(f64, f64)> = Vec::new();
    for broker in brokers {
        let place = folder.join(format!("idle-{}", broker.name()));
        memory.push(starts::idle_memory(*broker, &place)?);
    }
    let memory = [memory];
    let (at_once, settled) = (|both: &(f64, f64)| both.0, |both: &(f64, f64)| both.1);
    let what = "resident memory after the first record, MB";
    table.row(what, 1, &pick(&memory, 0, at_once), "≤ 16", &none, &pick(&memory, 1, at_once));
    let what = "resident memory 10 s later, MB";
    table.row(what, 1, &pick(&memory, 0, settled), "≤ 16", &none, &pick(&memory, 1, settled));
    let binary = ottla_e2e::binary("ottla-broker")?;
    let binary_mb = std::fs::metadata(binary).context("the broker's program")?.len() as f64 / 1e6;
    table.row("size of the broker's program, MB", 1, &Figures(vec![binary_mb]), "", &none, &none);
    Ok(())
}

fn load_rows(
    options: &Options,
    unit: Unit,
    brokers: &[&dyn Broker],
    folder: &Path,
    table: &mut Table,
) -> Result<()> {
    let mut loaded = Vec::new();
    for broker in brokers {
        loaded.push(Loaded::start(*broker, &folder.join(format!("load-{}", broker.name())))?);
    }
    // The first rounds warm caches and Kafka's compiler up and do not count.
    let warm_up = Size { bulk_bytes: options.size.bulk_bytes / 4, ..options.size };
    let mut rounds: Vec<Vec<Cost>> = Vec::new();
    for round in 0..=options.rounds {
        eprintln!("load, round {round} of {}", options.rounds);
        let size = if round == 0 { warm_up } else { options.size };
        let mut costs: Vec<(usize, Cost)> = Vec::new();
        for turn in 0..=loaded.len() {
            // Back and forth, so that none always runs first.
            let who = if round % 2 == 0 { turn } else { loaded.len() - turn };
            let cost = match who.checked_sub(1) {
                None => load::floor_round(unit, size, &folder.join("floor")).context("the floor program")?,
                Some(index) => loaded[index].round(unit, size, round)?,
            };
            costs.push((who, cost));
        }
        costs.sort_by_key(|(who, _)| *who);
        if round > 0 {
            rounds.push(costs.into_iter().map(|(_, cost)| cost).collect());
        }
    }
    let mut row = |what: &str, decimals: usize, aim: &str, field: fn(&Cost) -> f64| {
        let (floor, own, kafka) = (pick(&rounds, 0, field), pick(&rounds, 1, field), pick(&rounds, 2, field));
        table.row(what, decimals, &own, aim, &floor, &kafka);
    };
    let symbol = unit.symbol();
    let what = format!("produce 1 KiB x 1000, acks=all, {symbol} per GiB");
    row(&what, 3, "≤ 3 x floor", |cost| cost.produce_gib);
    row("the same, GiB per second", 2, "", |cost| cost.produce_gib_per_s);
    let what = format!("produce 1 record a request, pipelined, {symbol} per million");
    row(&what, 2, "", |cost| cost.single_million);
    row(&format!("fetch, {symbol} per GiB"), 3, "", |cost| cost.fetch_gib);
    row("the same, GiB per second", 2, "", |cost| cost.fetch_gib_per_s);
    let mut memory = Vec::new();
    for loaded in loaded {
        memory.push(loaded.memory_mb_max()?);
        loaded.stop()?;
    }
    let (memory, none) = ([memory], Figures::default());
    let what = "most resident memory under these loads, MB";
    table.row(what, 1, &pick(&memory, 0, |mb| *mb), "", &none, &pick(&memory, 1, |mb| *mb));
    Ok(())
}

fn beside_rows(options: &Options, brokers: &[&dyn Broker], folder: &Path, table: &mut Table) -> Result<()> {
    let mut rounds: Vec<Vec<Beside>> = Vec::new();
    for round in 0..options.rounds {
        eprintln!("small traffic beside bulk writes, round {} of {}", round + 1, options.rounds);
        let figures = brokers.iter().map(|broker| {
            let place = folder.join(format!("beside-{}-{round}", broker.name()));
            let beside = beside::round(*broker, &place, options.seconds).context(broker.name())?;
            eprintln!("  {}: {beside:?}", broker.name());
            Ok(beside)
        });
        rounds.push(figures.collect::<Result<_>>()?);
    }
    let none = Figures::default();
    let mut row = |what: &str, decimals: usize, aim: &str, field: fn(&Beside) -> f64| {
        table.row(what, decimals, &pick(&rounds, 0, field), aim, &none, &pick(&rounds, 1, field));
    };
    row("5,000 small records a second beside bulk writes, end to end, p50 ms", 2, "", |round| round.p50_ms);
    row("the same, p99 ms", 2, "≤ 4", |round| round.p99_ms);
    row("the same, p99.9 ms", 2, "≤ 10", |round| round.p999_ms);
    row("the bulk writes, MiB per second", 0, "", |round| round.bulk_mib_per_s);
    Ok(())
}

fn storm_rows(
    options: &Options,
    brokers: &[&dyn Broker],
    folder: &Path,
    clients: usize,
    table: &mut Table,
) -> Result<()> {
    let mut rounds: Vec<Vec<Storm>> = Vec::new();
    for round in 0..options.rounds.min(STORM_ROUNDS_MAX) {
        eprintln!("a storm of {clients} clients, round {}", round + 1);
        let mut storms = Vec::new();
        let taking_part = if clients <= KAFKA_STORM_MAX { brokers } else { &brokers[..1] };
        for broker in taking_part {
            let place = folder.join(format!("storm-{}-{clients}-{round}", broker.name()));
            match storms::round(*broker, &place, clients).context(broker.name())? {
                Some(storm) => storms.push(storm),
                None => {
                    eprintln!("SKIPPED: the limit of open files (ulimit -Hn) is below {clients}");
                    return Ok(());
                }
            }
        }
        eprintln!("  {storms:?}");
        rounds.push(storms);
    }
    let none = Figures::default();
    let mut row = |what: &str, decimals: usize, aim: &str, field: fn(&Storm) -> f64| {
        table.row(what, decimals, &pick(&rounds, 0, field), aim, &none, &pick(&rounds, 1, field));
    };
    row(&format!("{clients} clients connect at once, s to the last answer"), 2, "", |storm| storm.come_s);
    row(&format!("{clients} clients are back after SIGKILL, s"), 2, "≤ 2", |storm| storm.back_s);
    row(&format!("memory of each of {clients} idle connections, bytes"), 0, "≤ 4000", |storm| {
        storm.idle_bytes
    });
    Ok(())
}

fn topic_rows(options: &Options, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rounds: Vec<Vec<Made>> = Vec::new();
    for round in 0..options.rounds.min(TOPIC_ROUNDS_MAX) {
        eprintln!("a topic of {} partitions, round {}", topics::PARTITIONS, round + 1);
        let made = runtime.block_on(topics::round())?;
        eprintln!("  {made:?}");
        rounds.push(vec![made]);
    }
    let none = Figures::default();
    let mut row = |what: &str, decimals: usize, aim: &str, field: fn(&Made) -> f64| {
        table.row(what, decimals, &pick(&rounds, 0, field), aim, &none, &none);
    };
    let what = format!("CreateTopics of {} partitions on three brokers, s to the answer", topics::PARTITIONS);
    row(&what, 2, "", |made| made.answered_s);
    row("the same, s until all replicas are in sync", 2, "", |made| made.served_s);
    row("the same, bound of 99 % of the heartbeats, ms", 1, "≤ 100", |made| made.heartbeat_p99_ms);
    row("the same, the longest silence of a broker, ms", 0, "", |made| made.silence_ms);
    row("the same, brokers fenced", 0, "0", |made| made.fenced);
    Ok(())
}

fn partition_rows(options: &Options, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for &partitions in &options.partitions {
        eprintln!("{partitions} idle partitions");
        let taken = runtime.block_on(partitions::round(partitions))?;
        eprintln!("  {taken:?}");
        let mut row = |what: &str, decimals: usize, field: fn(&Taken) -> f64| {
            let figures = Figures(vec![field(&taken)]);
            let what = format!("{partitions} idle partitions, 3 replicas on 3 brokers: {what}");
            table.row(&what, decimals, &figures, "", &Figures::default(), &Figures::default());
        };
        row("made and in sync, s", 1, |taken| taken.made_s);
        row("an acks=all round trip beside them, µs of all brokers", 0, |taken| taken.round_trip_us);
        row("all brokers idle, % of a processor", 2, |taken| taken.idle_percent);
        row("resident memory of all brokers, MB", 1, |taken| taken.resident_bytes / 1e6);
        row("open files of all brokers", 0, |taken| taken.open_files);
        row("every partition led again after SIGKILL of one broker, s", 2, |taken| taken.led_again_s);
        row("the killed broker back in service, s", 2, |taken| taken.restart_s);
        row("the slowest clean stop, s", 2, |taken| taken.stop_s);
        row("every partition led after a start of all, s", 2, |taken| taken.start_s);
    }
    Ok(())
}

fn throttled_rows(options: &Options, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    eprintln!("{} minutes of throttled brokers", options.minutes);
    let throttled = runtime.block_on(throttled::round(options.minutes))?;
    let mut row = |what: &str, aim: &str, field: fn(&Throttled) -> f64| {
        let figures = Figures(vec![field(&throttled)]);
        let what = format!("{} minutes of three throttled brokers: {what}", options.minutes);
        table.row(&what, 0, &figures, aim, &Figures::default(), &Figures::default());
    };
    row("brokers fenced", "0", |throttled| throttled.fenced);
    row("records of 64 KiB acknowledged", "", |throttled| throttled.acked);
    row("periods in which a broker was stopped, %", "", |throttled| throttled.stopped_percent);
    Ok(())
}

fn failover_rows(options: &Options, table: &mut Table) -> Result<()> {
    let Some(kcat) = ottla_e2e::kcat() else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let java = ottla_e2e::kafka().map(Producer::Java);
    for producer in [Some(Producer::Librdkafka(kcat)), java].into_iter().flatten() {
        for end in [End::Killed, End::Stopped] {
            let part = format!("{}-{}", producer.name(), end.name());
            if !options.runs("failover") && !options.runs(&part) {
                continue;
            }
            eprintln!("{}: {} brokers {}", producer.name(), options.ends, end.name());
            let pauses = runtime.block_on(failover::rounds(&producer, kcat, end, options.ends))?;
            for (role, pauses) in pauses {
                eprintln!("  {}: {pauses:?}", role.name());
                let what = format!(
                    "{}, {} {}: longest pause of writes, ms",
                    producer.name(),
                    role.name(),
                    end.name()
                );
                table.row(&what, 0, &Figures(pauses), end.aim(), &Figures::default(), &Figures::default());
            }
        }
    }
    Ok(())
}

/// Adds what `ottla-operator local` shows.
fn local_rows(folder: &Path, table: &mut Table) -> Result<()> {
    eprintln!("a local cluster");
    let local = local::up(&folder.join("local"))?;
    let none = Figures::default();
    let what = "ottla-operator local to three serving brokers, s";
    table.row(what, 2, &Figures(vec![local.seconds]), "≤ 2", &none, &none);
    let what = "resident memory of the operator, MB";
    table.row(what, 1, &Figures(vec![local.operator_mb]), "≤ 40", &none, &none);
    Ok(())
}
