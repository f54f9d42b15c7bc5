//! Which cluster this is: an id drawn once, voters chosen once, a quorum that forms once.

use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaClusterStatus;

use super::{Input, Plan, REQUEUE_BUSY, stalled, status, volumes};

/// The first step of a new object: keep its identity in status before anything is made with it.
///
/// Claims that an earlier object of the same name left behind give the id that their data belongs to, and say whether
/// its quorum had formed: if not, they are empty, and a quorum must form now. Those that are about to go give nothing.
pub(super) fn first(input: &Input<'_>) -> Plan {
    let doomed = volumes::doomed(input);
    if doomed > 0 {
        let text = format!("waiting until {doomed} volumes of an earlier cluster of this name are deleted");
        let status = status::starting(input, input.former.clone(), text);
        return Plan { actions: vec![], status, requeue: REQUEUE_BUSY };
    }
    let unused = volumes::unused(input);
    if !unused.is_empty() {
        let text = format!(
            "waiting until {} claims of an earlier cluster of this name, which never got a volume, are deleted",
            unused.len()
        );
        let status = status::starting(input, input.former.clone(), text);
        return Plan { actions: unused, status, requeue: REQUEUE_BUSY };
    }
    if let Some(problem) = of_two_clusters(input) {
        return stalled(input, "VolumesOfAnother", problem);
    }
    let controllers = controllers(input);
    if let Some(problem) = too_few(input, &controllers) {
        return stalled(input, "InvalidSpec", problem);
    }
    let claims = || input.observed.claims.values();
    let inherited = claims().find_map(|claim| claim.cluster_id.clone());
    let status = KafkaClusterStatus {
        bootstrapped: claims().any(|claim| claim.bootstrapped),
        cluster_id: Some(inherited.unwrap_or_else(|| input.fresh_cluster_id.to_owned())),
        controllers: Some(controllers),
        ..input.former.clone()
    };
    let text = format!("0 of {} brokers serve", input.cluster.replicas);
    Plan { actions: vec![], status: status::starting(input, status, text), requeue: REQUEUE_BUSY }
}

/// Volumes of two clusters under one name: whichever is taken, the other's brokers could not start.
fn of_two_clusters(input: &Input<'_>) -> Option<String> {
    let mut known =
        input.observed.claims.values().filter_map(|claim| Some((claim.cluster_id.as_ref()?, claim)));
    let (id, first) = known.next()?;
    let (other, second) = known.find(|(other, _)| *other != id)?;
    Some(format!(
        "PersistentVolumeClaim {} holds data of cluster {id} and {} of cluster {other}: delete the claims of the one that is not wanted",
        first.name, second.name
    ))
}

/// The brokers that keep the metadata: those that did so in the cluster whose volumes are there, else as the spec says.
///
/// Claims of releases that did not note them are counted: three or more belong to the default of three.
fn controllers(input: &Input<'_>) -> Vec<i32> {
    let formed = || input.observed.claims.iter().filter(|(_, claim)| claim.bootstrapped);
    if let Some(noted) = formed().find_map(|(_, claim)| claim.controllers.clone()) {
        return noted;
    }
    let chosen: Vec<i32> = input.cluster.voters.iter().map(|id| id.get()).collect();
    if formed().count() > chosen.len() && chosen.len() < CONTROLLERS_DEFAULT {
        return (0..CONTROLLERS_DEFAULT as i32).collect();
    }
    chosen
}

/// Brokers that keep the metadata, of three and more, unless a spec says otherwise.
const CONTROLLERS_DEFAULT: usize = 3;

/// Why a cluster with these controllers cannot run with as few brokers as the spec asks for, or with other controllers.
fn too_few(input: &Input<'_>, controllers: &[i32]) -> Option<String> {
    let replicas = input.cluster.replicas;
    let least = controllers.iter().max().map_or(1, |last| last + 1);
    let chosen: Vec<i32> = input.cluster.voters.iter().map(|id| id.get()).collect();
    let ids: Vec<String> = controllers.iter().map(i32::to_string).collect();
    let ids = ids.join(", ");
    let names: Vec<&str> = input.observed.claims.values().map(|claim| claim.name.as_str()).collect();
    let anew =
        format!("delete the PersistentVolumeClaims {} to begin anew without their data", names.join(", "));
    if replicas < least {
        return Some(format!(
            "spec.replicas is {replicas}, but volumes of an earlier cluster of this name are there, whose metadata brokers {ids} keep: set spec.replicas to {least} or more, or {anew}"
        ));
    }
    (input.cluster.controllers_given && chosen.len() != controllers.len()).then(|| {
        format!(
            "spec.controllers is {}, but volumes of an earlier cluster of this name are there, whose metadata brokers {ids} keep: set spec.controllers to {}, or {anew}",
            chosen.len(),
            controllers.len()
        )
    })
}

/// Brokers that answer under another id: nothing here belongs to this object.
pub(super) fn foreign(input: &Input<'_>, cluster_id: &str) -> Option<String> {
    let kafka = input.observed.kafka()?;
    (!kafka.cluster_id.is_empty() && kafka.cluster_id != cluster_id).then(|| {
        format!(
            "the brokers answer as cluster {}, but this object is cluster {cluster_id}: their volumes belong to another cluster",
            kafka.cluster_id
        )
    })
}

/// Whether the quorum has formed: once every voter was ready together, for ever.
pub(super) fn bootstrapped(input: &Input<'_>) -> bool {
    let ready = |id: &NodeId| input.observed.pods.get(id).is_some_and(|pod| pod.ready);
    let formed = input.observed.kafka().is_some_and(|kafka| kafka.controller.is_some());
    input.former.bootstrapped || (formed && input.cluster.voters.iter().all(ready))
}
