//! A text is a model or it is explained why not; a model has a plan or an explanation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_operator_planner::rebalance::read_model;
use ottla_operator_planner_fuzz::plan_and_show;

fuzz_target!(|data: &[u8]| {
    match read_model(data) {
        Ok(model) => plan_and_show(&model, 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
