//! The Services: a headless one that gives pods their names, one that clients connect to first, and one per broker.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use ottla_broker_types::NodeId;

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

/// Leads clients to one broker, at an address that stays when the pod is replaced. Readiness does not matter: clients
/// come because the controller says that the broker serves, which is known before Kubernetes has probed it.
pub(super) fn broker(build: &Build<'_>, broker: NodeId) -> Service {
    let name = names::broker_service(&build.cluster.name, broker);
    let mut selector = names::selector(&build.cluster.name);
    selector.insert(names::POD_NAME_LABEL.to_owned(), names::pod(&build.cluster.name, broker));
    Service {
        metadata: build.metadata(name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            publish_not_ready_addresses: Some(true),
            ports: Some(client_ports(build)),
            selector: Some(selector),
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
