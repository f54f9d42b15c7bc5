//! Which offsets have outlived their group's interest. No I/O.

use ottla_broker_types::{DurationMs, Now, TimestampMs};

use crate::group::classic::group::{Group, GroupState};
use crate::group::classic::protocols::CONSUMER;
use crate::group::record::GroupRecord;
use crate::offsets::commit::CommittedOffset;
use crate::offsets::store::GroupOffsets;

impl Group {
    /// Tombstones for offsets that have expired, and for the group itself when nothing else is left of it (KIP-211).
    /// At most about `records_max`.
    pub(crate) fn expired(
        &self,
        offsets: &GroupOffsets,
        now: Now,
        retention: DurationMs,
        records_max: usize,
    ) -> Vec<GroupRecord> {
        let expired = offsets.iter().filter(|(at, offset)| {
            let base = match (&self.protocol_type, self.state) {
                // Without members nobody reads: what counts is how long there have been none.
                (Some(_), GroupState::Empty) => Some(self.state_since.unwrap_or(offset.committed_at)),
                (Some(kind), GroupState::Stable) if &**kind == CONSUMER => {
                    (!self.is_subscribed(&at.topic)).then_some(offset.committed_at)
                }
                (Some(_), _) => None,
                // Commits without membership: each stands for itself.
                (None, _) => Some(offset.committed_at),
            };
            base.is_some_and(|base| is_expired(offset, base, now.wall, retention))
        });
        let mut records: Vec<GroupRecord> =
            expired.take(records_max).map(|(at, _)| GroupRecord::offset_tombstone(&self.id, at)).collect();
        let is_over =
            self.state == GroupState::Empty && self.pending.is_empty() && records.len() == offsets.len();
        if is_over {
            records.push(GroupRecord::Group { group: self.id.clone(), value: None });
        }
        records
    }
}

/// Whether an offset whose age counts from `base` has expired.
pub(crate) fn is_expired(
    offset: &CommittedOffset,
    base: TimestampMs,
    now: TimestampMs,
    retention: DurationMs,
) -> bool {
    match offset.expires {
        Some(expires) => now >= expires,
        None => base <= now.minus(retention),
    }
}
