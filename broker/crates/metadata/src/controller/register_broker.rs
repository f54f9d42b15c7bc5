//! BrokerRegistration: a broker joins or comes back (KIP-631). No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::{BrokerEpoch, ClusterId, DirectoryId, NodeId, Uuid};

use super::decision::{Context, Decision};
use super::isr_updates::broker_leaves;
use crate::record::{Endpoint, FeatureRange, Record, RegisterBroker};

/// What a broker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRequest {
    /// `node.id` of its settings.
    pub broker: NodeId,
    /// The cluster that it believes to be in.
    pub cluster_id: ClusterId,
    /// The id of this run of its process.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// The features that it supports.
    pub features: Vec<FeatureRange>,
    /// `broker.rack`; `None` without one.
    pub rack: Option<String>,
    /// The ids of its log directories.
    pub log_dirs: Vec<DirectoryId>,
    /// Its last epoch, if its last run stopped cleanly (KIP-966).
    pub previous_epoch: Option<BrokerEpoch>,
}

/// What the controller knows besides the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterFacts<'a> {
    /// What the controller's own `meta.properties` says.
    pub cluster_id: &'a ClusterId,
    /// Whether a broker of that id holds a lease now.
    pub lease_held: bool,
}

/// Why a broker may not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterBrokerError {
    /// Its disk or its settings are of another cluster.
    #[error("broker {broker} is of cluster {given}, this is {present}")]
    OtherCluster {
        /// Who asked to join.
        broker: NodeId,
        /// The cluster that it believes to be in.
        given: ClusterId,
        /// The cluster that it asked.
        present: ClusterId,
    },
    /// Nobody could reach it.
    #[error("broker {broker} has no listener that others can reach")]
    NoListener {
        /// Who asked to join.
        broker: NodeId,
    },
    /// Its release is too old, or too new, for a feature that is on.
    #[error(
        "broker {broker} does not support {feature} at the cluster's level {level}: run a newer release on it"
    )]
    UnsupportedFeature {
        /// Who asked to join.
        broker: NodeId,
        /// As the cluster's metadata names it.
        feature: String,
        /// The level at which the cluster has it.
        level: i16,
    },
    /// Its own list of directories repeats one.
    #[error("broker {broker} names a log directory twice")]
    DirectoryTwice {
        /// Who asked to join.
        broker: NodeId,
    },
    /// A copied disk: two brokers would vouch for the same records.
    #[error("the log directory {directory} belongs to broker {owner}: give broker {broker} an empty one")]
    DirectoryOfOther {
        /// Who asked to join.
        broker: NodeId,
        /// Named by both.
        directory: DirectoryId,
        /// Who has it.
        owner: NodeId,
    },
    /// Another process of this id holds a lease; clears up by itself when the lease runs out.
    #[error(
        "broker {broker} is running elsewhere: stop it, or wait for its lease to run out after a restart"
    )]
    RunsElsewhere {
        /// Who asked to join.
        broker: NodeId,
    },
}

