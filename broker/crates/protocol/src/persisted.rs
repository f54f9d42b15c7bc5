//! Framing of persisted values: what stands in front of a record's body on disk or inside a bytes field. No I/O.
//!
//! - Group records and the consumer protocol: int16 version, then the body.
//! - Metadata records (KIP-631): uvarint frame version (1), uvarint key, uvarint version, then the body.

use bytes::Bytes;

use crate::messages::MetadataRecord;
use crate::wire::{Decode, DecodeError, Encode, EncodeError, Message, Reader, Writer};

/// The one frame version of metadata records.
const METADATA_FRAME_VERSION: u32 = 1;

/// A metadata record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRecordError {
    /// The frame version is not 1.
    #[error("metadata record frame version {version} is unknown")]
    UnknownFrame {
        /// The version read.
        version: u32,
    },
    /// No spec has the key.
    #[error("metadata record key {key} is unknown")]
    UnknownKey {
        /// The key read.
        key: u32,
    },
    /// The body is malformed or of an unknown version.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// `message` behind its version.
pub fn encode_versioned(message: &impl Message, version: i16) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    w.put_i16(version);
    message.encode(&mut w, version)?;
    Ok(w.into_bytes().expect("persisted schemas hold no files"))
}

/// The version in front of a persisted value.
pub fn peek_version(bytes: &[u8]) -> Result<i16, DecodeError> {
    Reader::new(bytes).i16()
}

/// Reads a value behind its version. A version above the known ones is an error.
pub fn decode_versioned<'a, T: Message + Decode<'a>>(bytes: &'a [u8]) -> Result<(i16, T), DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    let value = T::decode(&mut r, version)?;
    r.finish()?;
    Ok((version, value))
}

/// Reads a value behind its version as members of a group do: a newer version is read as the newest known one, and
/// what follows is left alone, since later versions only append.
pub fn decode_versioned_lenient<'a, T: Message + Decode<'a>>(
    bytes: &'a [u8],
) -> Result<(i16, T), DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    let value = T::decode(&mut r, version.min(*T::VERSIONS.end()))?;
    Ok((version, value))
}

/// A metadata record in its frame.
pub fn encode_metadata_record(record: &MetadataRecord<'_>, version: i16) -> Result<Bytes, EncodeError> {
    let unsupported = EncodeError::UnsupportedVersion { message: "MetadataRecord", version };
    let mut w = Writer::new();
    w.put_uvarint(METADATA_FRAME_VERSION);
    w.put_uvarint(record.key());
    w.put_uvarint(u32::try_from(version).map_err(|_| unsupported)?);
    record.encode(&mut w, version)?;
    Ok(w.into_bytes().expect("metadata records hold no files"))
}

/// Reads a metadata record from its frame, which must be the whole of `bytes`.
pub fn decode_metadata_record(bytes: &[u8]) -> Result<(i16, MetadataRecord<'_>), MetadataRecordError> {
    let mut r = Reader::new(bytes);
    let frame = r.uvarint()?;
    if frame != METADATA_FRAME_VERSION {
        return Err(MetadataRecordError::UnknownFrame { version: frame });
    }
    let key = r.uvarint()?;
    let version = r.uvarint()?;
    let unsupported = DecodeError::UnsupportedVersion { message: "MetadataRecord", version: i16::MAX };
    let version = i16::try_from(version).map_err(|_| unsupported)?;
    let record =
        MetadataRecord::decode(key, &mut r, version)?.ok_or(MetadataRecordError::UnknownKey { key })?;
    r.finish()?;
    Ok((version, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
    use crate::messages::group_metadata_key::GroupMetadataKey;
    use crate::messages::topic_record::TopicRecord;
    use ottla_broker_types::Uuid;

    #[test]
    fn a_group_key_is_its_version_and_its_name() {
        let key = GroupMetadataKey { group: "g".into() };
        let bytes = encode_versioned(&key, 2).unwrap();
        assert_eq!(bytes, b"\x00\x02\x00\x01g"[..]);
        assert_eq!(decode_versioned::<GroupMetadataKey<'_>>(&bytes), Ok((2, key)));
    }

    #[test]
    fn a_subscription_of_the_future_is_read_as_the_newest_known() {
        let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let mut bytes = encode_versioned(&subscription, 3).unwrap().to_vec();
        bytes[1] = 9;
        bytes.extend_from_slice(b"later");
        assert_eq!(decode_versioned_lenient(&bytes), Ok((9, subscription)));
        assert!(decode_versioned::<ConsumerProtocolSubscription<'_>>(&bytes).is_err());
    }

    #[test]
    fn a_metadata_record_names_frame_key_and_version() {
        let record = MetadataRecord::Topic(TopicRecord { name: "t".into(), topic_id: Uuid([5; 16]) });
        let bytes = encode_metadata_record(&record, 0).unwrap();
        assert_eq!(bytes[..5], *b"\x01\x02\x00\x02t");
        assert_eq!(decode_metadata_record(&bytes), Ok((0, record)));
    }

    #[test]
    fn unknown_frames_and_keys_are_told_apart() {
        assert_eq!(decode_metadata_record(&[2, 2, 0]), Err(MetadataRecordError::UnknownFrame { version: 2 }));
        assert_eq!(decode_metadata_record(&[1, 99, 0]), Err(MetadataRecordError::UnknownKey { key: 99 }));
    }
}
