//! The fixed header of a batch: where each field lies, what is valid, and how a broker stamps it.
//! No I/O. Invariant of a parsed header: `size() >= HEADER_LEN`, `last_offset_delta >= 0`, `record_count >= 0`.

use super::{BatchError, Compression};

const BASE_OFFSET_AT: usize = 0;
const LENGTH_AT: usize = BASE_OFFSET_AT + size_of::<i64>();
const LEADER_EPOCH_AT: usize = LENGTH_AT + size_of::<i32>();
const MAGIC_AT: usize = LEADER_EPOCH_AT + size_of::<i32>();
const CRC_AT: usize = MAGIC_AT + size_of::<i8>();
const ATTRIBUTES_AT: usize = CRC_AT + size_of::<u32>();
const LAST_OFFSET_DELTA_AT: usize = ATTRIBUTES_AT + size_of::<i16>();
const BASE_TIMESTAMP_AT: usize = LAST_OFFSET_DELTA_AT + size_of::<i32>();
const MAX_TIMESTAMP_AT: usize = BASE_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_ID_AT: usize = MAX_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_EPOCH_AT: usize = PRODUCER_ID_AT + size_of::<i64>();
const BASE_SEQUENCE_AT: usize = PRODUCER_EPOCH_AT + size_of::<i16>();
const RECORD_COUNT_AT: usize = BASE_SEQUENCE_AT + size_of::<i32>();

/// Bytes before the records.
pub const HEADER_LEN: usize = RECORD_COUNT_AT + size_of::<i32>();
/// Bytes that the length field does not count: base offset and the length itself.
pub const LENGTH_PREFIX_LEN: usize = LEADER_EPOCH_AT;
/// The one supported format.
pub const MAGIC: i8 = 2;

const _: () = assert!(HEADER_LEN == 61 && LENGTH_PREFIX_LEN == 12);

const CODEC_BITS: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Who set the records' timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The broker, when it appended the batch: one time for all records.
    LogAppendTime,
}

/// The batch's attribute bits; the codec in them is a known one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    bits: i16,
    compression: Compression,
}

impl Attributes {
    /// Reads attribute bits; bits that have no meaning yet are kept.
    pub fn from_bits(bits: i16) -> Result<Attributes, BatchError> {
        let codec = bits & CODEC_BITS;
        let compression = Compression::from_codec(codec).ok_or(BatchError::UnknownCompression { codec })?;
        Ok(Attributes { bits, compression })
    }

    pub(super) fn new(compression: Compression, transactional: bool, control: bool) -> Attributes {
        let mut bits = compression.codec();
        if transactional {
            bits |= TRANSACTIONAL_BIT;
        }
        if control {
            bits |= CONTROL_BIT;
        }
        Attributes { bits, compression }
    }

    /// These, of a batch whose `base_timestamp` is the time from which tombstones may be dropped.
    pub(super) fn with_delete_horizon(self) -> Attributes {
        Attributes { bits: self.bits | DELETE_HORIZON_BIT, ..self }
    }

    /// These, of a batch that holds no records any more.
    pub(super) fn of_empty(self) -> Attributes {
        let bits = self.bits & !(CODEC_BITS | DELETE_HORIZON_BIT);
        Attributes { bits, compression: Compression::None }
    }

    /// The bits as they are on the wire.
    pub fn bits(self) -> i16 {
        self.bits
    }

    /// How the records are compressed.
    pub fn compression(self) -> Compression {
        self.compression
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.bits & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.bits & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds control records, such as transaction markers.
    pub fn is_control(self) -> bool {
        self.bits & CONTROL_BIT != 0
    }

    /// Whether `base_timestamp` is the time from which tombstones may be dropped (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.bits & DELETE_HORIZON_BIT != 0
    }
}

