//! The claims of a cluster: they grow, remember whose data they hold, and go with the cluster where that is asked for.
//!
//! Invariant: a claim never belongs to the StatefulSet. Whoever deletes that by hand loses no data: it is made again.

use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::quantity_bytes;

use super::Input;
use crate::action::{Action, KubernetesAction};
use crate::facts::ClaimFacts;

/// Claims that are smaller than asked for. Without a volume there is nothing to grow, and Kubernetes refuses; a claim
/// that a broker left behind grows when the broker comes back.
pub(super) fn grown(input: &Input<'_>, pods: i32) -> Vec<Action> {
    let storage = &input.cluster.storage;
    let wanted = quantity_bytes(&storage.size).unwrap_or(storage.size_bytes);
    let claims = input.observed.claims.iter().filter(|(id, _)| id.get() < pods);
    let small =
        claims.filter(|(_, claim)| claim.requested_bytes < wanted && claim.bound && !claim.terminating);
    small
        .map(|(_, claim)| {
            KubernetesAction::GrowClaim { claim: claim.name.clone(), size: storage.size.clone() }.into()
        })
        .collect()
}

/// Claims that do not say yet what they should.
pub(super) fn marked(input: &Input<'_>, bootstrapped: bool) -> Vec<Action> {
    let cluster = input.cluster;
    let owned = cluster.storage.deletion_policy == DeletionPolicy::Delete;
    let is_right = |claim: &&ClaimFacts| {
        let is_owned = claim.owner_uid.as_deref() == Some(&cluster.uid);
        is_owned == owned && (claim.bootstrapped || !bootstrapped)
    };
    let wrong = input.observed.claims.values().filter(|claim| !is_right(claim) && !claim.terminating);
    wrong
        .map(|claim| {
            // What a claim said before stays true.
            let bootstrapped = bootstrapped || claim.bootstrapped;
            KubernetesAction::MarkClaim { claim: claim.name.clone(), owned, bootstrapped }.into()
        })
        .collect()
}

/// How many claims of an earlier cluster of this name are about to be deleted.
pub(super) fn doomed(input: &Input<'_>) -> usize {
    let goes = |claim: &&ClaimFacts| {
        claim.terminating || claim.owner_uid.as_ref().is_some_and(|uid| *uid != input.cluster.uid)
    };
    input.observed.claims.values().filter(goes).count()
}
