//! From the file's pairs to a configuration that works, or every reason why not. No I/O.

use ottla_broker_types::{ClusterId, NodeId};

use super::parts::{
    FetchConfig, GroupsConfig, LogsConfig, NetworkConfig, QuorumConfig, ReplicationConfig, TopicDefaults,
    TransactionsConfig,
};
use super::{net, one_listener};
use crate::effective::{BrokerLayers, ConfigMap};
use crate::listeners::{HostPort, Listener, Voter, parse_servers, parse_voters};
use crate::table::broker_setting;
use crate::typed::Typed;
use crate::value::{ConfigError, Value, known_broker};

/// A broker's settings, checked and typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `node.id`, or its old name `broker.id`.
    pub node_id: NodeId,
    /// `ottla.cluster.id`; `None` means that the first formatting draws one.
    pub cluster_id: Option<ClusterId>,
    /// `broker.rack`; the file of `rack_file` wins once it is not empty.
    pub rack: Option<String>,
    /// `ottla.broker.rack.file`.
    pub rack_file: Option<std::path::PathBuf>,
    /// `listeners`, with the protocols of `listener.security.protocol.map`; never empty.
    pub listeners: Vec<Listener>,
    /// `advertised.listeners`, or `listeners`; an empty host means this machine's name, port 0 the bound one.
    pub advertised_listeners: Vec<Listener>,
    /// `inter.broker.listener.name`, else the first of `listeners`; it is among them.
    pub inter_broker_listener_name: String,
    /// `controller.listener.names`, else the listener between brokers; never empty.
    pub controller_listener_names: Vec<String>,
    /// Sockets.
    pub network: NetworkConfig,
    /// How much a fetch may return, and how many sessions there are.
    pub fetch: FetchConfig,
    /// The metadata quorum.
    pub quorum: QuorumConfig,
    /// How followers fetch, and when they leave the ISR.
    pub replication: ReplicationConfig,
    /// Where logs lie, and how they are flushed and cleaned.
    pub logs: LogsConfig,
    /// Defaults of new topics.
    pub topics: TopicDefaults,
    /// Consumer groups.
    pub groups: GroupsConfig,
    /// Limits of transactions and of their log.
    pub transactions: TransactionsConfig,
    /// The pairs as given: the static layer of every effective value.
    pub statics: ConfigMap,
}

impl BrokerConfig {
    /// The lowest layers, for a broker without dynamic settings.
    pub fn layers<'a>(&'a self, dynamic: &'a ConfigMap, dynamic_default: &'a ConfigMap) -> BrokerLayers<'a> {
        BrokerLayers { dynamic, dynamic_default, statics: &self.statics }
    }
}

/// Something in the file that has no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigWarning {
    /// The value is accepted and changes nothing.
    NoEffect {
        /// Which one, and what happens instead.
        note: String,
    },
    /// Nobody knows the name; Kafka ignores such names too, since plug-ins may read them.
    Ignored {
        /// What was given, and what was probably meant or what to do about it.
        message: String,
    },
}

impl std::fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigWarning::NoEffect { note } => f.write_str(note),
            ConfigWarning::Ignored { message } => write!(f, "ignored: {message}"),
        }
    }
}

/// Checks every pair and resolves the configuration; gives all errors at once, so that one edit mends the file.
pub fn load_broker(pairs: ConfigMap) -> Result<(BrokerConfig, Vec<ConfigWarning>), Vec<ConfigError>> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut statics = ConfigMap::new();
    for (name, text) in pairs {
        let setting = match known_broker(&name) {
            Ok(setting) => setting,
            Err(unknown) => {
                if let Some(setting) = one_listener::setting(&name) {
                    match one_listener::check(&name, setting, &text) {
                        Ok(note) => warnings.extend(note.map(|note| ConfigWarning::NoEffect { note })),
                        Err(error) => errors.push(error),
                    }
                    continue;
                }
                // An own name is never a plug-in's: a misspelling of it must not pass.
                if name.starts_with("ottla.") {
                    errors.push(unknown);
                } else {
                    warnings.push(ConfigWarning::Ignored { message: unknown.to_string() });
                }
                continue;
            }
        };
        if text.trim().is_empty() && setting.default.is_none() {
            continue;
        }
        match Value::parse(setting, &text) {
            Ok(value) => warnings.extend(value.note(setting).map(|note| ConfigWarning::NoEffect { note })),
            Err(error) => errors.push(error),
        }
        statics.insert(name, text);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    warnings.sort();
    resolve(statics).map(|config| (config, warnings)).map_err(|error| vec![error])
}

