//! The walk itself, over any source of bytes. No I/O.

use super::cursor::{Cursor, Stopped};
use super::{BrokenRule, FAULTS_MAX, RecordFault, RecordRules, Rejected, Walked};
use crate::batch::{BatchHeader, TimestampType};

/// Kafka's "no timestamp".
const TIMESTAMP_NONE: i64 = -1;

/// What of a record the topic's rules are about.
struct Facts {
    timestamp: i64,
    has_key: bool,
}

/// Reads all records that the header announces, and that nothing follows them.
pub(super) fn records<C: Cursor>(
    header: &BatchHeader,
    rules: &RecordRules,
    cursor: &mut C,
) -> Result<Walked, Rejected> {
    let mut max_timestamp = TIMESTAMP_NONE;
    let mut faults = Vec::new();
    let (earliest, latest) = rules.timestamps.unwrap_or((i64::MIN, i64::MAX));
    for index in 0..header.record_count {
        let record = record(header, index, cursor).map_err(|stopped| match stopped {
            Stopped::Malformed(reason) => Rejected::Malformed { index, reason },
            Stopped::Source(error) => Rejected::Compression(error),
        })?;
        max_timestamp = max_timestamp.max(record.timestamp);
        let in_range = (record.timestamp >= earliest) & (record.timestamp <= latest);
        if (record.has_key | !rules.needs_key) & (in_range | (record.timestamp == TIMESTAMP_NONE)) {
            continue;
        }
        if faults.len() < FAULTS_MAX {
            let rule = match record.has_key || !rules.needs_key {
                true => BrokenRule::Timestamp(record.timestamp),
                false => BrokenRule::NoKey,
            };
            faults.push(RecordFault { index, rule });
        }
    }
    match cursor.is_at_end() {
        Ok(true) if faults.is_empty() => Ok(Walked { max_timestamp }),
        Ok(true) => Err(Rejected::Rules(faults)),
        Ok(false) => Err(Rejected::Surplus { announced: header.record_count }),
        Err(error) => Err(Rejected::Compression(error)),
    }
}

#[inline]
fn record<C: Cursor>(header: &BatchHeader, index: i32, cursor: &mut C) -> Result<Facts, Stopped> {
    let length = cursor.varint()?;
    let start = cursor.position();
    // Record attributes carry nothing yet; whatever is there is ignored, as Kafka does.
    cursor.byte()?;
    let timestamp_delta = cursor.varlong()?;
    if cursor.varint()? != index {
        return Err(Stopped::Malformed("its offset delta is not its position"));
    }
    let key_len = cursor.varint()?;
    skip_nullable(cursor, key_len)?;
    let value_len = cursor.varint()?;
    skip_nullable(cursor, value_len)?;
    let header_count = cursor.varint()?;
    if header_count != 0 {
        headers(cursor, header_count, length)?;
    }
    if cursor.position() - start != i64::from(length) as u64 {
        return Err(Stopped::Malformed("its length is not that of its fields"));
    }
    let timestamp = match header.attributes.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp.wrapping_add(timestamp_delta),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    Ok(Facts { timestamp, has_key: key_len >= 0 })
}

#[inline]
fn skip_nullable<C: Cursor>(cursor: &mut C, len: i32) -> Result<(), Stopped> {
    match len {
        0.. => cursor.skip(len as usize),
        -1 => Ok(()),
        _ => Err(Stopped::Malformed("the length of its key or value is negative")),
    }
}

#[cold]
fn headers<C: Cursor>(cursor: &mut C, count: i32, record_len: i32) -> Result<(), Stopped> {
    // Each takes at least two bytes for its lengths.
    if count < 0 || count > record_len / 2 {
        return Err(Stopped::Malformed("it announces more headers than it can hold, or fewer than none"));
    }
    for _ in 0..count {
        let key_len = cursor.varint()?;
        if key_len < 0 {
            return Err(Stopped::Malformed("a header has no key"));
        }
        cursor.skip(key_len as usize)?;
        let value_len = cursor.varint()?;
        skip_nullable(cursor, value_len)?;
    }
    Ok(())
}
