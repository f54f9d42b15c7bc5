//! A broker's settings by who uses them, so that each part gets its own small struct. No I/O.

use std::path::PathBuf;

use ottla_broker_types::DurationMs;

use crate::effective::BrokerLayers;
use crate::listeners::{HostPort, Voter};
use crate::typed::Typed;
use crate::value::split_list;

/// Sockets and their limits; sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `socket.send.buffer.bytes`; `None` is the system's default.
    pub socket_send_buffer_bytes: Option<u32>,
    /// `socket.receive.buffer.bytes`; `None` is the system's default.
    pub socket_receive_buffer_bytes: Option<u32>,
    /// `socket.request.max.bytes`.
    pub socket_request_bytes_max: u32,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u32,
    /// `connections.max.idle.ms`; `None` is never.
    pub connections_idle_ms_max: Option<DurationMs>,
    /// `ottla.queued.max.bytes`: requests in memory over all connections of clients.
    pub queued_bytes_max: u64,
    /// `ottla.metrics.listener`; `None` switches it off.
    pub metrics_listener: Option<HostPort>,
}

/// What one fetch may cost; sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// `fetch.max.bytes`.
    pub response_bytes_max: u32,
    /// `max.incremental.fetch.session.cache.slots`.
    pub session_slots_max: u32,
    /// `max.request.partition.size.limit`: partitions in one DescribeTopicPartitions answer.
    pub described_partitions_max: u32,
}

/// The metadata quorum and the broker's tie to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// `controller.quorum.voters`; without them this node alone, if `controller.quorum.bootstrap.servers` is itself.
    pub voters: Vec<Voter>,
    /// `ottla.bootstrapped`: the cluster has formed its quorum before, so an empty disk never forms another.
    pub bootstrapped: bool,
    /// `controller.quorum.election.timeout.ms`: how long after the leader's last sign an election begins at the latest.
    pub election_timeout_ms: DurationMs,
    /// `broker.session.timeout.ms`: for how long a broker counts as alive after a heartbeat.
    pub broker_lease_ms: DurationMs,
    /// `broker.heartbeat.interval.ms`, at most a fifth of the lease: four heartbeats may be lost before a broker is fenced.
    pub heartbeat_interval_ms: DurationMs,
    /// `controller.quorum.fetch.timeout.ms`: how far a voter may lag and count as caught up.
    pub fetch_timeout_ms: DurationMs,
    /// `initial.broker.registration.timeout.ms`.
    pub registration_timeout_ms: DurationMs,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_bytes: u64,
}

/// Leaders and followers; sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// `replica.lag.time.max.ms`.
    pub lag_time_ms_max: DurationMs,
    /// `replica.fetch.max.bytes`.
    pub fetch_bytes_max: u32,
    /// `replica.fetch.response.max.bytes`.
    pub fetch_response_bytes_max: u32,
    /// `replica.fetch.wait.max.ms`.
    pub fetch_wait_ms_max: DurationMs,
    /// `replica.fetch.min.bytes`.
    pub fetch_bytes_min: u32,
    /// `replica.fetch.backoff.ms`.
    pub fetch_backoff_ms: DurationMs,
    /// `replica.socket.timeout.ms`.
    pub socket_timeout_ms: DurationMs,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub high_watermark_checkpoint_ms: DurationMs,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown: bool,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_ms: DurationMs,
}

/// Logs on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsConfig {
    /// `log.dirs`; never empty.
    pub dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, else the first of `dirs`.
    pub metadata_dir: PathBuf,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: DurationMs,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub recovery_checkpoint_ms: DurationMs,
    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub log_start_checkpoint_ms: DurationMs,
    /// `log.flush.scheduler.interval.ms`.
    pub flush_check_ms: DurationMs,
    /// `ottla.flush.before.ack`.
    pub flush_before_ack: bool,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_check_ms: DurationMs,
    /// `log.cleaner.enable`.
    pub cleaner_enabled: bool,
}