fn resolve(statics: ConfigMap) -> Result<BrokerConfig, ConfigError> {
    let none = ConfigMap::new();
    let typed = Typed::of_broker(BrokerLayers { dynamic: &none, dynamic_default: &none, statics: &statics });
    let node_id = node_id(&typed, &statics)?;
    let mut voters = addresses("controller.quorum.voters", &typed, parse_voters)?;
    let servers = addresses("controller.quorum.bootstrap.servers", &typed, parse_servers)?;
    let listeners = net::resolve(&statics)?;
    let roles = typed.list("process.roles");
    if voters.is_empty() && (roles.is_empty() || roles.iter().any(|role| role == "controller")) {
        voters.extend(listeners.itself(&servers).map(|address| Voter { id: node_id, address }));
    }
    check_roles(&roles, node_id, &voters)?;
    check_cordoned(&typed)?;
    check_metrics_listener(&typed)?;
    check_bounds(&typed)?;
    Ok(BrokerConfig {
        node_id,
        cluster_id: typed.text("ottla.cluster.id").map(ClusterId),
        rack: typed.text("broker.rack"),
        rack_file: typed.text("ottla.broker.rack.file").map(Into::into),
        listeners: listeners.bound,
        advertised_listeners: listeners.advertised,
        inter_broker_listener_name: listeners.inter_broker,
        controller_listener_names: listeners.controller,
        network: NetworkConfig::resolve(&typed),
        fetch: FetchConfig::resolve(&typed),
        quorum: QuorumConfig::resolve(&typed, voters),
        replication: ReplicationConfig::resolve(&typed),
        logs: LogsConfig::resolve(&typed),
        topics: TopicDefaults::resolve(&typed),
        groups: GroupsConfig::resolve(&typed),
        transactions: TransactionsConfig::resolve(&typed),
        statics,
    })
}

fn addresses<T>(
    name: &'static str,
    typed: &Typed<'_>,
    parse: fn(&str) -> Result<Vec<T>, crate::listeners::AddressError>,
) -> Result<Vec<T>, ConfigError> {
    parse(&typed.list(name).join(","))
        .map_err(|error| ConfigError::Conflict { name, problem: error.to_string() })
}

fn node_id(typed: &Typed<'_>, statics: &ConfigMap) -> Result<NodeId, ConfigError> {
    let set = |name: &str| statics.contains_key(name).then(|| typed.i32(name)).and_then(NodeId::from_wire);
    match (set("node.id"), set("broker.id")) {
        (Some(node), Some(broker)) if node != broker => Err(ConfigError::Conflict {
            name: "broker.id",
            problem: format!("it is {broker} and node.id is {node}: drop broker.id"),
        }),
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => {
            let advice = "give each node of the cluster its own number, from 0";
            Err(ConfigError::Missing { name: "node.id", advice })
        }
    }
}

/// Every node hosts partitions, and the voters keep the metadata as well: roles can only say the same.
fn check_roles(roles: &[String], node: NodeId, voters: &[Voter]) -> Result<(), ConfigError> {
    let has = |role: &str| roles.iter().any(|other| other == role);
    let votes = voters.iter().any(|voter| voter.id == node);
    let problem = match (has("broker"), has("controller")) {
        (false, false) => return Ok(()),
        (false, true) => "every node is a broker here: write broker,controller".to_owned(),
        (true, true) if !votes && !voters.is_empty() => {
            format!("node {node} is not among controller.quorum.voters: add it there, or write broker")
        }
        (true, false) if votes => {
            format!(
                "node {node} is among controller.quorum.voters: write broker,controller, or take it out there"
            )
        }
        (true, _) => return Ok(()),
    };
    Err(ConfigError::Conflict { name: "process.roles", problem })
}

/// Whoever decides where replicas go reads other brokers' dynamic settings, not their files.
fn check_cordoned(typed: &Typed<'_>) -> Result<(), ConfigError> {
    if typed.list("cordoned.log.dirs").is_empty() {
        return Ok(());
    }
    let problem =
        "it is read while brokers run, not from the file: drop it here and set it with kafka-configs";
    Err(ConfigError::Conflict { name: "cordoned.log.dirs", problem: problem.to_owned() })
}

