//! Records to bytes and back, in the frame and the versions of Kafka's metadata log. No I/O.
//!
//! The newest version of each record is written; every version of the specs is read.

use bytes::Bytes;
use ottla_broker_protocol::messages as wire;
use ottla_broker_protocol::messages::MetadataRecord;
use ottla_broker_protocol::persisted::{MetadataRecordError, decode_metadata_record, encode_metadata_record};
use ottla_broker_protocol::{EncodeError, Message};
use ottla_broker_types::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId,
    TopicName, Uuid,
};

use super::types::{
    BrokerRegistrationChange, ConfigResource, Endpoint, FeatureRange, LeaderRecoveryState, PartitionChange,
    PartitionRecord, Record, RegisterBroker,
};

/// Bytes that are no metadata record of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The frame or the body is malformed, or of a key or version that this release does not know.
    #[error(transparent)]
    Malformed(#[from] MetadataRecordError),
    /// A field holds a value that cannot be.
    #[error("{field} of a metadata record holds a value that cannot be")]
    Field {
        /// As Kafka's schema of the record names it.
        field: &'static str,
    },
}

const NO_LEADER: i32 = -1;
const NO_LEADER_CHANGE: i32 = -2;
const NO_EPOCH: i64 = -1;
const NO_RECOVERY_CHANGE: i8 = -1;

/// The record in its frame.
pub fn encode(record: &Record) -> Result<Bytes, EncodeError> {
    let (message, version) = to_wire(record);
    encode_metadata_record(&message, version)
}

/// Reads a record from its frame, which must be the whole of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let (_, message) = decode_metadata_record(bytes)?;
    from_wire(message)
}

const fn newest<M: Message>() -> i16 {
    *M::VERSIONS.end()
}

