//! Listeners of a broker: names, protocols and addresses put together and checked. No I/O.

use std::collections::BTreeMap;

use crate::effective::ConfigMap;
use crate::listeners::{HostPort, Listener, SecurityProtocol, parse_listeners, parse_protocol_map};
use crate::table::broker_setting;
use crate::value::{ConfigError, split_list};

/// The listeners of a node and what each is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    /// Where to bind.
    pub(crate) bound: Vec<Listener>,
    /// What clients and brokers are told.
    pub(crate) advertised: Vec<Listener>,
    /// The name of the one between brokers.
    pub(crate) inter_broker: String,
    /// The names of those for controllers; never empty.
    pub(crate) controller: Vec<String>,
}

impl Listeners {
    /// The one of `servers` that is this node's own listener for controllers, if there is no other. The host must be
    /// this machine by any reading: with another's name every node would think itself alone.
    pub(crate) fn itself(&self, servers: &[HostPort]) -> Option<HostPort> {
        let [server] = servers else { return None };
        let controller = self.bound.iter().find(|listener| self.controller.contains(&listener.name))?;
        let here = matches!(server.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        (here && server.port == controller.port).then(|| server.clone())
    }
}

fn conflict(name: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Conflict { name, problem: problem.into() }
}

/// Reads and checks everything about listeners; the single values have been checked before.
pub(crate) fn resolve(statics: &ConfigMap) -> Result<Listeners, ConfigError> {
    let text = |name: &str| {
        let default = || broker_setting(name).and_then(|setting| setting.default);
        statics.get(name).map(String::as_str).or_else(default).unwrap_or_default()
    };
    let addresses =
        |name: &'static str| parse_listeners(text(name)).map_err(|error| conflict(name, error.to_string()));
    let map = parse_protocol_map(text("listener.security.protocol.map"))
        .map_err(|error| conflict("listener.security.protocol.map", error.to_string()))?;
    let mut controller: Vec<String> =
        split_list(text("controller.listener.names")).iter().map(|name| name.to_ascii_uppercase()).collect();
    let bound = with_protocols(addresses("listeners")?, &map, &controller)?;
    if bound.is_empty() {
        return Err(conflict("listeners", "it is empty: give at least one, such as PLAINTEXT://:9092"));
    }
    let inter_broker = inter_broker_name(statics, &bound, text("security.inter.broker.protocol"))?;
    if controller.is_empty() {
        controller.push(inter_broker.clone());
    }
    let advertised = match statics.get("advertised.listeners") {
        Some(_) => with_protocols(addresses("advertised.listeners")?, &map, &controller)?,
        None => bound.clone(),
    };
    check_advertised(&advertised, &bound, &controller, &inter_broker)?;
    Ok(Listeners { bound, advertised, inter_broker, controller })
}

fn with_protocols(
    addresses: Vec<(String, HostPort)>,
    map: &BTreeMap<String, SecurityProtocol>,
    controller: &[String],
) -> Result<Vec<Listener>, ConfigError> {
    let listener = |(name, address): (String, HostPort)| {
        let known = map.get(&name).copied().or_else(|| SecurityProtocol::parse(&name));
        // Kafka's own files leave the controller's listener out of the map; it is plain then.
        let plain_controller = controller.contains(&name).then_some(SecurityProtocol::Plaintext);
        let Some(protocol) = known.or(plain_controller) else {
            let problem = format!("it lacks {name}: add {name}:PLAINTEXT");
            return Err(conflict("listener.security.protocol.map", problem));
        };
        if protocol != SecurityProtocol::Plaintext {
            let problem = format!(
                "listener {name} wants {}, and only PLAINTEXT is served: map it with {name}:PLAINTEXT or drop it",
                protocol.name()
            );
            return Err(conflict("listeners", problem));
        }
        Ok(Listener { name, host: address.host, port: address.port, protocol })
    };
    addresses.into_iter().map(listener).collect()
}

fn inter_broker_name(statics: &ConfigMap, bound: &[Listener], protocol: &str) -> Result<String, ConfigError> {
    let named = statics.get("inter.broker.listener.name").map(|name| name.trim().to_ascii_uppercase());
    match named.filter(|name| !name.is_empty()) {
        Some(name) if bound.iter().any(|listener| listener.name == name) => Ok(name),
        Some(name) => {
            let problem = format!("there is no listener {name}: add {name}://host:port to listeners");
            Err(conflict("inter.broker.listener.name", problem))
        }
        None => {
            let by_protocol = bound.iter().find(|listener| listener.name == protocol);
            let first = by_protocol.or(bound.first()).map(|listener| listener.name.clone());
            first.ok_or_else(|| conflict("listeners", "it is empty"))
        }
    }
}

/// Whether it is the address of every interface, in any of its spellings.
fn is_unspecified(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| matches!(c, '0' | ':' | '.'))
}