fn check_metrics_listener(typed: &Typed<'_>) -> Result<(), ConfigError> {
    match typed.text("ottla.metrics.listener") {
        Some(value) if HostPort::parse(&value).is_none() => Err(ConfigError::Invalid {
            name: "ottla.metrics.listener",
            value,
            expected: "host:port such as 0.0.0.0:9404, or nothing".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Pairs of settings of which the first must not be above the second.
const ORDERED: &[(&str, &str)] = &[
    ("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    ("group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"),
    ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
];

fn check_bounds(typed: &Typed<'_>) -> Result<(), ConfigError> {
    for (low, high) in ORDERED {
        if typed.integer(low) > typed.integer(high) {
            let name = broker_setting(low).map_or("", |setting| setting.name);
            let problem = format!(
                "{} is above {high} = {}: lower it or raise {high}",
                typed.integer(low),
                typed.integer(high)
            );
            return Err(ConfigError::Conflict { name, problem });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_broker_types::DurationMs;

    fn load(text: &str) -> Result<(BrokerConfig, Vec<ConfigWarning>), Vec<String>> {
        let pairs = crate::properties::parse_properties(text).expect("the text reads");
        load_broker(pairs).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_node_id_is_enough_to_start_from() {
        let (config, warnings) = load("node.id=3").expect("it loads");
        assert_eq!(config.node_id, NodeId(3));
        assert_eq!(config.topics.partitions, 1);
        assert_eq!(config.quorum.broker_lease_ms, DurationMs(1500));
        assert_eq!(config.quorum.heartbeat_interval_ms, DurationMs(300));
        assert_eq!(config.network.metrics_listener.map(|at| at.port), Some(9404));
        assert_eq!(config.groups.offsets_partitions, 50);
        assert_eq!(config.logs.metadata_dir, std::path::PathBuf::from("/tmp/kafka-logs"));
        assert!(warnings.is_empty());
    }

    #[test]
    fn roles_that_say_otherwise_than_the_voters_are_refused() {
        let voters = "node.id=0\ncontroller.quorum.voters=0@a:9091,1@b:9091\nprocess.roles=";
        load(&format!("{voters}broker,controller")).expect("it is a voter");
        let broker = load(&format!("{voters}broker")).expect_err("it is a voter");
        assert!(broker[0].contains("write broker,controller"), "{broker:?}");
        let other = load(&format!("{voters}broker,controller\nnode.id=7")).expect_err("it is no voter");
        assert!(other[0].contains("node 7 is not among controller.quorum.voters"), "{other:?}");
        load(&format!("{voters}broker\nnode.id=7")).expect("it is no voter");
        let alone = load(&format!("{voters}controller")).expect_err("it hosts partitions");
        assert!(alone[0].contains("every node is a broker here"), "{alone:?}");
    }

    #[test]
    fn kafkas_default_file_starts_with_warnings_only() {
        let (config, warnings) = load(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
             listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
             advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
             num.network.threads=3\nnum.io.threads=8\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
             log.retention.hours=168\nnum.replica.fetchers=4\nzookeeper.connect=x\nmy.plugin.setting=1\n",
        )
        .expect("it loads");
        assert_eq!(config.controller_listener_names, ["CONTROLLER"]);
        let voters: Vec<String> =
            config.quorum.voters.iter().map(|voter| format!("{}@{}", voter.id, voter.address)).collect();
        assert_eq!(voters, ["1@localhost:9093"], "it is alone");
        let notes: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(
            notes.iter().any(|note| note.starts_with("num.replica.fetchers has no effect: ")),
            "{notes:?}"
        );
        assert!(
            !notes.iter().any(|note| note.contains("num.io.threads")),
            "it is Kafka's default: {notes:?}"
        );
        let ignored = warnings.iter().filter(|w| matches!(w, ConfigWarning::Ignored { .. })).count();
        assert_eq!(ignored, 2);
    }

    #[test]
    fn a_setting_that_asks_for_protection_that_is_not_there_stops_the_start() {
        for line in [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:admin",
            "ssl.client.auth=required",
            "ssl.keystore.location=/etc/kafka/keystore.p12",
            "sasl.jaas.config=x required;",
            "connections.max.reauth.ms=60000",
            "security.inter.broker.protocol=SSL",
            "create.topic.policy.class.name=com.example.Policy",
            "remote.log.storage.system.enable=true",
            "max.connection.creation.rate=10",
        ] {
            let errors = load(&format!("node.id=1\n{line}")).expect_err(line);
            let (name, _) = line.split_once('=').expect("a pair");
            assert!(errors[0].starts_with(name) && errors[0].contains(": drop it"), "{errors:?}");
            assert!(!errors[0].contains("required;"), "{errors:?}");
        }
    }

    #[test]
    fn only_a_node_that_is_named_itself_is_alone() {
        let file = "node.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n\
                    controller.quorum.bootstrap.servers=";
        let voters =
            |servers: &str| load(&format!("{file}{servers}")).expect("it loads").0.quorum.voters.len();
        assert_eq!(voters("localhost:9093"), 1);
        for other in ["localhost:9193", "kafka-0:9093", "localhost:9093,localhost:9193", ""] {
            assert_eq!(voters(other), 0, "{other:?} may be another node");
        }
        assert_eq!(voters("localhost:9093\nprocess.roles=broker"), 0);
        assert_eq!(voters("localhost:9093\ncontroller.quorum.voters=1@a:1,2@b:1,3@c:1"), 3);
    }

    #[test]
    fn settings_of_one_listener_are_refused_or_told() {
        for line in [
            "listener.name.client.ssl.client.auth=required",
            "listener.name.client.scram-sha-512.sasl.jaas.config=x",
            "listener.name.client.max.connections=10",
        ] {
            let errors = load(&format!("node.id=1\n{line}")).expect_err(line);
            let (name, _) = line.split_once('=').expect("a pair");
            assert!(errors[0].starts_with(name) && errors[0].contains(": drop it"), "{errors:?}");
        }
        let (_, warnings) = load("node.id=1\nlistener.name.client.num.network.threads=9").expect("it loads");
        assert!(warnings[0].to_string().contains("num.network.threads has no effect"), "{warnings:?}");
        let (_, warnings) = load("node.id=1\nlistener.name.client.my.plugin=9").expect("it loads");
        assert!(matches!(warnings[0], ConfigWarning::Ignored { .. }), "{warnings:?}");
    }

    #[test]
    fn a_cordon_in_the_file_is_refused_since_nobody_reads_it_there() {
        let errors = load("node.id=1\ncordoned.log.dirs=*").expect_err("it has no effect");
        assert!(errors[0].contains("kafka-configs"), "{errors:?}");
    }

    #[test]
    fn values_that_ask_for_nothing_pass_without_a_word() {
        let (_, warnings) = load(
            "node.id=1\nauthorizer.class.name=\nssl.client.auth=none\nconnections.max.reauth.ms=0\nsuper.users=\n\
             remote.log.storage.system.enable=false\nnum.io.threads=8\nlog.cleanup.policy=delete",
        )
        .expect("it loads");
        assert_eq!(warnings, []);
    }

    #[test]
    fn all_errors_come_at_once() {
        let errors =
            load("num.partitions=0\nlog.retention.ms=soon\nottla.clusterid=x").expect_err("three errors");
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors.iter().any(|error| error.contains("did you mean \"ottla.cluster.id\"")), "{errors:?}");
    }

    #[test]
    fn a_node_without_a_number_is_told_to_get_one() {
        assert!(load("").expect_err("missing")[0].contains("node.id is missing"));
        assert!(load("node.id=1\nbroker.id=2").expect_err("two ids")[0].contains("drop broker.id"));
        assert_eq!(load("broker.id=2").expect("old name").0.node_id, NodeId(2));
    }

    #[test]
    fn bounds_that_cross_are_refused() {
        let errors = load("node.id=1\ngroup.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=9");
        assert!(errors.expect_err("crossed")[0].contains("lower it or raise"));
    }

    #[test]
    fn settings_of_groups_that_mean_nothing_are_refused() {
        for setting in [
            "group.min.session.timeout.ms=0",
            "group.max.session.timeout.ms=-1",
            "group.max.size=0",
            "group.initial.rebalance.delay.ms=-1",
            "offset.metadata.max.bytes=-1",
            "offsets.retention.minutes=0",
            "offsets.retention.check.interval.ms=0",
            "offsets.commit.timeout.ms=0",
        ] {
            let errors = load(&format!("node.id=1\n{setting}")).expect_err(setting);
            assert!(errors[0].contains(setting.split('=').next().unwrap_or_default()), "{errors:?}");
        }
    }

    #[test]
    fn an_empty_value_of_a_nullable_setting_is_null() {
        let (config, _) = load("node.id=1\nbroker.rack=\nadvertised.listeners=").expect("it loads");
        assert_eq!(config.rack, None);
        assert!(!config.statics.contains_key("advertised.listeners"));
    }
}
