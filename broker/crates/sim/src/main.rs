//! `ottla-sim`: runs seeds and says how to repeat the one that fails. Reads the clock only to end in time.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;
use ottla_broker_sim::{Finished, Outcome, simulate};

/// Simulates clusters from seeds and checks what must hold.
#[derive(Parser)]
struct Arguments {
    /// One seed.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// A range of seeds, as 1..1000; the end is left out.
    #[arg(long, value_parser = parse_range, conflicts_with = "minutes")]
    seeds: Option<(u64, u64)>,
    /// Runs new seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Ends with the first violation.
    #[arg(long, conflicts_with = "seed")]
    first: bool,
    /// Shows every event of --seed.
    #[arg(long, requires = "seed")]
    print: bool,
}

fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (start, end) = text.split_once("..").ok_or("give a range as START..END")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    Ok((number(start)?, number(end)?))
}

/// What all seeds so far came to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    acked: usize,
    committed: usize,
    simulated_ms: u64,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, finished: &Finished) {
        self.seeds += 1;
        self.events += finished.event_count;
        self.acked += finished.acked_count;
        self.committed += finished.committed_count;
        self.simulated_ms += finished.simulated_ms;
        if let Outcome::Violated(violation) = &finished.outcome {
            self.failed.push(seed);
            println!("seed {seed}: {violation}\n  repeat: ottla-sim --seed {seed} --print");
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let finished = simulate(seed, arguments.print);
        println!(
            "seed {seed}: digest {:016x}, {} events, {} records acknowledged",
            finished.digest, finished.event_count, finished.acked_count
        );
        return verdict(&{
            let mut totals = Totals::default();
            totals.add(seed, &finished);
            totals
        });
    }
    let (start, end, minutes) = match (arguments.seeds, arguments.minutes) {
        (Some((start, end)), _) => (start, end, None),
        (None, Some(minutes)) => (first_seed(), u64::MAX, Some(minutes)),
        (None, None) => (1, 101, None),
    };
    println!("seeds from {start} on");
    verdict(&run_many(start, end, minutes, arguments.first))
}

fn run_many(start: u64, end: u64, minutes: Option<u64>, only_first: bool) -> Totals {
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(start);
    let deadline = minutes.map(|minutes| now() + std::time::Duration::from_secs(minutes * 60));
    let is_over = || deadline.is_some_and(|deadline| now() >= deadline);
    let has_failed = || !totals.lock().unwrap_or_else(PoisonError::into_inner).failed.is_empty();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || is_over() || (only_first && has_failed()) {
                        return;
                    }
                    let finished = simulate(seed, false);
                    totals.lock().unwrap_or_else(PoisonError::into_inner).add(seed, &finished);
                }
            });
        }
    });
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn verdict(totals: &Totals) -> ExitCode {
    println!(
        "{} seeds, {} events, {} records and {} offsets acknowledged, {} simulated minutes, {} violations",
        totals.seeds,
        totals.events,
        totals.acked,
        totals.committed,
        totals.simulated_ms / 60_000,
        totals.failed.len()
    );
    if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "only decides how many seeds are run")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Every call starts elsewhere, so that runs by the minute see new seeds each time.
#[expect(clippy::disallowed_methods, reason = "only decides which seeds are run")]
fn first_seed() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_secs()).saturating_mul(1_000)
}
