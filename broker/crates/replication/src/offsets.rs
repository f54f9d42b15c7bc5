//! ListOffsets and OffsetForLeaderEpoch, answered by the leader. The only I/O is the log's.

use ottla_broker_log::Log;
use ottla_broker_types::{LeaderEpoch, Offset, TimestampMs};

use crate::errors::{LeadershipError, ListOffsetsError};
use crate::facts::{EpochEnd, Isolation};
use crate::replica::Replica;

/// What ListOffsets asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset that the asker may not see yet (-1).
    Latest,
    /// The log start (-2), also for the local log (-4), as nothing is tiered.
    Earliest,
    /// The record with the largest timestamp (-3, KIP-734).
    MaxTimestamp,
    /// The last tiered record (-5): there is none.
    LatestTiered,
    /// The first offset that is not tiered yet (KIP-1023).
    EarliestPendingUpload,
    /// The first record with this timestamp or a later one.
    AtOrAfter(TimestampMs),
}

impl OffsetSpec {
    /// Reads the timestamp field of the request; `None` for values without a meaning.
    pub fn from_wire(timestamp: i64) -> Option<OffsetSpec> {
        match timestamp {
            -1 => Some(OffsetSpec::Latest),
            -2 | -4 => Some(OffsetSpec::Earliest),
            -3 => Some(OffsetSpec::MaxTimestamp),
            -5 => Some(OffsetSpec::LatestTiered),
            -6 => Some(OffsetSpec::EarliestPendingUpload),
            0.. => Some(OffsetSpec::AtOrAfter(TimestampMs(timestamp))),
            _ => None,
        }
    }
}

/// An answer of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// Of the record that was asked for; for the ends of the log the end itself.
    pub offset: Offset,
    /// The record's timestamp; `None` for the log's ends.
    pub timestamp: Option<TimestampMs>,
    /// Epoch of the record; for the latest offset that of the leader.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Replica {
    /// Looks an offset up; `None` if no visible record matches.
    pub fn list_offset(
        &self,
        spec: OffsetSpec,
        current_leader_epoch: Option<LeaderEpoch>,
        isolation: Isolation,
    ) -> Result<Option<ListedOffset>, ListOffsetsError> {
        let leader = self.leader_for(current_leader_epoch)?;
        let visible_end = match isolation {
            Isolation::LogEnd => self.log.log_end(),
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset(),
        };
        let unsettled = isolation != Isolation::LogEnd && leader.epoch_start > self.high_watermark;
        let record = match spec {
            OffsetSpec::Earliest => {
                let offset = self.log.log_start();
                let leader_epoch = epoch_at(&self.log, offset);
                return Ok(Some(ListedOffset { offset, timestamp: None, leader_epoch }));
            }
            OffsetSpec::Latest if unsettled => return Err(ListOffsetsError::OffsetNotAvailable),
            OffsetSpec::Latest => {
                let leader_epoch = Some(leader.epoch);
                return Ok(Some(ListedOffset { offset: visible_end, timestamp: None, leader_epoch }));
            }
            // Nothing is tiered, and nothing ever waits for it.
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => return Ok(None),
            OffsetSpec::MaxTimestamp => self.log.max_timestamp()?,
            OffsetSpec::AtOrAfter(timestamp) => self.log.offset_for_timestamp(timestamp)?,
        };
        match record {
            Some(found) if found.offset < visible_end => Ok(Some(ListedOffset {
                offset: found.offset,
                timestamp: Some(found.timestamp),
                leader_epoch: found.leader_epoch,
            })),
            // It may be committed already, which this leader cannot know yet.
            Some(_) if unsettled => Err(ListOffsetsError::OffsetNotAvailable),
            Some(_) | None => Ok(None),
        }
    }

    /// The largest epoch that is not above `asked`, and its end (OffsetForLeaderEpoch, KIP-320); `None` if the log has
    /// no epochs at all.
    pub fn epoch_end(
        &self,
        asked: LeaderEpoch,
        current_leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, LeadershipError> {
        self.leader_for(current_leader_epoch)?;
        Ok(self.epoch_end_of(asked))
    }
}

/// Epoch of the record at `offset`: the smallest one that ends after it.
fn epoch_at(log: &Log, offset: Offset) -> Option<LeaderEpoch> {
    let ends_after = |epoch: i32| log.end_offset_for(LeaderEpoch(epoch)).is_some_and(|(_, end)| end > offset);
    let mut high = log.latest_epoch()?.get();
    if !ends_after(high) {
        return None;
    }
    let mut low = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        if ends_after(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(LeaderEpoch(high))
}
