//! Edits of spec.storage: free until there is a volume, for good after that.

use ottla_operator_crd::quantity_bytes;

use super::{Input, Plan, REQUEUE_BUSY, stalled, status, volumes};
use crate::action::KubernetesAction;
use crate::names;

/// The plan while the StatefulSet makes claims of another class or size than asked for. As long as no claim has a volume
/// everything is made anew; after that the class is for good, and a template's size does not matter.
pub(super) fn unfit(input: &Input<'_>) -> Option<Plan> {
    let claims = &input.observed.claims;
    let storage = &input.cluster.storage;
    let set = input.observed.stateful_set.as_ref();
    let is_new = !input.former.bootstrapped && claims.values().all(|claim| claim.unused);
    let other_class = set.is_some_and(|set| set.claim_size.is_some() && set.claim_class != storage.class);
    let bytes = set.and_then(|set| set.claim_size.as_deref()).and_then(quantity_bytes);
    let other_size = bytes.is_some_and(|bytes| bytes != storage.size_bytes);
    if other_class && !is_new {
        let class = |class: &Option<String>| class.clone().unwrap_or_else(|| "left out".to_owned());
        let was = class(&set.and_then(|set| set.claim_class.clone()));
        let problem = format!(
            "spec.storage.class is {}, and volumes of the class {was} hold data: set spec.storage.class back ({was}), or make a new cluster and move the topics there",
            class(&storage.class)
        );
        return Some(stalled(input, "StorageFixed", problem));
    }
    let goes = is_new && claims.values().any(|claim| claim.terminating);
    if !goes && !(is_new && (other_class || other_size)) {
        return None;
    }
    let text = "spec.storage was changed before there was a volume: waiting until claims and StatefulSet are made anew";
    let mut actions = vec![];
    if other_class || other_size {
        let name = names::brokers(&input.cluster.name);
        actions.push(KubernetesAction::DeleteStatefulSet { name }.into());
    }
    actions.extend(volumes::unused(input));
    let status = status::starting(input, input.former.clone(), text.to_owned());
    Some(Plan { actions, status, requeue: REQUEUE_BUSY })
}
