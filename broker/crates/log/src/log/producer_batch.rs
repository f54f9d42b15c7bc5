//! The rules for a batch that a producer sends. Pure: bytes in, verdict out. It needs no log, so that a batch can be
//! judged where that stops nobody, and appended later.

use ottla_broker_protocol::batch::{
    BatchError, BatchHeader, BrokenRule, Compression, Limits, RecordFault, RecordRules, Rejected, Scratch,
    TimestampType, check_records,
};
use ottla_broker_types::{DurationMs, TimestampMs};

use crate::config::LogConfig;
use crate::error::{AppendError, RejectedRecord};

/// Records may unfold into this much, however small their batch is: what a client's own limits allow.
const OUTPUT_BYTES_MIN: u64 = 64 << 20;
/// Beyond that they may take this many times of what is sent. No records of people compress better.
const OUTPUT_RATIO_MAX: u64 = 256;
/// What [`Effort::Brief`] reads: it takes about as long as a write of the batch does.
const BRIEF_OUTPUT_BYTES_MAX: u64 = 32 << 10;
/// The window of zstd up to its level 19: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The largest that any consumer takes: 128 MiB, from level 22 on.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// What of a log's settings a producer's batch must obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    size_max: usize,
    segment_bytes_max: usize,
    needs_key: bool,
    timestamp_type: TimestampType,
    timestamp_before_max_ms: Option<DurationMs>,
    timestamp_after_max_ms: Option<DurationMs>,
}

/// How much work a check may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As much as a thread may do on which others wait: few compressed records, any number of uncompressed ones.
    Brief,
    /// Whatever the batch unfolds into, within bounds.
    Full,
    /// Also what needs memory beyond [`Scratch`]: zstd of the highest levels. One at a time.
    Large,
}

/// A batch that obeys the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedBatch {
    pub(super) header: BatchHeader,
    /// The records' largest timestamp, if the header says another.
    pub(super) max_timestamp: Option<i64>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be appended.
    Sound(CheckedBatch),
    /// It takes more than the effort allowed: ask again with the next.
    Undecided,
}

impl LogConfig {
    /// What a producer's batch must obey.
    pub fn batch_rules(&self) -> BatchRules {
        BatchRules {
            size_max: self.max_message_bytes as usize,
            segment_bytes_max: self.segment_bytes_max as usize,
            needs_key: self.cleanup_policy.compact,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
        }
    }
}

impl BatchRules {
    /// Judges the one batch that `bytes` are, in Kafka's order: size, checksum, header, records.
    pub fn check(
        &self,
        bytes: &[u8],
        now: TimestampMs,
        effort: Effort,
        scratch: &mut Scratch,
    ) -> Result<Verdict, AppendError> {
        let header = BatchHeader::parse(bytes).map_err(refused)?;
        let size = header.size();
        if size < bytes.len() {
            return Err(invalid("more than one batch was sent for the partition"));
        }
        if header.base_offset != 0 {
            return Err(invalid("the base offset of a producer's batch must be 0"));
        }
        if size > self.size_max {
            return Err(AppendError::TooLarge { size, size_max: self.size_max });
        }
        if size > self.segment_bytes_max {
            return Err(AppendError::LargerThanSegment { size, segment_bytes_max: self.segment_bytes_max });
        }
        let is_compressed = header.attributes.compression() != Compression::None;
        if effort == Effort::Brief && is_compressed && size as u64 > BRIEF_OUTPUT_BYTES_MAX {
            return Ok(Verdict::Undecided);
        }
        header.check_crc(bytes).map_err(refused)?;
        check_header(&header)?;
        let rules = RecordRules { needs_key: self.needs_key, timestamps: self.timestamps(now) };
        let walked = match check_records(&header, bytes, &rules, limits(effort, size), scratch) {
            Ok(walked) => walked,
            Err(rejected) if is_beyond(effort, &rejected) => return Ok(Verdict::Undecided),
            Err(rejected) => return Err(self.rejected(rejected, now)),
        };
        let differs = walked.max_timestamp != header.max_timestamp;
        Ok(Verdict::Sound(CheckedBatch { header, max_timestamp: differs.then_some(walked.max_timestamp) }))
    }

    /// Judges without a bound on the work, for batches of the broker itself.
    pub(super) fn check_fully(&self, bytes: &[u8], now: TimestampMs) -> Result<CheckedBatch, AppendError> {
        match self.check(bytes, now, Effort::Large, &mut Scratch::default())? {
            Verdict::Sound(checked) => Ok(checked),
            Verdict::Undecided => Err(invalid(TOO_LARGE)),
        }
    }

