//! One reconcile of a cluster: observe, validate, plan, execute, write status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_types::TimestampMs;
use ottla_operator_crd::{KafkaCluster, KafkaClusterStatus, ValidatedCluster};
use ottla_operator_planner::{Action, KubernetesAction, Plan, failed_pause, plan_failed, plan_invalid};

use super::apply::Applied;
use super::execute::Executor;
use super::observe::{Observation, observe};
use super::whose::Lookup;
use crate::brokers::plan::{Planned, Request, plan};
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::status;
use crate::metrics::Metrics;
use crate::sentence::{of_kube, sentence};
use crate::workers::{ClusterKey, Next};

/// Failures in a row after which status says so: shorter ones are conflicts and restarts that pass.
const FAILURES_TOLD: u32 = 5;

/// A volume that could not grow is tried again after so many reconciles: a class may have been changed to allow it.
const GROWTH_TRIED_AGAIN: u64 = 20;

/// What a worker remembers between two reconciles.
pub struct Worker {
    context: Arc<Context>,
    key: ClusterKey,
    applied: Applied,
    /// Uids of deleted pods; each is forgotten once the stores have lost its pod.
    deleted: BTreeSet<String>,
    /// The status written last: the stores may still show an older one.
    written: Option<KafkaClusterStatus>,
    failures: u32,
    reconciles: u64,
    /// Claims whose volumes could not grow, what the API server said, and the generation for which they were tried.
    growth_refused: BTreeMap<String, String>,
    growth_tried_for: Option<i64>,
    /// The object that all this is about: one made anew under the same name begins anew.
    uid: Option<String>,
}

/// What did not work.
struct Failure {
    problem: String,
    /// Whether the plan's restart was carried out all the same.
    restarted: bool,
}

impl Worker {
    /// A worker for the cluster of that key.
    pub fn new(context: Arc<Context>, key: ClusterKey) -> Worker {
        Worker {
            context,
            key,
            applied: Applied::default(),
            deleted: BTreeSet::new(),
            written: None,
            failures: 0,
            reconciles: 0,
            growth_refused: BTreeMap::new(),
            growth_tried_for: None,
            uid: None,
        }
    }

    async fn reconcile(&mut self) -> Next {
        let context = Arc::clone(&self.context);
        let Some(object) = context.stores.cluster(&self.key) else { return Next::Stop };
        if object.metadata.deletion_timestamp.is_some() {
            // What it owns goes by owner references; there is nothing to hold on to.
            return Next::After(Duration::from_secs(60));
        }
        if self.uid != object.metadata.uid {
            *self = Worker::new(Arc::clone(&context), self.key.clone());
            self.uid.clone_from(&object.metadata.uid);
        }
        Metrics::add(&context.metrics.reconciles, 1);
        let mut object = (*object).clone();
        let former = self.written.clone().or_else(|| object.status.clone()).unwrap_or_default();
        object.status = Some(former.clone());
        let now = clock::now();
        let mut plan = match ValidatedCluster::new(&object) {
            Err(problems) => {
                let plan = plan_invalid(&former, object.metadata.generation, &problems, now);
                self.carry_out(&object, None, &plan).await;
                plan
            }
            Ok(cluster) => {
                let (Planned { plan, refused }, observation) = self.plan(&cluster, &former, now).await;
                let failure = match refused {
                    Some(problem) => Some(self.refused(problem)),
                    None => self.carry_out(&object, Some(&observation), &plan).await,
                };
                match failure {
                    None => plan,
                    Some(failure) => self.failed(&object, plan, &former, &failure).await,
                }
            }
        };
        if let Err(error) = self.write(&object, &former, &plan.status).await {
            tracing::warn!(cluster = %self.key, %error, "the status was not written");
            plan.requeue.0 = plan.requeue.0.min(1_000);
        }
        Next::After(plan.requeue.to_std())
    }

    /// Facts and the plan that follows from them.
    async fn plan(
        &mut self,
        cluster: &ValidatedCluster,
        former: &KafkaClusterStatus,
        now: TimestampMs,
    ) -> (Planned, Observation) {
        let context = Arc::clone(&self.context);
        let mut observation = observe(&context, &self.key, cluster, former, &self.deleted, now).await;
        let seen: BTreeSet<&str> = observation.observed.pods.values().map(|pod| pod.uid.as_str()).collect();
        self.deleted.retain(|uid| seen.contains(uid.as_str()));
        if self.growth_tried_for != cluster.generation || self.reconciles.is_multiple_of(GROWTH_TRIED_AGAIN) {
            self.growth_refused.clear();
            self.growth_tried_for = cluster.generation;
        }
        self.reconciles = self.reconciles.wrapping_add(1);
        observation.observed.growth_refused = self.growth_refused.clone();
        let request = Request { cluster, former, defaults: &context.defaults, now };
        let planned = plan(&request, &mut observation.observed, &observation.ready).await;
        let lookup = Lookup { client: &context.client, stores: &context.stores, cluster, former };
        match lookup.others(&planned.plan).await {
            Ok(others) if others.is_empty() => (planned, observation),
            Ok(others) => {
                observation.observed.others = others;
                (plan(&request, &mut observation.observed, &observation.ready).await, observation)
            }
            Err(error) => {
                let refused = Some(format!(
                    "nobody knows whose the objects are that the plan changes: {}",
                    of_kube(&error)
                ));
                (Planned { plan: Plan::refused(former), refused }, observation)
            }
        }
    }