/// Registers a broker, fenced. Its new epoch is the offset at which the batch is committed.
///
/// A broker whose last run did not stop cleanly leaves every ISR and ELR: what it had acknowledged may be gone.
pub fn register_broker(
    context: Context<'_>,
    request: &RegisterRequest,
    facts: &RegisterFacts<'_>,
) -> Result<Decision<()>, RegisterBrokerError> {
    check_cluster(request, facts)?;
    check_features(context, request)?;
    check_directories(context, request)?;
    let existing = context.image.broker(request.broker);
    let same_run = existing.filter(|broker| broker.incarnation == request.incarnation);
    if facts.lease_held && existing.is_some() && same_run.is_none() {
        return Err(RegisterBrokerError::RunsElsewhere { broker: request.broker });
    }
    let mut records = Vec::new();
    if same_run.is_none() {
        // One that was unregistered meanwhile may still be listed, and nothing vouches for its log.
        let stopped_cleanly = existing.is_some_and(|broker| request.previous_epoch == Some(broker.epoch));
        records = broker_leaves(context, request.broker, context.elr_enabled() && !stopped_cleanly);
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

fn check_cluster(request: &RegisterRequest, facts: &RegisterFacts<'_>) -> Result<(), RegisterBrokerError> {
    if request.cluster_id != *facts.cluster_id {
        return Err(RegisterBrokerError::OtherCluster {
            broker: request.broker,
            given: request.cluster_id.clone(),
            present: facts.cluster_id.clone(),
        });
    }
    if request.endpoints.is_empty() {
        return Err(RegisterBrokerError::NoListener { broker: request.broker });
    }
    Ok(())
}

fn check_features(context: Context<'_>, request: &RegisterRequest) -> Result<(), RegisterBrokerError> {
    for (name, level) in context.image.features() {
        let range = request.features.iter().find(|feature| feature.name == name);
        let supported = range.is_some_and(|range| (range.level_min..=range.level_max).contains(&level));
        if !supported {
            let (broker, feature) = (request.broker, name.to_owned());
            return Err(RegisterBrokerError::UnsupportedFeature { broker, feature, level });
        }
    }
    Ok(())
}

fn check_directories(context: Context<'_>, request: &RegisterRequest) -> Result<(), RegisterBrokerError> {
    let (broker, distinct) = (request.broker, request.log_dirs.iter().collect::<BTreeSet<_>>());
    if distinct.len() != request.log_dirs.len() {
        return Err(RegisterBrokerError::DirectoryTwice { broker });
    }
    for other in context.image.brokers().filter(|other| other.id != broker) {
        if let Some(shared) = other.log_dirs.iter().find(|directory| distinct.contains(directory)) {
            let (directory, owner) = (*shared, other.id);
            return Err(RegisterBrokerError::DirectoryOfOther { broker, directory, owner });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    fn refusal(cluster: &mut Cluster, request: &RegisterRequest, lease_held: bool) -> RegisterBrokerError {
        cluster.register(request, lease_held).expect_err("it is refused")
    }

    #[test]
    fn a_new_broker_is_fenced_and_its_epoch_is_the_offset() {
        let mut cluster = Cluster::new(&[]);
        let at = cluster.end();
        cluster.register(&cluster.registration(1, 1), false).expect("it registers");
        let broker = cluster.image.broker(NodeId(1)).expect("registered");
        assert!(broker.fenced);
        assert_eq!(broker.epoch.get(), at.get());
    }

    #[test]
    fn a_second_process_with_a_living_id_is_refused() {
        let mut cluster = Cluster::of(1);
        let other = cluster.registration(1, 2);
        let elsewhere = RegisterBrokerError::RunsElsewhere { broker: NodeId(1) };
        assert_eq!(refusal(&mut cluster, &other, true), elsewhere);
        assert_eq!(cluster.register(&other, false), Ok(()));
    }

    #[test]
    fn the_same_run_registers_again_without_losing_its_place() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[]);
        cluster.register(&cluster.registration(1, 1), true).expect("the same run");
        assert!(!cluster.image.broker(NodeId(1)).expect("registered").fenced);
        assert_eq!(cluster.state("t", 0).1, [1, 2]);
    }

    #[test]
    fn what_is_wrong_with_a_registration_is_refused() {
        let mut cluster = Cluster::of(1);
        let good = cluster.registration(2, 1);
        let cluster_id = ClusterId("other".into());
        let foreign = RegisterRequest { cluster_id, ..good.clone() };
        let refused = refusal(&mut cluster, &foreign, false);
        assert!(matches!(refused, RegisterBrokerError::OtherCluster { .. }), "{refused}");
        let old = RegisterRequest { features: Vec::new(), ..good.clone() };
        let refused = refusal(&mut cluster, &old, false);
        assert!(matches!(refused, RegisterBrokerError::UnsupportedFeature { .. }), "{refused}");
        let unreachable = RegisterRequest { endpoints: Vec::new(), ..good.clone() };
        let broker = good.broker;
        assert_eq!(refusal(&mut cluster, &unreachable, false), RegisterBrokerError::NoListener { broker });
        let stolen = RegisterRequest { log_dirs: cluster.registration(1, 1).log_dirs, ..good.clone() };
        let (directory, owner) = (stolen.log_dirs[0], NodeId(1));
        assert_eq!(
            refusal(&mut cluster, &stolen, false),
            RegisterBrokerError::DirectoryOfOther { broker, directory, owner }
        );
        let twice =
            RegisterRequest { log_dirs: [good.log_dirs.clone(), good.log_dirs.clone()].concat(), ..good };
        assert_eq!(refusal(&mut cluster, &twice, false), RegisterBrokerError::DirectoryTwice { broker });
    }

    #[test]
    fn a_clean_restart_stays_eligible_and_an_unclean_one_does_not() {
        for (clean, elr) in [(true, vec![2]), (false, vec![])] {
            let mut cluster = Cluster::of(3);
            cluster.topic("t", &[&[1, 2, 3]], &[("min.insync.replicas", "2")]);
            cluster.fence(3);
            cluster.fence(2);
            assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![1], vec![2], Some(1)));
            cluster.restart(2, 2, clean);
            assert_eq!(cluster.state("t", 0).2, elr);
        }
    }

    #[test]
    fn the_last_leader_stays_when_nobody_is_eligible() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2]], &[("min.insync.replicas", "1")]);
        cluster.fence(2);
        cluster.fence(1);
        cluster.restart(1, 2, false);
        assert_eq!(cluster.state("t", 0), (vec![1, 2], vec![1], vec![], None));
        assert_eq!(cluster.partition("t", 0).last_known_elr, [NodeId(1)]);
        cluster.restart(2, 2, false);
        cluster.unfence(2);
        assert_eq!(cluster.state("t", 0).3, None);
        cluster.unfence(1);
        assert_eq!(cluster.state("t", 0).3, Some(1));
    }

    #[test]
    fn a_broker_whose_disk_was_replaced_does_not_lead_with_an_empty_log() {
        let mut cluster = Cluster::of(1);
        cluster.topic("t", &[&[1]], &[]);
        let mut request = cluster.registration(1, 2);
        request.log_dirs = vec![DirectoryId(Uuid([9; 16]))];
        cluster.register(&request, false).expect("it registers");
        cluster.unfence(1);
        assert_eq!(cluster.state("t", 0).3, None);
    }

    #[test]
    fn a_broker_that_was_unregistered_comes_back_without_being_eligible() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[("min.insync.replicas", "2")]);
        cluster.fence(3);
        cluster.fence(2);
        cluster.fence(1);
        let decision =
            crate::controller::unregister_broker(cluster.context(), NodeId(2)).expect("it is fenced");
        cluster.take(decision);
        cluster.join(2);
        assert_eq!(cluster.state("t", 0), (vec![1, 2, 3], vec![1], vec![], None));
    }
}
