//! The plan of one cluster: what to do now, and what status says. Pure.

mod brokers;
mod config;
mod identity;
mod lint;
mod names_taken;
mod status;
mod storage_change;
mod volumes;

use std::fmt;

use ottla_broker_types::{DurationMs, NodeId, TimestampMs};
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::validate::{Invalid, ValidatedCluster};

pub use lint::{Fault, lint};

use crate::action::{Action, Event, KafkaAction, KubernetesAction};
use crate::facts::Observed;
use crate::moves::{self, Moves, MovesInput};
use crate::names;
use crate::resources::{Build, OperatorPods, Resource};
use crate::rollout::{self, Rollout, RolloutInput};
use crate::scale::{self, Scale, ScaleInput};

/// Between two reconciles while something goes on: brokers do not tell by themselves when a replica has arrived.
const REQUEUE_BUSY: DurationMs = DurationMs(1_000);
/// Between two reconciles at a cluster at rest; changes of its objects wake the operator at once.
const REQUEUE_IDLE: DurationMs = DurationMs(15_000);

/// Between two reconciles while an action fails again and again: whoever can mend it is no faster.
const REQUEUE_FAILED: DurationMs = DurationMs(5_000);
/// The longest of these pauses: what a person mends outside of the API server is seen that late.
const REQUEUE_FAILED_MAX: DurationMs = DurationMs(300_000);

/// What the operator was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Image of brokers whose cluster names none and has none yet.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`; `None` leaves it to Kubernetes.
    pub image_pull_policy: Option<String>,
    /// The DNS domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// The operator's own pods.
    pub operator: OperatorPods,
}

/// What to do now and what to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In this order. Nothing follows an object that could not be applied.
    pub actions: Vec<Action>,
    /// The status after it.
    pub status: KafkaClusterStatus,
    /// When to reconcile again at the latest.
    pub requeue: DurationMs,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        let ready = self.status.conditions.iter().find(|condition| condition.type_ == "Ready");
        match ready {
            Some(ready) => writeln!(f, "then {}: {}", ready.reason, ready.message),
            None => Ok(()),
        }
    }
}

/// Everything that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is asked for.
    pub cluster: &'a ValidatedCluster,
    /// The status as it is.
    pub former: &'a KafkaClusterStatus,
    /// What is seen.
    pub observed: &'a Observed,
    /// What the operator was started with.
    pub defaults: &'a Defaults,
    /// A fresh id, for a cluster that has none yet.
    pub fresh_cluster_id: &'a str,
    /// The time.
    pub now: TimestampMs,
}

/// What the parts of a plan found, for status.
struct Parts {
    build_revision: String,
    scale: Scale,
    moves: Moves,
    rollout: Rollout,
    config_settled: bool,
    bootstrapped: bool,
}

/// Plans the next step of a cluster.
pub fn plan(input: &Input<'_>) -> Plan {
    let Some(cluster_id) = input.former.cluster_id.as_deref() else { return identity::first(input) };
    if let Some(problem) = identity::foreign(input, cluster_id) {
        return stalled(input, "ForeignCluster", problem);
    }
    if let Some(plan) = storage_change::unfit(input) {
        return plan;
    }
    let scale = scale_step(input);
    let bootstrapped = identity::bootstrapped(input);
    let build = build(input, cluster_id, &scale, bootstrapped);
    if let Some(plan) = names_taken::plan(input, cluster_id, &build) {
        return plan;
    }
    let mut actions: Vec<Action> = build.objects().into_iter().map(applied).collect();
    actions.extend(volumes::grown(input, scale.pods));
    actions.extend(volumes::marked(input, bootstrapped));
    actions.extend(brokers::racks(input));
    let (config, config_settled) = config::step(input);
    actions.extend(config.map(Action::from));
    actions.extend(scale.actions.iter().cloned());
    let moves = moves_step(input, &scale);
    let keep = moves.keep.iter().flat_map(|keep| build.kept_plan(&keep.hash, &keep.chunks));
    actions.extend(keep.map(applied));
    actions.extend(moves.actions.iter().cloned());
    let revision = build.revision();
    let rollout = rollout_step(input, &scale, &revision);
    actions.extend(restart(input, &rollout));
    let at_rest = rollout == Rollout::Done && scale.status.is_none();
    if at_rest {
        actions.extend(leaders(input, &moves));
        actions.extend(outdated_settings(input, &build));
        actions.extend(outdated_services(input, &build));
    }
    let parts = Parts { build_revision: revision, scale, moves, rollout, config_settled, bootstrapped };
    let status = status::status(input, &parts);
    actions.extend(status::events(input.former, &status).into_iter().map(Action::Event));
    let busy = ottla_operator_crd::conditions::holds(
        &status.conditions,
        ottla_operator_crd::conditions::RECONCILING,
    );
    Plan { actions, status, requeue: if busy { REQUEUE_BUSY } else { REQUEUE_IDLE } }
}

