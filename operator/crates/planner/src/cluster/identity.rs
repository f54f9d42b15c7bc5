//! Which cluster this is: an id drawn once, voters chosen once, a quorum that forms once.

use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaClusterStatus;

use super::{Input, Plan, REQUEUE_BUSY, status, volumes};

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
    let claims = || input.observed.claims.values();
    let inherited = claims().find_map(|claim| claim.cluster_id.clone());
    let status = KafkaClusterStatus {
        bootstrapped: claims().any(|claim| claim.bootstrapped),
        cluster_id: Some(inherited.unwrap_or_else(|| input.fresh_cluster_id.to_owned())),
        controllers: Some(input.cluster.voters.iter().map(|id| id.get()).collect()),
        ..input.former.clone()
    };
    let text = format!("0 of {} brokers serve", input.cluster.replicas);
    Plan { actions: vec![], status: status::starting(input, status, text), requeue: REQUEUE_BUSY }
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
