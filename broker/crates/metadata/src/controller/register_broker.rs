//! BrokerRegistration: a broker joins or comes back (KIP-631). No I/O.

use std::collections::BTreeSet;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{BrokerEpoch, ClusterId, DirectoryId, NodeId, Uuid};

use super::decision::{Context, Decision, Refused};
use super::isr_updates::broker_leaves;
use crate::record::{Endpoint, FeatureRange, Record, RegisterBroker};

/// What a broker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRequest {
    /// Its id.
    pub broker: NodeId,
    /// The cluster that it believes to be in.
    pub cluster_id: ClusterId,
    /// The id of this run of its process.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// The features that it supports.
    pub features: Vec<FeatureRange>,
    /// Its rack.
    pub rack: Option<String>,
    /// The ids of its log directories.
    pub log_dirs: Vec<DirectoryId>,
    /// Its last epoch, if its last run stopped cleanly (KIP-966).
    pub previous_epoch: Option<BrokerEpoch>,
}

/// What the controller knows besides the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterFacts<'a> {
    /// The id of this cluster.
    pub cluster_id: &'a ClusterId,
    /// Whether a broker of that id holds a lease now.
    pub lease_held: bool,
}

/// Registers a broker, fenced. Its new epoch is the offset at which the batch is committed.
///
/// A broker whose last run did not stop cleanly leaves every ISR and ELR: what it had acknowledged may be gone.
/// Errors: INCONSISTENT_CLUSTER_ID, DUPLICATE_BROKER_REGISTRATION, UNSUPPORTED_VERSION, INVALID_REGISTRATION.
pub fn register_broker(
    context: Context<'_>,
    request: &RegisterRequest,
    facts: &RegisterFacts<'_>,
) -> Result<Decision<()>, Refused> {
    check_cluster(request, facts)?;
    check_features(context, request)?;
    check_directories(context, request)?;
    let existing = context.image.broker(request.broker);
    let same_run = existing.filter(|broker| broker.incarnation == request.incarnation);
    if facts.lease_held && existing.is_some() && same_run.is_none() {
        let message = format!(
            "broker {} is running elsewhere: stop it, or wait for its lease to run out after a restart",
            request.broker
        );
        return Err(Refused::new(ErrorCode::DuplicateBrokerRegistration, message));
    }
    let mut records = Vec::new();
    if let (Some(broker), None) = (existing, same_run) {
        let unclean = context.elr_enabled() && request.previous_epoch != Some(broker.epoch);
        records = broker_leaves(context, request.broker, unclean);
    }
    records.push(Record::RegisterBroker(RegisterBroker {
        broker: request.broker,
        incarnation: request.incarnation,
        epoch: None,
        endpoints: request.endpoints.clone(),
        features: request.features.clone(),
        rack: request.rack.clone(),
        fenced: same_run.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same_run.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: request.log_dirs.clone(),
    }));
    Ok(Decision { records, reply: () })
}

fn check_cluster(request: &RegisterRequest, facts: &RegisterFacts<'_>) -> Result<(), Refused> {
    if request.cluster_id != *facts.cluster_id {
        let message = format!(
            "broker {} is of cluster {}, this is {}",
            request.broker, request.cluster_id, facts.cluster_id
        );
        return Err(Refused::new(ErrorCode::InconsistentClusterId, message));
    }
    if request.endpoints.is_empty() {
        let message = format!("broker {} has no listener that others can reach", request.broker);
        return Err(Refused::new(ErrorCode::InvalidRegistration, message));
    }
    Ok(())
}

fn check_features(context: Context<'_>, request: &RegisterRequest) -> Result<(), Refused> {
    for (name, level) in context.image.features() {
        let range = request.features.iter().find(|feature| feature.name == name);
        let supported = range.is_some_and(|range| (range.level_min..=range.level_max).contains(&level));
        if !supported {
            let message = format!(
                "broker {} does not support {name} at the cluster's level {level}: run a newer release on it",
                request.broker
            );
            return Err(Refused::new(ErrorCode::UnsupportedVersion, message));
        }
    }
    Ok(())
}

fn check_directories(context: Context<'_>, request: &RegisterRequest) -> Result<(), Refused> {
    let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidRegistration, message));
    let distinct: BTreeSet<_> = request.log_dirs.iter().collect();
    if distinct.len() != request.log_dirs.len() {
        return invalid(format!("broker {} names a log directory twice", request.broker));
    }
    for other in context.image.brokers().filter(|other| other.id != request.broker) {
        if let Some(shared) = other.log_dirs.iter().find(|directory| distinct.contains(directory)) {
            return invalid(format!(
                "the log directory {shared} belongs to broker {}: give broker {} an empty one",
                other.id, request.broker
            ));
        }
    }
    Ok(())
}
