//! The figures of the benchmark's small cases that no clock takes part in.

use ottla_operator_planner::rebalance::{Options, apply, plan};

use crate::cases::{Case, all};
use crate::child::case_model;
use crate::figures::Figures;
use crate::gates::Ran;

/// Cases that take milliseconds.
const REPLICAS_MAX: usize = 6_000;
/// Fewer than the benchmark has, so that every test run can afford them.
const SEEDS: u64 = 3;

fn figures(case: &Case, seed: u64) -> Figures {
    let model = case_model(case, seed).expect("a model");
    let planned = plan(&model, &Options::default()).expect("a plan");
    let repeated = plan(&model, &Options::default()).expect("the same plan");
    assert_eq!(planned.hash(), repeated.hash(), "{} {seed}: two plans of one model differ", case.name);
    let again = plan(&apply(&model, &planned), &Options::default()).expect("an empty plan").moves().len();
    Figures { again, ..Figures::of(&model, &planned) }
}

/// Aims that are not reached since topics are spread by their load before copies are counted, and what is held instead, so
/// that nothing gets worse unnoticed. The aims themselves stand in `gates.rs`, and the benchmark marks them as missed.
const MISSED: [(&str, &str, f64); 6] = [
    ("s1-20-to-24", "copies", 1.056),
    ("s1-20-to-24", "bytes", 1.067),
    ("s3-rack-12", "copies", 1.18),
    ("s3-rack-12", "bytes", 1.10),
    ("s7-drift-12", "bytes", 1.583),
    // Replicas of crowded topics move beside the leaders.
    ("s6-leaders-12", "copied", 2.2e9),
];

/// The limit of a figure: the aim, or what is held where that is missed.
fn limit(case: &str, figure: &str, aim: f64) -> f64 {
    let missed = MISSED.iter().find(|(name, what, _)| (*name, *what) == (case, figure));
    missed.map_or(aim, |(_, _, held)| *held)
}

/// Partitions that the plan after a plan changes: none, but where a new rack drew topics together.
fn again_max(case: &str) -> f64 {
    if case == "s3-rack-12" { 43.0 } else { 0.0 }
}

#[test]
fn small_cases_reach_the_figures_that_no_clock_takes_part_in() {
    let small = |case: &Case| case.spec.replicas <= REPLICAS_MAX;
    for case in all().into_iter().filter(small) {
        let ran = Ran { case, figures: (1..=SEEDS).map(|seed| figures(&case, seed)).collect() };
        let name = case.name;
        assert!(ran.figures.iter().all(|f| f.racks_added == 0 && f.factors_wrong == 0), "{name}");
        assert!(
            ran.worst(|f| f.again as f64) <= again_max(name),
            "{name}: a plan after the plan changes something"
        );
        assert!(ran.worst(|f| f.balance[0].after) <= 1.05, "{name}: replicas");
        assert!(ran.worst(|f| f.balance[4].after) <= 1.0205, "{name}: leaders");
        match case.group {
            "S5" | "S14" => assert_eq!(ran.worst(|f| (f.moves + f.transfers) as f64), 0.0, "{name}"),
            "S6" => assert!(ran.worst(|f| f.bytes as f64) <= limit(name, "copied", 0.0), "{name}"),
            "S1" | "S2" | "S3" | "S4" | "S13" => {
                assert!(ran.worst(Figures::moves_ratio) <= limit(name, "copies", 1.05), "{name}: copies");
                assert!(ran.middle(Figures::bytes_ratio) <= limit(name, "bytes", 1.05), "{name}: bytes");
            }
            "S7" => assert!(ran.middle(Figures::bytes_ratio) <= limit(name, "bytes", 1.5), "{name}: bytes"),
            _ => {}
        }
    }
}
