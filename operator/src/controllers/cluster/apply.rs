//! Makes objects what they should be, by server-side apply; what is so already costs no call.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use ottla_operator_planner::names::FIELD_MANAGER;
use ottla_operator_planner::ownership::{Marks, is_owned_by};
use ottla_operator_planner::resources::Resource as Planned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::facts::marks;
use crate::stores::Stores;

/// Even an object that looks right is applied again after that many reconciles, in case its metadata was touched.
const SKIPPED_MAX: u32 = 300;

/// What this process has applied, by object.
#[derive(Debug, Default)]
pub struct Applied {
    by_label: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// Of what was applied.
    hash: u64,
    /// Of what the API server made of it.
    version: Version,
    skipped: u32,
}

/// Changes when anybody changes what an object should be, and not with its status where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    Generation(i64),
    Resource(Option<String>),
}

fn version<K: Resource>(object: &K) -> Version {
    match object.meta().generation.filter(|generation| *generation > 0) {
        Some(generation) => Version::Generation(generation),
        None => Version::Resource(object.meta().resource_version.clone()),
    }
}

/// Where objects are applied.
pub struct Target<'a> {
    /// The client.
    pub client: &'a Client,
    /// What is there.
    pub stores: &'a Stores,
    /// What was applied.
    pub applied: &'a mut Applied,
    /// The uid of the KafkaCluster.
    pub owner_uid: &'a str,
    /// Objects that a person has handed over, by kind and name.
    pub adopted: &'a BTreeMap<String, Marks>,
}

impl Target<'_> {
    /// Applies an object; says whether a call was made.
    ///
    /// What is there must be the cluster's own: it is named by its uid, so that what took its place stays as it is. What
    /// was not there when the plan was made is applied without force, which fails where somebody else was faster.
    pub async fn apply(&mut self, object: &Planned) -> Result<bool, kube::Error> {
        let stores = self.stores;
        match object {
            Planned::ServiceAccount(object) => self.one(&**object, &stores.service_accounts).await,
            Planned::ConfigMap(object) => self.one(&**object, &stores.config_maps).await,
            Planned::Service(object) => self.one(&**object, &stores.services).await,
            Planned::NetworkPolicy(object) => self.one(&**object, &stores.network_policies).await,
            Planned::PodDisruptionBudget(object) => self.one(&**object, &stores.budgets).await,
            Planned::StatefulSet(object) => self.one(&**object, &stores.stateful_sets).await,
        }
    }

    async fn one<K>(&mut self, object: &K, store: &Store<K>) -> Result<bool, kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned
            + 'static,
    {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let label = format!("{} {name}", K::kind(&()));
        let hash = hash_of(object);
        let present: Option<Arc<K>> = store.get(&ObjectRef::new(&name).within(&namespace));
        if let (Some(known), Some(present)) = (self.applied.by_label.get_mut(&label), &present)
            && known.hash == hash
            && known.version == version(present.as_ref())
            && known.skipped < SKIPPED_MAX
        {
            known.skipped += 1;
            return Ok(false);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let own = present.filter(|present| is_owned_by(&marks(present.as_ref()), self.owner_uid));
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = own.is_some() || self.adopted.contains_key(&label);
        let mut wanted = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        if let Some(uid) = own.and_then(|own| own.meta().uid.clone()) {
            wanted["metadata"]["uid"] = uid.into();
        }
        let made = api.patch(&name, &params, &Patch::Apply(&wanted)).await?;
        self.applied.by_label.insert(label, Known { hash, version: version(&made), skipped: 0 });
        Ok(true)
    }
}

fn hash_of<K: Serialize>(object: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(object).expect("an object of the planner is JSON").hash(&mut hasher);
    hasher.finish()
}
