//! Gathers the facts that the planner takes: from processes, from folders, from brokers. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::NodeId;
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::facts::{ClaimFacts, StatefulSetFacts};
use ottla_operator_planner::{Observed, names};

use super::data_folder::{FleetSpec, Folder};
use super::fleet::{Fleet, Template};
use super::settings;
use crate::brokers;
use crate::controllers::cluster::facts;

/// What stands for the image: there is one program.
pub(super) const IMAGE: &str = "this machine's ottla-broker";

/// Where facts come from.
pub(super) struct Sources<'a> {
    /// What is asked for.
    pub(super) cluster: &'a ValidatedCluster,
    /// The processes.
    pub(super) fleet: &'a Fleet,
    /// What they are made with.
    pub(super) template: &'a Template,
    /// Their data.
    pub(super) folder: &'a Folder,
    /// The brokers.
    pub(super) admin: &'a AdminClient,
}

/// Looks at the cluster. `spec` is who shall run, also before anybody does.
pub(super) async fn observe(
    sources: &Sources<'_>,
    former: &KafkaClusterStatus,
    spec: Option<&FleetSpec>,
) -> Observed {
    let cluster = sources.cluster;
    let rack = |id| settings::rack(cluster, id);
    let image = cluster.image.as_deref().unwrap_or(IMAGE);
    let pods = sources.fleet.pods(sources.template, image, &rack);
    let running = spec.map_or(cluster.replicas, |spec| spec.replicas);
    Observed {
        stateful_set: spec.map(|spec| StatefulSetFacts {
            replicas: spec.replicas,
            claim_size: None,
            claim_class: None,
            image: None,
            revision: Some(spec.revision.clone()),
        }),
        not_made: BTreeMap::new(),
        claims: claims(cluster, sources.folder),
        config_maps: BTreeSet::new(),
        services: BTreeSet::new(),
        others: BTreeMap::new(),
        growth_refused: BTreeMap::new(),
        plan: facts::kept_plan(&sources.folder.plan()),
        kafka: brokers::observe::observe(sources.admin, cluster, former, &pods, running).await,
        safety: BTreeMap::new(),
        pods,
    }
}

/// A folder holds what a claim holds on Kubernetes; it is never too small, and needs no notes on it.
fn claims(cluster: &ValidatedCluster, folder: &Folder) -> BTreeMap<NodeId, ClaimFacts> {
    let goes_along = cluster.storage.deletion_policy == DeletionPolicy::Delete;
    let claims = folder.brokers().into_iter().map(|(id, cluster_id)| {
        let facts = ClaimFacts {
            name: names::claim(&cluster.name, id),
            requested_bytes: u64::MAX,
            capacity_bytes: None,
            controllers: Some(cluster.voters.iter().map(|id| id.get()).collect()),
            unused: false,
            bootstrapped: cluster_id.is_some(),
            cluster_id,
            bound: true,
            owner_uid: goes_along.then(|| cluster.uid.clone()),
            terminating: false,
        };
        (id, facts)
    });
    claims.collect()
}