fn to_wire(record: &Record) -> (MetadataRecord<'_>, i16) {
    use wire::*;
    match record {
        Record::RegisterBroker(r) => register_broker_to_wire(r),
        Record::UnregisterBroker { broker, epoch } => {
            let m = unregister_broker_record::UnregisterBrokerRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
            };
            (
                MetadataRecord::UnregisterBroker(m),
                newest::<unregister_broker_record::UnregisterBrokerRecord>(),
            )
        }
        Record::Topic { name, id } => {
            let m = topic_record::TopicRecord { name: name.as_str().into(), topic_id: id.0 };
            (MetadataRecord::Topic(m), newest::<topic_record::TopicRecord<'_>>())
        }
        Record::Partition(p) => partition_to_wire(p),
        Record::PartitionChange(c) => change_to_wire(c),
        Record::RemoveTopic { id } => {
            let m = remove_topic_record::RemoveTopicRecord { topic_id: id.0 };
            (MetadataRecord::RemoveTopic(m), newest::<remove_topic_record::RemoveTopicRecord>())
        }
        Record::Config { resource, name, value } => {
            let m = config_record::ConfigRecord {
                resource_type: resource.kind(),
                resource_name: resource.name().into(),
                name: name.into(),
                value: value.as_deref().map(Into::into),
            };
            (MetadataRecord::Config(m), newest::<config_record::ConfigRecord<'_>>())
        }
        Record::FenceBroker { broker, epoch } => {
            let m = fence_broker_record::FenceBrokerRecord { id: broker.0, epoch: epoch.0 };
            (MetadataRecord::FenceBroker(m), newest::<fence_broker_record::FenceBrokerRecord>())
        }
        Record::UnfenceBroker { broker, epoch } => {
            let m = unfence_broker_record::UnfenceBrokerRecord { id: broker.0, epoch: epoch.0 };
            (MetadataRecord::UnfenceBroker(m), newest::<unfence_broker_record::UnfenceBrokerRecord>())
        }
        Record::BrokerRegistrationChange(c) => registration_change_to_wire(c),
        Record::FeatureLevel { name, level } => {
            let m = feature_level_record::FeatureLevelRecord { name: name.into(), feature_level: *level };
            (MetadataRecord::FeatureLevel(m), newest::<feature_level_record::FeatureLevelRecord<'_>>())
        }
        Record::ProducerIds { broker, epoch, next } => {
            let m = producer_ids_record::ProducerIdsRecord {
                broker_id: broker.0,
                broker_epoch: epoch.0,
                next_producer_id: next.0,
            };
            (MetadataRecord::ProducerIds(m), newest::<producer_ids_record::ProducerIdsRecord>())
        }
        Record::NoOp => {
            (MetadataRecord::NoOp(no_op_record::NoOpRecord {}), newest::<no_op_record::NoOpRecord>())
        }
    }
}

fn register_broker_to_wire(r: &RegisterBroker) -> (MetadataRecord<'_>, i16) {
    use wire::register_broker_record::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
    let endpoint = |e: &Endpoint| BrokerEndpoint {
        name: e.listener.clone().into(),
        host: e.host.clone().into(),
        port: e.port,
        security_protocol: e.security_protocol,
    };
    let feature = |f: &FeatureRange| BrokerFeature {
        name: f.name.clone().into(),
        min_supported_version: f.level_min,
        max_supported_version: f.level_max,
    };
    let m = RegisterBrokerRecord {
        broker_id: r.broker.0,
        is_migrating_zk_broker: false,
        incarnation_id: r.incarnation,
        broker_epoch: r.epoch.map_or(NO_EPOCH, |epoch| epoch.0),
        end_points: r.endpoints.iter().map(endpoint).collect(),
        features: r.features.iter().map(feature).collect(),
        rack: r.rack.as_deref().map(Into::into),
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        log_dirs: uuids(&r.log_dirs),
    };
    (MetadataRecord::RegisterBroker(m), newest::<RegisterBrokerRecord<'_>>())
}

fn partition_to_wire(p: &PartitionRecord) -> (MetadataRecord<'static>, i16) {
    use wire::partition_record::PartitionRecord as Wire;
    let m = Wire {
        partition_id: p.partition.0,
        topic_id: p.topic.0,
        replicas: ids(&p.replicas),
        isr: ids(&p.isr),
        removing_replicas: ids(&p.removing),
        adding_replicas: ids(&p.adding),
        leader: p.leader.map_or(NO_LEADER, |id| id.0),
        leader_recovery_state: recovery_to_wire(p.recovery),
        leader_epoch: p.leader_epoch.0,
        partition_epoch: p.partition_epoch.0,
        directories: uuids(&p.directories),
        eligible_leader_replicas: (!p.elr.is_empty()).then(|| ids(&p.elr)),
        last_known_elr: (!p.last_known_elr.is_empty()).then(|| ids(&p.last_known_elr)),
    };
    (MetadataRecord::Partition(m), newest::<Wire>())
}

fn change_to_wire(c: &PartitionChange) -> (MetadataRecord<'static>, i16) {
    use wire::partition_change_record::PartitionChangeRecord as Wire;
    let list = |list: &Option<Vec<NodeId>>| list.as_deref().map(ids);
    let m = Wire {
        partition_id: c.partition.0,
        topic_id: c.topic.0,
        isr: list(&c.isr),
        leader: c.leader.map_or(NO_LEADER_CHANGE, |leader| leader.map_or(NO_LEADER, |id| id.0)),
        replicas: list(&c.replicas),
        removing_replicas: list(&c.removing),
        adding_replicas: list(&c.adding),
        leader_recovery_state: c.recovery.map_or(NO_RECOVERY_CHANGE, recovery_to_wire),
        directories: c.directories.as_deref().map(uuids),
        eligible_leader_replicas: list(&c.elr),
        last_known_elr: list(&c.last_known_elr),
    };
    (MetadataRecord::PartitionChange(m), newest::<Wire>())
}

fn registration_change_to_wire(c: &BrokerRegistrationChange) -> (MetadataRecord<'static>, i16) {
    use wire::broker_registration_change_record::BrokerRegistrationChangeRecord as Wire;
    let m = Wire {
        broker_id: c.broker.0,
        broker_epoch: c.epoch.0,
        fenced: c.fenced.map_or(0, |fenced| if fenced { 1 } else { -1 }),
        in_controlled_shutdown: i8::from(c.in_controlled_shutdown == Some(true)),
        log_dirs: c.log_dirs.as_deref().map(uuids).unwrap_or_default(),
    };
    (MetadataRecord::BrokerRegistrationChange(m), newest::<Wire>())
}

fn from_wire(message: MetadataRecord<'_>) -> Result<Record, RecordError> {
    Ok(match message {
        MetadataRecord::RegisterBroker(m) => register_broker_from_wire(m)?,
        MetadataRecord::UnregisterBroker(m) => {
            Record::UnregisterBroker { broker: node(m.broker_id)?, epoch: epoch(m.broker_epoch)? }
        }
        MetadataRecord::Topic(m) => Record::Topic {
            name: TopicName::stored(&m.name).map_err(|_| RecordError::Field { field: "topic name" })?,
            id: topic(m.topic_id)?,
        },
        MetadataRecord::Partition(m) => partition_from_wire(m)?,
        MetadataRecord::PartitionChange(m) => change_from_wire(m)?,
        MetadataRecord::RemoveTopic(m) => Record::RemoveTopic { id: topic(m.topic_id)? },
        MetadataRecord::Config(m) => Record::Config {
            resource: ConfigResource::from_wire(m.resource_type, &m.resource_name)
                .ok_or(RecordError::Field { field: "config resource" })?,
            name: m.name.into_owned(),
            value: m.value.map(|value| value.into_owned()),
        },
        MetadataRecord::FenceBroker(m) => Record::FenceBroker { broker: node(m.id)?, epoch: epoch(m.epoch)? },
        MetadataRecord::UnfenceBroker(m) => {
            Record::UnfenceBroker { broker: node(m.id)?, epoch: epoch(m.epoch)? }
        }
        MetadataRecord::BrokerRegistrationChange(m) => registration_change_from_wire(m)?,
        MetadataRecord::FeatureLevel(m) => {
            Record::FeatureLevel { name: m.name.into_owned(), level: m.feature_level }
        }
        MetadataRecord::ProducerIds(m) => Record::ProducerIds {
            broker: node(m.broker_id)?,
            epoch: epoch(m.broker_epoch)?,
            next: ProducerId::from_wire(m.next_producer_id)
                .ok_or(RecordError::Field { field: "next producer id" })?,
        },
        MetadataRecord::NoOp(_) => Record::NoOp,
    })
}

fn register_broker_from_wire(
    m: wire::register_broker_record::RegisterBrokerRecord<'_>,
) -> Result<Record, RecordError> {
    let endpoints = m.end_points.into_iter().map(|e| Endpoint {
        listener: e.name.into_owned(),
        host: e.host.into_owned(),
        port: e.port,
        security_protocol: e.security_protocol,
    });
    let features = m.features.into_iter().map(|f| FeatureRange {
        name: f.name.into_owned(),
        level_min: f.min_supported_version,
        level_max: f.max_supported_version,
    });
    Ok(Record::RegisterBroker(RegisterBroker {
        broker: node(m.broker_id)?,
        incarnation: m.incarnation_id,
        epoch: BrokerEpoch::from_wire(m.broker_epoch),
        endpoints: endpoints.collect(),
        features: features.collect(),
        rack: m.rack.map(|rack| rack.into_owned()),
        fenced: m.fenced,
        in_controlled_shutdown: m.in_controlled_shutdown,
        log_dirs: directories(m.log_dirs),
    }))
}

fn partition_from_wire(m: wire::partition_record::PartitionRecord) -> Result<Record, RecordError> {
    Ok(Record::Partition(PartitionRecord {
        topic: topic(m.topic_id)?,
        partition: index(m.partition_id)?,
        replicas: nodes(m.replicas)?,
        isr: nodes(m.isr)?,
        removing: nodes(m.removing_replicas)?,
        adding: nodes(m.adding_replicas)?,
        leader: NodeId::from_wire(m.leader),
        recovery: recovery_from_wire(m.leader_recovery_state),
        leader_epoch: LeaderEpoch::from_wire(m.leader_epoch)
            .ok_or(RecordError::Field { field: "leader epoch" })?,
        partition_epoch: PartitionEpoch::from_wire(m.partition_epoch)
            .ok_or(RecordError::Field { field: "partition epoch" })?,
        directories: directories(m.directories),
        elr: nodes(m.eligible_leader_replicas.unwrap_or_default())?,
        last_known_elr: nodes(m.last_known_elr.unwrap_or_default())?,
    }))
}

fn change_from_wire(m: wire::partition_change_record::PartitionChangeRecord) -> Result<Record, RecordError> {
    let list = |list: Option<Vec<i32>>| list.map(nodes).transpose();
    Ok(Record::PartitionChange(PartitionChange {
        topic: topic(m.topic_id)?,
        partition: index(m.partition_id)?,
        isr: list(m.isr)?,
        leader: if m.leader == NO_LEADER_CHANGE { None } else { Some(NodeId::from_wire(m.leader)) },
        replicas: list(m.replicas)?,
        removing: list(m.removing_replicas)?,
        adding: list(m.adding_replicas)?,
        recovery: (m.leader_recovery_state != NO_RECOVERY_CHANGE)
            .then(|| recovery_from_wire(m.leader_recovery_state)),
        directories: m.directories.map(directories),
        elr: list(m.eligible_leader_replicas)?,
        last_known_elr: list(m.last_known_elr)?,
    }))
}

fn registration_change_from_wire(
    m: wire::broker_registration_change_record::BrokerRegistrationChangeRecord,
) -> Result<Record, RecordError> {
    let fenced = match m.fenced {
        0 => None,
        1 => Some(true),
        -1 => Some(false),
        _ => return Err(RecordError::Field { field: "fenced" }),
    };
    Ok(Record::BrokerRegistrationChange(BrokerRegistrationChange {
        broker: node(m.broker_id)?,
        epoch: epoch(m.broker_epoch)?,
        fenced,
        in_controlled_shutdown: (m.in_controlled_shutdown == 1).then_some(true),
        log_dirs: (!m.log_dirs.is_empty()).then(|| directories(m.log_dirs)),
    }))
}

fn recovery_to_wire(state: LeaderRecoveryState) -> i8 {
    match state {
        LeaderRecoveryState::Recovered => 0,
        LeaderRecoveryState::Recovering => 1,
    }
}

fn recovery_from_wire(state: i8) -> LeaderRecoveryState {
    if state == 1 { LeaderRecoveryState::Recovering } else { LeaderRecoveryState::Recovered }
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

fn uuids(directories: &[DirectoryId]) -> Vec<Uuid> {
    directories.iter().map(|directory| directory.0).collect()
}

fn directories(uuids: Vec<Uuid>) -> Vec<DirectoryId> {
    uuids.into_iter().map(DirectoryId).collect()
}

fn nodes(ids: Vec<i32>) -> Result<Vec<NodeId>, RecordError> {
    ids.into_iter().map(node).collect()
}

fn node(id: i32) -> Result<NodeId, RecordError> {
    NodeId::from_wire(id).ok_or(RecordError::Field { field: "node id" })
}

fn epoch(epoch: i64) -> Result<BrokerEpoch, RecordError> {
    BrokerEpoch::from_wire(epoch).ok_or(RecordError::Field { field: "broker epoch" })
}

fn topic(id: Uuid) -> Result<TopicId, RecordError> {
    TopicId::from_wire(id.0).ok_or(RecordError::Field { field: "topic id" })
}

fn index(partition: i32) -> Result<PartitionIndex, RecordError> {
    PartitionIndex::from_wire(partition).ok_or(RecordError::Field { field: "partition" })
}
