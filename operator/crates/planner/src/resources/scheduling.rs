//! Where pods may run: spread over zones and nodes, as far as possible or strictly.

use k8s_openapi::api::core::v1::{
    Affinity, PodAffinityTerm, PodAntiAffinity, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use ottla_operator_crd::cluster::Spread;

use super::Build;
use crate::names;

const HOST_KEY: &str = "kubernetes.io/hostname";
const ZONE_KEY: &str = "topology.kubernetes.io/zone";
/// The strongest preference that Kubernetes knows.
const WEIGHT_MAX: i32 = 100;

/// The person's affinity, or the operator's: no two brokers of a cluster on a node.
pub(super) fn affinity(build: &Build<'_>) -> Affinity {
    if let Some(affinity) = &build.cluster.template.affinity {
        return affinity.clone();
    }
    let term = PodAffinityTerm {
        label_selector: Some(selector(build)),
        topology_key: HOST_KEY.to_owned(),
        ..PodAffinityTerm::default()
    };
    let anti = match spread(build) {
        Spread::Required => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        Spread::Preferred => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: WEIGHT_MAX,
                pod_affinity_term: term,
            }]),
            ..PodAntiAffinity::default()
        },
    };
    Affinity { pod_anti_affinity: Some(anti), ..Affinity::default() }
}

/// The person's constraints, or the operator's: zones (or racks) and nodes differ by one broker at most.
pub(super) fn topology_spread(build: &Build<'_>) -> Vec<TopologySpreadConstraint> {
    let given = &build.cluster.template.topology_spread_constraints;
    if !given.is_empty() {
        return given.clone();
    }
    let rack = build.cluster.rack_topology_key.as_deref();
    // Without racks nothing depends on zones, so they never keep a broker from running.
    let strict = spread(build) == Spread::Required && rack.is_some();
    vec![constraint(build, rack.unwrap_or(ZONE_KEY), strict), constraint(build, HOST_KEY, false)]
}

fn constraint(build: &Build<'_>, key: &str, strict: bool) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: if strict { "DoNotSchedule" } else { "ScheduleAnyway" }.to_owned(),
        label_selector: Some(selector(build)),
        ..TopologySpreadConstraint::default()
    }
}

fn spread(build: &Build<'_>) -> Spread {
    build.cluster.template.spread.unwrap_or_default()
}

fn selector(build: &Build<'_>) -> LabelSelector {
    LabelSelector { match_labels: Some(names::selector(&build.cluster.name)), ..LabelSelector::default() }
}
