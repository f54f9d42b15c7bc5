//! The tables, as Markdown, and the plots.

use std::fmt::Write;

use ottla_e2e::markdown_table as table;

use crate::figures::{DIMENSIONS, Figures};
use crate::gates::{Gate, Ran};
use crate::planners::Answer;
use crate::svg::{Axis, Series, plot};

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// The figures to reach.
pub fn gates_table(gates: &[Gate]) -> String {
    let mut rows = vec![cells(["figure", "aim", "worst", ""])];
    for gate in gates {
        let verdict = if gate.reached { "reached" } else { "**not reached**" };
        rows.push(vec![gate.what.clone(), gate.aim.clone(), gate.worst.clone(), verdict.to_owned()]);
    }
    table(&rows)
}

/// A ratio, or a dash where the bound is zero and the plan is not.
fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "–".to_owned() }
}

/// The middle and the worst over the seeds, as one when they are one.
fn both(ran: &Ran, figure: impl Fn(&Figures) -> f64) -> String {
    let (middle, worst) = (ratio(ran.middle(&figure)), ratio(ran.worst(&figure)));
    if middle == worst { middle } else { format!("{middle} ({worst})") }
}

/// One line a case.
pub fn cases_table(ran: &[Ran]) -> String {
    let mut rows = vec![cells([
        "case",
        "",
        "brokers",
        "replicas",
        "seeds",
        "CPU ms",
        "wall ms",
        "MB",
        "copies",
        "/ bound",
        "bytes / bound",
        "replicas",
        "bytes",
        "in",
        "out",
        "leaders",
        "crowded topics",
        "share of the new brokers",
        "transfers / bound",
        "hash",
    ])];
    for ran in ran {
        let first = &ran.figures[0];
        let mut row = cells([ran.case.name, ran.case.group]);
        row.push(first.brokers.to_string());
        row.push(first.replicas.to_string());
        row.push(ran.figures.len().to_string());
        row.push(format!("{:.1}", ran.middle(|f| f.cpu_ms)));
        row.push(format!("{:.1}", ran.middle(|f| f.wall_ms)));
        row.push(format!("{:.0}", ran.worst(|f| f.memory_mb)));
        row.push(format!("{:.0}", ran.middle(|f| f.moves as f64)));
        row.push(both(ran, Figures::moves_ratio));
        row.push(both(ran, Figures::bytes_ratio));
        for at in 0..DIMENSIONS.len() {
            row.push(both(ran, |f| f.balance[at].after));
        }
        let crowded = |of: fn(&Figures) -> i64| ran.middle(|f| of(f) as f64);
        row.push(format!("{} → {}", crowded(|f| f.topics_crowded.0), crowded(|f| f.topics_crowded.1)));
        row.push(new_share(ran));
        row.push(ratio(ran.middle(|f| crate::figures::ratio(f.transfers, f.transfers_min))));
        row.push(format!("`{}`", first.hash));
        rows.push(row);
    }
    table(&rows)
}

/// The least that a broker which came without replicas carries, bytes and leaders, over all seeds.
fn new_share(ran: &Ran) -> String {
    let new: Vec<(f64, f64)> = ran.figures.iter().filter_map(|f| f.new_brokers).collect();
    if new.is_empty() {
        return String::new();
    }
    let least = |of: fn(&(f64, f64)) -> f64| new.iter().map(of).fold(f64::INFINITY, f64::min);
    format!("{:.3}, {:.3}", least(|share| share.0), least(|share| share.1))
}

/// What other planners made of a case.
pub fn others_table(name: &str, own: &Figures, others: &[(&'static str, Answer)]) -> String {
    let mut rows = vec![cells([
        "planner",
        "seconds",
        "copies",
        "/ bound",
        "bytes / bound",
        "replicas",
        "bytes",
        "in",
        "leaders",
        "crowded topics",
        "racks",
        "note",
    ])];
    let mut row = |planner: &str, f: &Figures, note: &str| {
        let mut row = vec![planner.to_owned(), format!("{:.4}", f.wall_ms / 1e3), f.moves.to_string()];
        row.push(ratio(f.moves_ratio()));
        row.push(ratio(f.bytes_ratio()));
        row.extend([0, 1, 2, 4].map(|at| ratio(f.balance[at].after)));
        row.push(f.topics_crowded.1.to_string());
        row.push(format!("+{}", f.racks_added));
        row.push(note.to_owned());
        rows.push(row);
    };
    row("**Ottla**", own, "");
    let mut missing = String::new();
    for (planner, answer) in others {
        match answer {
            Answer::Judged(figures, note) => row(planner, figures, note),
            Answer::NotRun { reason, remedy } => {
                let way = if remedy.is_empty() { String::new() } else { format!("; to run it: `{remedy}`") };
                let _ = writeln!(missing, "- {planner}: **not run**: {reason}{way}");
            }
        }
    }
    format!("### {name}\n\n{}\n{missing}", table(&rows))
}

/// Loads per broker before and after, brokers sorted by what they had before.
pub fn plot_loads(title: &str, figures: &Figures) -> String {
    let sorted = |pick: fn(&(f64, f64)) -> f64| {
        let mut loads: Vec<f64> = figures.loads.iter().map(pick).collect();
        loads.sort_by(|a, b| b.total_cmp(a));
        loads.into_iter().enumerate().map(|(at, load)| (at as f64, load)).collect::<Vec<_>>()
    };
    let (before, after) = (sorted(|l| l.0), sorted(|l| l.1));
    let top = before.iter().chain(&after).map(|(_, load)| *load).fold(1.2, f64::max);
    let x = Axis {
        title: "brokers, fullest first".into(),
        from: 0.0,
        to: before.len().max(2) as f64 - 1.0,
        log: false,
    };
    let y = Axis { title: "bytes / share".into(), from: 0.0, to: (top * 5.0).ceil() / 5.0, log: false };
    let series = [
        Series { name: "before".into(), points: before, line: true },
        Series { name: "after".into(), points: after, line: true },
    ];
    plot(title, &x, &y, &series)
}

/// Copies beside the fewest possible, one dot a plan.
pub fn plot_moves(points: Vec<Series>) -> String {
    let all = || points.iter().flat_map(|s| &s.points);
    let most = all().map(|(a, b)| a.max(*b)).fold(10.0, f64::max);
    let top = 10_f64.powf(most.log10().ceil());
    let axis = |title: &str| Axis { title: title.into(), from: 1.0, to: top, log: true };
    let mut series = points;
    series.push(Series { name: "bound".into(), points: vec![(1.0, 1.0), (top, top)], line: true });
    plot(
        "Copies beside the fewest possible",
        &axis("fewest copies possible"),
        &axis("copies planned"),
        &series,
    )
}

/// Time over size.
pub fn plot_time(points: Vec<(f64, f64)>) -> String {
    let x = Axis { title: "replicas".into(), from: 1e3, to: 1e7, log: true };
    let y = Axis { title: "CPU time, ms".into(), from: 0.1, to: 1e4, log: true };
    let (first, last) =
        (points.first().copied().unwrap_or((1.0, 1.0)), points.last().copied().unwrap_or((1.0, 1.0)));
    let linear = vec![(first.0, last.1 * first.0 / last.0), last];
    let series = [
        Series { name: "plans".into(), points, line: true },
        Series { name: "linear".into(), points: linear, line: true },
    ];
    plot("Time to plan", &x, &y, &series)
}