/// The plan for a manifest that cannot work: say so and touch nothing.
pub fn plan_invalid(
    former: &KafkaClusterStatus,
    generation: Option<i64>,
    problems: &[Invalid],
    now: TimestampMs,
) -> Plan {
    let message = ottla_operator_crd::validate::joined(problems);
    let status = status::refused(former, generation, "InvalidSpec", &message, now);
    let events = status::events(former, &status).into_iter().map(Action::Event).collect();
    Plan { actions: events, status, requeue: REQUEUE_IDLE }
}

/// The status after actions have failed again and again: nothing was lost, and a person should know. What else was
/// planned was done, and status goes on to tell of it.
pub fn plan_failed(
    former: &KafkaClusterStatus,
    planned: KafkaClusterStatus,
    problem: &str,
    now: TimestampMs,
) -> Plan {
    let status = status::failed(former, planned, problem, now);
    let events = status::events(former, &status).into_iter().map(Action::Event).collect();
    Plan { actions: events, status, requeue: REQUEUE_FAILED }
}

/// How long to wait before a plan is tried again that has failed `times` more than it took to be told: longer each time,
/// since whoever can mend it is no faster. A change of the cluster's objects wakes the operator at once.
pub fn failed_pause(times: u32) -> DurationMs {
    DurationMs(REQUEUE_FAILED.0.saturating_mul(1 << times.min(10)).min(REQUEUE_FAILED_MAX.0))
}

/// The broker whose restart safety the next plan will need, if it needs one.
pub fn question(input: &Input<'_>) -> Option<NodeId> {
    let cluster_id = input.former.cluster_id.as_deref()?;
    let scale = scale_step(input);
    let revision = build(input, cluster_id, &scale, identity::bootstrapped(input)).revision();
    let rollout = rollout_input(input, &scale, &revision);
    rollout::question(&rollout)
}

fn stalled(input: &Input<'_>, reason: &'static str, problem: String) -> Plan {
    let status = status::refused(input.former, input.cluster.generation, reason, &problem, input.now);
    let event = Event { warning: true, reason, subject: None, text: problem };
    let actions =
        if status.conditions == input.former.conditions { vec![] } else { vec![Action::Event(event)] };
    Plan { actions, status, requeue: REQUEUE_IDLE }
}

fn scale_step(input: &Input<'_>) -> Scale {
    let (cluster, observed) = (input.cluster, input.observed);
    let former = input.former.drain.as_ref();
    if cluster.rollout.paused {
        let running = scale::running(observed, cluster.replicas);
        // Growing is harmless; nobody leaves during a pause.
        return Scale { pods: running.max(cluster.replicas), status: former.cloned(), ..Scale::default() };
    }
    scale::scale(&ScaleInput { cluster, observed, former, now: input.now })
}

fn build<'a>(input: &Input<'a>, cluster_id: &'a str, scale: &Scale, bootstrapped: bool) -> Build<'a> {
    let whole = input.observed.kafka().is_some_and(|kafka| kafka.under_replicated() == 0);
    Build {
        cluster: input.cluster,
        cluster_id,
        bootstrapped,
        image: image(input),
        image_pull_policy: input.defaults.image_pull_policy.as_deref(),
        cluster_domain: &input.defaults.cluster_domain,
        operator: &input.defaults.operator,
        replicas: scale.pods,
        claim_size: input.observed.stateful_set.as_ref().and_then(|set| set.claim_size.as_deref()),
        evictable: whole,
    }
}

/// The image that brokers should run. A cluster that names none keeps what it has once its quorum has formed: another
/// default of the operator is no reason to restart brokers.
fn image<'a>(input: &Input<'a>) -> &'a str {
    let kept = input.former.image.as_deref().or_else(|| {
        let set = input.observed.stateful_set.as_ref().filter(|_| input.former.bootstrapped);
        set.and_then(|set| set.image.as_deref())
    });
    input.cluster.image.as_deref().or(kept).unwrap_or(&input.defaults.image)
}

/// Brokers that stay, and are thus restarted and evened out.
fn staying(input: &Input<'_>, scale: &Scale) -> i32 {
    if scale.leaving.is_empty() { scale.pods } else { input.cluster.replicas }
}

fn moves_step(input: &Input<'_>, scale: &Scale) -> Moves {
    moves::moves(&MovesInput {
        cluster: input.cluster,
        observed: input.observed,
        leaving: &scale.leaving,
        returning: &scale.returning,
        staying: staying(input, scale),
        former: input.former.rebalance.as_ref(),
    })
}

