//! What the command does: read, adjust, plan, write, print. Every failure says what to do about it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::rebalance::report::{
    Lists, Outcome, refusal_to_json, refusal_to_text, to_json, to_json_with_reasons, to_kafka_file,
};
use ottla_operator_planner::rebalance::{
    Infeasible, Model, Options, Plan, RowsMax, Table, plan, read_model, write_model,
};
use serde_json::json;

use super::adjust::{adjust, list};
use super::arguments::{Arguments, Output};
use super::live::{self, Live};
use super::remarks::remarks;
use crate::clock;

/// The largest model file that is read: ten times one of a million partitions. More is a mistake, such as a device.
const MODEL_BYTES_MAX: u64 = 2 << 30;
/// How many problems, remarks or names a person is shown unless all are asked for.
const SHOWN_MAX: usize = 20;

/// Plans, prints, and returns the exit code.
///
/// # Errors
/// When there is no model to plan from, or a file cannot be written.
pub async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    if arguments.explain && !matches!(arguments.output, Output::Table | Output::Json) {
        bail!("--explain goes with --output table or json: Kafka's file has no room for reasons");
    }
    let mut live = read(arguments).await?;
    if let Some(path) = &arguments.write_model {
        write_file(path, &write_model(&live.model))?;
    }
    adjust(&mut live.model, &arguments.drain, &arguments.dead, &arguments.replication_factor)?;
    refuse_guesses(&live, arguments)?;
    let options = Options {
        seed: arguments.seed,
        leaders: !arguments.keep_leaders,
        moves_max: arguments.moves_max,
        bytes_max: arguments.bytes_max,
        ..Options::default()
    };
    let (result, took) = clock::timed(|| plan(&live.model, &options));
    let outcome = Outcome::of(&result);
    match result {
        Ok(plan) => planned(arguments, live, &plan, took)?,
        Err(refusal) => refused(arguments, &refusal)?,
    }
    Ok(outcome.exit_code())
}

async fn read(arguments: &Arguments) -> anyhow::Result<Live> {
    if let Some(path) = &arguments.source.from {
        let model = read_file(path)?;
        return Ok(Live { model, ..Live::default() });
    }
    let bootstrap = arguments.source.bootstrap.clone();
    let names: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
    let admin = AdminClient::new(bootstrap, Duration::from_secs(arguments.timeout));
    live::observe(&admin).await.with_context(|| {
        format!("ask {} (a broker's plaintext listener that can be reached from here?)", names.join(","))
    })
}

fn read_file(path: &Path) -> anyhow::Result<Model> {
    let mut text = Vec::new();
    let (name, read) = if path.as_os_str() == "-" {
        ("the standard input".to_owned(), std::io::stdin().take(MODEL_BYTES_MAX + 1).read_to_end(&mut text))
    } else {
        let opened = File::open(path);
        let read = opened.and_then(|file| file.take(MODEL_BYTES_MAX + 1).read_to_end(&mut text));
        (path.display().to_string(), read)
    };
    read.with_context(|| format!("read {name}"))?;
    if text.len() as u64 > MODEL_BYTES_MAX {
        bail!("{name} has more than {MODEL_BYTES_MAX} bytes, which no model needs");
    }
    read_model(&text).with_context(|| format!("{name} is no model (--help shows the form)"))
}

/// Brokers that are down or cordoned may be so for a minute or for good; only a person knows.
fn refuse_guesses(live: &Live, arguments: &Arguments) -> anyhow::Result<()> {
    let decided = |id| arguments.dead.contains(id) || arguments.drain.contains(id);
    let down: Vec<_> = live.down.iter().filter(|id| !arguments.dead.contains(id)).copied().collect();
    if !down.is_empty() {
        let ids = list(down.iter().copied());
        bail!(
            "brokers that have replicas are down: {ids}. Start them, or say that they will not come back: --dead {}",
            ids.replace(", ", ",")
        );
    }
    let cordoned: Vec<_> = live.cordoned.iter().filter(|id| !decided(id)).copied().collect();
    if !cordoned.is_empty() {
        let ids = list(cordoned);
        bail!(
            "brokers are cordoned and take no replicas: {ids}. Lift that (cordoned.log.dirs), or move everything off them: --drain {}",
            ids.replace(", ", ",")
        );
    }
    Ok(())
}

