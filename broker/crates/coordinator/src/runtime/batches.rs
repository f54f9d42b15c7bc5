//! A shard's records as they lie in the log: written as one batch for each decision, read batch by batch. No I/O.

use ottla_broker_protocol::EncodeError;
use ottla_broker_protocol::batch::{BatchBuilder, BatchError, BatchOptions, batches, records};
use ottla_broker_types::{Offset, TimestampMs};

use crate::group::record::{GroupRecord, RecordError};
use crate::group::shard::GroupShard;

/// Bytes that a compressed batch may become; Kafka writes this topic uncompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// What a part of the log held.
#[derive(Debug, Default)]
pub struct Replayed {
    /// First offset after it; `None` if it holds no whole batch.
    pub next: Option<Offset>,
    /// Why records were left out: one broken record costs one group or offset, not the whole shard.
    pub skipped: Vec<RecordError>,
}

/// The one batch in which `records` are appended.
pub fn encode_batch(records: &[GroupRecord], now: TimestampMs) -> Result<Vec<u8>, EncodeError> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in records {
        let (key, value) = record.encode()?;
        builder.append(Some(&key), value.as_deref(), now.0);
    }
    Ok(Vec::from(builder.build()?))
}

impl GroupShard {
    /// Takes the records of whole batches of the log over, in the log's order, before [`GroupShard::loaded`].
    pub fn replay_batches(&mut self, bytes: &[u8]) -> Result<Replayed, BatchError> {
        let mut replayed = Replayed::default();
        for batch in batches(bytes) {
            let (header, batch) = batch?;
            replayed.next = Some(Offset::clamped(header.last_offset()).next());
            // Offsets within transactions count only with their marker, and markers are no group records.
            if header.attributes.is_control() || header.attributes.is_transactional() {
                continue;
            }
            for record in &records(&header, batch, DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                match GroupRecord::decode(record.key.unwrap_or_default(), record.value) {
                    Ok(Some(record)) => self.replay(&record),
                    Ok(None) => {}
                    Err(error) => replayed.skipped.push(error),
                }
            }
        }
        Ok(replayed)
    }
}
