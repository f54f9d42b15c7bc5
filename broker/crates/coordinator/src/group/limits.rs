//! What bounds the groups: settings, and constants where Kafka has no setting. No I/O.

use ottla_broker_types::DurationMs;

use crate::group::consumer::assignors::Assignor;
use crate::group::consumer::error::ConsumerHeartbeatError;

/// How long a new member's join may be parked. It has no id yet, so it cannot send heartbeats, and whether its
/// client still waits cannot be told (Kafka's value).
pub const NEW_MEMBER_JOIN_TIMEOUT: DurationMs = DurationMs(5 * 60 * 1000);
/// Groups of one shard. Names cost nothing to invent, so a hostile client could fill the memory; beyond, requests
/// that would make a group get COORDINATOR_NOT_AVAILABLE until idle ones are cleaned up.
pub const GROUPS_MAX: usize = 100_000;
/// Ids given out to members that have not come back with them, in one group; beyond, GROUP_MAX_SIZE_REACHED.
pub const PENDING_MEMBERS_MAX: usize = 10_000;
/// Protocols of one member; real ones name at most a handful. Beyond, INCONSISTENT_GROUP_PROTOCOL.
pub const PROTOCOLS_MAX: usize = 100;
/// Bytes that the protocols of one member may hold together. Only one of them is ever written, which has to fit into a
/// record; with the usual limit of a batch this leaves room for four that large. Beyond, MESSAGE_TOO_LARGE.
pub const PROTOCOLS_BYTES_MAX: usize = 4 << 20;
/// Bytes of a text in the records of the offsets topic, whose length has two bytes there.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;
/// Tombstones that one turn of the expiry gives out, and groups that it looks at, so that requests get their turn
/// meanwhile; the rest follows in the next ones.
pub const EXPIRY_RECORDS_MAX: usize = 2_000;
/// See [`EXPIRY_RECORDS_MAX`].
pub const EXPIRY_GROUPS_MAX: usize = 1_000;

/// The settings of groups, as `server.properties` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min: DurationMs,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max: DurationMs,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: DurationMs,
    /// `group.max.size`.
    pub members_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout: DurationMs,
    /// `group.consumer.max.size`.
    pub consumers_max: usize,
    /// `group.consumer.assignors`, the default first; not empty.
    pub assignors: Vec<Assignor>,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: DurationMs,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check: DurationMs,
}

impl GroupLimits {
    /// The assignor of groups whose members ask for none.
    pub(crate) fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }

    /// The assignor of a name among those that the broker offers.
    pub(crate) fn assignor_named(&self, name: &str) -> Result<Assignor, ConsumerHeartbeatError> {
        let found = self.assignors.iter().copied().find(|assignor| assignor.name() == name);
        found.ok_or_else(|| ConsumerHeartbeatError::UnknownAssignor {
            name: name.to_owned(),
            supported: self.assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(", "),
        })
    }
}
