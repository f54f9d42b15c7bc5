//! Broker settings of the coordinators: groups, transactions, shares. Pure data.

use super::reasons as why;
use crate::setting::{Setting, boolean, int, list, long, short, string};

/// Consumer groups, classic and KIP-848.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const GROUPS: &[Setting] = &[
    short("offsets.topic.replication.factor", "3", "Replicas of __consumer_offsets; fewer brokers than that mean fewer replicas.").at_least(1).works(),
    int("offsets.topic.num.partitions", "50", "Partitions of __consumer_offsets; must not change later.").at_least(1).works(),
    int("offsets.topic.segment.bytes", "104857600", "The segment size of __consumer_offsets.").at_least(1).works(),
    int("offsets.topic.compression.codec", "0", "The codec of __consumer_offsets: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.").between(0, 4).inert(why::OFFSETS_CODEC),
    int("offsets.load.buffer.size", "5242880", "Memory to load a partition of __consumer_offsets with.").at_least(1).inert(why::COORDINATOR),
    int("offsets.retention.minutes", "10080", "How long offsets of an empty group are kept.").at_least(1).works(),
    long("offsets.retention.check.interval.ms", "600000", "How often offsets are checked for that.").at_least(1).works(),
    int("offsets.commit.timeout.ms", "5000", "How long an offset commit waits for its replicas.").at_least(1).works(),
    int("offset.metadata.max.bytes", "4096", "The longest text that may be committed with an offset.").at_least(0).works(),
    int("group.initial.rebalance.delay.ms", "3000", "How long a new group waits for more members.").at_least(0).works(),
    int("group.min.session.timeout.ms", "6000", "The shortest session that a member may ask for.").at_least(1).works(),
    int("group.max.session.timeout.ms", "1800000", "The longest session that a member may ask for.").at_least(1).works(),
    int("group.max.size", "2147483647", "Members that a group may have.").at_least(1).works(),
    int("group.coordinator.threads", "4", "Threads of the group coordinator.").at_least(1).inert(why::COORDINATOR),
    int("group.coordinator.append.linger.ms", "-1", "How long the coordinator gathers records before it writes them; -1 adapts.").at_least(-1).inert(why::COORDINATOR),
    int("group.coordinator.cached.buffer.max.bytes", "1048588", "Memory that the coordinator keeps for its next write.").at_least(524_288).inert(why::COORDINATOR),
    list("group.coordinator.rebalance.protocols", "classic,consumer,streams", "The group protocols that are offered.")
        .each_of(&["classic", "consumer", "share", "streams"]).kip(848).inert(why::GROUP_PROTOCOLS),
    list("group.consumer.assignors", "uniform,range", "The assignors of KIP-848 groups, the default first.")
        .each_of(&["uniform", "range"]).kip(848).works(),
    int("group.consumer.heartbeat.interval.ms", "5000", "How often members of KIP-848 groups send heartbeats.").at_least(1).kip(848).works(),
    int("group.consumer.min.heartbeat.interval.ms", "5000", "The smallest such interval a group may set.").at_least(1).kip(848).inert(why::GROUP_SETTINGS),
    int("group.consumer.max.heartbeat.interval.ms", "15000", "The largest such interval a group may set.").at_least(1).kip(848).inert(why::GROUP_SETTINGS),
    int("group.consumer.session.timeout.ms", "45000", "After how long without a heartbeat a member of a KIP-848 group is removed.").at_least(1).kip(848).works(),
    int("group.consumer.min.session.timeout.ms", "45000", "The smallest such time a group may set.").at_least(1).kip(848).inert(why::GROUP_SETTINGS),
    int("group.consumer.max.session.timeout.ms", "60000", "The largest such time a group may set.").at_least(1).kip(848).inert(why::GROUP_SETTINGS),
    int("group.consumer.max.size", "2147483647", "Members that a KIP-848 group may have.").at_least(1).kip(848).works(),
    string("group.consumer.migration.policy", "bidirectional", "Between which protocols a live group may be converted.")
        .one_of(&["disabled", "downgrade", "upgrade", "bidirectional"]).kip(848).inert(why::GROUP_MIGRATION),
    int("group.consumer.regex.refresh.interval.ms", "600000", "How often patterns are matched against the topics again.").at_least(10_000).kip(848).inert(why::PATTERNS),
    list("group.streams.assignors", "sticky", "The assignors of streams groups.").kip(1071).inert(why::STREAMS),
    int("group.streams.heartbeat.interval.ms", "5000", "How often members of streams groups send heartbeats.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.min.heartbeat.interval.ms", "5000", "The smallest such interval a group may set.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.max.heartbeat.interval.ms", "15000", "The largest such interval a group may set.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.session.timeout.ms", "45000", "After how long without a heartbeat a member of a streams group is removed.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.min.session.timeout.ms", "45000", "The smallest such time a group may set.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.max.session.timeout.ms", "60000", "The largest such time a group may set.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.max.size", "2147483647", "Members that a streams group may have.").at_least(1).kip(1071).inert(why::STREAMS),
    int("group.streams.num.standby.replicas", "0", "Standby copies of each task's state.").at_least(0).kip(1071).inert(why::STREAMS),
    int("group.streams.max.standby.replicas", "2", "The most standby copies a group may set.").at_least(0).kip(1071).inert(why::STREAMS),
    int("group.streams.initial.rebalance.delay.ms", "3000", "How long a new streams group waits for more members.").at_least(0).kip(1071).inert(why::STREAMS),
];

