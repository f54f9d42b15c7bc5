//! The NetworkPolicy: the private port is for the cluster's own brokers and the operator, everything else stays open.
//!
//! Brokers do not authenticate each other yet, so who reaches that port can read and write everything. Policies add up:
//! one of a person's own opens more. A network that knows no policies ignores it.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Build;
use crate::names;

/// The label by which Kubernetes itself names each namespace.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn build(build: &Build<'_>) -> NetworkPolicy {
    let listeners = build.cluster.listeners.iter().map(|listener| listener.port);
    let open = listeners.chain([names::HTTP_PORT]);
    let private = NetworkPolicyIngressRule {
        from: Some(vec![brokers(build), operator(build)]),
        ports: Some(vec![port(names::INTERNAL_PORT)]),
    };
    let public = NetworkPolicyIngressRule { from: None, ports: Some(open.map(port).collect()) };
    NetworkPolicy {
        metadata: build.metadata(names::brokers(&build.cluster.name)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels(names::selector(&build.cluster.name))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![private, public]),
            egress: None,
        }),
    }
}

fn brokers(build: &Build<'_>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(labels(names::selector(&build.cluster.name))),
        ..NetworkPolicyPeer::default()
    }
}

fn operator(build: &Build<'_>) -> NetworkPolicyPeer {
    let namespace = BTreeMap::from([(NAMESPACE_LABEL.to_owned(), build.operator.namespace.clone())]);
    NetworkPolicyPeer {
        namespace_selector: Some(labels(namespace)),
        pod_selector: Some(labels(build.operator.labels.clone())),
        ..NetworkPolicyPeer::default()
    }
}

fn labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
