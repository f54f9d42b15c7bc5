//! Topic settings: Kafka's LogConfig, all of it. Pure data.

use super::reasons as why;
use crate::setting::{Check, Setting, Update, ValueType, boolean, double, int, list, long, string, unset};

const fn topic(setting: Setting) -> Setting {
    setting.update(Update::Topic)
}

/// Every topic setting.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const TOPIC: &[Setting] = &[
    topic(list("cleanup.policy", "delete", "What happens to old records: delete them, compact them by key, both, or neither when empty."))
        .each_of(&["delete", "compact"]).synonyms(&["log.cleanup.policy"]).works(),
    topic(string("compression.type", "producer", "How batches are stored: as the producer sent them, or recompressed with this codec."))
        .one_of(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]).synonyms(&["compression.type"]).inert(why::RECOMPRESSION),
    topic(int("compression.gzip.level", "-1", "The gzip level when the broker recompresses; -1 is the library's default."))
        .check(Check::GzipLevel).synonyms(&["compression.gzip.level"]).kip(390).inert(why::RECOMPRESSION),
    topic(int("compression.lz4.level", "9", "The lz4 level when the broker recompresses."))
        .between(1, 17).synonyms(&["compression.lz4.level"]).kip(390).inert(why::RECOMPRESSION),
    topic(int("compression.zstd.level", "3", "The zstd level when the broker recompresses."))
        .between(-131_072, 22).synonyms(&["compression.zstd.level"]).kip(390).inert(why::RECOMPRESSION),
    topic(long("delete.retention.ms", "86400000", "How long tombstones of a compacted topic stay readable."))
        .at_least(0).synonyms(&["log.cleaner.delete.retention.ms"]).works(),
    topic(boolean("errors.deadletterqueue.group.enable", "false", "Whether share groups may use this topic as their dead-letter queue."))
        .kip(1191).inert(why::SHARE),
    topic(long("file.delete.delay.ms", "60000", "How long the files of a deleted partition stay on disk."))
        .at_least(0).synonyms(&["log.segment.delete.delay.ms"]).works(),
    topic(long("flush.messages", "9223372036854775807", "After how many records the log is forced to disk; the default leaves it to the kernel."))
        .at_least(1).synonyms(&["log.flush.interval.messages"]).works(),
    topic(long("flush.ms", "9223372036854775807", "After how long a record is forced to disk; the default leaves it to the kernel."))
        .at_least(0).synonyms(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]).works(),
    topic(list("follower.replication.throttled.replicas", "", "Replicas whose incoming replication is throttled: * or partition:broker pairs."))
        .check(Check::ThrottledReplicas).kip(73).inert(why::THROTTLES),
    topic(int("index.interval.bytes", "4096", "How many bytes of records lie between two entries of the offset index."))
        .at_least(0).synonyms(&["log.index.interval.bytes"]).works(),
    topic(int("internal.segment.bytes", "1073741824", "Overrides segment.bytes without its lower limit; for tests."))
        .at_least(1).internal().works(),
    topic(list("leader.replication.throttled.replicas", "", "Replicas whose outgoing replication is throttled: * or partition:broker pairs."))
        .check(Check::ThrottledReplicas).kip(73).inert(why::THROTTLES),
    topic(long("local.retention.bytes", "-2", "How many bytes stay on local disk when tiered; -2 follows retention.bytes."))
        .at_least(-2).synonyms(&["log.local.retention.bytes"]).kip(405).inert(why::TIERS),
    topic(long("local.retention.ms", "-2", "How long records stay on local disk when tiered; -2 follows retention.ms."))
        .at_least(-2).synonyms(&["log.local.retention.ms"]).kip(405).inert(why::TIERS),
    topic(long("max.compaction.lag.ms", "9223372036854775807", "The longest that a record may stay uncompacted."))
        .at_least(1).synonyms(&["log.cleaner.max.compaction.lag.ms"]).kip(354).works(),
    topic(int("max.message.bytes", "1048588", "The largest record batch, compressed, that producers may send."))
        .at_least(0).synonyms(&["message.max.bytes"]).works(),
    topic(long("message.timestamp.after.max.ms", "3600000", "How far a record's timestamp may lie ahead of the broker's clock."))
        .at_least(0).synonyms(&["log.message.timestamp.after.max.ms"]).kip(937).works(),
    topic(long("message.timestamp.before.max.ms", "9223372036854775807", "How far a record's timestamp may lie behind the broker's clock."))
        .at_least(0).synonyms(&["log.message.timestamp.before.max.ms"]).kip(937).works(),
    topic(string("message.timestamp.type", "CreateTime", "Whether records keep the producer's timestamp or get the broker's."))
        .one_of(&["CreateTime", "LogAppendTime"]).synonyms(&["log.message.timestamp.type"]).kip(32).works(),
    topic(double("min.cleanable.dirty.ratio", "0.5", "How much of a log must be uncompacted before the cleaner works on it."))
        .real_between(0.0, 1.0).synonyms(&["log.cleaner.min.cleanable.ratio"]).works(),
    topic(long("min.compaction.lag.ms", "0", "The shortest that a record stays uncompacted."))
        .at_least(0).synonyms(&["log.cleaner.min.compaction.lag.ms"]).kip(58).works(),
    topic(int("min.insync.replicas", "1", "How many replicas must hold a record before acks=all is answered; below it such writes are refused."))
        .at_least(1).synonyms(&["min.insync.replicas"]).works(),
    topic(boolean("preallocate", "false", "Whether a new segment's file gets its full size at once."))
        .synonyms(&["log.preallocate"]).works(),
    topic(long("remote.copy.lag.bytes", "-1", "How many bytes a segment lags before it is copied to the remote tier."))
        .at_least(-1).synonyms(&["log.remote.copy.lag.bytes"]).inert(why::TIERS),
    topic(long("remote.copy.lag.ms", "0", "How long a segment lags before it is copied to the remote tier."))
        .at_least(-1).synonyms(&["log.remote.copy.lag.ms"]).inert(why::TIERS),
    topic(boolean("remote.log.copy.disable", "false", "Whether copying to the remote tier is stopped.")).kip(950).inert(why::TIERS),
    topic(boolean("remote.log.delete.on.disable", "false", "Whether the remote copy is deleted when tiering is switched off.")).kip(950).inert(why::TIERS),
    topic(boolean("remote.storage.enable", "false", "Whether the topic is tiered to remote storage.")).kip(405).refused(why::NO_TIERS),
    topic(long("retention.bytes", "-1", "How many bytes a partition keeps; -1 is no limit."))
        .at_least(-1).synonyms(&["log.retention.bytes"]).works(),
    topic(long("retention.ms", "604800000", "How long records are kept; -1 is for ever."))
        .at_least(-1).synonyms(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"]).works(),
    topic(int("segment.bytes", "1073741824", "The size at which a new segment is begun."))
        .at_least(1_048_576).synonyms(&["log.segment.bytes"]).works(),
    topic(int("segment.index.bytes", "10485760", "The size at which a segment's index is full and a new segment is begun."))
        .at_least(4).synonyms(&["log.index.size.max.bytes"]).works(),
    topic(long("segment.jitter.ms", "0", "How much earlier than segment.ms a segment may be closed, by chance, to spread the load."))
        .at_least(0).synonyms(&["log.roll.jitter.ms", "log.roll.jitter.hours"]).works(),
    topic(long("segment.ms", "604800000", "The age at which a new segment is begun even if the last is not full."))
        .at_least(1).synonyms(&["log.roll.ms", "log.roll.hours"]).works(),
    topic(boolean("unclean.leader.election.enable", "false", "Whether a replica outside the ISR may lead when no other is left, losing acknowledged records."))
        .synonyms(&["unclean.leader.election.enable"]).works(),
];