/// What new topics get, and whether topics may come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: u32,
    /// `default.replication.factor`.
    pub replication_factor: u16,
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enabled: bool,
}

/// Consumer groups and their topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsConfig {
    /// `offsets.topic.replication.factor`.
    pub offsets_replication_factor: u16,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: u32,
    /// `offsets.topic.segment.bytes`.
    pub offsets_segment_bytes: u32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: DurationMs,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_ms: DurationMs,
    /// `offsets.commit.timeout.ms`.
    pub offsets_commit_timeout_ms: DurationMs,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: u32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: DurationMs,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: DurationMs,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: DurationMs,
    /// `group.max.size`.
    pub members_max: u32,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: DurationMs,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: DurationMs,
    /// `group.consumer.max.size`.
    pub consumers_max: u32,
    /// `group.consumer.assignors`, the default first.
    pub consumer_assignors: Vec<String>,
}

/// Transactions and their topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionsConfig {
    /// `transaction.state.log.replication.factor`.
    pub state_replication_factor: u16,
    /// `transaction.state.log.num.partitions`.
    pub state_partitions: u32,
    /// `transaction.state.log.min.isr`.
    pub state_min_insync_replicas: u32,
    /// `transaction.state.log.segment.bytes`.
    pub state_segment_bytes: u32,
    /// `transaction.max.timeout.ms`.
    pub timeout_ms_max: DurationMs,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: DurationMs,
}

