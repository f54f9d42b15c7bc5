//! The settings of a broker on this machine: those of Kubernetes with other addresses and folders. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_broker_types::NodeId;
use ottla_operator_crd::ValidatedCluster;
use ottla_operator_planner::{names, settings};

use super::ports::PortPlan;

/// The zones of the pretended nodes, taken in turn.
const ZONES: [&str; 3] = ["a", "b", "c"];
/// Brokers listen nowhere else: nothing here is protected.
const HOST: &str = "127.0.0.1";

/// The rack of a broker, if the cluster asks for racks.
pub(super) fn rack(cluster: &ValidatedCluster, broker: NodeId) -> Option<String> {
    cluster.rack_topology_key.as_ref()?;
    let zone = usize::try_from(broker.get()).unwrap_or(0) % ZONES.len();
    Some(ZONES[zone].to_owned())
}

/// Everything in the file of `broker` but `ottla.bootstrapped`.
pub(super) fn of(
    cluster: &ValidatedCluster,
    cluster_id: &str,
    plan: PortPlan,
    broker: NodeId,
    data: &Path,
) -> BTreeMap<String, String> {
    let address = |id: NodeId| (HOST.to_owned(), plan.internal(id));
    let mut settings = settings::fixed(cluster, cluster_id, &address);
    settings.remove("ottla.broker.rack.file");
    if let Some(rack) = rack(cluster, broker) {
        settings.insert("broker.rack".to_owned(), rack);
    }
    let internal = format!("{}://{HOST}:{}", names::INTERNAL_LISTENER, plan.internal(broker));
    let clients =
        cluster.listeners.iter().enumerate().map(|(index, listener)| {
            format!("{}://{HOST}:{}", listener.kafka_name, plan.client(index, broker))
        });
    let listeners: Vec<String> = std::iter::once(internal).chain(clients).collect();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("node.id", broker.to_string());
    set("listeners", listeners.join(","));
    set("advertised.listeners", listeners.join(","));
    set("log.dirs", data.display().to_string());
    set("ottla.metrics.listener", format!("{HOST}:{}", plan.http(broker)));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::manifests::tests::cluster;

    #[test]
    fn addresses_and_folders_are_those_of_this_machine() {
        let cluster = cluster("rack: {topologyKey: topology.kubernetes.io/zone}");
        let plan = PortPlan::new(9092).expect("it fits");
        let settings = of(&cluster, "id", plan, NodeId(1), Path::new("/d/broker-1/data"));
        let expected = "INTERNAL://127.0.0.1:9193,PLAINTEXT://127.0.0.1:9093";
        assert_eq!(settings["listeners"], expected);
        assert_eq!(settings["advertised.listeners"], expected);
        assert_eq!(
            settings["controller.quorum.voters"],
            "0@127.0.0.1:9192,1@127.0.0.1:9193,2@127.0.0.1:9194"
        );
        assert_eq!(settings["log.dirs"], "/d/broker-1/data");
        assert_eq!((settings["node.id"].as_str(), settings["broker.rack"].as_str()), ("1", "b"));
        assert!(!settings.contains_key("ottla.broker.rack.file"));
    }

    #[test]
    fn zones_go_round_and_only_where_asked_for() {
        let with = cluster("rack: {topologyKey: zone}");
        let racks: Vec<_> = (0..4).filter_map(|id| rack(&with, NodeId(id))).collect();
        assert_eq!(racks, ["a", "b", "c", "a"]);
        assert_eq!(rack(&cluster(""), NodeId(0)), None);
    }

    #[test]
    fn a_persons_settings_are_in_the_file() {
        let cluster = cluster("config: {num.partitions: 7}");
        let plan = PortPlan::new(9092).expect("it fits");
        let settings = of(&cluster, "id", plan, NodeId(0), Path::new("/d"));
        assert_eq!(settings["num.partitions"], "7");
    }
}
