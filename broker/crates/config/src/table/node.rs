//! Broker settings about the node itself: identity, listeners, sockets, threads, quorum, metrics. Pure data.

use super::reasons as why;
use crate::setting::{Check, Setting, ValueType, boolean, class, int, list, long, string, unset};

/// Identity, listeners, sockets and limits.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const NODE: &[Setting] = &[
    unset("node.id", ValueType::Int, "The number of this node in its cluster; required.").at_least(0).works(),
    int("broker.id", "-1", "The old name of node.id.").works(),
    list("process.roles", "", "What this node does: broker, controller or both; empty means broker, and controller if it is a voter.")
        .each_of(&["broker", "controller"]).kip(631).works(),
    list("listeners", "PLAINTEXT://:9092", "The addresses on which this node listens, as NAME://host:port.")
        .check(Check::Listeners).works(),
    unset("advertised.listeners", ValueType::List, "The addresses that clients are told, as NAME://host:port; unset, those of listeners.")
        .check(Check::Listeners).works(),
    list("listener.security.protocol.map", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "The security protocol of each listener name, as NAME:PROTOCOL.")
        .check(Check::ProtocolMap).kip(103).works(),
    unset("inter.broker.listener.name", ValueType::String, "The listener that brokers use among themselves.").kip(103).works(),
    string("security.inter.broker.protocol", "PLAINTEXT", "The protocol between brokers when inter.broker.listener.name is unset.")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]).refused(why::PLAINTEXT_ONLY),
    unset("broker.rack", ValueType::String, "The rack or zone of this broker, for placement and for fetching nearby.").kip(36).works(),
    unset("early.start.listeners", ValueType::String, "Listeners that open before the authorizer is ready.").kip(801).inert(why::AUTHORIZER),
    int("num.network.threads", "3", "Threads that serve sockets.").at_least(1).cluster_wide().inert(why::THREADS),
    int("num.io.threads", "8", "Threads that handle requests.").at_least(1).cluster_wide().inert(why::THREADS),
    int("background.threads", "10", "Threads for background work.").at_least(1).cluster_wide().inert(why::THREADS),
    int("queued.max.requests", "500", "Requests that may wait for a thread.").at_least(1).inert(why::BUDGET),
    long("queued.max.request.bytes", "-1", "Bytes of requests that may wait; -1 is no limit.").at_least(-1).inert(why::BUDGET),
    int("request.timeout.ms", "30000", "How long this node waits for an answer from another.").at_least(0).inert(why::OWN_TIMES),
    int("socket.send.buffer.bytes", "-1", "The kernel's send buffer of a connection; with -1 the system sizes it by need. Kafka's default is 102400.").at_least(-1).works(),
    int("socket.receive.buffer.bytes", "-1", "The kernel's receive buffer of a connection; with -1 the system sizes it by need. Kafka's default is 102400.").at_least(-1).works(),
    int("socket.request.max.bytes", "104857600", "The largest request that is read.").at_least(1).works(),
    int("socket.listen.backlog.size", "65535", "Connections that the kernel holds before they are accepted; the system allows at most net.core.somaxconn. Kafka's default is 50.").at_least(1).works(),
    int("max.connections", "2147483647", "Connections of clients to this broker at the same time; further ones wait.").at_least(0).cluster_wide().works(),
    int("max.connections.per.ip", "2147483647", "Connections of clients from one address at the same time; further ones are closed.").at_least(0).cluster_wide().works(),
    string("max.connections.per.ip.overrides", "", "Limits for single addresses instead of max.connections.per.ip, as host:limit pairs.")
        .check(Check::ConnectionOverrides).cluster_wide().works(),
    int("max.connection.creation.rate", "2147483647", "New connections a second to this broker or listener.").at_least(0).cluster_wide().kip(612).refused(why::NO_RATE),
    long("connections.max.idle.ms", "600000", "After how long an idle connection is closed; -1 is never.").at_least(-1).works(),
    int("connection.failed.authentication.delay.ms", "100", "How long the close after a failed authentication is delayed.").at_least(0).kip(306).inert(why::SASL),
    long("connections.max.reauth.ms", "0", "After how long a client must authenticate again; 0 is never.").at_least(0).kip(368).refused(why::NO_SASL),
    boolean("controlled.shutdown.enable", "true", "Whether leadership is handed over before this broker stops.").works(),
    int("max.incremental.fetch.session.cache.slots", "1000", "Incremental fetch sessions that are kept.").at_least(0).kip(227).works(),
    int("fetch.max.bytes", "57671680", "The most bytes that one fetch answers, whatever the client asks.").at_least(1024).kip(541).works(),
    int("message.max.bytes", "1048588", "The largest record batch, compressed, that producers may send.").at_least(0).cluster_wide().works(),
    int("max.request.partition.size.limit", "2000", "Partitions that one DescribeTopicPartitions answer lists.").at_least(1).kip(966).works(),
    list("metric.reporters", "", "Java classes that report metrics.").cluster_wide().inert(why::PROMETHEUS),
    int("metrics.num.samples", "2", "Samples that a metric keeps.").at_least(1).inert(why::PROMETHEUS),
    string("metrics.recording.level", "INFO", "How detailed metrics are.").one_of(&["INFO", "DEBUG", "TRACE"]).inert(why::PROMETHEUS),
    long("metrics.sample.window.ms", "30000", "The length of a metric's sample.").at_least(1).inert(why::PROMETHEUS),
    list("kafka.metrics.reporters", "", "Java classes that report Yammer metrics.").inert(why::PROMETHEUS),
    int("kafka.metrics.polling.interval.secs", "10", "How often those reporters poll.").at_least(1).inert(why::PROMETHEUS),
    boolean("unstable.api.versions.enable", "false", "Whether API versions under development are offered.").internal().inert(why::RELEASED_ONLY),
    boolean("unstable.feature.versions.enable", "false", "Whether feature levels under development are offered.").internal().inert(why::RELEASED_ONLY),
    int("quota.window.num", "11", "Samples over which quotas are measured.").at_least(1).inert(why::QUOTAS),
    int("quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).inert(why::QUOTAS),
    int("replication.quota.window.num", "11", "Samples over which replication quotas are measured.").at_least(1).kip(73).inert(why::THROTTLES),
    int("replication.quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).kip(73).inert(why::THROTTLES),
    int("alter.log.dirs.replication.quota.window.num", "11", "Samples over which moves between log directories are measured.").at_least(1).inert(why::ONE_DIR),
    int("alter.log.dirs.replication.quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).inert(why::ONE_DIR),
    int("controller.quota.window.num", "11", "Samples over which controller quotas are measured.").at_least(1).kip(599).inert(why::QUOTAS),
    int("controller.quota.window.size.seconds", "1", "The length of such a sample.").at_least(1).kip(599).inert(why::QUOTAS),
    unset("client.quota.callback.class", ValueType::Class, "A Java class that computes quotas.").kip(257).refused(why::NO_PLUGINS),
    int("telemetry.max.bytes", "1048576", "The largest push of client telemetry.").at_least(1).kip(714).inert(why::TELEMETRY),
];

/// The metadata quorum.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const QUORUM: &[Setting] = &[
    list("controller.listener.names", "", "The listeners on which controllers are reached; empty means the one between brokers.").kip(631).works(),
    list("controller.quorum.voters", "", "The voters of the metadata quorum, as id@host:port; required with more than one node.").check(Check::Voters).kip(595).works(),
    list("controller.quorum.bootstrap.servers", "", "For a node alone its own address, localhost and the controllers' port; otherwise list controller.quorum.voters.").check(Check::Servers).kip(853).works(),
    boolean("controller.quorum.auto.join.enable", "false", "Whether a controller adds itself to the voters.").kip(853).inert(why::LISTED_VOTERS),
    int("controller.quorum.election.timeout.ms", "600", "How long after the quorum's leader fell silent another voter stands for election at the latest; at least 200.").at_least(1).kip(595).works(),
    int("controller.quorum.election.backoff.max.ms", "1000", "The longest pause between two elections.").at_least(0).kip(595).inert(why::OWN_TIMES),
    int("controller.quorum.fetch.timeout.ms", "2000", "How long a voter may lag before it counts as not caught up.").at_least(1).kip(595).works(),
    int("controller.quorum.request.timeout.ms", "2000", "How long a voter waits for an answer.").at_least(1).kip(595).inert(why::OWN_TIMES),
    int("controller.quorum.retry.backoff.ms", "20", "The pause before a failed quorum request is repeated.").at_least(0).kip(595).inert(why::OWN_TIMES),
    int("controller.quorum.append.linger.ms", "25", "How long the leader gathers records before it writes them.").at_least(0).kip(595).inert(why::OWN_TIMES),
    int("controller.socket.timeout.ms", "30000", "How long a request to the controller may take.").at_least(1).inert(why::OWN_TIMES),
    int("controller.performance.sample.period.ms", "60000", "How often slow controller events are reported.").at_least(1).inert(why::PROMETHEUS),
    long("controller.performance.always.log.threshold.ms", "2000", "From how long on a controller event is always reported.").at_least(1).inert(why::PROMETHEUS),
    int("broker.heartbeat.interval.ms", "2000", "How often a broker sends a heartbeat to the controller; at least five times per broker.session.timeout.ms.").at_least(1).kip(631).works(),
    int("broker.session.timeout.ms", "1500", "The lease: a broker of which the controller has heard nothing for so long is fenced, and others take its partitions over.").between(100, 3_600_000).kip(631).works(),
    int("initial.broker.registration.timeout.ms", "60000", "How long a starting broker tries to register.").at_least(1).kip(631).inert(why::FOR_EVER),
    unset("metadata.log.dir", ValueType::String, "Where the metadata log lies; unset, in the first of log.dirs.").kip(631).inert(why::FIRST_DIR),
    long("metadata.log.max.record.bytes.between.snapshots", "20971520", "Bytes of metadata records after which a snapshot is written, but no fewer than the last one has.").at_least(1).kip(630).works(),
    long("metadata.log.max.snapshot.interval.ms", "3600000", "The longest time between two snapshots; 0 is no limit.").at_least(0).kip(876).inert(why::SNAPSHOTS),
    int("metadata.log.segment.bytes", "1073741824", "The size of a metadata segment.").at_least(8_388_608).inert(why::SNAPSHOTS),
    long("metadata.log.segment.ms", "604800000", "The age at which a new metadata segment is begun.").at_least(1).inert(why::SNAPSHOTS),
    int("metadata.max.idle.interval.ms", "500", "How often the active controller writes a no-op record; 0 is never.").at_least(0).kip(835).inert(why::SNAPSHOTS),
    long("metadata.max.retention.bytes", "104857600", "Bytes of metadata log and snapshots that are kept.").at_least(-1).inert(why::SNAPSHOTS),
    long("metadata.max.retention.ms", "604800000", "How long metadata log and snapshots are kept.").at_least(-1).inert(why::SNAPSHOTS),
    long("max.controller.records.per.batch", "10000", "Records that one controller decision may write.").internal().inert(why::SNAPSHOTS),
    long("server.max.startup.time.ms", "9223372036854775807", "How long a broker may take to start.").at_least(0).inert(why::FOR_EVER),
    unset("create.topic.policy.class.name", ValueType::Class, "A Java class that checks new topics.").kip(108).refused(why::NO_PLUGINS),
    unset("alter.config.policy.class.name", ValueType::Class, "A Java class that checks changed configs.").kip(133).refused(why::NO_PLUGINS),
    class("replica.selector.class", "", "A Java class that picks the replica to read from; RackAwareReplicaSelector is known by name.").kip(392).inert(why::FROM_LEADER),
    list("config.providers", "", "Java classes that resolve values from elsewhere.").kip(297).refused(why::NO_PLUGINS),
];

/// Ottla's own keys.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const OTTLA: &[Setting] = &[
    string("ottla.metrics.listener", "0.0.0.0:9404", "Where metrics and health are served over HTTP, as host:port; empty switches it off.").ottla().works(),
    boolean("ottla.flush.before.ack", "false", "Whether records are forced to disk before acks=all is answered.").ottla().works(),
    unset("ottla.broker.rack.file", ValueType::String, "A file that holds this broker's rack; it wins over broker.rack once it is not empty.").ottla().works(),
    unset("ottla.cluster.id", ValueType::String, "The id of the cluster to form or join; a directory of another cluster is refused.").ottla().works(),
    boolean("ottla.bootstrapped", "false", "Whether the cluster has formed its quorum before; if so, a voter with an empty disk never forms another.").ottla().works(),
    long("ottla.queued.max.bytes", "67108864", "Bytes of requests in memory over all connections of clients; readers wait above it. Where the memory is limited, at most an eighth of that.").at_least(1_048_576).ottla().works(),
];
