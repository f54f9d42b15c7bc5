//! The settings of one log. Plain values, no I/O.

use ottla_broker_protocol::batch::TimestampType;
use ottla_broker_types::DurationMs;

/// `cleanup.policy`: what happens to old records. Neither of the two keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// Older records of a key are dropped. A topic that is only compacted is never deleted by time or size.
    pub compact: bool,
}

impl CleanupPolicy {
    /// `cleanup.policy=delete`.
    pub const DELETE: CleanupPolicy = CleanupPolicy { delete: true, compact: false };
    /// `cleanup.policy=compact`.
    pub const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };
}

/// A part of a log, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyRatio(pub u32);

impl DirtyRatio {
    const WHOLE: f64 = 1e6;

    /// The nearest to `ratio`, which lies between 0 and 1.
    pub fn of(ratio: f64) -> DirtyRatio {
        DirtyRatio((ratio.clamp(0.0, 1.0) * Self::WHOLE).round() as u32)
    }

    /// `part` of `whole`; zero of nothing.
    pub fn of_bytes(part: u64, whole: u64) -> DirtyRatio {
        if whole == 0 { DirtyRatio(0) } else { DirtyRatio::of(part as f64 / whole as f64) }
    }
}

/// The settings of one log; the default is Kafka's for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is sealed before it grows beyond this.
    pub segment_bytes_max: u32,
    /// `segment.ms`: a segment is sealed by the first append this long after its first record.
    pub segment_ms: DurationMs,
    /// `segment.index.bytes`: a segment is sealed when its index reaches this.
    pub segment_index_bytes_max: u32,
    /// `index.interval.bytes`: bytes of log from one index entry to the next, about.
    pub index_interval_bytes: u32,
    /// `retention.bytes`; `None` is unlimited.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` is unlimited.
    pub retention_ms: Option<DurationMs>,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `min.cleanable.dirty.ratio`: how much of a log must be uncompacted before it is compacted.
    pub dirty_ratio_min: DirtyRatio,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub compaction_lag_ms_min: DurationMs,
    /// `max.compaction.lag.ms`: uncompacted records older than this are due; `None` is never.
    pub compaction_lag_ms_max: Option<DurationMs>,
    /// `delete.retention.ms`: how long tombstones stay once they are all that is left of their keys.
    pub delete_retention_ms: DurationMs,
    /// `max.message.bytes`: the largest batch a producer may send, compressed as it is.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`; `None` is unlimited. A limit costs decoding each record.
    pub timestamp_before_max_ms: Option<DurationMs>,
    /// `message.timestamp.after.max.ms`; `None` is unlimited.
    pub timestamp_after_max_ms: Option<DurationMs>,
    /// `producer.id.expiration.ms`: the state of a producer silent for this long is forgotten.
    pub producer_id_expiration_ms: DurationMs,
    /// `flush.messages`: records after which an append also syncs; `None` leaves it to the operating system.
    pub flush_messages: Option<u64>,
    /// `ottla.flush.before.ack`: records count as written only once they are durable.
    pub flush_before_ack: bool,
    /// `preallocate`: a new segment's file gets the space for all of it at once.
    pub preallocate: bool,
    /// `segment.jitter.ms`: how much earlier than `segment.ms` a segment may be sealed.
    pub segment_jitter_ms: DurationMs,
    /// `flush.ms`: time after which [`crate::Log::flush_due`] asks for a flush; `None` is never.
    pub flush_ms: Option<DurationMs>,
}

impl LogConfig {
    /// How old a segment may get: for a compacted topic no older than records may stay uncompacted, as the segment that is
    /// appended to is never compacted.
    pub(crate) fn segment_age_ms_max(&self) -> DurationMs {
        match self.compaction_lag_ms_max {
            Some(lag) if self.cleanup_policy.compact => self.segment_ms.min(lag),
            _ => self.segment_ms,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        const HOUR_MS: u64 = 60 * 60 * 1000;
        LogConfig {
            segment_bytes_max: 1 << 30,
            segment_ms: DurationMs(7 * 24 * HOUR_MS),
            segment_index_bytes_max: 10 << 20,
            index_interval_bytes: 4096,
            retention_bytes: None,
            retention_ms: Some(DurationMs(7 * 24 * HOUR_MS)),
            cleanup_policy: CleanupPolicy::DELETE,
            dirty_ratio_min: DirtyRatio::of(0.5),
            compaction_lag_ms_min: DurationMs(0),
            compaction_lag_ms_max: None,
            delete_retention_ms: DurationMs(24 * HOUR_MS),
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: None,
            timestamp_after_max_ms: Some(DurationMs(HOUR_MS)),
            producer_id_expiration_ms: DurationMs(24 * HOUR_MS),
            flush_before_ack: false,
            preallocate: false,
            segment_jitter_ms: DurationMs(0),
            flush_messages: None,
            flush_ms: None,
        }
    }
}