    /// Earliest and latest allowed timestamp, if the producer's count.
    fn timestamps(&self, now: TimestampMs) -> Option<(i64, i64)> {
        if self.timestamp_type == TimestampType::LogAppendTime {
            return None;
        }
        let earliest = self.timestamp_before_max_ms.map_or(i64::MIN, |before| now.minus(before).0);
        let latest = match self.timestamp_after_max_ms {
            Some(DurationMs(after)) => now.0.saturating_add_unsigned(after),
            None => i64::MAX,
        };
        Some((earliest, latest))
    }

    fn rejected(&self, rejected: Rejected, now: TimestampMs) -> AppendError {
        match rejected {
            Rejected::Malformed { index, reason } => AppendError::InvalidRecord {
                reason: "a record is malformed",
                records: vec![RejectedRecord { index, message: reason.to_owned() }],
            },
            Rejected::Surplus { .. } => invalid("bytes are left after the last record"),
            Rejected::Compression(BatchError::OutputTooLarge { .. } | BatchError::WindowTooLarge) => {
                invalid(TOO_LARGE)
            }
            Rejected::Compression(_) => invalid("the compressed records cannot be decompressed"),
            Rejected::Rules(faults) => self.broken(&faults, now),
        }
    }

    fn broken(&self, faults: &[RecordFault], now: TimestampMs) -> AppendError {
        let (earliest, latest) = self.timestamps(now).unwrap_or((i64::MIN, i64::MAX));
        let message = |rule| match rule {
            BrokenRule::NoKey => "a compacted topic needs a key in every record".to_owned(),
            BrokenRule::Timestamp(found) => {
                format!("the timestamp {found} is outside of the allowed {earliest} to {latest}")
            }
        };
        let records = faults
            .iter()
            .map(|fault| RejectedRecord { index: fault.index, message: message(fault.rule) })
            .collect();
        if faults.iter().any(|fault| matches!(fault.rule, BrokenRule::Timestamp(_))) {
            return AppendError::InvalidTimestamp { records };
        }
        AppendError::InvalidRecord { reason: "records have no key, which a compacted topic needs", records }
    }
}

const TOO_LARGE: &str = "the records take too much memory when decompressed";

fn limits(effort: Effort, size: usize) -> Limits {
    let whole = OUTPUT_BYTES_MIN.max(OUTPUT_RATIO_MAX * size as u64);
    match effort {
        Effort::Brief => Limits { output_max: BRIEF_OUTPUT_BYTES_MAX, zstd_window_log_max: ZSTD_WINDOW_LOG },
        Effort::Full => Limits { output_max: whole, zstd_window_log_max: ZSTD_WINDOW_LOG },
        Effort::Large => Limits { output_max: whole, zstd_window_log_max: ZSTD_WINDOW_LOG_MAX },
    }
}

/// Whether a batch was refused only because of the effort.
fn is_beyond(effort: Effort, rejected: &Rejected) -> bool {
    match rejected {
        Rejected::Compression(BatchError::OutputTooLarge { .. }) => effort == Effort::Brief,
        Rejected::Compression(BatchError::WindowTooLarge) => effort != Effort::Large,
        _ => false,
    }
}

fn check_header(header: &BatchHeader) -> Result<(), AppendError> {
    if header.record_count == 0 {
        return Err(invalid("the batch holds no record"));
    }
    if i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(invalid("the record count is not that of the offsets"));
    }
    if header.attributes.is_control() {
        return Err(invalid("clients must not send control records"));
    }
    if header.attributes.is_transactional() {
        return Err(invalid("transactions are not supported"));
    }
    if header.attributes.has_delete_horizon() {
        return Err(invalid("clients must not set a delete horizon"));
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(invalid("a batch with a producer id needs an epoch and a sequence"));
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        let message = "producers must not set the timestamp type to log append time".to_owned();
        return Err(AppendError::InvalidTimestamp { records: vec![RejectedRecord { index: 0, message }] });
    }
    Ok(())
}

/// What is wrong with the batch, as the producer is told.
pub(super) fn refused(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic { magic } => AppendError::UnsupportedMagic { magic },
        BatchError::UnknownCompression { codec } => AppendError::UnsupportedCompression { codec },
        BatchError::NegativeCount => invalid("the record count or the last offset is negative"),
        error => AppendError::CorruptBatch(error),
    }
}

fn invalid(reason: &'static str) -> AppendError {
    AppendError::InvalidRecord { reason, records: Vec::new() }
}
