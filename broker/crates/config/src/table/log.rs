//! Broker settings about logs, their cleaning, and the remote tier. Pure data.

use super::reasons as why;
use crate::setting::{Check, Setting, ValueType, boolean, double, int, list, long, string, unset};

/// Logs on local disk.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const LOG: &[Setting] = &[
    list("log.dirs", "/tmp/kafka-logs", "The directories that hold the logs.").check(Check::NonEmpty).synonyms(&["log.dir"]).works(),
    string("log.dir", "/tmp/kafka-logs", "The directory that holds the logs, when log.dirs is unset.").check(Check::NonEmpty).works(),
    list("cordoned.log.dirs", "", "Log directories that get no new replicas: * for all of them, which is the one that there is.").each_of(&["*"]).per_broker().kip(1066).works(),
    list("log.cleanup.policy", "delete", "The default of cleanup.policy.").each_of(&["delete", "compact"]).cluster_wide().works(),
    string("compression.type", "producer", "The default of the topics' compression.type.")
        .one_of(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]).cluster_wide().inert(why::RECOMPRESSION),
    int("compression.gzip.level", "-1", "The default of the topics' compression.gzip.level.").check(Check::GzipLevel).cluster_wide().kip(390).inert(why::RECOMPRESSION),
    int("compression.lz4.level", "9", "The default of the topics' compression.lz4.level.").between(1, 17).cluster_wide().kip(390).inert(why::RECOMPRESSION),
    int("compression.zstd.level", "3", "The default of the topics' compression.zstd.level.").between(-131_072, 22).cluster_wide().kip(390).inert(why::RECOMPRESSION),
    long("log.flush.interval.messages", "9223372036854775807", "The default of flush.messages.").at_least(1).cluster_wide().works(),
    unset("log.flush.interval.ms", ValueType::Long, "The default of flush.ms; unset, log.flush.scheduler.interval.ms.")
        .at_least(0).cluster_wide().synonyms(&["log.flush.scheduler.interval.ms"]).works(),
    long("log.flush.scheduler.interval.ms", "9223372036854775807", "How often logs are checked for a flush.").at_least(0).works(),
    int("log.flush.offset.checkpoint.interval.ms", "60000", "How often recovery points are written.").at_least(0).works(),
    int("log.flush.start.offset.checkpoint.interval.ms", "60000", "How often log start offsets are written.").at_least(0).works(),
    int("log.index.interval.bytes", "4096", "The default of index.interval.bytes.").at_least(0).cluster_wide().works(),
    int("log.index.size.max.bytes", "10485760", "The default of segment.index.bytes.").at_least(4).cluster_wide().works(),
    long("log.initial.task.delay.ms", "30000", "How long after the start the log tasks first run.").at_least(0).inert(why::FIXED_DELAY),
    long("log.dir.failure.timeout.ms", "30000", "How long a failed directory may go unreported before the broker stops.").at_least(1).kip(858).inert(why::DISK_FAILURE),
    long("log.message.timestamp.after.max.ms", "3600000", "The default of message.timestamp.after.max.ms.").at_least(0).cluster_wide().kip(937).works(),
    long("log.message.timestamp.before.max.ms", "9223372036854775807", "The default of message.timestamp.before.max.ms.").at_least(0).cluster_wide().kip(937).works(),
    string("log.message.timestamp.type", "CreateTime", "The default of message.timestamp.type.")
        .one_of(&["CreateTime", "LogAppendTime"]).cluster_wide().works(),
    boolean("log.preallocate", "false", "The default of preallocate.").cluster_wide().works(),
    unset("log.retention.ms", ValueType::Long, "The default of retention.ms; it wins over minutes and hours.")
        .at_least(-1).cluster_wide().synonyms(&["log.retention.minutes", "log.retention.hours"]).works(),
    unset("log.retention.minutes", ValueType::Int, "The default of retention.ms in minutes; it wins over hours.")
        .at_least(-1).cluster_wide().synonyms(&["log.retention.hours"]).works(),
    int("log.retention.hours", "168", "The default of retention.ms in hours.").at_least(-1).cluster_wide().works(),
    long("log.retention.bytes", "-1", "The default of retention.bytes.").at_least(-1).cluster_wide().works(),
    long("log.retention.check.interval.ms", "300000", "How often logs are checked for records to delete.").at_least(1).works(),
    unset("log.roll.ms", ValueType::Long, "The default of segment.ms; it wins over hours.")
        .at_least(1).cluster_wide().synonyms(&["log.roll.hours"]).works(),
    int("log.roll.hours", "168", "The default of segment.ms in hours.").at_least(1).works(),
    unset("log.roll.jitter.ms", ValueType::Long, "The default of segment.jitter.ms; it wins over hours.")
        .at_least(0).cluster_wide().synonyms(&["log.roll.jitter.hours"]).works(),
    int("log.roll.jitter.hours", "0", "The default of segment.jitter.ms in hours.").at_least(0).works(),
    int("log.segment.bytes", "1073741824", "The default of segment.bytes.").at_least(1_048_576).cluster_wide().works(),
    long("log.segment.delete.delay.ms", "60000", "The default of file.delete.delay.ms.").at_least(0).cluster_wide().works(),
    int("num.recovery.threads.per.data.dir", "2", "Threads that recover logs at the start and flush them at the end.").at_least(1).cluster_wide().inert(why::THREADS),
    long("producer.id.expiration.ms", "86400000", "After how long an idle producer's state is forgotten.").at_least(1).cluster_wide().kip(854).works(),
    int("producer.id.expiration.check.interval.ms", "600000", "How often producers are checked for that.").at_least(1).works(),
    boolean("log.cleaner.enable", "true", "Whether topics with cleanup.policy=compact are compacted.").works(),
    int("log.cleaner.threads", "1", "Threads that compact.").at_least(0).cluster_wide().works(),
    long("log.cleaner.backoff.ms", "15000", "How long the cleaner waits before it looks again when there is nothing to do.").at_least(0).cluster_wide().works(),
    long("log.cleaner.dedupe.buffer.size", "134217728", "Memory for the maps of keys of all threads that compact; a small broker takes less, and more passes.").cluster_wide().works(),
    int("log.cleaner.io.buffer.size", "524288", "Memory for the reads and writes of all threads that compact.").at_least(0).cluster_wide().works(),
    double("log.cleaner.io.buffer.load.factor", "0.9", "How full a map of keys may get.").real_between(0.0, 1.0).cluster_wide().works(),
    double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", "Bytes a second that all threads that compact read and write.").cluster_wide().works(),
    long("log.cleaner.delete.retention.ms", "86400000", "The default of delete.retention.ms.").at_least(0).cluster_wide().works(),
    long("log.cleaner.min.compaction.lag.ms", "0", "The default of min.compaction.lag.ms.").at_least(0).cluster_wide().works(),
    long("log.cleaner.max.compaction.lag.ms", "9223372036854775807", "The default of max.compaction.lag.ms.").at_least(1).cluster_wide().works(),
    double("log.cleaner.min.cleanable.ratio", "0.5", "The default of min.cleanable.dirty.ratio.").real_between(0.0, 1.0).cluster_wide().works(),
];

