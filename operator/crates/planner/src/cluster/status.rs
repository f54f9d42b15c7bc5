//! What status says: conditions by the rules of kstatus, and sentences from which a person sees what is waited for.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::cluster::{BrokerState, RebalancePhase, RebalanceStatus, RollStatus};
use ottla_operator_crd::conditions::{
    DEGRADED, READY, RECONCILING, STALLED, UPGRADE_AVAILABLE, Verdict, merged,
};

use super::{Input, Parts, brokers, config, volumes};
use crate::action::Event;
use crate::facts::KafkaFacts;
use crate::names;
use crate::rollout::{self, Rollout};

/// One word and a sentence.
type Finding = (&'static str, String);

/// What the operator works on.
#[derive(Clone, Copy)]
enum Work {
    Rolling,
    Starting,
    Draining,
    Unreachable,
    QuorumLost,
    Configuring,
    Rebalancing,
}

impl Work {
    /// The reason of conditions.
    fn reason(self) -> &'static str {
        match self {
            Work::Rolling => "Rolling",
            Work::Starting => "Starting",
            Work::Draining => "Draining",
            Work::Unreachable => "Unreachable",
            Work::QuorumLost => "QuorumLost",
            Work::Configuring => "Configuring",
            Work::Rebalancing => "Rebalancing",
        }
    }
}

/// The status after a plan.
pub(super) fn status(input: &Input<'_>, parts: &Parts) -> KafkaClusterStatus {
    let cluster = input.cluster;
    let brokers = brokers::statuses(input, parts.scale.pods, &parts.scale.leaving);
    let serving = brokers
        .iter()
        .filter(|broker| matches!(broker.state, BrokerState::Serving | BrokerState::Draining))
        .count();
    let status = KafkaClusterStatus {
        observed_generation: cluster.generation,
        replicas: i32::try_from(input.observed.pods.len()).unwrap_or(i32::MAX),
        ready_replicas: i32::try_from(serving).unwrap_or(i32::MAX),
        selector: Some(names::selector_text(&cluster.name)),
        bootstrap_servers: Some(bootstrap_servers(input)),
        bootstrapped: parts.bootstrapped,
        storage_size: volumes::size(input),
        managed_config: config::managed(input),
        notes: cluster.notes.clone(),
        brokers,
        roll: roll(input, parts),
        drain: parts.scale.status.clone(),
        rebalance: parts.moves.status.clone(),
        ..input.former.clone()
    };
    let status = KafkaClusterStatus { image: kept_image(input, parts, &status), ..status };
    let stalled = stalled(input, parts);
    let working = working(input, parts, &status);
    let mut conditions = verdicts(&status, stalled, working, degraded(input));
    conditions.push(upgrade(input));
    KafkaClusterStatus {
        conditions: merged(&input.former.conditions, conditions, cluster.generation, input.now),
        ..status
    }
}

/// The image that every broker has served with: what a cluster that names none keeps. One that could not start is never
/// kept, so that taking it out of the spec leads back.
fn kept_image(input: &Input<'_>, parts: &Parts, status: &KafkaClusterStatus) -> Option<String> {
    let proven = parts.bootstrapped
        && parts.rollout == Rollout::Done
        && input.observed.kafka.is_ok()
        && status.ready_replicas >= input.cluster.replicas;
    if proven { Some(super::image(input).to_owned()) } else { input.former.image.clone() }
}

/// Whether the operator would give a new cluster another image.
fn upgrade(input: &Input<'_>) -> Verdict {
    let (image, default) = (super::image(input), &input.defaults.image);
    if input.cluster.image.is_some() {
        return Verdict::no(UPGRADE_AVAILABLE, "ImageGiven", "");
    }
    if image == default {
        return Verdict::no(UPGRADE_AVAILABLE, "UpToDate", "");
    }
    let text = format!(
        "brokers keep the image {image}: set spec.image to {default}, which this operator brings, to upgrade"
    );
    Verdict::yes(UPGRADE_AVAILABLE, "OtherDefaultImage", text)
}

fn bootstrap_servers(input: &Input<'_>) -> String {
    let cluster = input.cluster;
    let host = format!("{}.{}.svc", names::bootstrap(&cluster.name), cluster.namespace);
    let servers: Vec<String> =
        cluster.listeners.iter().map(|listener| format!("{host}:{}", listener.port)).collect();
    servers.join(",")
}

