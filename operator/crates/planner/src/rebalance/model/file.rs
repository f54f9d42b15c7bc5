//! The neutral model file: JSON with brokers and partitions, as `ottla-operator plan --from` reads it. No I/O.
//!
//! ```json
//! {"brokers": [{"id": 0, "rack": "a", "state": "draining", "weight": 1, "disk_bytes": 1000000000}],
//!  "partitions": [{"topic": "orders", "partition": 0, "replicas": [0], "bytes": 100, "in_rate": 10,
//!                  "out_rate": 20, "replication_factor": 1, "reassigning": false}]}
//! ```
//! Only `id`, `topic`, `partition` and `replicas` must be given. Rates are bytes per second. Unknown fields are
//! refused, so that a misspelt one is noticed.

use ottla_broker_types::{InvalidTopicName, NodeId, PartitionIndex, TopicName};
use serde::{Deserialize, Serialize};

use super::snapshot::{Broker, BrokerState, Capacity, Model, Partition};

/// Why a text is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is not JSON of the form described, at the line and column that the source names.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A topic has a name that Kafka refuses.
    #[error("partition entry {entry} (from 0): {source}")]
    Topic {
        /// Position in the list of partitions, from 0.
        entry: usize,
        /// What is wrong with the name.
        source: InvalidTopicName,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileModel {
    brokers: Vec<FileBroker>,
    partitions: Vec<FilePartition>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBroker {
    id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    state: FileState,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<i64>,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileState {
    #[default]
    Alive,
    Draining,
    Dead,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePartition {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    #[serde(default, skip_serializing_if = "is_default")]
    bytes: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    in_rate: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    out_rate: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replication_factor: Option<u16>,
    #[serde(default, skip_serializing_if = "is_default")]
    reassigning: bool,
}

fn one() -> u32 {
    1
}

fn is_one(weight: &u32) -> bool {
    *weight == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a model file. What its entries say is checked by the planner.
///
/// # Errors
/// Says where the text is not a model.
pub fn read_model(text: &[u8]) -> Result<Model, ModelFileError> {
    if text.trim_ascii().is_empty() {
        return Err(ModelFileError::Empty);
    }
    let file: FileModel = serde_json::from_slice(text)?;
    let mut model = Model::default();
    for broker in file.brokers {
        model.brokers.push(Broker {
            id: NodeId(broker.id),
            rack: broker.rack,
            capacity: Capacity { weight: broker.weight, disk_bytes: broker.disk_bytes },
            state: match broker.state {
                FileState::Alive => BrokerState::Alive,
                FileState::Draining => BrokerState::Draining,
                FileState::Dead => BrokerState::Dead,
            },
        });
    }
    let mut last: Option<TopicName> = None;
    for (entry, partition) in file.partitions.into_iter().enumerate() {
        let topic = match last.take().filter(|last| last.as_str() == partition.topic) {
            Some(topic) => topic,
            None => {
                TopicName::new(&partition.topic).map_err(|source| ModelFileError::Topic { entry, source })?
            }
        };
        last = Some(topic.clone());
        model.partitions.push(Partition {
            topic,
            index: PartitionIndex(partition.partition),
            replicas: partition.replicas.into_iter().map(NodeId).collect(),
            bytes: partition.bytes,
            in_rate: partition.in_rate,
            out_rate: partition.out_rate,
            replication_factor: partition.replication_factor,
            reassigning: partition.reassigning,
        });
    }
    Ok(model)
}

/// Writes a model file that [`read_model`] reads back as it was.
pub fn write_model(model: &Model) -> String {
    let broker = |broker: &Broker| FileBroker {
        id: broker.id.get(),
        rack: broker.rack.clone(),
        state: match broker.state {
            BrokerState::Alive => FileState::Alive,
            BrokerState::Draining => FileState::Draining,
            BrokerState::Dead => FileState::Dead,
        },
        weight: broker.capacity.weight,
        disk_bytes: broker.capacity.disk_bytes,
    };
    let partition = |partition: &Partition| FilePartition {
        topic: partition.topic.as_str().to_owned(),
        partition: partition.index.get(),
        replicas: partition.replicas.iter().map(|id| id.get()).collect(),
        bytes: partition.bytes,
        in_rate: partition.in_rate,
        out_rate: partition.out_rate,
        replication_factor: partition.replication_factor,
        reassigning: partition.reassigning,
    };
    let file = FileModel {
        brokers: model.brokers.iter().map(broker).collect(),
        partitions: model.partitions.iter().map(partition).collect(),
    };
    serde_json::to_string(&file).expect("numbers, texts and lists always become JSON")
}
