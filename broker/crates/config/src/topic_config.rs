//! The settings of one topic as the log and the controller use them. No I/O.

use ottla_broker_types::DurationMs;

use crate::effective::{BrokerLayers, ConfigMap};
use crate::throttle::ThrottledReplicas;
use crate::typed::Typed;

/// What happens to old records; neither means that they stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// They are deleted by retention.
    pub delete: bool,
    /// All but the last of each key are removed.
    pub compact: bool,
}

/// How batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With lz4.
    Lz4,
    /// With zstd.
    Zstd,
}

/// Whose clock stamps records (KIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

/// A topic's settings, each in its own type; sizes are in bytes, `None` is "no limit".
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `delete.retention.ms`.
    pub delete_retention_ms: DurationMs,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: DurationMs,
    /// `flush.messages`.
    pub flush_messages: Option<u64>,
    /// `flush.ms`.
    pub flush_ms: Option<DurationMs>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: Option<DurationMs>,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: Option<DurationMs>,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: DurationMs,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: Option<DurationMs>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes`, per partition.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention_ms: Option<DurationMs>,
    /// `internal.segment.bytes` where set, else `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: DurationMs,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: DurationMs,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// `leader.replication.throttled.replicas`.
    pub leader_throttled_replicas: ThrottledReplicas,
    /// `follower.replication.throttled.replicas`.
    pub follower_throttled_replicas: ThrottledReplicas,
}

impl TopicConfig {
    /// The values in force for a topic with `topic` set on it, on a broker with `broker`.
    pub fn resolve(topic: &ConfigMap, broker: BrokerLayers<'_>) -> TopicConfig {
        let typed = Typed::of_topic(topic, broker);
        let policy = typed.list("cleanup.policy");
        let has = |word: &str| policy.iter().any(|part| part == word);
        let throttled = |name| ThrottledReplicas::from_parts(&typed.list(name)).unwrap_or_default();
        let internal = "internal.segment.bytes";
        let segment_bytes = if topic.contains_key(internal) { internal } else { "segment.bytes" };
        TopicConfig {
            cleanup_policy: CleanupPolicy { delete: has("delete"), compact: has("compact") },
            compression_type: compression(typed.text("compression.type").as_deref()),
            delete_retention_ms: typed.duration("delete.retention.ms"),
            file_delete_delay_ms: typed.duration("file.delete.delay.ms"),
            flush_messages: typed.limit("flush.messages"),
            flush_ms: typed.duration_limit("flush.ms"),
            index_interval_bytes: typed.u32("index.interval.bytes"),
            max_message_bytes: typed.u32("max.message.bytes"),
            timestamp_type: match typed.text("message.timestamp.type").as_deref() {
                Some("LogAppendTime") => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: typed.duration_limit("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: typed.duration_limit("message.timestamp.after.max.ms"),
            min_cleanable_dirty_ratio: typed.real("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: typed.duration("min.compaction.lag.ms"),
            max_compaction_lag_ms: typed.duration_limit("max.compaction.lag.ms"),
            min_insync_replicas: typed.u32("min.insync.replicas"),
            preallocate: typed.bool("preallocate"),
            retention_bytes: typed.limit("retention.bytes"),
            retention_ms: typed.duration_limit("retention.ms"),
            segment_bytes: typed.u32(segment_bytes),
            segment_ms: typed.duration("segment.ms"),
            segment_jitter_ms: typed.duration("segment.jitter.ms"),
            segment_index_bytes: typed.u32("segment.index.bytes"),
            unclean_leader_election: typed.bool("unclean.leader.election.enable"),
            leader_throttled_replicas: throttled("leader.replication.throttled.replicas"),
            follower_throttled_replicas: throttled("follower.replication.throttled.replicas"),
        }
    }
}

/// Kafka's defaults.
impl Default for TopicConfig {
    fn default() -> TopicConfig {
        let none = ConfigMap::new();
        TopicConfig::resolve(&none, BrokerLayers { dynamic: &none, dynamic_default: &none, statics: &none })
    }
}

fn compression(name: Option<&str>) -> CompressionType {
    match name {
        Some("uncompressed") => CompressionType::Uncompressed,
        Some("gzip") => CompressionType::Gzip,
        Some("snappy") => CompressionType::Snappy,
        Some("lz4") => CompressionType::Lz4,
        Some("zstd") => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(topic: &[(&str, &str)], statics: &[(&str, &str)]) -> TopicConfig {
        let map = |pairs: &[(&str, &str)]| -> ConfigMap {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (none, statics) = (ConfigMap::new(), map(statics));
        TopicConfig::resolve(
            &map(topic),
            BrokerLayers { dynamic: &none, dynamic_default: &none, statics: &statics },
        )
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = TopicConfig::default();
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: false });
        assert_eq!(config.retention_ms, Some(DurationMs(604_800_000)));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.segment_ms, DurationMs(604_800_000));
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.timestamp_after_max_ms, Some(DurationMs(3_600_000)));
        assert_eq!(config.timestamp_before_max_ms, None);
        assert_eq!(config.flush_ms, None);
        assert_eq!(config.segment_index_bytes, 10_485_760);
        assert_eq!(config.index_interval_bytes, 4096);
        assert_eq!(config.file_delete_delay_ms, DurationMs(60_000));
        assert_eq!(config.delete_retention_ms, DurationMs(86_400_000));
        assert_eq!(config.min_insync_replicas, 1);
        assert!((config.min_cleanable_dirty_ratio - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_file_sets_what_the_topic_does_not() {
        let config =
            with(&[("retention.ms", "-1")], &[("log.retention.ms", "5"), ("log.segment.bytes", "2097152")]);
        assert_eq!(config.retention_ms, None);
        assert_eq!(config.segment_bytes, 2_097_152);
    }

    #[test]
    fn a_stored_value_that_no_longer_passes_reads_as_the_default() {
        assert_eq!(with(&[("segment.bytes", "14")], &[]).segment_bytes, 1 << 30);
    }

    #[test]
    fn internal_segment_bytes_wins_where_set() {
        assert_eq!(with(&[("internal.segment.bytes", "1024")], &[]).segment_bytes, 1024);
    }
}