fn rollout_input<'a>(input: &Input<'a>, scale: &Scale, revision: &'a str) -> RolloutInput<'a> {
    let last = input.former.roll.as_ref().and_then(|roll| roll.last_restarted);
    RolloutInput {
        observed: input.observed,
        revision,
        image: image(input),
        replicas: staying(input, scale),
        last_restarted: last.map(NodeId),
        paused: input.cluster.rollout.paused,
        now: input.now,
    }
}

/// The rollout's step, held back until pods that are made now get the revision.
fn rollout_step(input: &Input<'_>, scale: &Scale, revision: &str) -> Rollout {
    let step = rollout::next_step(&rollout_input(input, scale, revision));
    let template = input.observed.stateful_set.as_ref().and_then(|set| set.revision.as_deref());
    match step {
        Rollout::Restart { broker, .. } if template != Some(revision) => Rollout::Wait {
            next: Some(broker),
            reason: "the new settings are being handed to Kubernetes".to_owned(),
            stuck: false,
        },
        step => step,
    }
}

fn restart(input: &Input<'_>, rollout: &Rollout) -> Option<Action> {
    let Rollout::Restart { broker, pod, reason } = rollout else { return None };
    let uid = input.observed.pods.get(broker).map(|facts| facts.uid.clone()).unwrap_or_default();
    let (broker, pod, reason) = (*broker, pod.clone(), reason.clone());
    Some(KubernetesAction::RestartBroker { broker, pod, uid, reason }.into())
}

/// Leadership goes back to preferred replicas once nothing else goes on, unless settings say not to.
fn leaders(input: &Input<'_>, moves: &Moves) -> Option<Action> {
    let wanted =
        input.cluster.config_fixed.get("auto.leader.rebalance.enable").is_none_or(|v| v.trim() != "false");
    let kafka = input.observed.kafka()?;
    if !wanted || moves.busy || input.cluster.rollout.paused || kafka.under_replicated() > 0 {
        return None;
    }
    let misled = moves::misled(kafka);
    (!misled.is_empty()).then_some(KafkaAction::ElectLeaders(misled).into())
}

fn applied(object: Resource) -> Action {
    KubernetesAction::Apply(object).into()
}

/// ConfigMaps of former revisions; no pod reads them once all have the present one.
fn outdated_settings(input: &Input<'_>, build: &Build<'_>) -> Vec<Action> {
    let current = build.config_map_name();
    let outdated = input.observed.config_maps.iter().filter(|name| **name != current);
    outdated.map(|name| KubernetesAction::DeleteConfigMap { name: name.clone() }.into()).collect()
}

/// Services of brokers that have left.
fn outdated_services(input: &Input<'_>, build: &Build<'_>) -> Vec<Action> {
    let left = |name: &&String| {
        let id = names::broker_of(name).filter(|id| id.get() >= build.replicas);
        id.is_some_and(|id| **name == names::broker_service(&build.cluster.name, id))
    };
    let outdated = input.observed.services.iter().filter(left);
    outdated.map(|name| KubernetesAction::DeleteService { name: name.clone() }.into()).collect()
}

impl Plan {
    /// What is left of a plan that is refused: nothing is done, and nothing said of what was to be done.
    pub fn refused(former: &KafkaClusterStatus) -> Plan {
        Plan { actions: vec![], status: former.clone(), requeue: REQUEUE_FAILED }
    }

    /// The plan's status where its restart was not carried out: it must not be remembered as one.
    pub fn without_restart(&mut self, former: &KafkaClusterStatus) {
        if let Some(roll) = &mut self.status.roll {
            roll.last_restarted = former.roll.as_ref().and_then(|former| former.last_restarted);
        }
    }

    /// Kind and name of each object that the plan applies, and of each claim that its StatefulSet makes or finds.
    pub fn needed(&self, cluster: &str) -> Vec<String> {
        let mut labels: Vec<String> = self.resources().map(Resource::label).collect();
        for resource in self.resources() {
            let Resource::StatefulSet(set) = resource else { continue };
            let brokers = (0..set.spec.replicas.unwrap_or(1)).map(NodeId);
            labels.extend(brokers.map(|id| names::claim_label(&names::claim(cluster, id))));
        }
        labels
    }

    /// The objects that the plan applies.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.actions.iter().filter_map(|action| match action {
            Action::Kubernetes(KubernetesAction::Apply(resource)) => Some(resource),
            _ => None,
        })
    }
}

#[cfg(test)]
mod status_tests;
#[cfg(test)]
mod storage_tests;
#[cfg(test)]
mod tests;
