//! The PodDisruptionBudget: one broker may be evicted at a time, and none while a replica is missing.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Build;
use crate::names;

pub(super) fn build(build: &Build<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: build.metadata(names::brokers(&build.cluster.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(i32::from(build.evictable))),
            selector: Some(LabelSelector {
                match_labels: Some(names::selector(&build.cluster.name)),
                ..LabelSelector::default()
            }),
            // A broker that is not ready serves nobody: it must not hold up the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
