//! What must hold for every model, whoever wrote it.

use ottla_operator_planner::rebalance::report::{
    Lists, refusal_to_json, refusal_to_text, to_json_with_reasons, to_kafka_file,
};
use ottla_operator_planner::rebalance::{
    Model, Options, RowsMax, Table, apply, lint, load, plan, read_model, store, write_model,
};

/// Entries and replicas up to which one input takes milliseconds, so that many are tried.
const ENTRIES_MAX: usize = 300;

/// Plans a model and shows the plan in every form; whatever is refused has a reason.
pub fn plan_and_show(model: &Model, seed: u64) {
    let replicas: usize = model.partitions.iter().map(|p| p.replicas_wanted().max(p.replicas.len())).sum();
    if model.brokers.len() + model.partitions.len() > ENTRIES_MAX || replicas > 10 * ENTRIES_MAX {
        return;
    }
    assert_eq!(read_model(write_model(model).as_bytes()).ok().as_ref(), Some(model));
    let planned = match plan(model, &Options { seed, ..Options::default() }) {
        Ok(planned) => planned,
        Err(refusal) => {
            assert!(!refusal.problems.is_empty());
            assert!(!refusal_to_text(&refusal, 3).is_empty());
            refusal_to_json(&refusal);
            return;
        }
    };
    for why in [false, true] {
        let table = Table { model, plan: &planned, rows_max: RowsMax::SCREEN, why };
        assert!(!table.to_string().is_empty());
    }
    lint(model, &planned);
    to_json_with_reasons(model, &planned);
    to_kafka_file(&planned, Lists::Target);
    assert_eq!(load(&store(planned.moves(), 200)).as_deref(), Ok(planned.moves()));
    let again = plan(&apply(model, &planned), &Options::default()).expect("what was planned is legal");
    assert!(again.is_empty(), "{planned}\nthen {again}");
}
