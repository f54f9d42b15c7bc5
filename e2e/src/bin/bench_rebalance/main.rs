//! `make bench-rebalance`: plans of generated clusters, judged by their lower bounds, beside other planners.
//!
//! Each plan is made in a process of its own, one after the other. Writes docs/rebalancing.md and its plots, unless only
//! some cases are asked for.

mod cases;
mod child;
mod document;
mod figures;
mod gates;
mod generate;
mod numbers;
mod planners;
mod report;
mod scenarios;
mod svg;
#[cfg(test)]
mod tests;

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use ottla_operator_planner::rebalance::{Options, plan, write_model};

use cases::Case;
use figures::Figures;
use gates::Ran;
use planners::Answer;
use svg::Series;

const USAGE: &str = "bench_rebalance [--only PART | run CASE SEED | model CASE SEED | judge CASE SEED ASSIGNMENT | beside CASE]";
/// Cases that other planners are asked for, too.
const COMPARED: [&str; 6] =
    ["s1-3-to-6", "s1-3-to-6-no-racks", "s1-3-to-6-1k", "s1-20-to-24", "s1-30-to-36", "s10-900-to-1000"];
/// The case whose brokers are drawn.
const DRAWN: &str = "s1-30-to-36";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", name, seed] => {
            let figures = child::run(&case(name)?, seed.parse().context(USAGE)?)?;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
        ["model", name, seed] => {
            println!("{}", write_model(&child::case_model(&case(name)?, seed.parse().context(USAGE)?)?));
            Ok(())
        }
        ["judge", name, seed, file] => {
            let model = child::case_model(&case(name)?, seed.parse().context(USAGE)?)?;
            let text = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            let figures = planners::judged(&model, &planners::read_assignment(&text)?)?;
            println!("{}", serde_json::to_string_pretty(&figures)?);
            Ok(())
        }
        ["beside", name] => {
            let case = case(name)?;
            let own = in_child(&case, 1)?;
            println!("{}", report::others_table(name, &own, &beside(&case)?));
            Ok(())
        }
        [] => bench(None),
        ["--only", part] => bench(Some(part)),
        _ => bail!("{USAGE}"),
    }
}

fn case(name: &str) -> Result<Case> {
    cases::all()
        .into_iter()
        .find(|case| case.name == name)
        .with_context(|| format!("no case is named {name}"))
}

fn bench(only: Option<&str>) -> Result<()> {
    let mut ran = Vec::new();
    for case in cases::all().into_iter().filter(|c| only.is_none_or(|part| c.name.contains(part))) {
        let figures = (1..=case.seeds).map(|seed| in_child(&case, seed)).collect::<Result<Vec<_>>>()?;
        let one = Ran { case, figures };
        eprintln!(
            "{:24} {:9.1} ms  copies/bound {:.3}  bytes/bound {:.3}",
            case.name,
            one.middle(|f| f.cpu_ms),
            one.worst(Figures::moves_ratio),
            one.worst(Figures::bytes_ratio)
        );
        ran.push(one);
    }
    let compared = if only.is_none() { compare(&ran)? } else { Vec::new() };
    let text = text(&ran, &compared)?;
    println!("{text}");
    if only.is_none() {
        let docs = ottla_e2e::checkout().join("docs");
        document::replace(&docs.join("rebalancing.md"), &text)?;
        draw(&ran, &compared, &docs)?;
    }
    Ok(())
}

/// Runs one plan in a process of its own.
fn in_child(case: &Case, seed: u64) -> Result<Figures> {
    let program = std::env::current_exe().context("find this program")?;
    let output = Command::new(program)
        .args(["run", case.name, &seed.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start a process for the case")?;
    ensure!(output.status.success(), "{} with seed {seed} failed", case.name);
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what {} said", case.name))
}

/// A case with what other planners made of it.
type Compared = (&'static str, Vec<(&'static str, Answer)>);

fn compare(ran: &[Ran]) -> Result<Vec<Compared>> {
    let compared = ran.iter().filter(|one| COMPARED.contains(&one.case.name));
    compared.map(|one| Ok((one.case.name, beside(&one.case)?))).collect()
}

/// What every planner that is asked makes of a case.
fn beside(case: &Case) -> Result<Vec<(&'static str, Answer)>> {
    let model = child::case_model(case, 1)?;
    let mut answers = Vec::new();
    for planner in planners::all().into_iter().filter(|p| p.is_asked(&model)) {
        eprintln!("{} by {}", case.name, planner.name);
        answers.push((planner.name, planner.ask(&model)));
    }
    Ok(answers)
}

fn text(ran: &[Ran], compared: &[Compared]) -> Result<String> {
    let mut parts = vec![format!("Machine: {}.", machine())];
    parts.push("## Figures to reach".to_owned());
    parts.push(report::gates_table(&gates::gates(ran)));
    parts.push("## Cases".to_owned());
    parts.push(report::cases_table(ran));
    if !compared.is_empty() {
        parts.push("## Beside other planners".to_owned());
    }
    for (name, answers) in compared {
        let own = ran.iter().find(|one| one.case.name == *name).context("a compared case ran")?;
        parts.push(report::others_table(name, &own.figures[0], answers));
    }
    parts.push("## Impossible models".to_owned());
    let mut rows = vec![vec!["asked for (S12)".to_owned(), "answer".to_owned()]];
    for (what, model) in scenarios::impossible() {
        let answer = plan(&model, &Options::default());
        let Err(refusal) = answer else { bail!("{what}: a plan was made of the impossible") };
        let problems = &refusal.problems;
        rows.push(vec![what.to_owned(), format!("{} problems, the first: {}", problems.len(), problems[0])]);
    }
    parts.push(ottla_e2e::markdown_table(&rows));
    Ok(parts.join("\n\n"))
}

/// Processor and cores, as the kernel names them.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, one thread used", model.map_or("unknown processor", |(_, name)| name.trim()))
}

fn draw(ran: &[Ran], compared: &[Compared], docs: &std::path::Path) -> Result<()> {
    let write = |name: &str, svg: String| {
        std::fs::write(docs.join(name), svg).with_context(|| format!("write {name}"))
    };
    if let Some(one) = ran.iter().find(|one| one.case.name == DRAWN) {
        write(
            "rebalancing-load.svg",
            report::plot_loads("Bytes per broker, 30 to 36 brokers", &one.figures[0]),
        )?;
    }
    let mut series: Vec<Series> = Vec::new();
    let points = |f: &Figures| (f.moves_min as f64, f.moves as f64);
    let own = ran.iter().flat_map(|one| &one.figures).filter(|f| f.moves_min > 0).map(points);
    series.push(Series { name: "Ottla".into(), points: own.collect(), line: false });
    for (_, answers) in compared {
        for (planner, answer) in answers {
            let Answer::Judged(figures, _) = answer else { continue };
            match series.iter_mut().find(|s| s.name == *planner) {
                Some(series) => series.points.push(points(figures)),
                None => series.push(Series {
                    name: (*planner).into(),
                    points: vec![points(figures)],
                    line: false,
                }),
            }
        }
    }
    write("rebalancing-moves.svg", report::plot_moves(series))?;
    let sizes = ran.iter().filter(|one| one.case.name.starts_with("size-") && one.case.group == "S1");
    let mut times: Vec<(f64, f64)> =
        sizes.map(|one| (one.figures[0].replicas as f64, one.middle(|f| f.cpu_ms))).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    write("rebalancing-time.svg", report::plot_time(times))
}
