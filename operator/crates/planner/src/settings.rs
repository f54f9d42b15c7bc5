//! The settings that a cluster's brokers boot with, as `server.properties`. Pure.
//!
//! Invariant: what changes without a restart (`ottla.bootstrapped`, dynamic settings) is no part of the revision.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;
use ottla_operator_crd::ValidatedCluster;
use ottla_operator_crd::validate::ClientListener;

use crate::names;

/// What stands in the file besides the person's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// Whether the quorum has formed once.
    pub bootstrapped: bool,
}

/// Where a broker is reached: host and internal port. Local mode has other addresses than Kubernetes.
pub type Address<'a> = &'a dyn Fn(NodeId) -> (String, u16);

/// The settings of all brokers, without the id, the advertised addresses and the `ottla.bootstrapped` flag.
pub fn fixed(cluster: &ValidatedCluster, cluster_id: &str, address: Address<'_>) -> BTreeMap<String, String> {
    let mut settings = cluster.config_fixed.clone();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    let voters: Vec<String> = cluster
        .voters
        .iter()
        .map(|id| {
            let (host, port) = address(*id);
            format!("{id}@{host}:{port}")
        })
        .collect();
    set("controller.quorum.voters", voters.join(","));
    set("controller.listener.names", names::INTERNAL_LISTENER.to_owned());
    set("inter.broker.listener.name", names::INTERNAL_LISTENER.to_owned());
    set("listeners", listeners(cluster, Hosts::default()));
    set("listener.security.protocol.map", protocol_map(cluster));
    set("log.dirs", names::DATA_FOLDER.to_owned());
    set("ottla.cluster.id", cluster_id.to_owned());
    if cluster.rack_topology_key.is_some() {
        set("ottla.broker.rack.file", format!("{}/{}", names::CONFIG_FOLDER, names::RACK_FILE));
    }
    settings
}

/// Hosts of listeners; an empty one means every address of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hosts<'a> {
    /// For the listener between brokers.
    pub brokers: &'a str,
    /// For the listeners of clients.
    pub clients: &'a str,
}

/// All listeners on their hosts.
pub fn listeners(cluster: &ValidatedCluster, hosts: Hosts<'_>) -> String {
    let internal = format!("{}://{}:{}", names::INTERNAL_LISTENER, hosts.brokers, names::INTERNAL_PORT);
    let client = |l: &ClientListener| format!("{}://{}:{}", l.kafka_name, hosts.clients, l.port);
    let clients = cluster.listeners.iter().map(client);
    std::iter::once(internal).chain(clients).collect::<Vec<_>>().join(",")
}

fn protocol_map(cluster: &ValidatedCluster) -> String {
    let names = cluster.listeners.iter().map(|listener| listener.kafka_name.as_str());
    let pairs =
        std::iter::once(names::INTERNAL_LISTENER).chain(names).map(|name| format!("{name}:PLAINTEXT"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The text of the file.
pub fn properties(settings: &BTreeMap<String, String>, bootstrapped: bool) -> String {
    let mut text = String::from("# Written by the operator; changes here are overwritten.\n");
    for (name, value) in settings {
        text.push_str(&format!("{name}={}\n", escaped(value)));
    }
    text.push_str(&format!("ottla.bootstrapped={bootstrapped}\n"));
    text
}

/// A value as Java's property files want it: only backslashes and line ends mean something there.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, cluster};

    #[test]
    fn voters_are_the_lowest_ids_at_their_pods() {
        let settings = fixed(&cluster(5), "id", &testing::address);
        let voters = &settings["controller.quorum.voters"];
        assert!(
            voters.starts_with("0@demo-broker-0.demo-brokers.default.svc.cluster.local:9091,1@"),
            "{voters}"
        );
        assert_eq!(voters.split(',').count(), 3);
        assert_eq!(settings["listeners"], "INTERNAL://:9091,PLAINTEXT://:9092");
    }

    #[test]
    fn dynamic_settings_are_not_in_the_file() {
        let settings = fixed(&cluster(3), "id", &testing::address);
        assert!(!settings.contains_key("min.insync.replicas"));
        assert_eq!(settings["default.replication.factor"], "3");
    }

    #[test]
    fn values_cannot_break_out_of_their_line() {
        let settings = BTreeMap::from([("a".to_owned(), "x\nb=1\\".to_owned())]);
        assert_eq!(properties(&settings, true).lines().nth(1), Some("a=x\\nb=1\\\\"));
    }
}
