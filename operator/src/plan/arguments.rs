//! The arguments of `plan`, each parsed to what it means.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use ottla_broker_types::{NodeId, TopicName};
use ottla_operator_kafka_admin::Endpoint;

/// Shown below the list of arguments.
pub(super) const HELP_AFTER: &str = "\
Exit codes: 0 balanced, 2 there is a plan, 3 there can be no plan, 1 failure (also of arguments).

Examples:
  ottla-operator plan --bootstrap kafka:9092
  ottla-operator plan --bootstrap kafka:9092 --drain 3,4 --explain
  ottla-operator plan --bootstrap kafka:9092 --write-plan plan.json --write-rollback back.json
  kafka-reassign-partitions --bootstrap-server kafka:9092 --reassignment-json-file plan.json --execute

A model file, of which only id, topic, partition and replicas must be given; rates are bytes per second:
  {\"brokers\": [{\"id\": 0, \"rack\": \"a\", \"state\": \"alive|draining|dead\", \"weight\": 1, \"disk_bytes\": 1000000000}],
   \"partitions\": [{\"topic\": \"orders\", \"partition\": 0, \"replicas\": [0], \"bytes\": 100, \"in_rate\": 10,
                   \"out_rate\": 20, \"replication_factor\": 1, \"reassigning\": false}]}";

/// What `plan` is asked for.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP_AFTER)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// What is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    /// Says why each replica moves.
    #[arg(long)]
    pub(super) explain: bool,
    /// Shows every broker, partition and note in the table, however many they are.
    #[arg(long)]
    pub(super) all: bool,
    /// Brokers that shall end without replicas.
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = node)]
    pub(super) drain: Vec<NodeId>,
    /// Brokers that will not come back: their replicas are made anew elsewhere.
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = node)]
    pub(super) dead: Vec<NodeId>,
    /// The number of replicas that every topic, or the one named, shall have.
    #[arg(long, value_name = "[TOPIC=]N,...", value_delimiter = ',')]
    pub(super) replication_factor: Vec<ReplicationFactor>,
    /// The most replicas to copy for the sake of balance; what drains and racks force is not limited.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(super) moves_max: Option<i64>,
    /// The same limit in bytes, such as 500MiB or 2TiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) bytes_max: Option<i64>,
    /// Leaves the order of replica lists, and with it the preferred leaders, as it is where no replica moves.
    #[arg(long)]
    pub(super) keep_leaders: bool,
    /// Decides between equally good choices; the same seed and cluster give the same plan.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Writes the plan to a file for kafka-reassign-partitions, whatever is printed.
    #[arg(long, value_name = "FILE")]
    pub(super) write_plan: Option<PathBuf>,
    /// Writes the way back, the lists as they are now, to another such file.
    #[arg(long, value_name = "FILE")]
    pub(super) write_rollback: Option<PathBuf>,
    /// Writes what was read from the cluster to a model file, before --drain and the like are applied.
    #[arg(long, value_name = "FILE")]
    pub(super) write_model: Option<PathBuf>,
    /// Seconds that a broker may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) timeout: u64,
}

/// Where the model comes from.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Source {
    /// A model file; - is the standard input.
    #[arg(long, value_name = "MODEL.json")]
    pub(super) from: Option<PathBuf>,
    /// Brokers of a running cluster, Apache Kafka's or Ottla's, at a plaintext listener.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', value_parser = endpoint)]
    pub(super) bootstrap: Vec<Endpoint>,
}

/// What is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tables for people.
    Table,
    /// Everything about the plan, for programs.
    Json,
    /// The file that kafka-reassign-partitions --execute takes.
    Kafka,
    /// The same kind of file with the lists as they are now: the way back.
    Rollback,
}

/// A wish for a number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicationFactor {
    /// Of this topic, or of all.
    pub(super) topic: Option<TopicName>,
    /// So many.
    pub(super) replicas: u16,
}

impl FromStr for ReplicationFactor {
    type Err = String;

    fn from_str(text: &str) -> Result<ReplicationFactor, String> {
        let (topic, number) = match text.rsplit_once('=') {
            Some((topic, number)) => {
                (Some(TopicName::new(topic).map_err(|error| error.to_string())?), number)
            }
            None => (None, text),
        };
        match number.parse() {
            Ok(0) | Err(_) => Err("a number of replicas is at least 1".to_owned()),
            Ok(replicas) => Ok(ReplicationFactor { topic, replicas }),
        }
    }
}

fn node(text: &str) -> Result<NodeId, String> {
    let id = text.parse().ok().and_then(NodeId::from_wire);
    id.ok_or_else(|| "a broker's id is a number from 0 on".to_owned())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let parsed = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parsed {
        Some((host, port)) => Ok(Endpoint { host: host.to_owned(), port }),
        None => Err("a broker is given as HOST:PORT".to_owned()),
    }
}

fn size(text: &str) -> Result<i64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: i64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("the units of a size are KiB, MiB, GiB and TiB".to_owned()),
    };
    let bytes = number.parse::<i64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| "a size is a number, and a unit such as GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("1500"), Ok(1500));
        assert_eq!(size("2 GiB"), Ok(2 << 30));
        assert!(size("2GB").is_err() && size("-1").is_err() && size("GiB").is_err());
        assert!(size("9999999999TiB").is_err());
    }

    #[test]
    fn replication_factors_are_of_one_topic_or_of_all() {
        let all: ReplicationFactor = "3".parse().expect("valid");
        assert_eq!((all.topic, all.replicas), (None, 3));
        let one: ReplicationFactor = "orders=2".parse().expect("valid");
        assert_eq!(one.topic.as_ref().map(TopicName::as_str), Some("orders"));
        assert!("0".parse::<ReplicationFactor>().is_err());
        assert!("a b=2".parse::<ReplicationFactor>().is_err());
    }

    #[test]
    fn endpoints_keep_the_brackets_of_addresses() {
        assert_eq!(endpoint("[::1]:9092"), Ok(Endpoint { host: "[::1]".to_owned(), port: 9092 }));
        assert!(endpoint("kafka").is_err() && endpoint(":9092").is_err() && endpoint("kafka:99999").is_err());
    }
}
