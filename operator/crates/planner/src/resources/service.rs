//! The Services: a headless one that gives pods their names, and one that clients connect to first.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Build;
use crate::names;

/// Gives each pod a name, also while it is not ready: brokers find each other before they serve.
pub(super) fn headless(build: &Build<'_>) -> Service {
    let mut ports = client_ports(build);
    ports.push(port("internal", names::INTERNAL_PORT));
    ports.push(port("metrics", names::HTTP_PORT));
    Service {
        metadata: build.metadata(names::headless(&build.cluster.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ports: Some(ports),
            selector: Some(names::selector(&build.cluster.name)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Leads to any ready broker.
pub(super) fn bootstrap(build: &Build<'_>) -> Service {
    Service {
        metadata: build.metadata(names::bootstrap(&build.cluster.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(client_ports(build)),
            selector: Some(names::selector(&build.cluster.name)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn client_ports(build: &Build<'_>) -> Vec<ServicePort> {
    build.cluster.listeners.iter().map(|listener| port(&listener.port_name, listener.port)).collect()
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
