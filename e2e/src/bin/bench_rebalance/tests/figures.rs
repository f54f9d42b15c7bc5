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

#[test]
fn small_cases_reach_the_figures_that_no_clock_takes_part_in() {
    let small = |case: &Case| case.spec.replicas <= REPLICAS_MAX;
    let mut problems = Vec::new();
    for case in all().into_iter().filter(small) {
        let ran = Ran { case, figures: (1..=SEEDS).map(|seed| figures(&case, seed)).collect() };
        let name = case.name;
        let mut hold = |holds: bool, what: &str| problems.extend((!holds).then(|| format!("{name}: {what}")));
        hold(
            ran.figures.iter().all(|f| f.racks_added == 0 && f.factors_wrong == 0),
            "racks or numbers of replicas",
        );
        println!(
            "{name}: copies {:.3}, bytes {:.3}, copied {}, again {}, leaders {:.3}, crowded {}, bytes {:.3}, out {:.3}",
            ran.worst(Figures::moves_ratio),
            ran.middle(Figures::bytes_ratio),
            ran.worst(|f| f.bytes as f64),
            ran.worst(|f| f.again as f64),
            ran.worst(|f| f.balance[4].after),
            ran.worst(|f| f.topics_crowded.1 as f64),
            ran.worst(|f| f.balance[1].after),
            ran.worst(|f| if f.balance[3].floor > 1.02 { f.balance[3].after } else { 1.0 }),
        );
        hold(ran.worst(|f| f.again as f64) == 0.0, "a plan after the plan changes something");
        hold(ran.worst(|f| f.balance[0].after) <= 1.05, "replicas");
        hold(ran.worst(|f| f.balance[4].after) <= 1.0, "leaders");
        match case.group {
            "S5" | "S14" => hold(ran.worst(|f| (f.moves + f.transfers) as f64) == 0.0, "changed"),
            "S6" => hold(ran.worst(|f| f.bytes as f64) == 0.0, "copied"),
            "S1" | "S2" | "S3" | "S4" | "S13" => {
                hold(ran.worst(Figures::moves_ratio) <= 1.05, "copies");
                hold(ran.middle(Figures::bytes_ratio) <= 1.05, "bytes");
            }
            "S7" => hold(ran.middle(Figures::bytes_ratio) <= 1.5, "bytes"),
            _ => {}
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
