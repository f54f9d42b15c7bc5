//! Records as they lie in a shard's partition: written in as few batches as hold them, read batch by batch. No I/O.

use bytes::Bytes;
use ottla_broker_protocol::batch::{BatchBuilder, BatchError, BatchOptions, HEADER_LEN, batches, records};
use ottla_broker_types::{Offset, TimestampMs};

use crate::runtime::shard::{Shard, ShardRecord};

/// Bytes that a compressed batch may become; Kafka writes these topics uncompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Bytes of a record beside key and value at most: five varints of up to five bytes, one of up to ten, one byte of
/// attributes.
const RECORD_FRAME_BYTES_MAX: usize = 36;

/// Bytes of key and value that one record of a batch of `batch_bytes_max` may have.
pub(crate) fn record_bytes_max(batch_bytes_max: usize) -> usize {
    batch_bytes_max.saturating_sub(HEADER_LEN + RECORD_FRAME_BYTES_MAX)
}

/// Why records cannot be put into batches.
#[derive(Debug)]
pub(crate) enum Unbatchable {
    /// One is larger than a batch may be.
    TooLarge,
    /// One holds what its format cannot.
    Encode,
}

/// One batch, and how many of the records are in it.
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) record_count: usize,
}

/// `records` in their order as batches of at most `batch_bytes_max` each.
pub(crate) fn encode_batches<R: ShardRecord>(
    records: &[R],
    now: TimestampMs,
    batch_bytes_max: usize,
) -> Result<Vec<Batch>, Unbatchable> {
    let mut done = Vec::new();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in records {
        let (key, value) = record.encode().map_err(|_| Unbatchable::Encode)?;
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        if bytes > record_bytes_max(batch_bytes_max) {
            return Err(Unbatchable::TooLarge);
        }
        if builder.record_count() > 0 && builder.size() + bytes + RECORD_FRAME_BYTES_MAX > batch_bytes_max {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(BatchOptions::default()));
            done.push(close(full)?);
        }
        builder.append(Some(&key), value.as_deref(), now.0);
    }
    if builder.record_count() > 0 {
        done.push(close(builder)?);
    }
    Ok(done)
}

fn close(builder: BatchBuilder) -> Result<Batch, Unbatchable> {
    let record_count = usize::try_from(builder.record_count()).unwrap_or_default();
    let bytes = Vec::from(builder.build().map_err(|_| Unbatchable::Encode)?);
    Ok(Batch { bytes, record_count })
}

/// What a part of the log held.
#[derive(Debug)]
pub(crate) struct Replayed<E> {
    /// First offset after it; `None` if it holds no whole batch.
    pub(crate) next: Option<Offset>,
    /// Records that the shard has taken over, control and foreign ones apart.
    pub(crate) record_count: u64,
    /// Why records were left out.
    pub(crate) skipped: Vec<E>,
}

/// Lets `shard` take over the records of whole batches of the log, in the log's order.
pub(crate) fn replay_batches<S: Shard>(
    shard: &mut S,
    bytes: &[u8],
) -> Result<Replayed<<S::Record as ShardRecord>::Error>, BatchError> {
    let mut replayed = Replayed { next: None, record_count: 0, skipped: Vec::new() };
    for batch in batches(bytes) {
        let (header, batch) = batch?;
        replayed.next = Some(Offset::clamped(header.last_offset()).next());
        // What is within a transaction counts only with its marker, and markers are no records of a shard.
        if header.attributes.is_control() || header.attributes.is_transactional() {
            continue;
        }
        for record in &records(&header, batch, DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            match S::Record::decode(record.key.unwrap_or_default(), record.value) {
                Ok(Some(record)) => {
                    shard.replay(&record);
                    replayed.record_count += 1;
                }
                Ok(None) => {}
                Err(error) => replayed.skipped.push(error),
            }
        }
    }
    Ok(replayed)
}