    fn refused(&self, problem: String) -> Failure {
        tracing::error!(cluster = %self.key, problem, "the plan is not executed");
        Metrics::add(&self.context.metrics.failures, 1);
        Failure { problem, restarted: false }
    }

    /// Does what the plan says and gives the first failure back. Nothing follows an object that was not applied; other
    /// actions do not depend on each other.
    async fn carry_out(
        &mut self,
        object: &KafkaCluster,
        observation: Option<&Observation>,
        plan: &Plan,
    ) -> Option<Failure> {
        let context = Arc::clone(&self.context);
        let Some(observation) = observation else {
            for action in &plan.actions {
                if let Action::Event(event) = action {
                    context.publish(object, event).await;
                }
            }
            return None;
        };
        let mut executor = Executor {
            context: &context,
            object,
            namespace: &self.key.namespace,
            admin: &observation.admin,
            applied: &mut self.applied,
            deleted: &mut self.deleted,
            adopted: &observation.observed.others,
            growth_refused: &mut self.growth_refused,
        };
        let mut problem = None;
        let mut restarted = false;
        for action in &plan.actions {
            let applies = matches!(action, Action::Kubernetes(KubernetesAction::Apply(_)));
            if !applies {
                tracing::debug!(cluster = %self.key, %action, "act");
            }
            if let Err(error) = executor.execute(action).await {
                let text = sentence(&error);
                tracing::warn!(cluster = %self.key, problem = text, "an action failed and is tried again");
                Metrics::add(&context.metrics.failures, 1);
                problem.get_or_insert(text);
                if applies {
                    break;
                }
                continue;
            }
            restarted |= matches!(action, Action::Kubernetes(KubernetesAction::RestartBroker { .. }));
        }
        if problem.is_none() {
            self.failures = 0;
        }
        problem.map(|problem| Failure { problem, restarted })
    }

    /// The plan to tell about after a failure: the planned status, or after many failures the failure itself.
    async fn failed(
        &mut self,
        object: &KafkaCluster,
        mut plan: Plan,
        former: &KafkaClusterStatus,
        failure: &Failure,
    ) -> Plan {
        self.failures = self.failures.saturating_add(1);
        if !failure.restarted {
            plan.without_restart(former);
        }
        if self.failures < FAILURES_TOLD {
            let requeue = ottla_broker_types::DurationMs(500 << self.failures.min(4));
            return Plan { requeue, actions: vec![], ..plan };
        }
        let mut told = plan_failed(former, plan.status, &failure.problem, clock::now());
        self.carry_out(object, None, &told).await;
        told.requeue = failed_pause(self.failures - FAILURES_TOLD);
        told
    }

    /// Writes the status if it changed. An identity is written only onto the object that was seen: another operator that
    /// looks after the same namespace may draw one at the same time, and the cluster has the first.
    async fn write(
        &mut self,
        object: &KafkaCluster,
        former: &KafkaClusterStatus,
        status: &KafkaClusterStatus,
    ) -> Result<(), kube::Error> {
        if former == status {
            return Ok(());
        }
        let draws = former.cluster_id.is_none() && status.cluster_id.is_some();
        let seen = object.metadata.resource_version.as_deref().filter(|_| draws);
        let (client, ClusterKey { namespace, name }) = (&self.context.client, &self.key);
        status::write::<KafkaCluster, _>(client, namespace, name, seen, status).await?;
        Metrics::add(&self.context.metrics.statuses, 1);
        self.written = Some(status.clone());
        Ok(())
    }
}

/// The plan that the next reconcile would carry out, without doing any of it; an error if it would be refused.
pub async fn preview(context: Arc<Context>, key: ClusterKey) -> anyhow::Result<Plan> {
    let object =
        context.stores.cluster(&key).ok_or_else(|| anyhow::anyhow!("there is no KafkaCluster {key}"))?;
    let former = object.status.clone().unwrap_or_default();
    let now = clock::now();
    let cluster = match ValidatedCluster::new(&object) {
        Err(problems) => return Ok(plan_invalid(&former, object.metadata.generation, &problems, now)),
        Ok(cluster) => cluster,
    };
    let (planned, _) = Worker::new(context, key).plan(&cluster, &former, now).await;
    match planned.refused {
        None => Ok(planned.plan),
        Some(problem) => anyhow::bail!(problem),
    }
}

/// One reconcile.
pub async fn reconcile(mut worker: Worker) -> (Worker, Next) {
    let next = worker.reconcile().await;
    (worker, next)
}
