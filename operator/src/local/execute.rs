//! Carries out the actions of a plan, one after the other, on processes and folders.
//!
//! I/O: admin calls, signals by way of the fleet, removal of a broker's folder.

use anyhow::Context;
use k8s_openapi::api::core::v1::ConfigMap;
use ottla_broker_types::TimestampMs;
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::resources::Resource;
use ottla_operator_planner::{Action, KafkaAction, KubernetesAction, names};

use super::data_folder::{FleetSpec, Folder};
use super::fleet::Fleet;
use crate::brokers;

/// Carries out the actions of one reconcile.
pub(super) struct Executor<'a> {
    /// The processes.
    pub(super) fleet: &'a mut Fleet,
    /// Their data.
    pub(super) folder: &'a Folder,
    /// The brokers.
    pub(super) admin: &'a AdminClient,
    /// The time.
    pub(super) now: TimestampMs,
}

impl Executor<'_> {
    /// Does one thing; a sentence if a person should see it.
    pub(super) async fn execute(&mut self, action: &Action) -> anyhow::Result<Option<String>> {
        self.carry_out(action).await.with_context(|| action.to_string())?;
        Ok(told(action))
    }

    async fn carry_out(&mut self, action: &Action) -> anyhow::Result<()> {
        match action {
            Action::Kubernetes(action) => self.act_on_processes(action),
            Action::Kafka(action) => brokers::execute::execute(self.admin, action).await,
            // What events say is in the conditions, which are shown.
            Action::Event(_) => Ok(()),
        }
    }

    fn act_on_processes(&mut self, action: &KubernetesAction) -> anyhow::Result<()> {
        match action {
            KubernetesAction::Apply(Resource::StatefulSet(set)) => {
                let template = set.spec.template.metadata.as_ref();
                let labels = template.and_then(|metadata| metadata.labels.as_ref());
                let revision = labels.and_then(|labels| labels.get(names::REVISION_LABEL));
                self.fleet.set(FleetSpec {
                    replicas: set.spec.replicas.unwrap_or(1),
                    revision: revision.cloned().unwrap_or_default(),
                });
                Ok(())
            }
            KubernetesAction::Apply(Resource::ConfigMap(map)) if is_plan(map) => self.folder.keep_plan(map),
            KubernetesAction::DeleteConfigMap { name } => self.folder.forget_plan(name),
            // Services, roles and volumes have no counterpart, and racks are in the settings.
            KubernetesAction::Apply(_)
            | KubernetesAction::AnnotateRack { .. }
            | KubernetesAction::GrowClaim { .. }
            | KubernetesAction::MarkClaim { .. }
            | KubernetesAction::DeleteStatefulSet { .. }
            | KubernetesAction::DeleteService { .. } => Ok(()),
            KubernetesAction::RestartBroker { broker, .. } => {
                self.fleet.restart(*broker, self.now);
                Ok(())
            }
            KubernetesAction::DeleteClaim { claim } => match names::broker_of(claim) {
                Some(id) => self.folder.delete(id),
                None => Ok(()),
            },
        }
    }
}

/// Whether a ConfigMap holds a plan of moves; settings have files of their own.
fn is_plan(map: &ConfigMap) -> bool {
    map.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(names::PLAN_LABEL))
}

/// What a person wants to read about an action; conditions are shown anyway.
fn told(action: &Action) -> Option<String> {
    match action {
        Action::Kubernetes(KubernetesAction::DeleteClaim { claim }) => {
            names::broker_of(claim).map(|id| format!("delete the data of broker {id}"))
        }
        Action::Kubernetes(KubernetesAction::RestartBroker { .. }) => Some(action.to_string()),
        Action::Kubernetes(_) | Action::Event(_) => None,
        Action::Kafka(KafkaAction::Reassign(moves)) => {
            Some(format!("move replicas of {} partitions", moves.len()))
        }
        Action::Kafka(KafkaAction::CancelReassignments(moves)) => {
            Some(format!("cancel the moves of {} partitions", moves.len()))
        }
        Action::Kafka(_) => Some(action.to_string()),
    }
}