fn roll(input: &Input<'_>, parts: &Parts) -> Option<RollStatus> {
    let former = input.former.roll.as_ref();
    let (next, restarted, message) = match &parts.rollout {
        Rollout::Done => return None,
        Rollout::Restart { broker, reason, .. } => {
            (Some(*broker), Some(*broker), format!("broker {broker} restarts: {reason}"))
        }
        Rollout::Wait { next, reason, .. } => (*next, None, reason.clone()),
    };
    let pods = &input.observed.pods;
    let updated = pods.values().filter(|pod| pod.revision.as_deref() == Some(&parts.build_revision)).count();
    Some(RollStatus {
        revision: parts.build_revision.clone(),
        updated: i32::try_from(updated).unwrap_or(i32::MAX),
        total: input.cluster.replicas,
        next: next.map(NodeId::get),
        last_restarted: restarted.map(NodeId::get).or_else(|| former.and_then(|roll| roll.last_restarted)),
        message,
    })
}

/// What a person must do something about.
fn stalled(input: &Input<'_>, parts: &Parts) -> Option<Finding> {
    if let Some(refused) = &parts.scale.refused {
        return Some(("ScaleDownRefused", refused.clone()));
    }
    if let Some(refused) = volumes::growth_refused(input) {
        return Some(("VolumeCannotGrow", refused));
    }
    if let Rollout::Wait { reason, stuck: true, .. } = &parts.rollout {
        return Some(("BrokerCannotStart", reason.clone()));
    }
    if let Some((id, trouble)) =
        input.observed.not_made.iter().find(|(id, _)| brokers::is_awaited(input, **id))
    {
        return Some(("BrokerCannotStart", format!("broker {id} has no pod: {trouble}")));
    }
    if let Some(failed) = &parts.moves.failed {
        return Some(("RebalanceImpossible", failed.clone()));
    }
    let (id, reason) = input.observed.pods.iter().find_map(|(id, pod)| Some((id, pod.stuck.as_ref()?)))?;
    // The rollout replaces it: nobody has to do anything.
    let replaced = matches!(&parts.rollout, Rollout::Restart { broker, .. } if broker == id);
    (!replaced).then(|| ("BrokerCannotStart", format!("broker {id} cannot start: {reason}")))
}

/// What the operator works on, the most telling first.
fn working(input: &Input<'_>, parts: &Parts, status: &KafkaClusterStatus) -> Option<(Work, String)> {
    if let Some(text) = quorum_lost(input) {
        return Some((Work::QuorumLost, text));
    }
    if let Some(roll) = &status.roll {
        let text =
            format!("{} of {} brokers have the new settings; {}", roll.updated, roll.total, roll.message);
        return Some((Work::Rolling, text));
    }
    let wanted = input.cluster.replicas;
    let serving = status
        .brokers
        .iter()
        .filter(|broker| broker.id < wanted && broker.state == BrokerState::Serving)
        .count();
    if i32::try_from(serving).unwrap_or(i32::MAX) < wanted {
        return Some((
            Work::Starting,
            format!("{serving} of {wanted} brokers serve{}", waited_for(input, status)),
        ));
    }
    if let Some(drain) = &status.drain {
        let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        let text = match drain.brokers.is_empty() {
            true => format!("brokers {} stay after all: {}", ids(&drain.returning), drain.message),
            false => format!("brokers {} leave: {}", ids(&drain.brokers), drain.message),
        };
        return Some((Work::Draining, text));
    }
    if let Err(reason) = &input.observed.kafka {
        return Some((
            Work::Unreachable,
            format!(
                "no broker answers: {}; see the brokers' logs, and whether a NetworkPolicy keeps the operator off port {}",
                reason.0,
                names::INTERNAL_PORT
            ),
        ));
    }
    if !parts.config_settled {
        return Some((Work::Configuring, "settings are being applied".to_owned()));
    }
    let rebalance = status.rebalance.as_ref().filter(|_| parts.moves.busy)?;
    let text = match rebalance.phase {
        RebalancePhase::Done => format!(
            "{} partitions move, not for the balance: copies of a topic change, or somebody else moves them",
            rebalance.moves_running
        ),
        _ => rebalance.message.clone(),
    };
    Some((Work::Rebalancing, text))
}

