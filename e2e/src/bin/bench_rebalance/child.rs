//! One case in a process of its own, so that its memory and its time are its own: plans, judges, prints figures.

use std::fs;

use anyhow::{Context, Result, ensure};
use ottla_e2e::Stopwatch;
use ottla_operator_planner::rebalance::{Model, Options, Plan, apply, judge, plan};

use crate::cases::Case;
use crate::figures::Figures;
use crate::generate::Spec;
use crate::scenarios::model;

/// Plans of one case are repeated until so much time went by, and the fastest counts: what is slower was disturbed.
const REPEAT_MS: f64 = 8000.0;
/// Repeats of a case that takes no time.
const REPEATS_MAX: usize = 10;

/// Makes the model of a case with a seed.
pub fn case_model(case: &Case, seed: u64) -> Result<Model> {
    model(case.scenario, Spec { seed, ..case.spec })
}

/// Plans the case and returns its figures.
pub fn run(case: &Case, seed: u64) -> Result<Figures> {
    let model = case_model(case, seed)?;
    let options = Options::default();
    let (mut wall_ms, mut cpu_ms, mut spent) = (f64::MAX, f64::MAX, 0.0);
    let mut memory_mb = 0.0;
    let mut planned: Option<Plan> = None;
    for repeat in 0..REPEATS_MAX {
        let (watch, cpu) = (Stopwatch::start(), cpu_ms_of_thread()?);
        let next = plan(&model, &options)?;
        let wall = watch.elapsed().as_secs_f64() * 1e3;
        cpu_ms = cpu_ms.min(cpu_ms_of_thread()? - cpu);
        wall_ms = wall_ms.min(wall);
        spent += wall;
        if repeat == 0 {
            memory_mb = status_mb("VmHWM")?;
        }
        let same = planned.as_ref().is_none_or(|first| first.hash() == next.hash());
        ensure!(same, "two plans of one model differ");
        planned.get_or_insert(next);
        if spent > REPEAT_MS {
            break;
        }
    }
    let planned = planned.context("no plan was made")?;
    let after = apply(&model, &planned);
    // By way of the lists alone, as for every other planner.
    let judged = judge(&model, &after, &options)?;
    ensure!(judged.hash() == planned.hash(), "the judge sees other moves than the plan has");
    let again = plan(&after, &options)?.moves().len();
    Ok(Figures { wall_ms, cpu_ms, memory_mb, again, ..Figures::of(&model, &planned) })
}

/// Milliseconds for which this thread has run on a processor.
pub fn cpu_ms_of_thread() -> Result<f64> {
    let text =
        fs::read_to_string("/proc/thread-self/schedstat").context("read /proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.map(|ns| ns / 1e6).context("/proc/thread-self/schedstat begins with no number")
}

/// A size of this process by its name in /proc/self/status, in MB (10^6 bytes).
fn status_mb(field: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / 1e6).with_context(|| format!("/proc/self/status has no {field}"))
}
