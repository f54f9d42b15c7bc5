//! The rules for a batch that a producer sends. Pure: bytes in, verdict out.
//! Only the header is looked at, unless a setting of the topic is about records.

use ottla_broker_protocol::batch::{BatchError, BatchHeader, TimestampType, records};
use ottla_broker_types::{DurationMs, TimestampMs};

use crate::config::LogConfig;
use crate::error::AppendError;

/// The most memory that the records of one batch may take when a setting demands to look at each of them.
const DECODED_BYTES_MAX: usize = 64 << 20;
/// Kafka's "the producer gave no timestamp".
const TIMESTAMP_NONE: i64 = -1;

/// The header of the one batch that `bytes` are, if it may be appended.
pub(super) fn check(bytes: &[u8], config: &LogConfig, now: TimestampMs) -> Result<BatchHeader, AppendError> {
    let header = BatchHeader::parse(bytes).map_err(refused)?;
    let size = header.size();
    if size < bytes.len() {
        return Err(invalid("more than one batch was sent for the partition"));
    }
    let size_max = config.max_message_bytes as usize;
    if size > size_max {
        return Err(AppendError::TooLarge { size, size_max });
    }
    let segment_bytes_max = config.segment_bytes_max as usize;
    if size > segment_bytes_max {
        return Err(AppendError::LargerThanSegment { size, segment_bytes_max });
    }
    header.check_crc(bytes).map_err(refused)?;
    check_header(&header)?;
    check_timestamps(&header, config, now)?;
    if config.cleanup_policy.compact || earliest(config, now).is_some() {
        check_records(&header, bytes, config, now)?;
    }
    Ok(header)
}

fn check_header(header: &BatchHeader) -> Result<(), AppendError> {
    if header.attributes.is_control() {
        return Err(invalid("clients must not send control records"));
    }
    if header.attributes.is_transactional() {
        return Err(invalid("transactions are not supported"));
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(invalid("clients must not set log append time"));
    }
    if header.attributes.has_delete_horizon() {
        return Err(invalid("clients must not set a delete horizon"));
    }
    if i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(invalid("the record count is not that of the offsets"));
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(invalid("a batch with a producer id needs an epoch and a sequence"));
    }
    Ok(())
}

fn check_timestamps(header: &BatchHeader, config: &LogConfig, now: TimestampMs) -> Result<(), AppendError> {
    if config.timestamp_type == TimestampType::LogAppendTime || header.max_timestamp == TIMESTAMP_NONE {
        return Ok(());
    }
    check_timestamp(None, header.max_timestamp, config, now)
}

fn check_timestamp(
    record_index: Option<i32>,
    timestamp: i64,
    config: &LogConfig,
    now: TimestampMs,
) -> Result<(), AppendError> {
    let allowed_from = earliest(config, now).unwrap_or(i64::MIN);
    let allowed_to = match config.timestamp_after_max_ms {
        Some(DurationMs(after)) => now.0.saturating_add_unsigned(after),
        None => i64::MAX,
    };
    if (allowed_from..=allowed_to).contains(&timestamp) {
        return Ok(());
    }
    Err(AppendError::InvalidTimestamp { record_index, timestamp, allowed_from, allowed_to })
}

/// The earliest allowed timestamp, if the topic has such a limit.
fn earliest(config: &LogConfig, now: TimestampMs) -> Option<i64> {
    match (config.timestamp_type, config.timestamp_before_max_ms) {
        (TimestampType::CreateTime, Some(before)) => Some(now.minus(before).0),
        _ => None,
    }
}

fn check_records(
    header: &BatchHeader,
    bytes: &[u8],
    config: &LogConfig,
    now: TimestampMs,
) -> Result<(), AppendError> {
    let opened = records(header, bytes, DECODED_BYTES_MAX).map_err(refused)?;
    for (record_index, record) in (0..).zip(opened.iter()) {
        let record = record.map_err(refused)?;
        if config.cleanup_policy.compact && record.key.is_none() {
            let reason = "a compacted topic needs a key in every record";
            return Err(AppendError::InvalidRecord { record_index: Some(record_index), reason });
        }
        if config.timestamp_type == TimestampType::CreateTime && record.timestamp != TIMESTAMP_NONE {
            check_timestamp(Some(record_index), record.timestamp, config, now)?;
        }
    }
    Ok(())
}

/// What is wrong with the batch, as the producer is told.
pub(super) fn refused(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic { magic } => AppendError::UnsupportedMagic { magic },
        BatchError::UnknownCompression { codec } => AppendError::UnsupportedCompression { codec },
        BatchError::NegativeCount => invalid("the record count or the last offset is negative"),
        BatchError::OutputTooLarge { .. } => invalid("the records take too much memory when decompressed"),
        error => AppendError::CorruptBatch(error),
    }
}

fn invalid(reason: &'static str) -> AppendError {
    AppendError::InvalidRecord { record_index: None, reason }
}