/// Which of those that keep the metadata are missing when no majority of them is there, what goes on without it, and what
/// to do; `None` while there is a controller, or may be one. Brokers name some live broker as the controller all the same.
fn quorum_lost(input: &Input<'_>) -> Option<String> {
    if !input.former.bootstrapped {
        return None;
    }
    let voters = &input.cluster.voters;
    let pod = |id: &NodeId| input.observed.pods.get(id);
    let away = planned_away(input);
    let runs = |id: &NodeId| away.contains(id) || pod(id).is_some_and(|pod| !pod.halted && !pod.terminating);
    // A claim is marked once its broker has joined: another has been made anew since, and is empty.
    let is_new = |id: &&NodeId| {
        let unmarked = input.observed.claims.get(id).is_some_and(|claim| !claim.bootstrapped);
        unmarked && !pod(id).is_some_and(|pod| pod.ready)
    };
    let (there, missing): (Vec<&NodeId>, Vec<&NodeId>) =
        voters.iter().partition(|id| runs(id) && !is_new(id));
    if there.len() > voters.len() / 2 {
        return None;
    }
    let list = |ids: &[&NodeId]| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
    let empty: Vec<&NodeId> = missing.iter().copied().filter(is_new).collect();
    let what = match empty.is_empty() {
        true => "bring their pods back: see kubectl describe pod and the events of this object".to_owned(),
        false => format!(
            "the volumes of {} are new and empty: restore the former ones, and keep the volumes of {} as they are, which hold the rest of the metadata",
            list(&empty),
            if there.is_empty() { "all others".to_owned() } else { list(&there) }
        ),
    };
    Some(format!(
        "there is no controller: of the brokers {} that keep the metadata {} are missing, and {} are needed. What brokers lead can still be read, and written where enough copies are there; topics, settings and leaders cannot change. {what}",
        list(&voters.iter().collect::<Vec<_>>()),
        list(&missing),
        voters.len() / 2 + 1
    ))
}

/// The first broker that does not serve, and why.
fn waited_for(input: &Input<'_>, status: &KafkaClusterStatus) -> String {
    let first = status
        .brokers
        .iter()
        .find(|broker| broker.id < input.cluster.replicas && broker.state != BrokerState::Serving);
    let Some(broker) = first else { return String::new() };
    let pod = input.observed.pods.get(&NodeId(broker.id));
    let node =
        pod.and_then(|pod| pod.node.as_deref()).map(|node| format!(" on node {node}")).unwrap_or_default();
    let what = match (pod.filter(|pod| pod.overdue), broker.state) {
        (Some(pod), _) => rollout::overdue(&pod.name),
        (None, BrokerState::Pending) => "has no running pod yet".to_owned(),
        (None, BrokerState::Starting) => "is starting".to_owned(),
        (None, BrokerState::Silent) => format!("does not answer, and its pod runs{node}"),
        (None, BrokerState::Stopping) => format!("is stopping{node}"),
        (None, _) => "cannot start".to_owned(),
    };
    let why = broker.problem.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("; broker {} {what}{why}", broker.id)
}

/// Brokers that are away because the operator restarts them: what they hold misses a copy as planned.
fn planned_away(input: &Input<'_>) -> BTreeSet<NodeId> {
    let last = input.former.roll.as_ref().and_then(|roll| roll.last_restarted).map(NodeId);
    let well = |id: &NodeId| {
        let pod = input.observed.pods.get(id);
        pod.is_none_or(|pod| !pod.overdue && pod.stuck.is_none() && pod.trouble.is_none())
    };
    last.into_iter().filter(well).collect()
}

fn degraded(input: &Input<'_>) -> Option<Finding> {
    if let Some(text) = quorum_lost(input) {
        return Some(("QuorumLost", text));
    }
    let kafka = match &input.observed.kafka {
        Ok(kafka) => kafka,
        // Before the first start there is nothing to be less safe.
        Err(_) if !input.former.bootstrapped => return None,
        // The only broker restarts, as planned.
        Err(_) if input.cluster.replicas == 1 && !planned_away(input).is_empty() => return None,
        Err(reason) => return Some(("Unreachable", format!("no broker answers: {}", reason.0))),
    };
    let away = planned_away(input);
    let (offline, behind) = (kafka.offline_besides(&away), kafka.under_replicated_besides(&away));
    if offline > 0 {
        return Some(("OfflinePartitions", format!("{offline} partitions have no leader")));
    }
    if let Some(text) = disk_full(kafka) {
        return Some(("DiskFull", text));
    }
    if behind > 0 {
        return Some(("UnderReplicated", format!("{behind} partitions miss a copy in sync")));
    }
    without_rack(input, kafka).map(|text| ("RackUnknown", text))
}

