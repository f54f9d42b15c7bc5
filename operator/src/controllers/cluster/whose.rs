//! Looks up objects that have a name which a plan needs, and that are not known to be the cluster's. It changes nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedCluster};
use ottla_operator_planner::Plan;
use ottla_operator_planner::ownership::{Marks, Whose, is_owned_by, whose_claim};
use serde::de::DeserializeOwned;

use super::facts::marks;
use crate::stores::Stores;

/// Where is looked.
pub struct Lookup<'a> {
    /// The client.
    pub client: &'a Client,
    /// What is there with the label of a cluster.
    pub stores: &'a Stores,
    /// The cluster.
    pub cluster: &'a ValidatedCluster,
    /// Its status.
    pub former: &'a KafkaClusterStatus,
}

impl Lookup<'_> {
    /// The objects that the plan would change although they are not known to be the cluster's, by kind and name.
    ///
    /// The stores know the cluster's own, so that a cluster at rest costs no call.
    pub async fn others(&self, plan: &Plan) -> Result<BTreeMap<String, Marks>, kube::Error> {
        let mut others = BTreeMap::new();
        for label in plan.needed(&self.cluster.name) {
            let Some((kind, name)) = label.split_once(' ') else { continue };
            let stores = self.stores;
            let found = match kind {
                "ServiceAccount" => self.object::<ServiceAccount>(&stores.service_accounts, name).await?,
                "ConfigMap" => self.object::<ConfigMap>(&stores.config_maps, name).await?,
                "Service" => self.object::<Service>(&stores.services, name).await?,
                "NetworkPolicy" => self.object::<NetworkPolicy>(&stores.network_policies, name).await?,
                "PodDisruptionBudget" => self.object::<PodDisruptionBudget>(&stores.budgets, name).await?,
                "StatefulSet" => self.object::<StatefulSet>(&stores.stateful_sets, name).await?,
                _ => self.claim(name).await?,
            };
            others.extend(found.map(|marks| (label, marks)));
        }
        Ok(others)
    }

    async fn object<K>(&self, store: &Store<K>, name: &str) -> Result<Option<Marks>, kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + 'static,
    {
        let uid = &self.cluster.uid;
        let namespace = &self.cluster.namespace;
        let known = store.get(&ObjectRef::new(name).within(namespace)).map(|object| marks(object.as_ref()));
        if known.is_some_and(|marks| is_owned_by(&marks, uid)) {
            return Ok(None);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_metadata_opt(name).await?.map(|object| marks(&object));
        Ok(found.filter(|marks| !is_owned_by(marks, uid)))
    }

    async fn claim(&self, name: &str) -> Result<Option<Marks>, kube::Error> {
        let id = self.former.cluster_id.as_deref().unwrap_or_default();
        let is_ours = |marks: &Marks| whose_claim(self.cluster, id, name, marks) == Whose::Ours;
        let namespace = &self.cluster.namespace;
        let known = self.stores.claims.get(&ObjectRef::new(name).within(namespace));
        if known.is_some_and(|claim| is_ours(&marks(claim.as_ref()))) {
            return Ok(None);
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_metadata_opt(name).await?.map(|claim| marks(&claim));
        Ok(found.filter(|marks| !is_ours(marks)))
    }
}