fn check_advertised(
    advertised: &[Listener],
    bound: &[Listener],
    controller: &[String],
    inter_broker: &str,
) -> Result<(), ConfigError> {
    for listener in advertised {
        if is_unspecified(&listener.host) {
            let problem = format!("{listener} is no address that a client can reach: give a host name");
            return Err(conflict("advertised.listeners", problem));
        }
        if !bound.iter().any(|other| other.name == listener.name) {
            let problem = format!("{} is not among listeners: add it there or drop it here", listener.name);
            return Err(conflict("advertised.listeners", problem));
        }
    }
    let missing = bound.iter().map(|listener| &listener.name).find(|name| {
        let needed = name.as_str() == inter_broker || !controller.contains(name);
        needed && !advertised.iter().any(|listener| listener.name == **name)
    });
    match missing {
        Some(name) => {
            Err(conflict("advertised.listeners", format!("it lacks {name}: add {name}://host:port")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(pairs: &[(&str, &str)]) -> Result<Listeners, String> {
        let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&map).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_one_plain_listener_serves_all() {
        let listeners = resolved(&[]).expect("defaults work");
        assert_eq!(listeners.bound.len(), 1);
        assert_eq!((listeners.bound[0].port, listeners.inter_broker.as_str()), (9092, "PLAINTEXT"));
        assert_eq!(listeners.controller, ["PLAINTEXT"]);
        assert_eq!(listeners.advertised, listeners.bound);
    }

    #[test]
    fn a_private_listener_serves_brokers_and_controllers() {
        let listeners = resolved(&[
            ("listeners", "CLIENT://:9092,REPLICATION://:9091"),
            ("advertised.listeners", "CLIENT://b0.demo:9092,REPLICATION://b0.demo:9091"),
            ("listener.security.protocol.map", "CLIENT:PLAINTEXT,REPLICATION:PLAINTEXT"),
            ("inter.broker.listener.name", "REPLICATION"),
        ])
        .expect("it works");
        assert_eq!(listeners.inter_broker, "REPLICATION");
        assert_eq!(listeners.controller, ["REPLICATION"]);
    }

    #[test]
    fn kafkas_own_file_for_both_roles_works() {
        let listeners = resolved(&[
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
            ("controller.listener.names", "CONTROLLER"),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            ),
        ])
        .expect("it works");
        assert_eq!(listeners.controller, ["CONTROLLER"]);
    }

    #[test]
    fn what_cannot_work_says_what_to_change() {
        for (pairs, says) in [
            (vec![("listeners", "SASL_SSL://:9092")], "only PLAINTEXT is served"),
            (vec![("listeners", "CLIENT://:9092")], "add CLIENT:PLAINTEXT"),
            (vec![("listeners", "PLAINTEXT://0.0.0.0:9092")], "give a host name"),
            (vec![("listeners", "PLAINTEXT://[::]:9092")], "give a host name"),
            (vec![("listeners", "PLAINTEXT://[0:0:0:0:0:0:0:0]:9092")], "give a host name"),
            (vec![("inter.broker.listener.name", "INTERNAL")], "no listener INTERNAL"),
            (vec![("advertised.listeners", "SSL://a:1")], "only PLAINTEXT"),
            (vec![("listeners", "")], "it is empty"),
        ] {
            let error = resolved(&pairs).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