/// Brokers that take no records, since their disks are full, and what gives space back.
fn disk_full(kafka: &KafkaFacts) -> Option<String> {
    let full = kafka.brokers.iter().filter(|(_, facts)| facts.usable_bytes == Some(0));
    let full: Vec<String> = full
        .map(|(id, facts)| match facts.volume_bytes {
            Some(bytes) => format!("{id} ({} MiB)", bytes >> 20),
            None => id.to_string(),
        })
        .collect();
    let (brokers, their) = match full.len() {
        0 => return None,
        1 => ("broker", "its disk is"),
        _ => ("brokers", "their disks are"),
    };
    Some(format!(
        "{brokers} {}: {their} full, and records are refused until there is space: lower retention.ms or retention.bytes of topics, delete topics, or raise spec.storage.size; reading goes on",
        full.join(", ")
    ))
}

/// Racks were asked for, and a broker serves without one: copies are not spread as the manifest wants.
fn without_rack(input: &Input<'_>, kafka: &KafkaFacts) -> Option<String> {
    let label = input.cluster.rack_topology_key.as_deref()?;
    let serving = (0..input.cluster.replicas).map(NodeId).filter(|id| kafka.serves(*id));
    let without: Vec<NodeId> = serving.filter(|id| input.observed.rack(*id).is_none()).collect();
    let first = without.first()?;
    Some(format!(
        "{} brokers have no rack, such as broker {first}: give their nodes the label {label} and the operator the right to read nodes, or correct spec.rack.topologyKey",
        without.len()
    ))
}

/// Ready means: as many brokers serve as asked for, with the settings asked for, and no others are left.
fn verdicts(
    status: &KafkaClusterStatus,
    stalled: Option<Finding>,
    working: Option<(Work, String)>,
    degraded: Option<Finding>,
) -> Vec<Verdict> {
    let ready = match (&stalled, &working) {
        (Some((reason, text)), _) => Verdict::no(READY, reason, text.clone()),
        (None, Some((Work::Rebalancing, text))) => {
            Verdict::yes(READY, Work::Rebalancing.reason(), text.clone())
        }
        (None, Some((work, text))) => Verdict::no(READY, work.reason(), text.clone()),
        (None, None) => Verdict::yes(READY, "Ready", at_rest(status)),
    };
    let reconciling = match working.filter(|_| stalled.is_none()) {
        Some((work, text)) => Verdict::yes(RECONCILING, work.reason(), text),
        None => Verdict::no(RECONCILING, "Done", ""),
    };
    let stalled = match stalled {
        Some((reason, text)) => Verdict::yes(STALLED, reason, text),
        None => Verdict::no(STALLED, "NotStalled", ""),
    };
    let degraded = match degraded {
        Some((reason, text)) => Verdict::yes(DEGRADED, reason, text),
        None => Verdict::no(DEGRADED, "NotDegraded", ""),
    };
    vec![ready, reconciling, stalled, degraded]
}

fn at_rest(status: &KafkaClusterStatus) -> String {
    let serving = format!("{} brokers serve", status.ready_replicas);
    match proposal(status) {
        Some(_) => format!("{serving}; a plan to even them out waits for approval: see status.rebalance"),
        None => serving,
    }
}

/// The plan that waits for a person, if there is one.
fn proposal(status: &KafkaClusterStatus) -> Option<&RebalanceStatus> {
    status.rebalance.as_ref().filter(|plan| plan.phase == RebalancePhase::ProposalReady)
}

/// The status of an object whose identity has just been drawn, or cannot be drawn yet.
pub(super) fn starting(input: &Input<'_>, status: KafkaClusterStatus, text: String) -> KafkaClusterStatus {
    let generation = input.cluster.generation;
    let conditions = verdicts(&status, None, Some((Work::Starting, text)), None);
    KafkaClusterStatus {
        observed_generation: generation,
        selector: Some(names::selector_text(&input.cluster.name)),
        bootstrap_servers: Some(bootstrap_servers(input)),
        notes: input.cluster.notes.clone(),
        conditions: merged(&input.former.conditions, conditions, generation, input.now),
        ..status
    }
}

/// The status of an object that cannot be worked on: everything else is kept as it was.
pub(super) fn refused(
    former: &KafkaClusterStatus,
    generation: Option<i64>,
    reason: &'static str,
    text: &str,
    now: TimestampMs,
) -> KafkaClusterStatus {
    let mut verdicts = verdicts(former, Some((reason, text.to_owned())), None, None);
    verdicts.retain(|verdict| verdict.kind != DEGRADED);
    let conditions = with_others(merged(&former.conditions, verdicts, generation, now), &former.conditions);
    KafkaClusterStatus { observed_generation: generation, conditions, ..former.clone() }
}

