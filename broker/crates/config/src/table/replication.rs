//! Broker settings about topics and replication. Pure data.

use super::reasons as why;
use crate::setting::{Setting, boolean, int, long};

/// Topics, replication, leadership and throttles.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const REPLICATION: &[Setting] = &[
    int("num.partitions", "1", "Partitions of a new topic when none are asked for.").at_least(1).works(),
    int("default.replication.factor", "1", "Replicas of a new topic's partitions when none are asked for.").between(1, 32_767).works(),
    boolean("auto.create.topics.enable", "true", "Whether an unknown topic is created when a client asks for its metadata.").works(),
    boolean("delete.topic.enable", "true", "Whether topics may be deleted.").works(),
    int("min.insync.replicas", "1", "The default of the topics' min.insync.replicas.").at_least(1).cluster_wide().works(),
    boolean("unclean.leader.election.enable", "false", "The default of the topics' unclean.leader.election.enable.").cluster_wide().works(),
    long("unclean.leader.election.interval.ms", "300000", "How often leaderless partitions are looked at for an unclean election.").at_least(1).internal().inert(why::AT_ONCE),
    boolean("auto.leader.rebalance.enable", "true", "Whether leadership goes back to the preferred replicas by itself.").works(),
    long("leader.imbalance.check.interval.seconds", "300", "How often that is looked at.").at_least(1).works(),
    int("num.replica.fetchers", "1", "Fetchers for each leader broker.").at_least(1).cluster_wide().inert(why::THREADS),
    long("replica.lag.time.max.ms", "30000", "How long a follower may lag before it leaves the ISR.").at_least(1).works(),
    int("replica.fetch.max.bytes", "1048576", "Bytes that a follower asks for a partition.").at_least(0).works(),
    int("replica.fetch.response.max.bytes", "10485760", "Bytes that a follower asks for in all.").at_least(0).works(),
    int("replica.fetch.wait.max.ms", "500", "How long a follower's fetch may wait for records.").at_least(0).works(),
    int("replica.fetch.min.bytes", "1", "Bytes that a follower's fetch waits for.").at_least(0).works(),
    int("replica.fetch.backoff.ms", "1000", "The pause after a follower's failed fetch.").at_least(0).inert(why::OWN_TIMES),
    int("replica.socket.timeout.ms", "30000", "How long a follower's request may take.").at_least(1).inert(why::OWN_TIMES),
    int("replica.socket.receive.buffer.bytes", "65536", "The kernel's receive buffer of a follower's connection.").at_least(-1).inert(why::KERNEL),
    long("replica.high.watermark.checkpoint.interval.ms", "5000", "How often high watermarks are written to disk.").at_least(1).works(),
    int("fetch.purgatory.purge.interval.requests", "1000", "How often answered fetches are swept out.").at_least(0).inert(why::NO_PURGATORY),
    int("producer.purgatory.purge.interval.requests", "1000", "How often answered produces are swept out.").at_least(0).inert(why::NO_PURGATORY),
    int("delete.records.purgatory.purge.interval.requests", "1", "How often answered deletes are swept out.").at_least(0).inert(why::NO_PURGATORY),
    long("leader.replication.throttled.rate", "9223372036854775807", "Bytes a second that throttled replicas may send.").at_least(0).cluster_wide().kip(73).inert(why::THROTTLES),
    long("follower.replication.throttled.rate", "9223372036854775807", "Bytes a second that throttled replicas may receive.").at_least(0).cluster_wide().kip(73).inert(why::THROTTLES),
    long("replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807", "Bytes a second moved between log directories.").at_least(0).cluster_wide().kip(113).inert(why::ONE_DIR),
];