/// The remote tier (KIP-405).
#[rustfmt::skip] // A table is read by rows.
pub(crate) const REMOTE: &[Setting] = &[
    boolean("remote.log.storage.system.enable", "false", "Whether topics may be tiered to remote storage.").kip(405).refused(why::NO_TIERS),
    unset("remote.log.storage.manager.class.name", ValueType::Class, "A Java class that stores segments.").kip(405).refused(why::NO_TIERS),
    unset("remote.log.storage.manager.class.path", ValueType::String, "Where that class lies.").kip(405).refused(why::NO_TIERS),
    string("remote.log.storage.manager.impl.prefix", "rsm.config.", "The prefix of that class's settings.").kip(405).inert(why::TIERS),
    string("remote.log.metadata.manager.class.name",
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
        "A Java class that keeps track of remote segments.").kip(405).refused(why::NO_TIERS),
    unset("remote.log.metadata.manager.class.path", ValueType::String, "Where that class lies.").kip(405).refused(why::NO_TIERS),
    string("remote.log.metadata.manager.impl.prefix", "rlmm.config.", "The prefix of that class's settings.").kip(405).inert(why::TIERS),
    unset("remote.log.metadata.manager.listener.name", ValueType::String, "The listener that class uses.").kip(405).refused(why::NO_TIERS),
    int("remote.log.metadata.custom.metadata.max.bytes", "128", "The most bytes of custom metadata a segment.").at_least(0).kip(405).inert(why::TIERS),
    int("remote.log.manager.thread.pool.size", "2", "Threads that copy and delete remote segments.").at_least(1).kip(405).inert(why::TIERS),
    int("remote.log.manager.copier.thread.pool.size", "10", "Threads that copy segments.").at_least(1).cluster_wide().kip(950).inert(why::TIERS),
    int("remote.log.manager.expiration.thread.pool.size", "10", "Threads that delete remote segments.").at_least(1).cluster_wide().kip(950).inert(why::TIERS),
    int("remote.log.manager.follower.thread.pool.size", "2", "Threads that follow remote metadata.").at_least(1).cluster_wide().inert(why::TIERS),
    long("remote.log.manager.task.interval.ms", "30000", "How often remote tasks run.").at_least(1).kip(405).inert(why::TIERS),
    long("remote.log.manager.task.retry.backoff.ms", "500", "The first pause after a failed remote task.").at_least(1).kip(405).inert(why::TIERS),
    long("remote.log.manager.task.retry.backoff.max.ms", "30000", "The longest pause after a failed remote task.").at_least(1).kip(405).inert(why::TIERS),
    double("remote.log.manager.task.retry.jitter", "0.2", "How much those pauses vary by chance.").real_between(0.0, 0.5).kip(405).inert(why::TIERS),
    int("remote.log.reader.threads", "10", "Threads that read remote segments.").at_least(1).cluster_wide().kip(405).inert(why::TIERS),
    int("remote.log.reader.max.pending.tasks", "100", "Remote reads that may wait.").at_least(1).kip(405).inert(why::TIERS),
    long("remote.log.index.file.cache.total.size.bytes", "1073741824", "Disk space for indexes of remote segments.").at_least(1).cluster_wide().kip(405).inert(why::TIERS),
    long("remote.log.manager.copy.max.bytes.per.second", "9223372036854775807", "Bytes a second copied to the remote tier.").at_least(1).cluster_wide().kip(956).inert(why::TIERS),
    int("remote.log.manager.copy.quota.window.num", "11", "Samples over which that is measured.").at_least(1).kip(956).inert(why::TIERS),
    int("remote.log.manager.copy.quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).kip(956).inert(why::TIERS),
    long("remote.log.manager.fetch.max.bytes.per.second", "9223372036854775807", "Bytes a second read from the remote tier.").at_least(1).cluster_wide().kip(956).inert(why::TIERS),
    int("remote.log.manager.fetch.quota.window.num", "11", "Samples over which that is measured.").at_least(1).kip(956).inert(why::TIERS),
    int("remote.log.manager.fetch.quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).kip(956).inert(why::TIERS),
    int("remote.fetch.max.wait.ms", "500", "How long a fetch waits for remote records.").at_least(1).cluster_wide().kip(1018).inert(why::TIERS),
    int("remote.list.offsets.request.timeout.ms", "30000", "How long a remote offset lookup may take.").at_least(1).cluster_wide().inert(why::TIERS),
    long("log.local.retention.bytes", "-2", "The default of local.retention.bytes.").at_least(-2).cluster_wide().kip(405).inert(why::TIERS),
    long("log.local.retention.ms", "-2", "The default of local.retention.ms.").at_least(-2).cluster_wide().kip(405).inert(why::TIERS),
    long("log.remote.copy.lag.bytes", "-1", "The default of remote.copy.lag.bytes.").at_least(-1).cluster_wide().inert(why::TIERS),
    long("log.remote.copy.lag.ms", "0", "The default of remote.copy.lag.ms.").at_least(-1).cluster_wide().inert(why::TIERS),
];
