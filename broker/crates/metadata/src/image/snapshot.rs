//! The image as records and as bytes. No I/O.
//!
//! Format of the bytes: each record in its frame, behind its length as a big-endian u32.

use bytes::{BufMut, Bytes, BytesMut};
use ottla_broker_protocol::EncodeError;
use ottla_broker_types::{BrokerEpoch, NodeId, Offset, ProducerId};

use super::{ApplyError, Image};
use crate::record::{Record, RecordError, decode, encode};

/// Bytes that are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They end within a record.
    #[error("the snapshot ends within a record")]
    Truncated,
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record contradicts those before it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

const LENGTH_BYTES: usize = 4;

impl Image {
    /// Records that, applied to an empty image, give this one but for its offset.
    pub fn snapshot_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let features = self.features();
        records.extend(features.map(|(name, level)| Record::FeatureLevel { name: name.to_owned(), level }));
        records.extend(self.brokers().map(|broker| Record::RegisterBroker(broker.to_record())));
        for topic in self.topics() {
            records.push(Record::Topic { name: topic.name.clone(), id: topic.id });
            let partitions = topic.partitions.iter();
            records.extend(partitions.map(|(index, p)| Record::Partition(p.to_record(topic.id, *index))));
        }
        for (resource, config) in self.configs() {
            let record = |(name, value): (&String, &String)| Record::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            };
            records.extend(config.iter().map(record));
        }
        if self.producer_id_next != ProducerId(0) {
            let (broker, epoch) = (NodeId(0), BrokerEpoch(0));
            records.push(Record::ProducerIds { broker, epoch, next: self.producer_id_next });
        }
        records
    }

    /// The image that snapshot records give, as of `applied_end` (exclusive).
    pub fn from_snapshot_records<'r>(
        records: impl IntoIterator<Item = &'r Record>,
        applied_end: Offset,
    ) -> Result<Image, ApplyError> {
        let mut image = Image::default();
        for record in records {
            image.apply(record, Offset::ZERO)?;
        }
        image.applied_end = applied_end;
        Ok(image)
    }
}

/// The records that add up to an image, each behind its length in four bytes.
pub fn encode_snapshot(image: &Image) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    for record in image.snapshot_records() {
        let bytes = encode(&record)?;
        out.put_u32(bytes.len() as u32);
        out.put_slice(&bytes);
    }
    Ok(out.freeze())
}

/// The image that [`encode_snapshot`] wrote, as of `applied_end` (exclusive).
pub fn decode_snapshot(mut bytes: &[u8], applied_end: Offset) -> Result<Image, SnapshotError> {
    let mut image = Image::default();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(SnapshotError::Truncated)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (record, rest) = rest.split_at_checked(length).ok_or(SnapshotError::Truncated)?;
        image.apply(&decode(record)?, Offset::ZERO)?;
        bytes = rest;
    }
    image.applied_end = applied_end;
    Ok(image)
}