/// Share groups (KIP-932).
#[rustfmt::skip] // A table is read by rows.
pub(crate) const SHARE: &[Setting] = &[
    list("group.share.assignors", "simple", "The assignors of share groups.").kip(932).inert(why::SHARE),
    int("group.share.delivery.count.limit", "5", "How often a record is delivered before it is given up.").between(2, 10).kip(932).inert(why::SHARE),
    int("group.share.min.delivery.count.limit", "2", "The smallest such count a group may set.").between(2, 5).kip(932).inert(why::SHARE),
    int("group.share.max.delivery.count.limit", "10", "The largest such count a group may set.").between(5, 25).kip(932).inert(why::SHARE),
    int("group.share.heartbeat.interval.ms", "5000", "How often members of share groups send heartbeats.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.min.heartbeat.interval.ms", "5000", "The smallest such interval a group may set.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.max.heartbeat.interval.ms", "15000", "The largest such interval a group may set.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.session.timeout.ms", "45000", "After how long without a heartbeat a member of a share group is removed.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.min.session.timeout.ms", "45000", "The smallest such time a group may set.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.max.session.timeout.ms", "60000", "The largest such time a group may set.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.max.size", "200", "Members that a share group may have.").between(1, 1000).kip(932).inert(why::SHARE),
    int("group.share.max.share.sessions", "2000", "Share sessions that a broker keeps.").at_least(1).kip(932).inert(why::SHARE),
    int("group.share.partition.max.record.locks", "2000", "Records of a partition that may be in flight.").between(100, 10_000).kip(932).inert(why::SHARE),
    int("group.share.min.partition.max.record.locks", "100", "The smallest such number a group may set.").between(100, 2000).kip(932).inert(why::SHARE),
    int("group.share.max.partition.max.record.locks", "10000", "The largest such number a group may set.").between(2000, 20_000).kip(932).inert(why::SHARE),
    int("group.share.record.lock.duration.ms", "30000", "How long an acquired record stays with its member.").between(1000, 3_600_000).kip(932).inert(why::SHARE),
    int("group.share.min.record.lock.duration.ms", "15000", "The shortest such time a group may set.").between(1000, 30_000).kip(932).inert(why::SHARE),
    int("group.share.max.record.lock.duration.ms", "60000", "The longest such time a group may set.").between(30_000, 3_600_000).kip(932).inert(why::SHARE),
    string("group.share.persister.class.name", "org.apache.kafka.server.share.persister.DefaultStatePersister",
        "A Java class that keeps share state.").kip(932).internal().refused(why::NO_PLUGINS),
    int("share.fetch.purgatory.purge.interval.requests", "1000", "How often answered share fetches are swept out.").at_least(0).kip(932).inert(why::SHARE),
    int("share.coordinator.append.linger.ms", "-1", "How long the share coordinator gathers records; -1 adapts.").at_least(-1).kip(932).inert(why::SHARE),
    int("share.coordinator.load.buffer.size", "5242880", "Memory to load share state with.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.snapshot.update.records.per.snapshot", "500", "Updates between two snapshots of share state.").between(0, 500).kip(932).inert(why::SHARE),
    int("share.coordinator.state.topic.compression.codec", "0", "The codec of __share_group_state.").between(0, 4).kip(932).inert(why::SHARE),
    short("share.coordinator.state.topic.min.isr", "2", "min.insync.replicas of __share_group_state.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.state.topic.num.partitions", "50", "Partitions of __share_group_state.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.state.topic.prune.interval.ms", "300000", "How often share state is pruned.").at_least(1).kip(932).inert(why::SHARE),
    short("share.coordinator.state.topic.replication.factor", "3", "Replicas of __share_group_state.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.state.topic.segment.bytes", "104857600", "The segment size of __share_group_state.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.threads", "1", "Threads of the share coordinator.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.write.timeout.ms", "5000", "How long a write of share state waits for its replicas.").at_least(1).kip(932).inert(why::SHARE),
    int("share.coordinator.cold.partition.snapshot.interval.ms", "300000", "How often idle share partitions are written again.").at_least(1).kip(932).inert(why::SHARE),
];

/// Settings that begin with `transaction.` or `transactional.`.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const TRANSACTIONS: &[Setting] = &[
    short("transaction.state.log.replication.factor", "3", "Replicas of __transaction_state.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.state.log.min.isr", "2", "min.insync.replicas of __transaction_state.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.state.log.num.partitions", "50", "Partitions of __transaction_state; must not change later.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.state.log.segment.bytes", "104857600", "The segment size of __transaction_state.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.state.log.load.buffer.size", "5242880", "Memory to load a partition of __transaction_state with.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.max.timeout.ms", "900000", "The longest timeout that a transactional producer may ask for.").at_least(1).inert(why::TRANSACTIONS),
    int("transactional.id.expiration.ms", "604800000", "After how long an idle transactional id is forgotten.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000", "How often transactions are checked for their timeout.").at_least(1).inert(why::TRANSACTIONS),
    int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000", "How often idle transactional ids are looked for.").at_least(1).inert(why::TRANSACTIONS),
    boolean("transaction.partition.verification.enable", "true", "Whether a produce of a transaction is checked against its coordinator.").cluster_wide().kip(890).inert(why::TRANSACTIONS),
    boolean("transaction.two.phase.commit.enable", "false", "Whether producers may take part in two-phase commits.").kip(939).inert(why::TRANSACTIONS),
    int("add.partitions.to.txn.retry.backoff.ms", "20", "The pause before a failed AddPartitionsToTxn is repeated.").at_least(0).inert(why::TRANSACTIONS),
    int("add.partitions.to.txn.retry.backoff.max.ms", "100", "The longest such pause.").at_least(0).inert(why::TRANSACTIONS),
];