/// A batch's header, in Kafka's raw numbers: -1 stands for "none" in the producer fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, also if compaction removed that record.
    pub base_offset: i64,
    /// Bytes after the length field; [`BatchHeader::size`] gives the whole.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// Always [`MAGIC`] after parsing.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Compression and flags.
    pub attributes: Attributes,
    /// Offset of the last record minus `base_offset`.
    pub last_offset_delta: i32,
    /// Timestamp to which the records' deltas are added, in ms.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, in ms.
    pub max_timestamp: i64,
    /// Id of an idempotent producer, else -1.
    pub producer_id: i64,
    /// Epoch of an idempotent producer, else -1.
    pub producer_epoch: i16,
    /// Sequence of the first record of an idempotent producer, else -1.
    pub base_sequence: i32,
    /// Count of records; compaction may leave fewer than the offsets span.
    pub record_count: i32,
}

fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the whole batch. The CRC is not checked.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let incomplete = BatchError::Incomplete { size: HEADER_LEN, available: bytes.len() };
        // The magic comes first: older formats have shorter headers, and the length means another thing.
        let magic = *bytes.get(MAGIC_AT).ok_or(incomplete)? as i8;
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic { magic });
        }
        let raw: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(incomplete)?;
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(field(raw, BASE_OFFSET_AT)),
            batch_length: i32::from_be_bytes(field(raw, LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(field(raw, LEADER_EPOCH_AT)),
            magic,
            crc: u32::from_be_bytes(field(raw, CRC_AT)),
            attributes: Attributes::from_bits(i16::from_be_bytes(field(raw, ATTRIBUTES_AT)))?,
            last_offset_delta: i32::from_be_bytes(field(raw, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(raw, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(raw, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(raw, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(raw, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(raw, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(raw, RECORD_COUNT_AT)),
        };
        let length_min = (HEADER_LEN - LENGTH_PREFIX_LEN) as i32;
        if header.batch_length < length_min {
            return Err(BatchError::InvalidLength { length: header.batch_length });
        }
        if header.last_offset_delta < 0 || header.record_count < 0 {
            return Err(BatchError::NegativeCount);
        }
        Ok(header)
    }

    /// The time in ms from which on tombstones, or the marker, of the batch may be dropped, if it says one (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_LEN + self.batch_length.max(0) as usize
    }

    /// Offset of the last record, also if compaction removed that record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The batch itself, cut from `bytes`, which start with it.
    pub fn slice<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], BatchError> {
        let size = self.size();
        bytes.get(..size).ok_or(BatchError::Incomplete { size, available: bytes.len() })
    }

    /// Compares the stored checksum with the content of the batch at the start of `bytes`.
    pub fn check_crc(&self, bytes: &[u8]) -> Result<(), BatchError> {
        let computed = crc(self.slice(bytes)?);
        if computed == self.crc {
            return Ok(());
        }
        Err(BatchError::CrcMismatch { stored: self.crc, computed })
    }

    /// Appends the header to `out`, as it is; the CRC is whatever the field says.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&self.batch_length.to_be_bytes());
        out.extend_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out.extend_from_slice(&self.magic.to_be_bytes());
        out.extend_from_slice(&self.crc.to_be_bytes());
        out.extend_from_slice(&self.attributes.bits.to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.record_count.to_be_bytes());
    }
}

/// CRC-32C of exactly one batch of at least a header.
fn crc(batch: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[ATTRIBUTES_AT..]) as u32
}

/// Gives the batch its place in the log. The CRC covers neither field, so it stays valid.
///
/// # Panics
/// If `batch` is shorter than a header: callers have parsed it.
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[BASE_OFFSET_AT..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Sets the time of all records to `timestamp` (ms) by the broker's clock, and the CRC anew.
///
/// # Panics
/// If `batch`, which must be exactly one batch, is shorter than a header: callers have parsed it.
pub fn stamp_log_append_time(batch: &mut [u8], timestamp: i64) {
    let bits = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]) | LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&bits.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&timestamp.to_be_bytes());
    seal(batch);
}

/// Sets the largest timestamp of the records to `timestamp` (ms), as the records themselves say it, and the CRC anew.
///
/// # Panics
/// If `batch`, which must be exactly one batch, is shorter than a header: callers have parsed it.
pub fn stamp_max_timestamp(batch: &mut [u8], timestamp: i64) {
    batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&timestamp.to_be_bytes());
    seal(batch);
}

/// Writes the CRC of exactly one batch into its header.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = crc(batch);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}
