//! Carries out the actions of a plan, one after the other.

use std::collections::BTreeSet;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use ottla_broker_types::NodeId;
use ottla_operator_crd::KafkaCluster;
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::names::{BOOTSTRAPPED_ANNOTATION, FIELD_MANAGER, RACK_ANNOTATION};
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
            KubernetesAction::MarkClaim { claim, owned, bootstrapped } => {
                self.mark(claim, *owned, *bootstrapped).await
            }
            KubernetesAction::DeleteClaim { claim } => {
                delete(self.api::<PersistentVolumeClaim>(), claim).await
            }
            KubernetesAction::DeleteConfigMap { name } => delete(self.api::<ConfigMap>(), name).await,
            KubernetesAction::DeleteService { name } => delete(self.api::<Service>(), name).await,
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
        let mut target = Target { client, stores, applied: self.applied };
        if target.apply(object).await? {
            Metrics::add(&self.context.metrics.applies, 1);
        }
        Ok(())
    }

    async fn annotate(&self, pod: &str, rack: &str) -> anyhow::Result<()> {
        let patch = serde_json::json!({ "metadata": { "annotations": { RACK_ANNOTATION: rack } } });
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
        let event = Event { warning: false, reason: "BrokerRestarts", text };
        self.context.publish(self.object, &event).await;
        Ok(())
    }

    /// Applies what is the operator's own on a claim, so that what it says no more is taken back.
    async fn mark(&self, claim: &str, owned: bool, bootstrapped: bool) -> anyhow::Result<()> {
        let mut patch = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": claim },
        });
        if bootstrapped {
            patch["metadata"]["annotations"] = serde_json::json!({ BOOTSTRAPPED_ANNOTATION: "true" });
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

    async fn grow(&self, claim: &str, size: &str) -> anyhow::Result<()> {
        let patch = serde_json::json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api::<PersistentVolumeClaim>().patch(claim, &params, &Patch::Merge(&patch)).await?;
        Ok(())
    }
}

async fn delete<K>(api: Api<K>, name: &str) -> anyhow::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
