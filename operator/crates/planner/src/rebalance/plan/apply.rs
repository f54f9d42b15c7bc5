//! What a cluster looks like after a plan. No I/O.

use super::moves::Plan;
use crate::rebalance::model::Model;

/// The model as it is once `plan` is executed in full: replica lists and numbers of replicas as planned.
pub fn apply(model: &Model, plan: &Plan) -> Model {
    let mut after = model.clone();
    let order = after.order();
    for step in plan.moves() {
        let found = order.binary_search_by(|&at| {
            let partition = &after.partitions[at as usize];
            (&partition.topic, partition.index).cmp(&(&step.topic, step.partition))
        });
        if let Ok(at) = found {
            let partition = &mut after.partitions[order[at] as usize];
            partition.replicas.clone_from(&step.target);
            partition.replication_factor = None;
        }
    }
    after
}
