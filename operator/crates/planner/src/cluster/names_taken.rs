//! Objects of others that have a name which the cluster needs: nothing is done until that is settled.

use ottla_broker_types::NodeId;

use super::{Input, Plan, REQUEUE_BUSY, stalled, status};
use crate::names;
use crate::ownership::{Whose, whose, whose_claim};
use crate::resources::{Build, Resource};

/// The plan while a name is taken; `None` if all are free or the cluster's own.
pub(super) fn plan(input: &Input<'_>, cluster_id: &str, build: &Build<'_>) -> Option<Plan> {
    let objects = build.objects();
    let labels = objects.iter().map(Resource::label);
    let objects = labels.filter_map(|label| {
        let marks = input.observed.others.get(&label)?;
        Some((whose(input.cluster, &label, marks), label))
    });
    let claims = (0..build.replicas).filter_map(|id| {
        let claim = names::claim(&input.cluster.name, NodeId(id));
        let label = names::claim_label(&claim);
        let marks = input.observed.others.get(&label)?;
        Some((whose_claim(input.cluster, cluster_id, &claim, marks), label))
    });
    let (mut former, mut taken) = (None, vec![]);
    for (whose, label) in objects.chain(claims) {
        match whose {
            Whose::Ours => {}
            Whose::Former => former = Some(label),
            Whose::Others(problem) => taken.push(problem),
        }
    }
    if let Some(first) = taken.first() {
        let more = match taken.len() {
            1 => String::new(),
            count => format!("; and {} more", count - 1),
        };
        return Some(stalled(input, "NameTaken", format!("{first}{more}")));
    }
    let label = former?;
    let text = format!("waiting until {label} of an earlier cluster of this name is deleted");
    let status = status::starting(input, input.former.clone(), text);
    Some(Plan { actions: vec![], status, requeue: REQUEUE_BUSY })
}
