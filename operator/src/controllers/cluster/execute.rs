//! Carries out the actions of a plan, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource};
use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaCluster;
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::names::{
    BOOTSTRAPPED_ANNOTATION, CONTROLLERS_ANNOTATION, FIELD_MANAGER, RACK_ANNOTATION,
};
use ottla_operator_planner::ownership::Marks;
use ottla_operator_planner::{Action, Event, KafkaAction, KubernetesAction};

use super::apply::{Applied, Target};
use crate::brokers;
use crate::controllers::context::Context;
use crate::metrics::Metrics;

/// Carries out the actions of one reconcile.
pub struct Executor<'a> {
    /// Clients and stores.
    pub context: &'a Context,
    /// The object, for events.
    pub object: &'a KafkaCluster,
    /// Its namespace.
    pub namespace: &'a str,
    /// The brokers.
    pub admin: &'a AdminClient,
    /// Objects applied before.
    pub applied: &'a mut Applied,
    /// Uids of pods deleted before.
    pub deleted: &'a mut BTreeSet<String>,
    /// Objects that a person has handed over, by kind and name.
    pub adopted: &'a BTreeMap<String, Marks>,
    /// Claims whose volumes cannot grow, with what the API server said.
    pub growth_refused: &'a mut BTreeMap<String, String>,
}

impl Executor<'_> {
    /// Does one thing.
    pub async fn execute(&mut self, action: &Action) -> anyhow::Result<()> {
        let outcome = match action {
            Action::Kubernetes(action) => self.act_on_object(action).await,
            Action::Kafka(action) => self.ask_brokers(action).await,
            Action::Event(event) => {
                self.context.publish(self.object, event).await;
                Ok(())
            }
        };
        outcome.with_context(|| action.to_string())
    }

    async fn act_on_object(&mut self, action: &KubernetesAction) -> anyhow::Result<()> {
        match action {
            KubernetesAction::Apply(object) => self.apply(object).await,
            KubernetesAction::AnnotateRack { pod, rack } => self.annotate(pod, rack).await,
            KubernetesAction::RestartBroker { broker, pod, uid, reason } => {
                self.restart(*broker, pod, uid, reason).await
            }
            KubernetesAction::GrowClaim { claim, size } => self.grow(claim, size).await,
            KubernetesAction::MarkClaim { claim, owned, bootstrapped, controllers } => {
                self.mark(claim, *owned, *bootstrapped, controllers).await
            }
            KubernetesAction::DeleteClaim { claim } => {
                self.delete::<PersistentVolumeClaim>(&self.context.stores.claims, claim).await
            }
            KubernetesAction::DeleteStatefulSet { name } => {
                self.delete::<StatefulSet>(&self.context.stores.stateful_sets, name).await
            }
            KubernetesAction::DeleteConfigMap { name } => {
                self.delete::<ConfigMap>(&self.context.stores.config_maps, name).await
            }
            KubernetesAction::DeleteService { name } => {
                self.delete::<Service>(&self.context.stores.services, name).await
            }
        }
    }

    async fn ask_brokers(&self, action: &KafkaAction) -> anyhow::Result<()> {
        if let KafkaAction::Reassign(changes) = action {
            Metrics::add(&self.context.metrics.reassignments, changes.len() as u64);
        }
        brokers::execute::execute(self.admin, action).await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.context.client.clone(), self.namespace)
    }

    async fn apply(&mut self, object: &ottla_operator_planner::resources::Resource) -> anyhow::Result<()> {
        let (client, stores): (&Client, _) = (&self.context.client, &self.context.stores);
        let owner_uid = self.object.metadata.uid.as_deref().unwrap_or_default();
        let mut target = Target { client, stores, applied: self.applied, owner_uid, adopted: self.adopted };
        if target.apply(object).await? {
            Metrics::add(&self.context.metrics.applies, 1);
        }
        Ok(())
    }

    async fn annotate(&self, pod: &str, rack: &str) -> anyhow::Result<()> {
        let uid = uid_of(&self.context.stores.pods, self.namespace, pod);
        let patch =
            serde_json::json!({ "metadata": { "uid": uid, "annotations": { RACK_ANNOTATION: rack } } });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api::<Pod>().patch_metadata(pod, &params, &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Deletes exactly the pod that was judged, not one that took its place.
    async fn restart(&mut self, broker: NodeId, pod: &str, uid: &str, reason: &str) -> anyhow::Result<()> {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        self.api::<Pod>().delete(pod, &params).await?;
        self.deleted.insert(uid.to_owned());
        Metrics::add(&self.context.metrics.restarts, 1);
        tracing::info!(cluster = self.object.metadata.name, %broker, reason, "a broker restarts");
        let text = format!("broker {broker} restarts: {reason}");
        let event = Event { warning: false, reason: "BrokerRestarts", subject: Some(pod.to_owned()), text };
        self.context.publish(self.object, &event).await;
        Ok(())
    }

    /// Applies what is the operator's own on a claim, so that what it says no more is taken back.
    async fn mark(
        &self,
        claim: &str,
        owned: bool,
        bootstrapped: bool,
        controllers: &[i32],
    ) -> anyhow::Result<()> {
        let uid = uid_of(&self.context.stores.claims, self.namespace, claim);
        let mut patch = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": claim, "uid": uid },
        });
        if bootstrapped {
            let ids: Vec<String> = controllers.iter().map(i32::to_string).collect();
            patch["metadata"]["annotations"] = serde_json::json!({
                BOOTSTRAPPED_ANNOTATION: "true", CONTROLLERS_ANNOTATION: ids.join(","),
            });
        }
        if owned {
            patch["metadata"]["ownerReferences"] = serde_json::json!([{
                "apiVersion": KafkaCluster::api_version(&()),
                "kind": KafkaCluster::kind(&()),
                "name": self.object.metadata.name,
                "uid": self.object.metadata.uid,
            }]);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.api::<PersistentVolumeClaim>().patch(claim, &params, &Patch::Apply(&patch)).await?;
        Ok(())
    }

    /// Asks for a larger volume, by a dry run first: what is refused is remembered and told, and nothing was changed.
    async fn grow(&mut self, claim: &str, size: &str) -> anyhow::Result<()> {
        let uid = uid_of(&self.context.stores.claims, self.namespace, claim);
        let patch = serde_json::json!({
            "metadata": { "uid": uid },
            "spec": { "resources": { "requests": { "storage": size } } },
        });
        let claims = self.api::<PersistentVolumeClaim>();
        for dry_run in [true, false] {
            let field_manager = Some(FIELD_MANAGER.to_owned());
            let params = PatchParams { field_manager, dry_run, ..PatchParams::default() };
            match claims.patch(claim, &params, &Patch::Merge(&patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if is_refusal(status.code) => {
                    self.growth_refused.insert(claim.to_owned(), status.message.clone());
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Deletes exactly the object that was seen, which is the cluster's own, and not one that took its place.
    async fn delete<K>(&self, store: &Store<K>, name: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + 'static,
    {
        let Some(uid) = uid_of(store, self.namespace, name) else { return Ok(()) };
        let preconditions = Some(Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.api::<K>().delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an answer of the API server says that it will never do this: forbidden by an admission, or invalid.
fn is_refusal(code: u16) -> bool {
    matches!(code, 403 | 422)
}

/// The uid of an object as it was seen.
fn uid_of<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<String>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))?.meta().uid.clone()
}