/// What may change while the broker runs; resolve again on each change of its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicBrokerConfig {
    /// `max.connections`.
    pub connections_max: u32,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: u32,
    /// `max.connections.per.ip.overrides`: the host, as written, and its limit; of two for one host the last counts.
    pub connections_per_ip_overrides: Vec<(String, u32)>,
    /// `leader.replication.throttled.rate` in bytes a second; `None` is no limit.
    pub leader_throttled_bytes_per_second: Option<u64>,
    /// `follower.replication.throttled.rate` in bytes a second; `None` is no limit.
    pub follower_throttled_bytes_per_second: Option<u64>,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: DurationMs,
    /// `cordoned.log.dirs`; `*` is all (KIP-1066).
    pub cordoned_log_dirs: Vec<String>,
    /// `log.cleaner.threads`.
    pub cleaner_threads: u32,
    /// `log.cleaner.backoff.ms`.
    pub cleaner_backoff_ms: DurationMs,
    /// `log.cleaner.dedupe.buffer.size`, of all threads together.
    pub cleaner_map_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`, in percent.
    pub cleaner_map_load_percent: u32,
    /// `log.cleaner.io.buffer.size`, of all threads together.
    pub cleaner_io_bytes: u32,
    /// `log.cleaner.io.max.bytes.per.second`, of all threads together; `None` is no limit.
    pub cleaner_bytes_per_second_max: Option<u64>,
}

impl DynamicBrokerConfig {
    /// The values in force.
    pub fn resolve(broker: BrokerLayers<'_>) -> DynamicBrokerConfig {
        let typed = Typed::of_broker(broker);
        DynamicBrokerConfig {
            connections_max: typed.u32("max.connections"),
            connections_per_ip_max: typed.u32("max.connections.per.ip"),
            connections_per_ip_overrides: overrides(&typed.text("max.connections.per.ip.overrides")),
            leader_throttled_bytes_per_second: typed.limit("leader.replication.throttled.rate"),
            follower_throttled_bytes_per_second: typed.limit("follower.replication.throttled.rate"),
            producer_expiration_ms: typed.duration("producer.id.expiration.ms"),
            cordoned_log_dirs: typed.list("cordoned.log.dirs"),
            cleaner_threads: typed.u32("log.cleaner.threads"),
            cleaner_backoff_ms: typed.duration("log.cleaner.backoff.ms"),
            cleaner_map_bytes: typed.u64("log.cleaner.dedupe.buffer.size"),
            cleaner_map_load_percent: percent(typed.real("log.cleaner.io.buffer.load.factor")),
            cleaner_io_bytes: typed.u32("log.cleaner.io.buffer.size"),
            cleaner_bytes_per_second_max: rate(typed.real("log.cleaner.io.max.bytes.per.second")),
        }
    }
}

fn percent(part: f64) -> u32 {
    (part * 100.0).round() as u32
}

/// Bytes a second; what no disk reaches, Kafka's default among it, is no limit.
fn rate(bytes_per_second: f64) -> Option<u64> {
    const NO_LIMIT: f64 = 1e15;
    (bytes_per_second < NO_LIMIT).then_some(bytes_per_second.max(0.0) as u64)
}

/// The `host:limit` pairs of a text that was checked when it was set; the address of a host may hold colons.
fn overrides(text: &Option<String>) -> Vec<(String, u32)> {
    let pairs = split_list(text.as_deref().unwrap_or_default()).into_iter().filter_map(|pair| {
        let (host, limit) = pair.rsplit_once(':')?;
        Some((host.trim().to_owned(), limit.trim().parse().ok()?))
    });
    pairs.collect()
}

const HEARTBEATS_PER_LEASE: u64 = 5;

impl NetworkConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> NetworkConfig {
        let buffer = |name: &str| u32::try_from(typed.integer(name)).ok();
        NetworkConfig {
            socket_send_buffer_bytes: buffer("socket.send.buffer.bytes"),
            socket_receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
            socket_request_bytes_max: typed.u32("socket.request.max.bytes"),
            listen_backlog: typed.u32("socket.listen.backlog.size"),
            connections_idle_ms_max: typed.duration_limit("connections.max.idle.ms"),
            queued_bytes_max: typed.u64("ottla.queued.max.bytes"),
            metrics_listener: typed.text("ottla.metrics.listener").and_then(|text| HostPort::parse(&text)),
        }
    }
}

impl FetchConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> FetchConfig {
        FetchConfig {
            response_bytes_max: typed.u32("fetch.max.bytes"),
            session_slots_max: typed.u32("max.incremental.fetch.session.cache.slots"),
            described_partitions_max: typed.u32("max.request.partition.size.limit"),
        }
    }
}

impl QuorumConfig {
    pub(crate) fn resolve(typed: &Typed<'_>, voters: Vec<Voter>) -> QuorumConfig {
        let lease = typed.duration("broker.session.timeout.ms");
        let interval = typed.duration("broker.heartbeat.interval.ms").0.min(lease.0 / HEARTBEATS_PER_LEASE);
        QuorumConfig {
            voters,
            bootstrapped: typed.bool("ottla.bootstrapped"),
            broker_lease_ms: lease,
            heartbeat_interval_ms: DurationMs(interval.max(1)),
            election_timeout_ms: typed.duration("controller.quorum.election.timeout.ms"),
            fetch_timeout_ms: typed.duration("controller.quorum.fetch.timeout.ms"),
            registration_timeout_ms: typed.duration("initial.broker.registration.timeout.ms"),
            snapshot_bytes: typed.u64("metadata.log.max.record.bytes.between.snapshots"),
        }
    }
}

impl ReplicationConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> ReplicationConfig {
        let check_seconds = typed.u64("leader.imbalance.check.interval.seconds");
        ReplicationConfig {
            lag_time_ms_max: typed.duration("replica.lag.time.max.ms"),
            fetch_bytes_max: typed.u32("replica.fetch.max.bytes"),
            fetch_response_bytes_max: typed.u32("replica.fetch.response.max.bytes"),
            fetch_wait_ms_max: typed.duration("replica.fetch.wait.max.ms"),
            fetch_bytes_min: typed.u32("replica.fetch.min.bytes"),
            fetch_backoff_ms: typed.duration("replica.fetch.backoff.ms"),
            socket_timeout_ms: typed.duration("replica.socket.timeout.ms"),
            high_watermark_checkpoint_ms: typed.duration("replica.high.watermark.checkpoint.interval.ms"),
            controlled_shutdown: typed.bool("controlled.shutdown.enable"),
            auto_leader_rebalance: typed.bool("auto.leader.rebalance.enable"),
            leader_imbalance_check_ms: DurationMs(check_seconds.saturating_mul(1000)),
        }
    }
}

impl LogsConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> LogsConfig {
        let dirs: Vec<PathBuf> = typed.list("log.dirs").into_iter().map(PathBuf::from).collect();
        let first = dirs.first().cloned().unwrap_or_default();
        LogsConfig {
            metadata_dir: typed.text("metadata.log.dir").map_or(first, PathBuf::from),
            dirs,
            retention_check_ms: typed.duration("log.retention.check.interval.ms"),
            recovery_checkpoint_ms: typed.duration("log.flush.offset.checkpoint.interval.ms"),
            log_start_checkpoint_ms: typed.duration("log.flush.start.offset.checkpoint.interval.ms"),
            flush_check_ms: typed.duration("log.flush.scheduler.interval.ms"),
            flush_before_ack: typed.bool("ottla.flush.before.ack"),
            producer_check_ms: typed.duration("producer.id.expiration.check.interval.ms"),
            cleaner_enabled: typed.bool("log.cleaner.enable"),
        }
    }
}

impl TopicDefaults {
    pub(crate) fn resolve(typed: &Typed<'_>) -> TopicDefaults {
        TopicDefaults {
            partitions: typed.u32("num.partitions"),
            replication_factor: factor(typed, "default.replication.factor"),
            auto_create: typed.bool("auto.create.topics.enable"),
            delete_enabled: typed.bool("delete.topic.enable"),
        }
    }
}

impl GroupsConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> GroupsConfig {
        let retention_minutes = typed.u64("offsets.retention.minutes");
        GroupsConfig {
            offsets_replication_factor: factor(typed, "offsets.topic.replication.factor"),
            offsets_partitions: typed.u32("offsets.topic.num.partitions"),
            offsets_segment_bytes: typed.u32("offsets.topic.segment.bytes"),
            offsets_retention_ms: DurationMs(retention_minutes.saturating_mul(60_000)),
            offsets_retention_check_ms: typed.duration("offsets.retention.check.interval.ms"),
            offsets_commit_timeout_ms: typed.duration("offsets.commit.timeout.ms"),
            offset_metadata_bytes_max: typed.u32("offset.metadata.max.bytes"),
            initial_rebalance_delay_ms: typed.duration("group.initial.rebalance.delay.ms"),
            session_timeout_ms_min: typed.duration("group.min.session.timeout.ms"),
            session_timeout_ms_max: typed.duration("group.max.session.timeout.ms"),
            members_max: typed.u32("group.max.size"),
            consumer_session_timeout_ms: typed.duration("group.consumer.session.timeout.ms"),
            consumer_heartbeat_interval_ms: typed.duration("group.consumer.heartbeat.interval.ms"),
            consumers_max: typed.u32("group.consumer.max.size"),
            consumer_assignors: typed.list("group.consumer.assignors"),
        }
    }
}

impl TransactionsConfig {
    pub(crate) fn resolve(typed: &Typed<'_>) -> TransactionsConfig {
        TransactionsConfig {
            state_replication_factor: factor(typed, "transaction.state.log.replication.factor"),
            state_partitions: typed.u32("transaction.state.log.num.partitions"),
            state_min_insync_replicas: typed.u32("transaction.state.log.min.isr"),
            state_segment_bytes: typed.u32("transaction.state.log.segment.bytes"),
            timeout_ms_max: typed.duration("transaction.max.timeout.ms"),
            id_expiration_ms: typed.duration("transactional.id.expiration.ms"),
        }
    }
}

fn factor(typed: &Typed<'_>, name: &str) -> u16 {
    typed.integer(name).clamp(1, i16::MAX.into()) as u16
}
