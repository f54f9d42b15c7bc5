//! Which broker settings the operator writes itself, so that users' values are refused. Pure data.
//!
//! The names are those that Strimzi's users know, so that their `config` blocks carry over.

const OWNED_PREFIXES: &[&str] = &[
    "listeners",
    "advertised.",
    "broker.",
    "listener.",
    "inter.broker.listener.name",
    "sasl.",
    "ssl.",
    "security.",
    "password.",
    "log.dir",
    "metadata.log.dir",
    "authorizer.",
    "super.user",
    "node.id",
    "process.roles",
    "controller.",
    "cordoned.log.dirs",
    "ottla.metrics.listener",
    "ottla.broker.rack.file",
    "ottla.cluster.id",
    "ottla.bootstrapped",
];

const LEFT_TO_USERS: &[&str] = &[
    "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
    "controller.socket.timeout.ms",
    "controller.quorum.election.timeout.ms",
    "controller.quorum.election.backoff.max.ms",
    "controller.quorum.fetch.timeout.ms",
    "log.dir.failure.timeout.ms",
    "ssl.cipher.suites",
    "ssl.protocol",
    "ssl.enabled.protocols",
    "ssl.secure.random.implementation",
    "sasl.server.max.receive.size",
];

/// Whether the operator owns this broker setting; matching is by prefix, less the names left to users.
pub fn owned_by_operator(name: &str) -> bool {
    !LEFT_TO_USERS.contains(&name) && OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::broker_setting;

    #[test]
    fn identity_listeners_and_security_are_owned() {
        for name in ["node.id", "listeners", "log.dirs", "controller.quorum.voters", "ssl.keystore.location"]
        {
            assert!(owned_by_operator(name), "{name}");
        }
    }

    #[test]
    fn tuning_is_the_users() {
        for name in ["min.insync.replicas", "log.retention.ms", "broker.session.timeout.ms", "ssl.protocol"] {
            assert!(!owned_by_operator(name), "{name}");
        }
    }

    #[test]
    fn every_exception_is_a_known_setting() {
        assert!(LEFT_TO_USERS.iter().all(|name| broker_setting(name).is_some()));
    }
}
