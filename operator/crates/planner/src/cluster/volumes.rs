//! The claims of a cluster: they grow, remember whose data they hold, and go with the cluster where that is asked for.
//!
//! Invariant: a claim never belongs to the StatefulSet. Whoever deletes that by hand loses no data: it is made again.

use ottla_broker_types::NodeId;
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
    let refused = &input.observed.growth_refused;
    let small = claims.filter(|(_, claim)| {
        claim.requested_bytes < wanted
            && claim.bound
            && !claim.terminating
            && !refused.contains_key(&claim.name)
    });
    small
        .map(|(_, claim)| {
            KubernetesAction::GrowClaim { claim: claim.name.clone(), size: storage.size.clone() }.into()
        })
        .collect()
}

/// Claims that do not say yet what they should.
pub(super) fn marked(input: &Input<'_>, bootstrapped: bool) -> Vec<Action> {
    let cluster = input.cluster;
    let controllers: Vec<i32> = cluster.voters.iter().map(|id| id.get()).collect();
    let owned = cluster.storage.deletion_policy == DeletionPolicy::Delete;
    // A broker that has joined has written to its volume; one that was made anew has not, and must not seem to have.
    let joined = |id: &NodeId| input.observed.pods.get(id).is_some_and(|pod| pod.ready);
    let is_right = |(id, claim): &(&NodeId, &ClaimFacts)| {
        let bootstrapped = bootstrapped && (claim.bootstrapped || joined(id));
        let is_owned = claim.owner_uid.as_deref() == Some(&cluster.uid);
        is_owned == owned
            && (!bootstrapped || (claim.bootstrapped && claim.controllers.as_ref() == Some(&controllers)))
    };
    let wrong = input.observed.claims.iter().filter(|entry| !is_right(entry) && !entry.1.terminating);
    wrong
        .map(|(id, claim)| {
            // What a claim said before stays true.
            let bootstrapped = claim.bootstrapped || (bootstrapped && joined(id));
            let (claim, controllers) = (claim.name.clone(), controllers.clone());
            KubernetesAction::MarkClaim { claim, owned, bootstrapped, controllers }.into()
        })
        .collect()
}

/// What the API server said to the growth of a volume, with the way out.
pub(super) fn growth_refused(input: &Input<'_>) -> Option<String> {
    let (claim, why) = input.observed.growth_refused.iter().next()?;
    let storage = &input.cluster.storage;
    let back = size(input).unwrap_or_default();
    Some(format!(
        "PersistentVolumeClaim {claim} cannot grow to {}: {why}; set spec.storage.size back to {back}, or let its StorageClass allow volume expansion",
        storage.size
    ))
}

/// The size that volumes have for good, and below which spec.storage.size cannot go; `None` while there is none. Never
/// above what is asked for: whoever grew a claim by hand has changed nothing about the cluster.
pub(super) fn size(input: &Input<'_>) -> Option<String> {
    let used =
        input.observed.claims.values().filter(|claim| !claim.unused && claim.requested_bytes < u64::MAX);
    let bytes = used.map(|claim| claim.capacity_bytes.unwrap_or(claim.requested_bytes)).max()?;
    Some(if bytes >= input.cluster.storage.size_bytes {
        input.cluster.storage.size.clone()
    } else {
        written(bytes)
    })
}

/// Bytes as a quantity of Kubernetes.
fn written(bytes: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units.into_iter().find(|(bits, _)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| bytes.to_string(), |(bits, unit)| format!("{}{unit}", bytes >> bits))
}

/// Deletes claims that never got a volume: they hold nothing, and their class and size can never change.
pub(super) fn unused(input: &Input<'_>) -> Vec<Action> {
    let claims = input.observed.claims.values().filter(|claim| claim.unused && !claim.terminating);
    claims.map(|claim| KubernetesAction::DeleteClaim { claim: claim.name.clone() }.into()).collect()
}

/// How many claims of an earlier cluster of this name are about to be deleted.
pub(super) fn doomed(input: &Input<'_>) -> usize {
    let goes = |claim: &&ClaimFacts| {
        claim.terminating || claim.owner_uid.as_ref().is_some_and(|uid| *uid != input.cluster.uid)
    };
    input.observed.claims.values().filter(goes).count()
}
