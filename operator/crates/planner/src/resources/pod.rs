//! The pod of a broker. Everything here is part of the revision: a change restarts brokers one by one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, ContainerPort, DownwardAPIProjection,
    DownwardAPIVolumeFile, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector,
    PodSecurityContext, PodSpec, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile,
    SecurityContext, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use ottla_operator_crd::validate::BROKER_DEFAULT_GRACE_SECONDS;

use super::{Build, scheduling};
use crate::names;
use crate::settings::Hosts;

/// The user of the image.
const USER: i64 = 65532;
/// A broker that recovers a large log without a clean shutdown may take long before it answers at all.
const STARTUP_SECONDS_MAX: i32 = 3600;
/// The volume with settings and the pod's own facts.
const CONFIG_VOLUME: &str = "config";
/// The volume with the data; claims are named after it.
pub(super) const DATA_VOLUME: &str = "data";
/// The container of the broker.
pub(super) const CONTAINER: &str = "broker";

/// The spec of a broker's pod.
pub(super) fn spec(build: &Build<'_>) -> PodSpec {
    let template = &build.cluster.template;
    let grace = template.termination_grace_period_seconds.unwrap_or(BROKER_DEFAULT_GRACE_SECONDS);
    PodSpec {
        service_account_name: Some(names::brokers(&build.cluster.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // A change of ownership over a whole volume takes minutes: only when it is wrong.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        affinity: Some(scheduling::affinity(build)),
        topology_spread_constraints: Some(scheduling::topology_spread(build)),
        node_selector: some(template.node_selector.clone()),
        tolerations: Some(template.tolerations.clone()).filter(|list| !list.is_empty()),
        priority_class_name: template.priority_class_name.clone(),
        image_pull_secrets: Some(template.image_pull_secrets.clone()).filter(|list| !list.is_empty()),
        containers: vec![container(build)],
        volumes: Some(vec![config_volume(build)]),
        ..PodSpec::default()
    }
}

fn some<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    Some(map).filter(|map| !map.is_empty())
}

fn container(build: &Build<'_>) -> Container {
    let mut ports: Vec<ContainerPort> =
        build.cluster.listeners.iter().map(|listener| port(&listener.port_name, listener.port)).collect();
    ports.push(port("internal", names::INTERNAL_PORT));
    ports.push(port("metrics", names::HTTP_PORT));
    Container {
        name: CONTAINER.to_owned(),
        image: Some(build.image.to_owned()),
        image_pull_policy: build.image_pull_policy.map(str::to_owned),
        command: Some(vec!["/ottla-broker".to_owned()]),
        args: Some(arguments(build)),
        env: Some(vec![pod_name()]),
        ports: Some(ports),
        // The last words of a broker that cannot start become the reason in status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        resources: Some(resources(build)),
        volume_mounts: Some(vec![
            mount(CONFIG_VOLUME, names::CONFIG_FOLDER, true),
            // The broker starts only where its folder is there, and a subfolder hides the file system's lost+found.
            VolumeMount {
                sub_path: Some(DATA_VOLUME.to_owned()),
                ..mount(DATA_VOLUME, names::DATA_FOLDER, false)
            },
        ]),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            timeout_seconds: Some(5),
            failure_threshold: Some(STARTUP_SECONDS_MAX),
            ..probe("/healthz")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(5),
            failure_threshold: Some(2),
            ..probe("/readyz")
        }),
        // Slow to act: a restart helps a dead process only, and hurts a busy one.
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(10),
            failure_threshold: Some(6),
            ..probe("/healthz")
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn arguments(build: &Build<'_>) -> Vec<String> {
    let (name, namespace) = (&build.cluster.name, &build.cluster.namespace);
    let domain = build.cluster_domain;
    // Kubernetes puts the pod's name in for the variable. A client may keep the address of a name for a minute (the
    // name server's 30 s, then a Java client's own 30 s), so clients get names whose addresses outlive pods; brokers
    // look names up anew.
    let brokers = format!("$(POD_NAME).{}.{namespace}.svc.{domain}", names::headless(name));
    let clients = format!("$(POD_NAME).{namespace}.svc.{domain}");
    let hosts = Hosts { brokers: &brokers, clients: &clients };
    let advertised = crate::settings::listeners(build.cluster, hosts);
    vec![
        "--config".to_owned(),
        format!("{}/{}", names::CONFIG_FOLDER, names::SETTINGS_FILE),
        "--node-id-from-hostname".to_owned(),
        "--override".to_owned(),
        format!("advertised.listeners={advertised}"),
    ]
}

fn pod_name() -> EnvVar {
    EnvVar {
        name: "POD_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(field("metadata.name".to_owned())),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn field(path: String) -> ObjectFieldSelector {
    ObjectFieldSelector { field_path: path, api_version: Some("v1".to_owned()) }
}

fn resources(build: &Build<'_>) -> ResourceRequirements {
    let quantities = |map: &BTreeMap<String, String>| {
        some(map.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.clone()))).collect())
    };
    let resources = &build.cluster.resources;
    ResourceRequirements {
        requests: quantities(&resources.requests),
        limits: quantities(&resources.limits),
        ..ResourceRequirements::default()
    }
}

/// Settings and the pod's rack in one folder: a change of either shows in the running pod.
fn config_volume(build: &Build<'_>) -> Volume {
    let settings = ConfigMapProjection {
        name: build.config_map_name(),
        items: Some(vec![KeyToPath {
            key: names::SETTINGS_FILE.to_owned(),
            path: names::SETTINGS_FILE.to_owned(),
            ..KeyToPath::default()
        }]),
        ..ConfigMapProjection::default()
    };
    let rack = DownwardAPIVolumeFile {
        path: names::RACK_FILE.to_owned(),
        field_ref: Some(field(format!("metadata.annotations['{}']", names::RACK_ANNOTATION))),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: CONFIG_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![
                VolumeProjection { config_map: Some(settings), ..VolumeProjection::default() },
                VolumeProjection {
                    downward_api: Some(DownwardAPIProjection { items: Some(vec![rack]) }),
                    ..VolumeProjection::default()
                },
            ]),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only).filter(|read_only| *read_only),
        ..VolumeMount::default()
    }
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(names::HTTP_PORT)),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}
