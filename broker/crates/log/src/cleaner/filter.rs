//! What stays of a batch. No I/O.

use ottla_broker_protocol::batch::{BatchError, BatchHeader, BatchRewriter, Record, empty_batch, records};
use ottla_broker_types::{DurationMs, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::error::CleanError;
use super::key_map::KeyMap;
use super::pass::LastBatch;

/// What stays of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it, as it is.
    Whole,
    /// A batch of fewer records, or of none.
    Rewritten(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// What a batch is to the transactions around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its records count.
    Records,
    /// Its transaction was aborted.
    Aborted,
    /// It is a marker of which records are left, or another control batch.
    Marker,
    /// It is a marker of whose transaction nothing is left.
    SpareMarker,
}

/// Headers of one record; each takes up to sixteen times its bytes once it is read. A batch with a record of more stays as
/// it is.
pub(super) const HEADERS_MAX: usize = 10_000;

/// Decides by what is known of the whole log.
pub(super) struct Filter<'a> {
    pub(super) map: &'a KeyMap,
    /// First offset behind those that the map knows.
    pub(super) reach: Offset,
    pub(super) now: TimestampMs,
    pub(super) delete_retention: DurationMs,
    /// See [`super::CleanResources::decoded_bytes_max`].
    pub(super) decoded_bytes_max: usize,
    /// Sorted by id.
    pub(super) last_batches: &'a [LastBatch],
}

/// The records of a batch; `None` if they would take too much memory.
pub(super) fn open<'b>(
    header: &BatchHeader,
    batch: &'b [u8],
    decoded_bytes_max: usize,
) -> Result<Option<ottla_broker_protocol::batch::BatchRecords<'b>>, CleanError> {
    match records(header, batch, decoded_bytes_max) {
        Ok(opened) => Ok(Some(opened)),
        Err(BatchError::OutputTooLarge { .. } | BatchError::WindowTooLarge) => Ok(None),
        Err(source) => Err(damaged(header, source)),
    }
}

/// A record of an opened batch; `None` if it would take too much memory.
pub(super) fn readable<T>(
    header: &BatchHeader,
    item: Result<T, BatchError>,
) -> Result<Option<T>, CleanError> {
    match item {
        Ok(record) => Ok(Some(record)),
        Err(BatchError::OutputTooLarge { .. }) => Ok(None),
        Err(source) => Err(damaged(header, source)),
    }
}

pub(super) fn damaged(header: &BatchHeader, source: BatchError) -> CleanError {
    CleanError::Damaged { offset: Offset::clamped(header.base_offset), source }
}

impl Filter<'_> {
    /// What stays of a batch. Of the `last` one of a segment that is written anew at least the place in the log stays.
    pub(super) fn keep(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        role: Role,
        last: bool,
    ) -> Result<Kept, CleanError> {
        if role == Role::Marker || header.base_offset >= self.reach.get() {
            return Ok(Kept::Whole);
        }
        let horizon = header.delete_horizon();
        if role == Role::SpareMarker && header.record_count > 0 && horizon.is_none_or(|at| self.now.0 < at) {
            return if horizon.is_none() { self.with_horizon(header, batch) } else { Ok(Kept::Whole) };
        }
        if role != Role::Records {
            return Ok(self.without_records(header, last));
        }
        let Some(opened) = open(header, batch, self.decoded_bytes_max)? else { return Ok(Kept::Whole) };
        // Looked at twice, since a list of what stays could take many times the batch's bytes.
        let (mut kept_count, mut has_tombstone) = (0, false);
        let mut all = opened.iter_with_headers_max(HEADERS_MAX);
        while let Some(item) = all.next_with_bytes() {
            let Some((record, _)) = readable(header, item)? else { return Ok(Kept::Whole) };
            if self.stays(header, &record) {
                kept_count += 1;
                has_tombstone |= record.value.is_none();
            }
        }
        if kept_count == 0 {
            return Ok(self.without_records(header, last));
        }
        let horizon = (has_tombstone && horizon.is_none()).then(|| self.new_horizon());
        if kept_count == header.record_count && horizon.is_none() {
            return Ok(Kept::Whole);
        }
        let mut rewriter = BatchRewriter::new(header, horizon);
        let mut all = opened.iter_with_headers_max(HEADERS_MAX);
        while let Some(item) = all.next_with_bytes() {
            let Some((record, bytes)) = readable(header, item)? else { return Ok(Kept::Whole) };
            if self.stays(header, &record) {
                rewriter.keep(&record, bytes);
            }
        }
        let size = batch.len();
        let rewritten =
            rewriter.build().map_err(|_| damaged(header, BatchError::OutputTooLarge { limit: size }))?;
        Ok(Kept::Rewritten(rewritten))
    }

    /// A marker with the time from which on it may go.
    fn with_horizon(&self, header: &BatchHeader, batch: &[u8]) -> Result<Kept, CleanError> {
        let Some(opened) = open(header, batch, self.decoded_bytes_max)? else { return Ok(Kept::Whole) };
        let mut rewriter = BatchRewriter::new(header, Some(self.new_horizon()));
        let mut all = opened.iter();
        while let Some(item) = all.next_with_bytes() {
            let (record, bytes) = item.map_err(|source| damaged(header, source))?;
            rewriter.keep(&record, bytes);
        }
        let limit = batch.len();
        let built = rewriter.build();
        Ok(Kept::Rewritten(built.map_err(|_| damaged(header, BatchError::OutputTooLarge { limit }))?))
    }

    fn new_horizon(&self) -> i64 {
        self.now.0.saturating_add_unsigned(self.delete_retention.0)
    }

    /// What stays of a batch none of whose records does.
    fn without_records(&self, header: &BatchHeader, last: bool) -> Kept {
        match last || self.is_last_of_producer(header) {
            true if header.record_count == 0 => Kept::Whole,
            true => Kept::Rewritten(empty_batch(header)),
            false => Kept::Nothing,
        }
    }

    /// Whether a record is the last of its key and no tombstone whose time is over.
    fn stays(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        if record.offset >= self.reach.get() {
            return true;
        }
        // From before the topic was compacted.
        let Some(key) = record.key else { return false };
        if self.map.get(key).is_some_and(|last| record.offset < last.get()) {
            return false;
        }
        record.value.is_some() || header.delete_horizon().is_none_or(|horizon| self.now.0 < horizon)
    }

    /// Whether it is by this batch that its producer is known: by the sequence in it, or by the epoch of a marker.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(id) = ProducerId::from_wire(header.producer_id) else { return false };
        let Ok(at) = self.last_batches.binary_search_by_key(&id, |last| last.id) else { return false };
        let last = self.last_batches[at];
        match last.last_offset {
            Some(offset) => header.last_offset() == offset.get(),
            None => header.attributes.is_control() && ProducerEpoch(header.producer_epoch) == last.epoch,
        }
    }
}