fn planned(arguments: &Arguments, live: Live, plan: &Plan, took: Duration) -> anyhow::Result<()> {
    for (path, lists) in
        [(&arguments.write_plan, Lists::Target), (&arguments.write_rollback, Lists::Original)]
    {
        if let Some(path) = path {
            write_file(path, &to_kafka_file(plan, lists))?;
        }
    }
    let remarks = remarks(&live, plan);
    match arguments.output {
        Output::Table => print(&table(arguments, &live, plan, &remarks, took)),
        Output::Json => {
            let mut value = match arguments.explain {
                true => to_json_with_reasons(&live.model, plan),
                false => to_json(plan),
            };
            value["planMilliseconds"] = json!(took.as_secs_f64() * 1000.0);
            value["remarks"] = json!(remarks);
            print(&format!("{value}\n"))
        }
        Output::Kafka | Output::Rollback => {
            complain(arguments, &remarks);
            let lists = if arguments.output == Output::Kafka { Lists::Target } else { Lists::Original };
            print(&to_kafka_file(plan, lists))
        }
    }
}

fn refused(arguments: &Arguments, refusal: &Infeasible) -> anyhow::Result<()> {
    if arguments.output == Output::Json {
        return print(&format!("{}\n", refusal_to_json(refusal)));
    }
    let text = refusal_to_text(refusal, if arguments.all { usize::MAX } else { SHOWN_MAX });
    if arguments.output == Output::Table {
        return print(&text);
    }
    // What takes the file must not take this for one.
    eprint!("{text}");
    Ok(())
}

fn complain(arguments: &Arguments, remarks: &[String]) {
    for line in shown(arguments, remarks).lines() {
        eprintln!("{line}");
    }
}

fn shown(arguments: &Arguments, remarks: &[String]) -> String {
    let count = if arguments.all { remarks.len() } else { remarks.len().min(SHOWN_MAX) };
    let mut text: String = remarks[..count].iter().map(|remark| format!("note: {remark}\n")).collect();
    if count < remarks.len() {
        text += &format!("and {} more notes\n", remarks.len() - count);
    }
    text
}

fn table(arguments: &Arguments, live: &Live, plan: &Plan, remarks: &[String], took: Duration) -> String {
    let replicas: usize = live.model.partitions.iter().map(|partition| partition.replicas.len()).sum();
    let mut text = format!(
        "{} brokers, {} partitions, {replicas} replicas\n\n",
        live.model.brokers.len(),
        live.model.partitions.len()
    );
    let rows_max = if arguments.all { RowsMax::ALL } else { RowsMax::SCREEN };
    let is_cut = plan.brokers().len() > rows_max.brokers
        || plan.moves().len() > rows_max.partitions
        || plan.notes().len() > rows_max.notes;
    let table = Table { model: &live.model, plan, rows_max, why: arguments.explain };
    text += &table.to_string();
    text += &shown(arguments, remarks);
    if is_cut {
        text += "(--all shows every row)\n";
    }
    let milliseconds = took.as_secs_f64() * 1000.0;
    text += &format!("\nplan {:016x}, seed {}, made in {milliseconds:.1} ms\n", plan.hash(), plan.seed());
    if !plan.is_empty() {
        text += &steps(arguments);
    }
    text
}

/// How to carry the plan out with Kafka's own tools.
fn steps(arguments: &Arguments) -> String {
    let bootstrap = &arguments.source.bootstrap;
    let bootstrap = bootstrap.first().map_or("HOST:PORT".to_owned(), ToString::to_string);
    let (file, begin) = match &arguments.write_plan {
        Some(path) => (path.display().to_string(), String::new()),
        None => (
            "plan.json".to_owned(),
            "  first once more with --write-plan plan.json --write-rollback back.json\n".to_owned(),
        ),
    };
    format!(
        "\nTo carry it out:\n{begin}\
         \x20 kafka-reassign-partitions --bootstrap-server {bootstrap} --reassignment-json-file {file} --execute --throttle 50000000\n\
         \x20 kafka-reassign-partitions --bootstrap-server {bootstrap} --reassignment-json-file {file} --verify   (until complete)\n\
         \x20 kafka-leader-election --bootstrap-server {bootstrap} --election-type preferred --path-to-json-file {file}\n"
    )
}

/// Prints to the standard output. A reader that has seen enough and left is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("print the plan"),
        _ => Ok(()),
    }
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