const fn group(setting: Setting) -> Setting {
    setting.update(Update::Group)
}

/// Settings of consumer, share and streams groups; unset ones follow the broker's value.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const GROUP: &[Setting] = &[
    group(int("consumer.session.timeout.ms", "45000", "After how long without a heartbeat a member is removed."))
        .at_least(1).synonyms(&["group.consumer.session.timeout.ms"]).kip(848).inert(why::GROUP_SETTINGS),
    group(int("consumer.heartbeat.interval.ms", "5000", "How often members send heartbeats."))
        .at_least(1).synonyms(&["group.consumer.heartbeat.interval.ms"]).kip(848).inert(why::GROUP_SETTINGS),
    group(string("share.auto.offset.reset", "latest", "Where a share group starts on a partition it has not read: latest, earliest, or by_duration with an ISO 8601 duration."))
        .kip(932).inert(why::SHARE),
    group(int("share.heartbeat.interval.ms", "5000", "How often share members send heartbeats."))
        .at_least(1).synonyms(&["group.share.heartbeat.interval.ms"]).kip(932).inert(why::SHARE),
    group(string("share.isolation.level", "read_uncommitted", "Whether a share group sees records of open and aborted transactions."))
        .one_of(&["read_committed", "read_uncommitted"]).kip(932).inert(why::SHARE),
    group(int("share.record.lock.duration.ms", "30000", "How long an acquired record stays with its member."))
        .at_least(1000).synonyms(&["group.share.record.lock.duration.ms"]).kip(932).inert(why::SHARE),
    group(int("share.delivery.count.limit", "5", "How often a record is delivered before it is given up."))
        .between(2, 10).synonyms(&["group.share.delivery.count.limit"]).kip(932).inert(why::SHARE),
    group(int("share.partition.max.record.locks", "2000", "How many records of a partition may be in flight."))
        .between(100, 10_000).synonyms(&["group.share.partition.max.record.locks"]).kip(932).inert(why::SHARE),
    group(int("share.session.timeout.ms", "45000", "After how long without a heartbeat a share member is removed."))
        .at_least(1).synonyms(&["group.share.session.timeout.ms"]).kip(932).inert(why::SHARE),
    group(int("streams.heartbeat.interval.ms", "5000", "How often streams members send heartbeats."))
        .at_least(1).synonyms(&["group.streams.heartbeat.interval.ms"]).kip(1071).inert(why::STREAMS),
    group(int("streams.num.standby.replicas", "0", "How many standby copies of each task's state are kept."))
        .at_least(0).synonyms(&["group.streams.num.standby.replicas"]).kip(1071).inert(why::STREAMS),
    group(int("streams.session.timeout.ms", "45000", "After how long without a heartbeat a streams member is removed."))
        .at_least(1).synonyms(&["group.streams.session.timeout.ms"]).kip(1071).inert(why::STREAMS),
];

/// Keys of client quotas (KIP-13, KIP-124, KIP-599, KIP-612); unset means no limit.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const QUOTA: &[Setting] = &[
    unset("producer_byte_rate", ValueType::Double, "Bytes a second that a client may produce to one broker.").kip(13).refused(why::NO_QUOTAS),
    unset("consumer_byte_rate", ValueType::Double, "Bytes a second that a client may fetch from one broker.").kip(13).refused(why::NO_QUOTAS),
    unset("request_percentage", ValueType::Double, "Share of the request threads' time that a client may use, in percent.").kip(124).refused(why::NO_QUOTAS),
    unset("controller_mutation_rate", ValueType::Double, "Partitions a second that a client may create or delete.").kip(599).refused(why::NO_QUOTAS),
    unset("connection_creation_rate", ValueType::Int, "Connections a second that an address may open.").kip(612).refused(why::NO_QUOTAS),
];