/// The status of a plan of which something could not be done: all that was seen and done is kept.
pub(super) fn failed(
    former: &KafkaClusterStatus,
    planned: KafkaClusterStatus,
    problem: &str,
    now: TimestampMs,
) -> KafkaClusterStatus {
    let generation = planned.observed_generation;
    let mut verdicts = verdicts(&planned, Some(("ActionFailed", problem.to_owned())), None, None);
    verdicts.retain(|verdict| verdict.kind != DEGRADED);
    let conditions = with_others(merged(&former.conditions, verdicts, generation, now), &planned.conditions);
    KafkaClusterStatus { conditions, ..planned }
}

/// Conditions, and those of `others` about which they say nothing.
fn with_others(mut conditions: Vec<Condition>, others: &[Condition]) -> Vec<Condition> {
    let told: Vec<String> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    conditions.extend(others.iter().filter(|other| !told.contains(&other.type_)).cloned());
    conditions
}

/// What changed and is worth an event: readiness and its reason, and plans that wait for a person.
pub(super) fn events(former: &KafkaClusterStatus, status: &KafkaClusterStatus) -> Vec<Event> {
    let find = |conditions: &[_], kind: &str| -> Option<(String, String, String)> {
        let conditions: &[Condition] = conditions;
        let condition = conditions.iter().find(|condition| condition.type_ == kind)?;
        Some((condition.status.clone(), condition.reason.clone(), condition.message.clone()))
    };
    let mut events = vec![];
    let (before, after) = (find(&former.conditions, READY), find(&status.conditions, READY));
    if let Some((_, reason, text)) = &after
        && before.as_ref().map(|(_, reason, _)| reason) != Some(reason)
        && let Some(reason) = known(reason)
    {
        let warning = ottla_operator_crd::conditions::holds(&status.conditions, STALLED);
        events.push(Event { warning, reason, subject: None, text: text.clone() });
    }
    let (before, after) = (find(&former.conditions, DEGRADED), find(&status.conditions, DEGRADED));
    if let Some((holds, reason, text)) = after
        && holds == "True"
        && before.is_none_or(|(before, _, _)| before != "True")
        && let Some(reason) = known(&reason)
    {
        events.push(Event { warning: true, reason, subject: None, text });
    }
    events.extend(troubles(former, status));
    if let Some(plan) = proposal(status) {
        let before = proposal(former);
        let told = |plan: &RebalanceStatus| (plan.plan_hash.clone(), plan.refused_approval.clone());
        if before.map(told) != Some(told(plan)) {
            let warning = plan.refused_approval.is_some();
            let reason = if warning { "ApprovalRefused" } else { "ProposalReady" };
            events.push(Event { warning, reason, subject: None, text: plan.message.clone() });
        }
    }
    events
}

/// What newly keeps a broker from serving, one event for each.
fn troubles(former: &KafkaClusterStatus, status: &KafkaClusterStatus) -> Vec<Event> {
    let word = |text: &str| text.split([':', ' ']).next().unwrap_or_default().to_owned();
    let before = |id: i32| {
        let broker = former.brokers.iter().find(|broker| broker.id == id);
        broker.and_then(|broker| broker.problem.as_deref()).map(word)
    };
    let news = status.brokers.iter().filter_map(|broker| {
        let problem = broker.problem.as_deref()?;
        let word = word(problem);
        (before(broker.id).as_ref() != Some(&word)).then(|| Event {
            warning: true,
            reason: TROUBLES.into_iter().find(|known| *known == word).unwrap_or("BrokerTrouble"),
            subject: Some(broker.pod.clone()),
            text: format!("broker {}: {problem}", broker.id),
        })
    });
    news.collect()
}

/// Kubernetes' own words for what keeps a pod from running; others are told as BrokerTrouble.
const TROUBLES: [&str; 13] = [
    "FailedCreate",
    "Unschedulable",
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "OOMKilled",
    "Exited",
    "Unhealthy",
    "NotAnswering",
];

/// Reasons of conditions are a fixed set, so that events can be counted by them.
fn known(reason: &str) -> Option<&'static str> {
    const REASONS: [&str; 22] = [
        "DiskFull",
        "ActionFailed",
        "Ready",
        "Starting",
        "Rolling",
        "Draining",
        "Unreachable",
        "Configuring",
        "Rebalancing",
        "InvalidSpec",
        "NameTaken",
        "QuorumLost",
        "VolumeCannotGrow",
        "StorageFixed",
        "VolumesOfAnother",
        "ForeignCluster",
        "ScaleDownRefused",
        "BrokerCannotStart",
        "RackUnknown",
        "RebalanceImpossible",
        "OfflinePartitions",
        "UnderReplicated",
    ];
    REASONS.into_iter().find(|known| *known == reason)
}
